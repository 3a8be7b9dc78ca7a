/* Kernels of what a convolution's gradient goes through first: relu's mask and the sums that are the bias's gradient.
 * Internal. */
#ifndef WEFT_KERNEL_CHANNEL_SUMS_H
#define WEFT_KERNEL_CHANNEL_SUMS_H

#include "tensor/kernels/pool.h"
#include "tensor/real.h"

/* sums: [groups][C], of a plane of 16 samples, summed as tensor/kernels/relu_grad.h defines. */
#define CHANNEL_SUMS_KERNELS(K)                                                                                        \
    /* Of each of `planes` planes of grad or, unless out is NULL, of masked = out > 0 ? grad : 0, which is written. */ \
    K(channel_sums, (Real * sums, Real *masked, const Real *grad, const Real *out, int64_t planes, int64_t area))      \
    /* Of the gradient that max_pool2d_grad would make of grad: windows of 2, places of the maxima in `indices`. */    \
    K(channel_sums_pooled, (Real * sums, const Real *grad, const PoolIndex *indices, const PoolShape *shape))

#endif
