/* Escaping and quoting. */
#include "apps/report_text.h"

#include <stdbool.h>
#include <string.h>

#include "tensor/text.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD in UTF-8 */

static bool is_control(unsigned char c)
{
    return (c < ' ' && c != '\n' && c != '\t') || c == 0x7F;
}

/* Writes the character at s and returns the bytes that it took. */
static int escape_one(FILE *file, const char *s)
{
    const int length = is_control((unsigned char)*s) ? 0 : weft_utf8_length(s);
    switch (*s) {
    case '<': fputs("&lt;", file); break;
    case '>': fputs("&gt;", file); break;
    case '&': fputs("&amp;", file); break;
    case '"': fputs("&quot;", file); break;
    default:
        if (length > 0) fwrite(s, 1, (size_t)length, file);
        else fputs(REPLACEMENT, file);
    }
    return length > 0 ? length : 1;
}

void report_escape(FILE *file, const char *text)
{
    while (*text != '\0') text += escape_one(file, text);
}

static bool is_plain(const char *word)
{
    static const char PLAIN[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
    return *word != '\0' && word[strspn(word, PLAIN)] == '\0';
}

static void quote(FILE *file, const char *word)
{
    fputc('\'', file);
    while (*word != '\0') {
        if (*word == '\'') fputs("'\\'", file);
        word += escape_one(file, word);
    }
    fputc('\'', file);
}

void report_command(FILE *file, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (i > 0) fputc(' ', file);
        if (is_plain(argv[i])) report_escape(file, argv[i]);
        else quote(file, argv[i]);
    }
}
