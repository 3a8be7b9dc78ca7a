/* A text that grows. Internal. Zero-initialised it is empty. */
#ifndef WEFT_TEXT_H
#define WEFT_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

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

#endif
