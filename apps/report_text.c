/* Escaping and quoting. */
#include "apps/report_text.h"

#include <stdbool.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD in UTF-8 */

/* The bytes of the UTF-8 character that begins here, 0 if none does: Unicode 15, table 3-7. */
static int utf8_length(const unsigned char *s)
{
    static const struct {
        unsigned char first, last, low, high; /* of the first byte, and of the second */
        int length;
    } FORMS[] = {{0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
                 {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
                 {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4}};
    if ((s[0] >= ' ' && s[0] < 0x7F) || s[0] == '\n' || s[0] == '\t') return 1;
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

/* Writes the character at s and returns the bytes that it took. */
static int escape_one(FILE *file, const char *s)
{
    int length = utf8_length((const unsigned char *)s);
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
