/* Vectors of Real as wide as the hardware's, for kernel sources, which are compiled once for each instruction set.
 *
 * A group of 16 samples is VPARTS vectors of VWIDTH lanes. Written in GCC's vector extensions, which gcc and clang
 * fold to single packed instructions from -O2 on (gcc and clang need -mprefer-vector-width=512 to use 64 bytes).
 * + - * / and comparisons work on vectors as on scalars; a comparison gives an I with -1 in the lanes where it holds
 * and 0 elsewhere. Nothing here but the folds lets a lane see its neighbour, and the folds are defined without VWIDTH,
 * so every width computes the same bits. The one exception is x86 without FMA, where vfma rounds twice. */
#ifndef WEFT_KERNELS_VECTOR_H
#define WEFT_KERNELS_VECTOR_H

#include "tensor/real.h"

#include <stdint.h>

#if defined(__AVX512F__)
#define VBYTES 64
#elif defined(__AVX2__)
#define VBYTES 32
#else
#define VBYTES 16
#endif

#ifdef WEFT_DOUBLE
#define VWIDTH (VBYTES / 8)
typedef int64_t LaneInt;
typedef uint64_t LaneBits;
#else
#define VWIDTH (VBYTES / 4)
typedef int32_t LaneInt;
typedef uint32_t LaneBits;
#endif

/* Vector registers. */
#if VBYTES == 64 || defined(__aarch64__)
#define VREGISTERS 32
#else
#define VREGISTERS 16
#endif

/* Vectors in a group of 16 samples. */
#define VPARTS (16 / VWIDTH)

typedef Real V __attribute__((vector_size(VBYTES)));
typedef LaneInt I __attribute__((vector_size(VBYTES)));  /* masks; a cast to and from V keeps the bits */
typedef LaneBits U __attribute__((vector_size(VBYTES)));

#define VINLINE static inline __attribute__((always_inline))

/* Heads a loop over the lanes of a vector. gcc's loop vectoriser turns the loop into one instruction, provided that
 * nothing unrolls it first; clang's instruction combiner does, once the loop is unrolled. */
#ifdef __clang__
#define VEACH_LANE _Pragma("clang loop unroll(full)")
#else
#define VEACH_LANE _Pragma("GCC unroll 1")
#endif

/* Heads a loop of at most 16 turns over vectors that are to stay in registers. */
#ifdef __clang__
#define VUNROLL _Pragma("clang loop unroll(full)")
#else
#define VUNROLL _Pragma("GCC unroll 16")
#endif

/* Loads and stores VWIDTH values; the address is a multiple of VBYTES. */
VINLINE V vload(const Real *from)
{
    typedef V Memory __attribute__((may_alias));
    return *(const Memory *)from;
}

VINLINE void vstore(Real *to, V value)
{
    typedef V Memory __attribute__((may_alias));
    *(Memory *)to = value;
}

/* The same value in every lane. */
VINLINE V vset(Real value)
{
    return value - (V){0};
}

/* Whether vfma rounds once. */
#if (defined(__x86_64__) || defined(__i386__)) && !defined(__FMA__) && !defined(__AVX512F__)
#define VFUSED 0
#else
#define VFUSED 1
#endif

/* a * b + c, rounded once; rounded twice on x86 without FMA. */
VINLINE V vfma(V a, V b, V c)
{
#if VFUSED
    V result;
    VEACH_LANE
    for (int i = 0; i < VWIDTH; i++) {
#ifdef WEFT_DOUBLE
        result[i] = __builtin_fma(a[i], b[i], c[i]);
#else
        result[i] = __builtin_fmaf(a[i], b[i], c[i]);
#endif
    }
    return result;
#else
    return a * b + c;
#endif
}

/* a in the lanes where the mask is -1, b where it is 0: vselect(x < y, x, y). */
VINLINE V vselect(I mask, V a, V b)
{
    V result = b; /* gcc would warn of an uninitialised value in vectors of two lanes */
    VEACH_LANE
    for (int i = 0; i < VWIDTH; i++)
        result[i] = mask[i] ? a[i] : b[i];
    return result;
}

/* a > b ? a : b and a < b ? a : b. The result is b if either is NaN, and b for zeros of any sign. So vmax(a, x) with
 * a constant keeps a NaN in x: vmax(vset(0), x) is relu. */
VINLINE V vmax(V a, V b)
{
    return vselect(a > b, a, b);
}

VINLINE V vmin(V a, V b)
{
    return vselect(a < b, a, b);
}

