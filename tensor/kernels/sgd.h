/* The update of stochastic gradient descent. Internal. */
#ifndef WEFT_KERNEL_SGD_H
#define WEFT_KERNEL_SGD_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/real.h"

typedef struct SgdUpdate {
    Real lr, momentum, weight_decay;
    Real gradient_share; /* 1 - dampening */
    bool nesterov;
    bool first; /* the velocity holds nothing yet, and becomes the gradient */
} SgdUpdate;

#define SGD_KERNELS(K)                                                                                                 \
    /* One step of `count` values, a multiple of 16. velocity is NULL when there is no momentum. Each product and each \
     * sum is rounded, in PyTorch's order. */                                                                          \
    K(sgd, (Real * values, Real *velocity, const Real *gradient, int64_t count, const SgdUpdate *update))

#endif
