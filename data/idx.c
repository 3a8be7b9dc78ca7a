#include "data/dataset.h"
#include "tensor/file.h"
#include "tensor/memory.h"

enum { MAGIC_BYTES = 4, SIZE_BYTES = 4, TYPE_UNSIGNED_BYTE = 8, GZIP_FIRST = 0x1f, GZIP_SECOND = 0x8b };

static uint32_t big_endian(const uint8_t bytes[4])
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool check_magic(const char *path, const uint8_t *header, int dimensions)
{
    if (header[0] == GZIP_FIRST && header[1] == GZIP_SECOND)
        return weft_fail("%s: compressed by gzip: gunzip it", path);
    uint32_t magic = big_endian(header), wanted = (uint32_t)(TYPE_UNSIGNED_BYTE << 8 | dimensions);
    if (magic == wanted) return true;
    return weft_fail("%s: magic number 0x%08x at byte 0; an idx file of bytes in %d dimension%s has 0x%08x", path,
                     magic, dimensions, dimensions > 1 ? "s" : "", wanted);
}

/* Reads the sizes from the header and returns the number of values, or -1 with an error. Sizes from a damaged header
 * may be anything: their product is compared with what the file holds before it can overflow. */
static int64_t read_sizes(const FileReader *file, const uint8_t *header, int dimensions, int64_t sizes[])
{
    int64_t begin = MAGIC_BYTES + (int64_t)dimensions * SIZE_BYTES, values = 1;
    for (int i = 0; i < dimensions; i++) {
        int at = MAGIC_BYTES + i * SIZE_BYTES;
        sizes[i] = big_endian(header + at);
        if (sizes[i] == 0) {
            weft_fail("%s: the size at byte %d is 0", file->path, at);
            return -1;
        }
        if (values > (file->size - begin) / sizes[i]) {
            weft_fail("%s: truncated at byte %lld: the header, up to the size %lld at byte %d, wants more", file->path,
                      (long long)file->size, (long long)sizes[i], at);
            return -1;
        }
        values *= sizes[i];
    }
    if (begin + values == file->size) return values;
    weft_fail("%s: %lld bytes too many: the values end at byte %lld", file->path,
              (long long)(file->size - begin - values), (long long)(begin + values));
    return -1;
}

static uint8_t *read_values(const FileReader *file, int dimensions, int64_t sizes[])
{
    uint8_t header[MAGIC_BYTES + IDX_MAX_DIMENSIONS * SIZE_BYTES];
    int64_t header_bytes = MAGIC_BYTES + (int64_t)dimensions * SIZE_BYTES;
    int64_t there = file->size < header_bytes ? file->size : header_bytes;
    if (!weft_file_read(file, 0, header, there)) return NULL;
    if (there >= MAGIC_BYTES && !check_magic(file->path, header, dimensions)) return NULL;
    if (there < header_bytes)
        return weft_fail("%s: truncated at byte %lld, within the header of %lld bytes", file->path, (long long)there,
                         (long long)header_bytes);
    int64_t count = read_sizes(file, header, dimensions, sizes);
    uint8_t *values = count > 0 ? weft_alloc(count, 1) : NULL;
    if (values && !weft_file_read(file, header_bytes, values, count)) {
        weft_free(values);
        return NULL;
    }
    return values;
}

uint8_t *dataset_read_idx(const char *path, int dimensions, int64_t sizes[])
{
    FileReader file;
    if (!weft_file_open(&file, path)) return NULL;
    uint8_t *values = read_values(&file, dimensions, sizes);
    weft_file_close(&file);
    return values;
}
