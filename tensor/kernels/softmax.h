/* Kernels along one dimension of the samples: softmax and argmax. Internal. */
#ifndef WEFT_KERNEL_SOFTMAX_H
#define WEFT_KERNEL_SOFTMAX_H

#include <stdint.h>

#include "tensor/real.h"

/* A tensor in lanes seen as [groups][outer][size][inner][16]: `size` values make a slice. */
typedef struct Slices {
    int64_t groups, outer, size, inner;
} Slices;

/* dy is looked at only where it is mentioned; elsewhere it may be anything as large as in. */
typedef void SliceKernel(Real *out, const Real *in, const Real *dy, const Slices *slices);

#define SOFTMAX_KERNELS(K)                                                                                             \
    /* out = exp(in - m) / sum exp(in - m) with m the maximum of the slice; sums in order from 0 */                    \
    K(softmax, (Real *, const Real *, const Real *, const Slices *))                                                   \
    /* out = in (dy - sum in dy), in being the softmax and dy its gradient */                                          \
    K(softmax_backward, (Real *, const Real *, const Real *, const Slices *))                                          \
    /* out = (in - m) - log(sum exp(in - m)) */                                                                        \
    K(log_softmax, (Real *, const Real *, const Real *, const Slices *))                                               \
    /* out = dy - exp(in) sum dy, in being the log-softmax and dy its gradient */                                      \
    K(log_softmax_backward, (Real *, const Real *, const Real *, const Slices *))                                      \
    /* out[groups][outer][inner][16]: where the slice's first maximum is; NaN counts as the largest */                 \
    K(argmax, (Real *, const Real *, const Real *, const Slices *))

#endif
