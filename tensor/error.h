/* Errors: the first failure since weft_error_clear() is kept, and flows through an expression as NULL.
 *
 * The library never prints, exits or aborts. A function that cannot do its work records one line that names the
 * function, the numbers and the reason, and returns NULL or false; every op given NULL returns NULL, so a program may
 * check once a step. The record belongs to the calling thread. */
#ifndef WEFT_ERROR_H
#define WEFT_ERROR_H

#include <stdbool.h>

#include "tensor/real.h"

WEFT_PUBLIC_BEGIN

/* The message of the first failure since the last clear, without a newline, or NULL if there was none.
 * The text belongs to the library and is valid until the next call of weft_fail or weft_error_clear. */
const char *weft_error(void);

/* Forgets the failure. */
void weft_error_clear(void);

/* Records a failure, printf-style, unless one is recorded already. A message of more than 511 bytes loses some in its
 * middle, where names are; an empty one becomes "unknown error". Always returns NULL, which is also false, so that
 * `return weft_fail(...)` serves both kinds of function. */
void *weft_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#ifdef __clang_analyzer__ /* which sees one file at a time, and so would not know what it returns */
#define weft_fail(...) (weft_fail(__VA_ARGS__), (void *)0)
#endif

/* Marks functions whose false must not be ignored. */
#define WEFT_CHECKED __attribute__((warn_unused_result))

WEFT_PUBLIC_END
#endif
