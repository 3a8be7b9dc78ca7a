/* Counter-based random numbers: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3" (SC 2011). There is no state: (seed, stream, epoch, index) names each number, so that no result depends on
 * threads or on what ran before.
 *
 * All functions draw from the same blocks: use a key for one kind of number only. */
#ifndef WEFT_RANDOM_H
#define WEFT_RANDOM_H

#include <stdint.h>

#include "tensor/real.h"

WEFT_PUBLIC_BEGIN

typedef struct RandomKey {
    uint64_t seed;
    uint32_t stream; /* what the numbers are for */
    uint32_t epoch;  /* how often that happened before */
} RandomKey;

/* The block of four 32-bit words that (key, index) names: Philox's key is the seed, its counter the words
 * index (low, high), stream, epoch. */
void random_block(RandomKey key, uint64_t index, uint32_t block[4]);
/* 64 random bits: words 0 and 1 of block index / 2 for an even index, 2 and 3 for an odd one, the lower word first. */
uint64_t random_bits(RandomKey key, uint64_t index);
/* Uniform in [0, 1), a multiple of 2^-53: the upper 53 of random_bits. */
double random_uniform(RandomKey key, uint64_t index);
/* Normal with mean 0 and standard deviation 1, at most 8.6 in size (Box and Muller 1958). Indices 2 i and 2 i + 1 share
 * the uniform numbers 2 i and 2 i + 1. */
double random_normal(RandomKey key, uint64_t index);
/* Uniform among 0, ..., n - 1, and 0 if n is 0: floor(random_bits n / 2^64), which favours no number by more than a
 * factor of 1 + n / 2^64. */
uint64_t random_below(RandomKey key, uint64_t index, uint64_t n);
/* A random order of 0, ..., n - 1 (Fisher and Yates). Nothing if n is not positive. */
void random_permutation(RandomKey key, int64_t n, int64_t *order);

WEFT_PUBLIC_END
#endif
