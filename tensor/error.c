#include "tensor/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tensor/real.h"
#include "tensor/text.h"

const char WEFT_PRECISION_SYMBOL = 1;

enum { MESSAGE_SIZE = 512, LONGEST = 16384 };
#define GAP "..."
static _Thread_local char message[MESSAGE_SIZE]; /* empty: no failure */

const char *weft_error(void)
{
    return message[0] ? message : NULL;
}

void weft_error_clear(void)
{
    message[0] = '\0';
}

/* What is long is a file's name, in the middle: the reason at the end is kept. */
static void shorten(const char *whole)
{
    enum { HALF = MESSAGE_SIZE / 2 - sizeof GAP };
    const size_t length = strlen(whole);
    if (length < MESSAGE_SIZE) {
        memcpy(message, whole, length + 1);
        return;
    }
    memcpy(message, whole, HALF);
    memcpy(message + HALF, GAP, sizeof GAP - 1);
    memcpy(message + HALF + sizeof GAP - 1, whole + length - HALF, HALF + 1);
}

void *(weft_fail)(const char *format, ...)
{
    if (message[0]) return NULL; /* what fails first is the cause of what fails next */
    va_list arguments;
    va_start(arguments, format);
    char whole[LONGEST];
    int length = vsnprintf(whole, sizeof whole, format, arguments);
    va_end(arguments);
    if (length > 0) shorten(whole);
    else snprintf(message, sizeof message, "unknown error");
    /* Names are in it, and it is to be one line. */
    for (char *c = message; *c; c++) *c = weft_text_shown(*c);
    return NULL;
}
