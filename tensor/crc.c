#include "tensor/crc.h"

static const uint64_t POLYNOMIAL = 0xC96C5795D7870F42;

enum { BYTES = 256 };

static uint64_t shift_byte(uint64_t crc)
{
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
    return crc;
}

uint64_t weft_crc64(uint64_t crc, const void *bytes, int64_t count)
{
    /* Made for each call: little work beside the thousands of bytes of a call, and no state. */
    uint64_t table[BYTES];
    for (int byte = 0; byte < BYTES; byte++) table[byte] = shift_byte((uint64_t)byte);
    const unsigned char *next = bytes;
    crc = ~crc;
    for (int64_t i = 0; i < count; i++) crc = crc >> 8 ^ table[(crc ^ next[i]) & 0xFF];
    return ~crc;
}
