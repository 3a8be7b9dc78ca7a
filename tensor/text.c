#include "tensor/text.h"

#include "tensor/memory.h"

bool weft_text_vput(Text *text, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    bool ok = length >= 0 || weft_fail("a text cannot be written");
    ok = ok && weft_grow(&text->bytes, &text->capacity, text->length + length + 1, 1);
    if (ok) text->length += vsnprintf(text->bytes + text->length, (size_t)length + 1, format, again);
    va_end(again);
    return ok;
}

bool weft_text_put(Text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    bool ok = weft_text_vput(text, format, arguments);
    va_end(arguments);
    return ok;
}

void weft_text_free(Text *text)
{
    weft_free(text->bytes);
    *text = (Text){0};
}

/* Unicode 15, table 3-7. */
int weft_utf8_length(const char *text)
{
    static const struct {
        unsigned char first, last, low, high; /* of the first byte, and of the second */
        int length;
    } FORMS[] = {{0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
                 {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
                 {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4}};
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80) return 1;
    for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS; i++) {
        if (s[0] < FORMS[i].first || s[0] > FORMS[i].last) continue;
        if (s[1] < FORMS[i].low || s[1] > FORMS[i].high) return 0;
        for (int k = 2; k < FORMS[i].length; k++) {
            if ((s[k] & 0xC0) != 0x80) return 0;
        }
        return FORMS[i].length;
    }
    return 0;
}

char weft_text_shown(char character)
{
    return (unsigned char)character < ' ' || character == '\177' ? '?' : character;
}

void weft_text_print(FILE *file, const char *name)
{
    for (; *name; name++) fputc(weft_text_shown(*name), file);
}
