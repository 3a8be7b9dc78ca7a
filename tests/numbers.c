/* Numbers for tests from an integer hash, which tests/golden/make.py has too. */
#include "tests/test.h"

/* Two rounds of the finaliser of MurmurHash3 (Appleby), the stream between them; the top 24 bits are the number. */
static uint32_t mix(uint32_t x)
{
    x = (x ^ x >> 16) * 0x85ebca6bU;
    x = (x ^ x >> 13) * 0xc2b2ae35U;
    return x ^ x >> 16;
}

double test_number(uint32_t stream, int64_t i)
{
    uint32_t bits = mix(mix((uint32_t)i) + stream * 0x9e3779b9U) >> 8;
    return ldexp((double)bits, -23) - 1;
}

Tensor *test_tensor_near(Shape shape, uint32_t stream, double scale, double offset)
{
    int64_t count = shape_count(shape);
    Real *values = count < 0 ? NULL : malloc((size_t)count * sizeof *values);
    if (!values) return weft_fail("test_tensor: bad shape or no memory");
    for (int64_t i = 0; i < count; i++) values[i] = (Real)(float)(offset + scale * test_number(stream, i));
    Tensor *t = tensor_from(shape, values);
    free(values);
    return t;
}

Tensor *test_tensor(Shape shape, uint32_t stream, double scale)
{
    return test_tensor_near(shape, stream, scale, 0);
}
