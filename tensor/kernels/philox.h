/* Philox4x32-10 for the 16 samples of a group at once: random_block (tensor/random.h), bit for bit, in every lane.
 *
 * 32 x 32 -> 64 bit products need 64-bit lanes, so the even samples and the odd ones are computed in vectors of their
 * own. What is above 32 bits in a lane is rubbish until the end: the products ignore it. */
#ifndef WEFT_KERNELS_PHILOX_H
#define WEFT_KERNELS_PHILOX_H

#include "tensor/kernels/philox_constants.h"
#include "tensor/kernels/vector.h"
#include "tensor/random.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

/* Lanes of 64 bits. */
typedef uint64_t Wide __attribute__((vector_size(VBYTES)));
enum { WIDE_LANES = VBYTES / 8 };
#define LOW_HALF UINT64_C(0xFFFFFFFF)

/* The product of the lower halves of x's lanes and a factor below 2^32. The one place with intrinsics: clang folds the
 * portable line to the same instruction, gcc makes a full 64-bit product of it, three to ten instructions. */
VINLINE Wide philox_multiply(Wide x, uint64_t factor)
{
#if VBYTES == 64
    return (Wide)_mm512_mul_epu32((__m512i)x, _mm512_set1_epi64((long long)factor));
#elif VBYTES == 32
    return (Wide)_mm256_mul_epu32((__m256i)x, _mm256_set1_epi64x((long long)factor));
#elif defined(__SSE2__)
    return (Wide)_mm_mul_epu32((__m128i)x, _mm_set1_epi64x((long long)factor));
#else
    return (x & LOW_HALF) * factor;
#endif
}

/* The four words of each lane's index, in the lower halves. */
VINLINE void philox_wide(RandomKey key, Wide index, Wide word[4])
{
    Wide c0 = index, c1 = index >> 32, c2 = key.stream - (Wide){0}, c3 = key.epoch - (Wide){0};
    uint32_t k0 = (uint32_t)key.seed, k1 = (uint32_t)(key.seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        const Wide a = philox_multiply(c0, PHILOX_M0), b = philox_multiply(c2, PHILOX_M1);
        c0 = (b >> 32) ^ c1 ^ (uint64_t)k0;
        c1 = b;
        c2 = (a >> 32) ^ c3 ^ (uint64_t)k1;
        c3 = a;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    word[0] = c0;
    word[1] = c1;
    word[2] = c2;
    word[3] = c3;
}

#if VBYTES == 64
#define WIDE_LIST VLIST8
#elif VBYTES == 32
#define WIDE_LIST VLIST4
#else
#define WIDE_LIST VLIST2
#endif
#define EVERY_OTHER(i, from) (2 * (i) + (from))

/* 32-bit lanes in memory: of each pair the lower half of `even`, then that of `odd`. */
VINLINE Wide philox_interleave(Wide even, Wide odd)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return even << 32 | (odd & LOW_HALF);
#else
    return (even & LOW_HALF) | odd << 32;
#endif
}

/* words[w][lane] is word w of random_block(key, first[lane] + offset): for each lane 8 numbers of 16 bits. All arrays
 * are 64-byte aligned. */
VINLINE void philox_group(RandomKey key, const uint64_t first[16], uint64_t offset, uint32_t words[4][16])
{
    typedef Wide Memory __attribute__((may_alias));
#pragma GCC unroll 4
    for (int lane = 0; lane < 16; lane += 2 * WIDE_LANES) {
        const Memory *from = (const Memory *)(first + lane);
        const Wide low = from[0] + offset, high = from[1] + offset;
        Wide even[4], odd[4];
        philox_wide(key, __builtin_shufflevector(low, high, WIDE_LIST(EVERY_OTHER, 0, 0)), even);
        philox_wide(key, __builtin_shufflevector(low, high, WIDE_LIST(EVERY_OTHER, 0, 1)), odd);
#pragma GCC unroll 4
        for (int w = 0; w < 4; w++)
            *(Memory *)(words[w] + lane) = philox_interleave(even[w], odd[w]);
    }
}

/* VWIDTH of philox_group's words, one in each of Real's lanes. */
VINLINE U philox_lanes(const uint32_t *words)
{
    typedef uint32_t Memory __attribute__((vector_size(VWIDTH * 4), may_alias));
    return __builtin_convertvector(*(const Memory *)words, U);
}

#endif
