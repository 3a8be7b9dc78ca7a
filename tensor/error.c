#include "tensor/error.h"

#include <stdarg.h>
#include <stdio.h>

#include "tensor/real.h"

const char WEFT_PRECISION_SYMBOL = 1;

enum { MESSAGE_SIZE = 512 };
static _Thread_local char message[MESSAGE_SIZE]; /* empty: no failure */

const char *weft_error(void)
{
    return message[0] ? message : NULL;
}

void weft_error_clear(void)
{
    message[0] = '\0';
}

void *(weft_fail)(const char *format, ...)
{
    if (message[0]) return NULL; /* what fails first is the cause of what fails next */
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (length <= 0) snprintf(message, sizeof message, "unknown error");
    return NULL;
}
