/* Reading PGM images, as netpbm defines them: https://netpbm.sourceforge.net/doc/pgm.html */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "data/data.h"
#include "tensor/memory.h"

enum { MAX_SIDE = 65536, MAX_PIXELS = 100000000, MAX_MAXVAL = 65535 };

/* A file that is read from its begin to its end: standard input and pipes know neither size nor place. */
typedef struct Source {
    FILE *stream;
    const char *name;
    int64_t offset; /* of the next byte */
} Source;

typedef struct Header {
    bool plain; /* P2: numbers as text; else P5: bytes */
    int64_t width, height, maxval;
} Header;

/* ---- Bytes ---- */

/* The next byte, or EOF at the end or where reading failed. */
static int take(Source *source)
{
    int byte = getc(source->stream);
    if (byte != EOF) source->offset++;
    return byte;
}

/* False, with the error that the file ended, or could not be read, within `what`. */
static bool fail_at_end(const Source *source, const char *what)
{
    if (ferror(source->stream)) return weft_fail("%s: cannot read: %s", source->name, strerror(errno));
    return weft_fail("%s: truncated at byte %lld, within %s", source->name, (long long)source->offset, what);
}

static bool is_space(int byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* The next byte of text: a comment, from # to the end of its line, counts as that end. */
static int take_text(Source *source)
{
    int byte = take(source);
    if (byte != '#') return byte;
    while (byte != '\n' && byte != '\r' && byte != EOF) byte = take(source);
    return byte;
}

/* Reads a whole number from `low` to `high`, and of what follows nothing but the one space that must. */
static bool take_number(Source *source, const char *what, int64_t low, int64_t high, int64_t *number)
{
    int byte = take_text(source);
    while (is_space(byte)) byte = take_text(source);
    const int64_t begin = source->offset - 1;
    if (byte == EOF) return fail_at_end(source, what);
    if (byte < '0' || byte > '9')
        return weft_fail("%s: byte %lld is 0x%02x, where %s, a number, should be", source->name, (long long)begin,
                         (unsigned)byte, what);
    int64_t value = 0;
    for (; byte >= '0' && byte <= '9'; byte = take_text(source)) {
        if (value <= high) value = 10 * value + (byte - '0');
    }
    if (value < low || value > high)
        return weft_fail("%s: %s at byte %lld is %s%lld; it goes from %lld to %lld", source->name, what,
                         (long long)begin, value > high ? "more than " : "", (long long)(value > high ? high : value),
                         (long long)low, (long long)high);
    if (byte != EOF && !is_space(byte))
        return weft_fail("%s: byte %lld is 0x%02x, within %s, a number", source->name, (long long)source->offset - 1,
                         (unsigned)byte, what);
    *number = value;
    return true;
}

/* ---- The image ---- */

static bool read_magic(Source *source, Header *header)
{
    const int first = take(source), second = first == EOF ? EOF : take(source);
    if (second == EOF) return fail_at_end(source, "the two letters P2 or P5 that begin a PGM image");
    header->plain = second == '2';
    if (first == 'P' && (second == '2' || second == '5')) return true;
    if (first == 'P' && second >= '1' && second <= '7')
        return weft_fail("%s: begins with P%c, another kind of netpbm image; PGM, grey, begins with P2 or P5",
                         source->name, second);
    return weft_fail("%s: bytes 0x%02x 0x%02x at byte 0; a PGM image begins with P2 or P5", source->name,
                     (unsigned)first, (unsigned)second);
}

static bool read_header(Source *source, Header *header)
{
    if (!read_magic(source, header) || !take_number(source, "the width", 1, MAX_SIDE, &header->width) ||
        !take_number(source, "the height", 1, MAX_SIDE, &header->height) ||
        !take_number(source, "the largest value", 1, MAX_MAXVAL, &header->maxval))
        return false;
    if (header->width * header->height <= MAX_PIXELS) return true;
    return weft_fail("%s: %lld x %lld pixels are more than the %d that an image may have", source->name,
                     (long long)header->width, (long long)header->height, MAX_PIXELS);
}

static bool read_pixel(Source *source, const Header *header, int64_t *value)
{
    if (header->plain) return take_number(source, "a pixel", 0, header->maxval, value);
    const int first = take(source), second = header->maxval > UCHAR_MAX && first != EOF ? take(source) : 0;
    if (first == EOF || second == EOF) return fail_at_end(source, "the pixels");
    *value = header->maxval > UCHAR_MAX ? first << CHAR_BIT | second : first;
    if (*value <= header->maxval) return true;
    return weft_fail("%s: the pixel that ends at byte %lld is %lld, the largest value %lld", source->name,
                     (long long)source->offset - 1, (long long)*value, (long long)header->maxval);
}

/* Room is made row by row: a header that promises more than the file holds takes no more memory than that. */
static bool read_pixels(Source *source, const Header *header, Pgm *image)
{
    int64_t capacity = 0, value;
    for (int64_t y = 0, i = 0; y < header->height; y++) {
        if (!weft_grow(&image->values, &capacity, i + header->width, sizeof *image->values)) return false;
        for (int64_t x = 0; x < header->width; x++, i++) {
            if (!read_pixel(source, header, &value)) return false;
            image->values[i] = (uint16_t)((value * UINT16_MAX + header->maxval / 2) / header->maxval);
        }
    }
    return true;
}

/* An image whose size is wrong shows in what follows its pixels. */
static bool check_end(Source *source)
{
    int byte = take(source);
    while (is_space(byte)) byte = take(source);
    if (byte != EOF)
        return weft_fail("%s: more bytes from byte %lld on, where the image ends", source->name,
                         (long long)source->offset - 1);
    return !ferror(source->stream) || fail_at_end(source, "");
}

static Pgm *read_image(Source *source)
{
    Header header;
    Pgm *image = read_header(source, &header) ? weft_alloc_zeroed(1, sizeof *image) : NULL;
    if (!image) return NULL;
    image->height = header.height;
    image->width = header.width;
    if (read_pixels(source, &header, image) && check_end(source)) return image;
    pgm_free(image);
    return NULL;
}

Pgm *pgm_read(const char *path)
{
    if (!path) return weft_fail("pgm_read: no path");
    const bool standard = strcmp(path, "-") == 0;
    Source source = {.stream = standard ? stdin : fopen(path, "rb"), .name = standard ? "standard input" : path};
    if (!source.stream) return weft_fail("%s: cannot open: %s", path, strerror(errno));
    Pgm *image = read_image(&source);
    if (!standard) fclose(source.stream);
    return image;
}

void pgm_free(Pgm *image)
{
    if (!image) return;
    weft_free(image->values);
    weft_free(image);
}
