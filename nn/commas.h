/* Numbers that people read. Internal. */
#ifndef WEFT_COMMAS_H
#define WEFT_COMMAS_H

#include <stdint.h>
#include <stdio.h>

enum { COMMAS_TEXT = 32 };

/* "-10,474", in the given buffer, which is returned. */
static inline char *commas(int64_t value, char text[COMMAS_TEXT])
{
    char digits[COMMAS_TEXT];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)value), used = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0 && digits[i - 1] != '-') text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
    return text;
}

/* "1 image", "2 images": what follows the word. */
static inline const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

#endif
