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

char weft_text_shown(char character)
{
    return (unsigned char)character < ' ' || character == '\177' ? '?' : character;
}

void weft_text_print(FILE *file, const char *name)
{
    for (; *name; name++) fputc(weft_text_shown(*name), file);
}
