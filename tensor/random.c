/* The counter-based generator and its distributions. */
#include "tensor/random.h"

#include <math.h>

#include "tensor/kernels/philox_constants.h"
#include "tensor/math.h"

void random_block(RandomKey key, uint64_t index, uint32_t block[4])
{
    const uint32_t low = UINT32_MAX;
    uint64_t c0 = index & low, c1 = index >> 32, c2 = key.stream, c3 = key.epoch;
    uint32_t k0 = (uint32_t)key.seed, k1 = (uint32_t)(key.seed >> 32);
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        const uint64_t a = c0 * PHILOX_M0, b = c2 * PHILOX_M1;
        c0 = (b >> 32) ^ c1 ^ k0;
        c1 = b & low;
        c2 = (a >> 32) ^ c3 ^ k1;
        c3 = a & low;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    block[0] = (uint32_t)c0;
    block[1] = (uint32_t)c1;
    block[2] = (uint32_t)c2;
    block[3] = (uint32_t)c3;
}

uint64_t random_bits(RandomKey key, uint64_t index)
{
    uint32_t block[4];
    random_block(key, index / 2, block);
    const uint32_t *half = block + 2 * (index % 2);
    return (uint64_t)half[1] << 32 | half[0];
}

double random_uniform(RandomKey key, uint64_t index)
{
    return (double)(random_bits(key, index) >> 11) * 0x1p-53;
}

double random_normal(RandomKey key, uint64_t index)
{
    const double two_pi = 6.28318530717958647693;
    const uint64_t pair = index - index % 2;
    /* 1 - uniform is in (0, 1], where the logarithm is finite. */
    const double radius = sqrt(-2 * weft_log(1 - random_uniform(key, pair)));
    const double angle = two_pi * random_uniform(key, pair + 1);
    return radius * (index % 2 ? weft_sin(angle) : weft_cos(angle));
}

/* The upper 64 bits of a 128-bit product, from 32-bit halves: C11 has no 128-bit integer. */
static uint64_t multiply_high(uint64_t a, uint64_t b)
{
    const uint64_t low = UINT32_MAX;
    const uint64_t middle = (a >> 32) * (b & low) + ((a & low) * (b & low) >> 32);
    const uint64_t other = (a & low) * (b >> 32) + (middle & low);
    return (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32);
}

uint64_t random_below(RandomKey key, uint64_t index, uint64_t n)
{
    return multiply_high(random_bits(key, index), n);
}

void random_permutation(RandomKey key, int64_t n, int64_t *order)
{
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t other = (int64_t)random_below(key, (uint64_t)i, (uint64_t)i + 1);
        const int64_t moved = order[i];
        order[i] = order[other];
        order[other] = moved;
    }
}
