/* The safetensors format: an 8-byte little-endian length, a JSON header of that length, and the tensors' values,
 * row-major and little-endian, one tensor after the other. Internal; nn/state.h is the public face.
 *
 *     {"__metadata__": {"format": "pt"}, "fc.bias": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}, ...} */
#ifndef WEFT_SAFETENSORS_H
#define WEFT_SAFETENSORS_H

#include "nn/dtype.h"
#include "nn/nn.h"
#include "tensor/file.h"

/* ---- Reading ---- */

typedef struct SafetensorsEntry {
    char *name;
    const Dtype *dtype;
    Shape shape;        /* unlike a tensor's, a size may be 0 */
    int64_t begin, end; /* bytes, from where the values start */
    bool used;          /* for the reader's caller */
} SafetensorsEntry;

typedef struct Safetensors {
    FileReader file;
    int64_t values; /* where they start in the file */
    SafetensorsEntry *entries; /* by name */
    int64_t count, capacity;
} Safetensors;

/* Opens the file and reads its header. False with an error, and nothing to close, unless everything about it is right:
 * the length, the JSON, dtypes, ranks, that names differ, that each tensor has the bytes that its shape takes, and that
 * the tensors fill the file without gap or overlap. A size that the file cannot have costs no memory. */
bool safetensors_open(Safetensors *file, const char *path) WEFT_CHECKED;
void safetensors_close(Safetensors *file);
/* The tensor of that name, or NULL. */
SafetensorsEntry *safetensors_find(const Safetensors *file, const char *name);
/* Reads all values of a tensor. False with an error if one of them does not fit a Real. */
bool safetensors_read(const Safetensors *file, const SafetensorsEntry *entry, Real *values) WEFT_CHECKED;

/* ---- Writing ---- */

/* Writes the tensors to a new file: counters as I64, all others as Real's own type. False with an error, the earlier
 * file as it was. */
bool safetensors_write(const char *path, const NamedTensor *tensors, int64_t count) WEFT_CHECKED;

/* ---- Both ---- */

/* The entry of the header that describes no tensor. */
#define SAFETENSORS_METADATA "__metadata__"
/* Values are converted in pieces of so many. */
enum { SAFETENSORS_PIECE = 4096 };

/* A tensor's name as it may stand in a message of one line: cut, without control characters. Returns text. */
enum { SAFETENSORS_NAME_TEXT = 80 };
char *safetensors_name_text(const char *name, char text[SAFETENSORS_NAME_TEXT]);

#endif
