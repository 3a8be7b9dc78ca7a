/* Counter-based random numbers: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3" (SC 2011). There is no state: (seed, stream, epoch, index) names each number, so that no result depends on
 * threads or on what ran before. */
#ifndef WEFT_RANDOM_H
#define WEFT_RANDOM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct RandomKey {
    uint64_t seed;
    uint32_t stream; /* what the numbers are for */
    uint32_t epoch;  /* how often that happened before */
} RandomKey;

/* The block of four 32-bit words that (key, index) names. */
void random_block(RandomKey key, uint64_t index, uint32_t block[4]);
/* Uniform in [0, 1), a multiple of 2^-53. */
double random_uniform(RandomKey key, uint64_t index);
/* Normal with mean 0 and standard deviation 1. */
double random_normal(RandomKey key, uint64_t index);
/* Uniform among 0, ..., n - 1. */
uint64_t random_below(RandomKey key, uint64_t index, uint64_t n);
/* A random order of 0, ..., n - 1 (Fisher and Yates). */
void random_permutation(RandomKey key, int64_t n, int64_t *order);

#ifdef __cplusplus
}
#endif
#endif
