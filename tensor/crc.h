/* A checksum of 64 bits. Internal. */
#ifndef WEFT_CRC_H
#define WEFT_CRC_H

#include <stdint.h>

/* CRC-64/XZ of `count` bytes that follow those whose checksum is `crc`; 0 for none. Any error that spans at most 64
 * bits is found, any other but for one in 2^64.
 * Source: the polynomial of ECMA-182 (1992), its bits reversed as in section 6 of "The .xz File Format" (2009). */
uint64_t weft_crc64(uint64_t crc, const void *bytes, int64_t count);

#endif
