#include "nn/dtype.h"

#include <math.h>
#include <string.h>

void nn_dtype_put(unsigned char *bytes, int size, uint64_t number)
{
    for (int i = 0; i < size; i++) bytes[i] = (unsigned char)(number >> 8 * i);
}

uint64_t nn_dtype_get(const unsigned char *bytes, int size)
{
    uint64_t number = 0;
    for (int i = 0; i < size; i++) number |= (uint64_t)bytes[i] << 8 * i;
    return number;
}

/* The bits are moved, not converted, wherever the types agree: a conversion may change a NaN. */
static bool decode_float(const Dtype *dtype, const unsigned char *bytes, Real *value)
{
    (void)dtype;
    uint32_t bits = (uint32_t)nn_dtype_get(bytes, 4);
    float number;
    memcpy(&number, &bits, sizeof number);
#ifdef WEFT_DOUBLE
    *value = number;
#else
    memcpy(value, &bits, sizeof bits);
#endif
    return true;
}

static bool decode_double(const Dtype *dtype, const unsigned char *bytes, Real *value)
{
    (void)dtype;
    uint64_t bits = nn_dtype_get(bytes, 8);
    double number;
    memcpy(&number, &bits, sizeof number);
#ifdef WEFT_DOUBLE
    memcpy(value, &bits, sizeof bits);
#else
    *value = (Real)number;
#endif
    return isinf(number) || !isinf(*value);
}

/* BF16 is the upper half of a float. */
static bool decode_bf16(const Dtype *dtype, const unsigned char *bytes, Real *value)
{
    unsigned char widened[] = {0, 0, bytes[0], bytes[1]};
    return decode_float(dtype, widened, value);
}

/* IEEE binary16: a sign, 5 bits of exponent with bias 15, 10 of fraction. */
static bool decode_f16(const Dtype *dtype, const unsigned char *bytes, Real *value)
{
    enum { EXPONENT_MASK = 0x1F, FRACTION_BITS = 10, FRACTION_MASK = 0x3FF, BIAS_CHANGE = 127 - 15 };
    uint32_t half = (uint32_t)nn_dtype_get(bytes, 2), sign = half >> 15, fraction = half & FRACTION_MASK;
    uint32_t exponent = half >> FRACTION_BITS & EXPONENT_MASK;
    if (exponent == 0) { /* zero and denormals: a multiple of 2^-24 */
        *value = (Real)ldexp(sign ? -(double)fraction : (double)fraction, -24);
        return true;
    }
    unsigned char widened[4];
    exponent = exponent == EXPONENT_MASK ? 0xFF : exponent + BIAS_CHANGE;
    nn_dtype_put(widened, 4, sign << 31 | exponent << 23 | fraction << (23 - FRACTION_BITS));
    return decode_float(dtype, widened, value);
}

static bool decode_integer(const Dtype *dtype, const unsigned char *bytes, Real *value)
{
    uint64_t number = nn_dtype_get(bytes, dtype->size), sign = (uint64_t)1 << (8 * dtype->size - 1);
    int64_t whole = (int64_t)(number & (sign - 1));
    if (number & sign) {
        if (dtype->is_signed)
            whole = whole - (int64_t)(sign - 1) - 1;
        else if (dtype->size < 8)
            whole = (int64_t)number;
        else
            return false;
    }
    *value = (Real)whole;
    return *value < (Real)0x1p63 && (int64_t)*value == whole;
}

static const Dtype dtypes[] = {
    {"F64", 8, false, true, decode_double},  {"F32", 4, false, true, decode_float},
    {"F16", 2, false, true, decode_f16},     {"BF16", 2, false, true, decode_bf16},
    {"I64", 8, true, true, decode_integer},  {"U64", 8, true, false, decode_integer},
    {"I32", 4, true, true, decode_integer},  {"U32", 4, true, false, decode_integer},
    {"I16", 2, true, true, decode_integer},  {"U16", 2, true, false, decode_integer},
    {"I8", 1, true, true, decode_integer},   {"U8", 1, true, false, decode_integer},
};

const Dtype *nn_dtype_find(const char *name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(dtypes[i].name, name) == 0) return &dtypes[i];
    }
    return NULL;
}

bool nn_dtype_decode(const Dtype *dtype, const unsigned char *bytes, Real *value)
{
    return dtype->decode(dtype, bytes, value);
}

void nn_dtype_encode_real(unsigned char bytes[sizeof(Real)], Real value)
{
#ifdef WEFT_DOUBLE
    uint64_t bits;
#else
    uint32_t bits;
#endif
    memcpy(&bits, &value, sizeof bits);
    nn_dtype_put(bytes, (int)sizeof bits, bits);
}
