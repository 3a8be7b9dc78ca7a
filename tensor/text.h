/* A text that grows. Internal. Zero-initialised it is empty. */
#ifndef WEFT_TEXT_H
#define WEFT_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tensor/error.h"

typedef struct Text {
    char *bytes; /* NULL, or `length` bytes and a zero, freed with weft_text_free */
    int64_t length, capacity;
} Text;

/* Appends, printf-style. False with an error, the text as it was, when memory is short. */
bool weft_text_put(Text *text, const char *format, ...) WEFT_CHECKED __attribute__((format(printf, 2, 3)));
bool weft_text_vput(Text *text, const char *format, va_list arguments) WEFT_CHECKED
    __attribute__((format(printf, 2, 0)));
/* The text is empty and usable again. */
void weft_text_free(Text *text);

/* The bytes, 1 to 4, of the UTF-8 character that begins here; 0 if none does. Reads up to the first byte that cannot
 * belong to it, such as the zero at the end. */
int weft_utf8_length(const char *text);

/* What stands for a character where a name is shown: '?' for a control character, which might end a line or do anything
 * to a terminal, else itself. */
char weft_text_shown(char character);
/* Writes a name, a file's say, as it is shown. */
void weft_text_print(FILE *file, const char *name);

#endif
