/* PNG images without compression: each byte goes through the checksums and straight into base64. */
#include "apps/report_png.h"

#include <stdbool.h>
#include <string.h>

enum { GREY = 0, RGBA = 6, DEPTH = 8, BYTE_BITS = 8, ADLER_MODULUS = 65521, MAX_STORED = 65535 };
static const uint32_t CRC_POLYNOMIAL = 0xEDB88320;

typedef struct Png {
    FILE *file;
    uint32_t crc;          /* of the chunk, complemented */
    uint32_t adler_a, adler_b;
    uint32_t waiting;      /* bytes that base64 has not had three of yet */
    int waiting_count;
    int64_t data_left;     /* bytes of pixels and filters still to come */
    int64_t block_left;    /* and of the stored block that is under way */
} Png;

static void put_base64(Png *png)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (png->waiting_count == 0) return;
    uint32_t bits = png->waiting << 8 * (3 - png->waiting_count);
    for (int i = 0; i < 4; i++)
        fputc(i <= png->waiting_count ? DIGITS[bits >> (18 - 6 * i) & 63] : '=', png->file);
    png->waiting = 0;
    png->waiting_count = 0;
}

static void put(Png *png, uint8_t byte)
{
    png->crc ^= byte;
    for (int i = 0; i < BYTE_BITS; i++) png->crc = png->crc >> 1 ^ (png->crc & 1 ? CRC_POLYNOMIAL : 0);
    png->waiting = png->waiting << 8 | byte;
    if (++png->waiting_count == 3) put_base64(png);
}

/* The highest byte first, as in all of PNG. */
static void put_u32(Png *png, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8) put(png, (uint8_t)(value >> shift));
}

static void begin_chunk(Png *png, const char name[4], int64_t length)
{
    put_u32(png, (uint32_t)length);
    png->crc = 0xFFFFFFFF;
    for (int i = 0; i < 4; i++) put(png, (uint8_t)name[i]);
}

static void end_chunk(Png *png)
{
    put_u32(png, ~png->crc);
}

/* A byte of data, in front of it the head of a stored block where one begins. */
static void put_data(Png *png, uint8_t byte)
{
    if (png->block_left == 0) {
        png->block_left = png->data_left < MAX_STORED ? png->data_left : MAX_STORED;
        uint32_t length = (uint32_t)png->block_left;
        put(png, png->block_left == png->data_left); /* 1: the last block */
        put(png, (uint8_t)length);
        put(png, (uint8_t)(length >> 8));
        put(png, (uint8_t)~length);
        put(png, (uint8_t)(~length >> 8));
    }
    put(png, byte);
    png->adler_a = (png->adler_a + byte) % ADLER_MODULUS;
    png->adler_b = (png->adler_b + png->adler_a) % ADLER_MODULUS;
    png->block_left--;
    png->data_left--;
}

static void put_header(Png *png, int64_t width, int64_t height, int channels)
{
    static const uint8_t SIGNATURE[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    for (size_t i = 0; i < sizeof SIGNATURE; i++) put(png, SIGNATURE[i]);
    begin_chunk(png, "IHDR", 13);
    put_u32(png, (uint32_t)width);
    put_u32(png, (uint32_t)height);
    put(png, DEPTH);
    put(png, channels == 1 ? GREY : RGBA);
    for (int i = 0; i < 3; i++) put(png, 0); /* the only compression and filters there are, not interlaced */
    end_chunk(png);
}

static void put_pixels(Png *png, const uint8_t *pixels, int64_t row, int64_t height)
{
    png->data_left = height * (row + 1);
    int64_t blocks = (png->data_left + MAX_STORED - 1) / MAX_STORED;
    begin_chunk(png, "IDAT", 2 + 5 * blocks + png->data_left + 4);
    put(png, 0x78); /* deflate with a window of 32 KiB */
    put(png, 0x01); /* no dictionary, and what makes the two a multiple of 31 */
    for (int64_t y = 0; y < height; y++) {
        put_data(png, 0); /* this row is not filtered */
        for (int64_t i = 0; i < row; i++) put_data(png, pixels[y * row + i]);
    }
    put_u32(png, png->adler_b << 16 | png->adler_a);
    end_chunk(png);
}

void report_png(FILE *file, const uint8_t *pixels, int64_t width, int64_t height, int channels)
{
    Png png = {.file = file, .adler_a = 1};
    fputs("data:image/png;base64,", file);
    put_header(&png, width, height, channels);
    put_pixels(&png, pixels, width * channels, height);
    begin_chunk(&png, "IEND", 0);
    end_chunk(&png);
    put_base64(&png);
}
