/* Strided loops over two operands: arithmetic with broadcasting, and the copies behind transpose, concat and narrow.
 * Internal. */
#ifndef WEFT_KERNEL_BROADCAST_H
#define WEFT_KERNEL_BROADCAST_H

#include <stdint.h>

#include "tensor/real.h"

/* The index set of a loop, the last dimension innermost, and for each array how many values it moves along when a
 * dimension's index grows by one; 0 repeats. Six dimensions and, for tensors in lanes, the lane. */
enum { SPACE_MAX_RANK = 7 };
typedef struct Space {
    int rank; /* at least 1 */
    int64_t size[SPACE_MAX_RANK];
    int64_t out[SPACE_MAX_RANK], a[SPACE_MAX_RANK], b[SPACE_MAX_RANK];
} Space;

/* ROW(K, name, value of out from x of a and y of b); copy has no b, which may then be anything readable. */
#define BROADCAST_TABLE(ROW, K)                                                                                        \
    ROW(K, add, x + y)                                                                                                 \
    ROW(K, sub, x - y)                                                                                                 \
    ROW(K, mul, x * y)                                                                                                 \
    ROW(K, div, x / y)                                                                                                 \
    ROW(K, copy, x)

/* Fast where the innermost dimension moves each array by 0 or 1, with out moving by 1. */
typedef void BroadcastKernel(Real *out, const Real *a, const Real *b, const Space *space);

#define BROADCAST_ROW_KERNEL(K, name, value) K(broadcast_##name, (Real *, const Real *, const Real *, const Space *))
#define BROADCAST_KERNELS(K) BROADCAST_TABLE(BROADCAST_ROW_KERNEL, K)

#endif
