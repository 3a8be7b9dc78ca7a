/* Kernels of the losses. Internal.
 *
 * Each loss is computed sample by sample, `losses` [groups][16], and then summed over the batch by batch_sum. The
 * gradients are those of the scores, `factor` being the gradient of one sample's loss; zero in spare lanes. */
#ifndef WEFT_KERNEL_LOSS_H
#define WEFT_KERNEL_LOSS_H

#include <stdint.h>

#include "tensor/real.h"

typedef struct LossShape {
    int64_t samples;
    int64_t classes; /* elements of one sample for mse */
} LossShape;

#define LOSS_KERNELS(K)                                                                                                \
    /* The defined sum over a batch: each lane in order of group, then the lanes as a tree, spare ones not counted. */ \
    K(batch_sum, (Real * sum, const Real *values, int64_t samples))                                                    \
    K(nll_loss, (Real * losses, const Real *scores, const Real *labels, const LossShape *shape))                       \
    K(nll_loss_grad, (Real * grad, const Real *labels, Real factor, const LossShape *shape))                           \
    /* Of log-softmax of the scores, against 1 - smoothing at the label plus smoothing / classes anywhere */           \
    K(cross_entropy, (Real * losses, const Real *scores, const Real *labels, Real smoothing, const LossShape *shape))  \
    K(cross_entropy_grad, (Real * grad, const Real *scores, const Real *labels, Real smoothing, Real factor,           \
                           const LossShape *shape))                                                                    \
    /* Sums of squared differences of a sample's elements; the gradient is factor * (x - target). */                   \
    K(mse_loss, (Real * losses, const Real *x, const Real *target, const LossShape *shape))                            \
    K(mse_loss_grad, (Real * grad, const Real *x, const Real *target, Real factor, const LossShape *shape))

#endif
