/* The safetensors format: an 8-byte little-endian length, a JSON header of that length, and the tensors' values,
 * row-major and little-endian, one tensor after the other. Internal; nn/state.h is the public face.
 *
 *     {"__metadata__": {"format": "pt"}, "fc.bias": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}, ...} */
#ifndef WEFT_SAFETENSORS_H
#define WEFT_SAFETENSORS_H

#include "nn/dtype.h"
#include "nn/nn.h"
#include "tensor/file.h"

/* The metadata: texts by name. Zero-initialised it is empty. */
typedef struct SafetensorsText {
    char *name, *text;
} SafetensorsText;
typedef struct SafetensorsMetadata {
    SafetensorsText *items;
    int64_t count, capacity;
} SafetensorsMetadata;

/* Adds a text, printf-style. False with an error when memory is short. */
bool safetensors_put_text(SafetensorsMetadata *metadata, const char *name, const char *format, ...) WEFT_CHECKED
    __attribute__((format(printf, 3, 4)));
/* The first text of that name, or NULL. */
const char *safetensors_text(const SafetensorsMetadata *metadata, const char *name);
void safetensors_metadata_free(SafetensorsMetadata *metadata);

/* ---- Reading ---- */

typedef struct SafetensorsEntry {
    char *name;
    const Dtype *dtype;
    Shape shape;        /* unlike a tensor's, a size may be 0 */
    int64_t begin, end; /* bytes, from where the values start */
    bool used;          /* for the reader's caller */
} SafetensorsEntry;

typedef struct Safetensors {
    const char *path;     /* borrowed */
    unsigned char *bytes; /* the whole file: what is checked is what is used, whatever becomes of the file meanwhile */
    int64_t size;
    int64_t values;       /* where they start */
    int64_t checksum;     /* where its digits are; 0: the file has none */
    SafetensorsMetadata metadata;
    SafetensorsEntry *entries; /* by name */
    int64_t count, capacity;
} Safetensors;

/* Reads the file. False with an error, and nothing to close, unless everything about it is right: the length, the JSON,
 * the checksum if there is one, dtypes, ranks, that names differ, that each tensor has the bytes that its shape takes,
 * and that the tensors fill the file without gap or overlap. A size that the file cannot have costs no memory, nor do
 * the values of a file whose header is not right, or says more than `most_values` bytes of them. */
bool safetensors_open(Safetensors *file, const char *path, int64_t most_values) WEFT_CHECKED;
/* As far as the values, which may be of any size: they are not read, and the checksum is not compared. */
bool safetensors_open_header(Safetensors *file, const char *path) WEFT_CHECKED;
void safetensors_close(Safetensors *file);
/* The tensor of that name, or NULL. */
SafetensorsEntry *safetensors_find(const Safetensors *file, const char *name);
/* Converts all values of a tensor. False with an error if one of them does not fit a Real. */
bool safetensors_read(const Safetensors *file, const SafetensorsEntry *entry, Real *values) WEFT_CHECKED;

/* ---- Writing ---- */

/* Writes the tensors to a new file, counters as I64, all others as Real's own type; and the metadata, to which it adds
 * a checksum. False with an error, the earlier file as it was. */
bool safetensors_write(const char *path, const NamedTensors *tensors, const SafetensorsMetadata *metadata) WEFT_CHECKED;

/* ---- Both ---- */

/* The entry of the header that describes no tensor. */
#define SAFETENSORS_METADATA "__metadata__"
/* What the metadata calls the checksum: CRC-64/XZ of the whole file, the checksum's own digits taken as 0, in so many
 * hexadecimal digits, lower case. */
#define SAFETENSORS_CHECKSUM "weft.crc64"
enum { SAFETENSORS_DIGITS = 16 };
#define SAFETENSORS_NO_DIGITS "0000000000000000"

/* A tensor's name, cut so that what a message says of it has room too. Returns text. */
enum { SAFETENSORS_NAME_TEXT = 80 };
char *safetensors_name_text(const char *name, char text[SAFETENSORS_NAME_TEXT]);

#endif
