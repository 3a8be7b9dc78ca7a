/* The types of number in weight files, all little-endian, and their conversion. Internal. */
#ifndef WEFT_DTYPE_H
#define WEFT_DTYPE_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/real.h"

typedef struct Dtype Dtype;
struct Dtype {
    const char *name;
    int size; /* bytes */
    bool integer, is_signed;
    bool (*decode)(const Dtype *dtype, const unsigned char *bytes, Real *value);
};

/* Bytes of the largest. */
enum { DTYPE_LARGEST = 8 };

/* By its name in a file: "F32". NULL if it is none of F64, F32, F16, BF16 and the integers of 8 to 64 bits. */
const Dtype *nn_dtype_find(const char *name);
/* Converts one number. False if a Real cannot hold it: an integer that would be rounded, or a number that would become
 * infinite. Infinities and NaNs are taken as they are. */
bool nn_dtype_decode(const Dtype *dtype, const unsigned char *bytes, Real *value);

/* What Weft writes. */
#ifdef WEFT_DOUBLE
#define DTYPE_REAL "F64"
#else
#define DTYPE_REAL "F32"
#endif
#define DTYPE_COUNTER "I64"
void nn_dtype_encode_real(unsigned char bytes[sizeof(Real)], Real value);

/* The low `size` bytes of a number. */
void nn_dtype_put(unsigned char *bytes, int size, uint64_t number);
uint64_t nn_dtype_get(const unsigned char *bytes, int size);

#endif
