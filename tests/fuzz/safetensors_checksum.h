/* Checksums, which no mutation would ever get right. */
#ifndef WEFT_FUZZ_SAFETENSORS_CHECKSUM_H
#define WEFT_FUZZ_SAFETENSORS_CHECKSUM_H

#include "tests/fuzz/fuzz.h"

#include <inttypes.h>

#include "nn/safetensors.h"
#include "tensor/crc.h"

#define FUZZ_CHECKSUM "\"" SAFETENSORS_CHECKSUM "\":\""

/* Where the digits of the checksum are, or NULL. */
static inline uint8_t *fuzz_checksum_digits(uint8_t *bytes, size_t size)
{
    uint8_t *found = memmem(bytes, size, FUZZ_CHECKSUM, strlen(FUZZ_CHECKSUM));
    uint8_t *digits = found ? found + strlen(FUZZ_CHECKSUM) : NULL;
    return digits && bytes + size - digits >= SAFETENSORS_DIGITS ? digits : NULL;
}

/* A copy of the file for free(), its checksum right if it stood there as zeros: seeds have it so. */
static inline uint8_t *fuzz_with_checksum(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    if (!copy) abort();
    memcpy(copy, data, size);
    uint8_t *digits = fuzz_checksum_digits(copy, size);
    if (digits && memcmp(digits, SAFETENSORS_NO_DIGITS, SAFETENSORS_DIGITS) == 0) {
        char text[SAFETENSORS_DIGITS + 1];
        snprintf(text, sizeof text, "%016" PRIx64, weft_crc64(0, copy, (int64_t)size));
        memcpy(digits, text, SAFETENSORS_DIGITS);
    }
    return copy;
}

/* Puts zeros for the checksum in a file. */
static inline void fuzz_zero_checksum(const char *path)
{
    uint8_t bytes[1 << 16];
    FILE *file = fopen(path, "r+b");
    size_t size = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    uint8_t *digits = fuzz_checksum_digits(bytes, size);
    bool ok = digits && fseek(file, (long)(digits - bytes), SEEK_SET) == 0 && fputs(SAFETENSORS_NO_DIGITS, file) >= 0;
    if (!file || fclose(file) != 0 || !ok) weft_fail("%s: no checksum", path);
}

#endif