/* VSHUFFLE(a, b, lane, step): lane i of the result is lane number lane(i, step) of a's lanes followed by b's. */
#define VLIST2(f, i, s) f(i, s), f(i + 1, s)
#define VLIST4(f, i, s) VLIST2(f, i, s), VLIST2(f, i + 2, s)
#define VLIST8(f, i, s) VLIST4(f, i, s), VLIST4(f, i + 4, s)
#define VLIST16(f, i, s) VLIST8(f, i, s), VLIST8(f, i + 8, s)
#if VWIDTH == 16
#define VSHUFFLE(a, b, f, s) __builtin_shufflevector(a, b, VLIST16(f, 0, s))
#elif VWIDTH == 8
#define VSHUFFLE(a, b, f, s) __builtin_shufflevector(a, b, VLIST8(f, 0, s))
#elif VWIDTH == 4
#define VSHUFFLE(a, b, f, s) __builtin_shufflevector(a, b, VLIST4(f, 0, s))
#else
#define VSHUFFLE(a, b, f, s) __builtin_shufflevector(a, b, VLIST2(f, 0, s))
#endif

/* The steps of vfold that are wider than a vector: parts added to parts. */
VINLINE V vfold_parts(const V group[VPARTS])
{
#if VPARTS == 1
    return group[0];
#elif VPARTS == 2
    return group[0] + group[1];
#elif VPARTS == 4
    return (group[0] + group[2]) + (group[1] + group[3]);
#else
    return ((group[0] + group[4]) + (group[2] + group[6])) + ((group[1] + group[5]) + (group[3] + group[7]));
#endif
}

/* The sum of a group's 16 lanes, as the tree that defines every sum over lanes: x[i] + x[i + 8] for i < 8, of these
 * x[i] + x[i + 4] for i < 4, then + 2, then + 1. */
VINLINE Real vfold(const V group[VPARTS])
{
#define VOPPOSITE(i, s) ((i) ^ (s))
    V sum = vfold_parts(group);
#if VWIDTH >= 16
    sum += VSHUFFLE(sum, sum, VOPPOSITE, 8);
#endif
#if VWIDTH >= 8
    sum += VSHUFFLE(sum, sum, VOPPOSITE, 4);
#endif
#if VWIDTH >= 4
    sum += VSHUFFLE(sum, sum, VOPPOSITE, 2);
#endif
    sum += VSHUFFLE(sum, sum, VOPPOSITE, 1);
    return sum[0];
#undef VOPPOSITE
}

/* Folds pairs of vectors: count of them, made of blocks of 2 * step lanes, into count / 2 of blocks of step lanes.
 * Steps below 4 pair neighbours and stay within a block of 4 lanes, where x86 shuffles in one instruction; larger steps
 * pair vectors 4 apart, so that the 16 groups come out in order. Lane i of the result adds lanes VLOW and VHIGH of a
 * and b laid end to end, which are s apart. With 4 lanes, step 2 makes (a0 + a2, a1 + a3, b0 + b2, b1 + b3) of a and
 * b, and step 1 then one sum of each. */
#define VBLOCK(s) ((s) < 4 && VWIDTH > 4 ? 4 : VWIDTH)
#define VSPLIT(i, s) (((i) % VBLOCK(s)) / (s) * (2 * (s)) + (i) % (s))
#define VLOW(i, s) ((i) / VBLOCK(s) * VBLOCK(s) + VSPLIT(i, s) % VBLOCK(s) + VSPLIT(i, s) / VBLOCK(s) * VWIDTH)
#define VHIGH(i, s) (VLOW(i, s) + (s))
#define VFOLD_PAIRS(vectors, count, s) \
    _Pragma("GCC unroll 8") \
    for (int i = 0; i < (count) / 2; i++) { \
        const V a = (vectors)[(s) < 4 ? 2 * i : i / 4 * 8 + i % 4]; \
        const V b = (vectors)[(s) < 4 ? 2 * i + 1 : i / 4 * 8 + i % 4 + 4]; \
        (vectors)[i] = VSHUFFLE(a, b, VLOW, s) + VSHUFFLE(a, b, VHIGH, s); \
    }

/* Folds 16 groups at once: lane g of sums is vfold(groups + g * VPARTS), bit for bit, with a quarter of the work. */
VINLINE void vfold16(const V groups[16 * VPARTS], V sums[VPARTS])
{
    V lanes[16];
#pragma GCC unroll 16
    for (int g = 0; g < 16; g++)
        lanes[g] = vfold_parts(groups + g * VPARTS);
#if VWIDTH >= 16
    VFOLD_PAIRS(lanes, 16, 8)
#endif
#if VWIDTH >= 8
    VFOLD_PAIRS(lanes, VPARTS * 8, 4)
#endif
#if VWIDTH >= 4
    VFOLD_PAIRS(lanes, VPARTS * 4, 2)
#endif
    VFOLD_PAIRS(lanes, VPARTS * 2, 1)
    for (int p = 0; p < VPARTS; p++)
        sums[p] = lanes[p];
}

#endif
