/* Kernels of matrix products with a batch in lanes. Internal. */
#ifndef WEFT_KERNEL_LINEAR_H
#define WEFT_KERNEL_LINEAR_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/real.h"

/* out[n][o] = bias[o] + sum over f of weight[o * output_step + f * feature_step] * x[n][f]: with the steps exchanged,
 * the weights are transposed. */
typedef struct LinearShape {
    int64_t groups; /* of 16 samples */
    int64_t features, outputs;
    int64_t output_step, feature_step;
} LinearShape;

#define LINEAR_KERNELS(K)                                                                                              \
    /* out [groups][outputs][16] of x [groups][features][16]. Each sum starts at the bias (0 where that is NULL) and   \
     * adds f = 0, 1, ... in order, each product and sum rounded once; then relu if asked. */                          \
    K(linear, (Real * out, const Real *x, const Real *weight, const Real *bias, bool relu, const LinearShape *shape))  \
    /* weight_grad[o][f], row-major whatever the steps: the sum of out_grad[n][o] * x[n][f] over the batch */          \
    K(linear_weight_grad, (Real * weight_grad, const Real *x, const Real *out_grad, const LinearShape *shape))         \
    K(linear_bias_grad, (Real * bias_grad, const Real *out_grad, const LinearShape *shape))

#endif
