#include "nn/json.h"

#include <string.h>

#include "tensor/memory.h"
#include "tensor/text.h"

enum {
    SURROGATE_HIGH = 0xD800,
    SURROGATE_LOW = 0xDC00,
    SURROGATE_END = 0xE000,
    SUPPLEMENTARY = 0x10000,
};

bool nn_json_fail(const Json *json, const char *expected)
{
    return weft_fail("%s: header, byte %lld: %s expected", json->path, (long long)json->at, expected);
}

/* The byte under the cursor, or -1 at the end. */
static int peek(const Json *json)
{
    return json->at < json->length ? (unsigned char)json->text[json->at] : -1;
}

static void skip_space(Json *json)
{
    for (int c = peek(json); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(json)) json->at++;
}

bool nn_json_at_end(Json *json)
{
    skip_space(json);
    return json->at == json->length;
}

bool nn_json_accept(Json *json, char c)
{
    skip_space(json);
    if (peek(json) != c) return false;
    json->at++;
    return true;
}

bool nn_json_expect(Json *json, char c)
{
    return nn_json_accept(json, c) || nn_json_fail(json, (char[]){'\'', c, '\'', '\0'});
}

bool nn_json_integer(Json *json, int64_t *value)
{
    skip_space(json);
    int64_t first = json->at, number = 0;
    for (int c = peek(json); c >= '0' && c <= '9'; c = peek(json)) {
        if (number > (INT64_MAX - (c - '0')) / 10) return nn_json_fail(json, "a smaller number");
        number = number * 10 + (c - '0');
        json->at++;
    }
    bool leading_zero = json->at - first > 1 && json->text[first] == '0';
    int c = peek(json);
    if (json->at == first || leading_zero || c == '.' || c == 'e' || c == 'E')
        return nn_json_fail(json, "a whole number");
    *value = number;
    return true;
}

/* ---- Strings ---- */

static bool hex4(Json *json, uint32_t *value)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    *value = 0;
    for (int i = 0; i < 4; i++) {
        int c = peek(json);
        const char *digit = c > 0 ? strchr(digits, c) : NULL;
        if (!digit) return nn_json_fail(json, "a hexadecimal digit");
        long place = digit - digits;
        *value = *value << 4 | (uint32_t)(place < 16 ? place : place - 6);
        json->at++;
    }
    return true;
}

/* What follows \u: a code point, which above the first 65,536 is two escapes. */
static bool code_point(Json *json, uint32_t *code)
{
    if (!hex4(json, code)) return false;
    if (*code >= SURROGATE_HIGH && *code < SURROGATE_LOW) {
        uint32_t low = 0;
        bool escaped = json->length - json->at >= 2 && memcmp(json->text + json->at, "\\u", 2) == 0;
        if (escaped) json->at += 2;
        if (escaped && !hex4(json, &low)) return false;
        if (low < SURROGATE_LOW || low >= SURROGATE_END)
            return nn_json_fail(json, "the second half of a surrogate pair");
        *code = SUPPLEMENTARY + ((*code - SURROGATE_HIGH) << 10) + (low - SURROGATE_LOW);
    } else if (*code >= SURROGATE_LOW && *code < SURROGATE_END) {
        return nn_json_fail(json, "a code point that stands alone");
    }
    return *code != 0 || nn_json_fail(json, "a character other than zero");
}

static char *put_utf8(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else {
        int more = code < 0x800 ? 1 : code < SUPPLEMENTARY ? 2 : 3;
        *to++ = (char)((0xFF00 >> (more + 1) & 0xFF) | code >> 6 * more);
        while (more-- > 0) *to++ = (char)(0x80 | (code >> 6 * more & 0x3F));
    }
    return to;
}

static bool escape(Json *json, char **to)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    int c = peek(json);
    const char *letter = c > 0 ? strchr(letters, c) : NULL;
    json->at++;
    if (letter) {
        *(*to)++ = meanings[letter - letters];
        return true;
    }
    uint32_t code;
    if (c != 'u') return nn_json_fail(json, "a known escape");
    if (!code_point(json, &code)) return false;
    *to = put_utf8(*to, code);
    return true;
}

/* Copies one character, refusing what is no UTF-8: stray or missing continuations (a quote follows, which is none), a
 * longer form than needed, surrogates, numbers that are too large. */
static bool utf8(Json *json, char **to)
{
    const char *from = json->text + json->at;
    const int length = weft_utf8_length(from);
    if (length == 0 || peek(json) < ' ') return nn_json_fail(json, "a character of UTF-8");
    memcpy(*to, from, (size_t)length);
    *to += length;
    json->at += length;
    return true;
}

char *nn_json_string(Json *json)
{
    if (!nn_json_expect(json, '"')) return NULL;
    /* No character becomes longer, and the string ends at the latest at the first quote that no backslash precedes. */
    int64_t end = json->at;
    while (end < json->length && json->text[end] != '"') end += json->text[end] == '\\' ? 2 : 1;
    if (end >= json->length) {
        nn_json_fail(json, "a string that ends");
        return NULL;
    }
    char *text = weft_alloc(end - json->at + 1, 1), *to = text;
    bool ok = text != NULL;
    while (ok && json->at < end) {
        if (peek(json) == '\\') {
            json->at++;
            ok = escape(json, &to);
        } else {
            ok = utf8(json, &to);
        }
    }
    if (!ok) {
        weft_free(text);
        return NULL;
    }
    *to = '\0';
    json->at = end + 1;
    return text;
}
