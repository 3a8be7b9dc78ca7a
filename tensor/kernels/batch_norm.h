/* Kernels of batch normalisation over [groups][C][area][16]. Internal. */
#ifndef WEFT_KERNEL_BATCH_NORM_H
#define WEFT_KERNEL_BATCH_NORM_H

#include <stdint.h>

#include "tensor/real.h"

typedef struct BatchNormShape {
    int64_t samples, channels, area;
} BatchNormShape;

/* Of one channel of one group, kept as [groups][C]. */
typedef struct GroupStatistics {
    Real mean;    /* over the group's samples and the plane */
    Real squares; /* sum of squared deviations from the mean */
} GroupStatistics;

/* Of one channel of one group, kept as [groups][C]. */
typedef struct GroupGradients {
    Real sum;     /* of out_grad over the group's samples and the plane */
    Real product; /* of out_grad * (x - mean) */
} GroupGradients;

/* What a channel's values go through. */
typedef struct ChannelMap {
    Real mean, scale, shift;
    Real slope; /* gradients only */
} ChannelMap;

/* Dropout's mask and scale (tensor/kernels/dropout.h); a NULL mask keeps everything as it is. */
typedef struct Dropped {
    const Real *mask;
    Real scale;
} Dropped;

/* How many of a group's 16 lanes are samples, the rest being spare. */
static inline int valid_in_group(int64_t samples, int64_t group)
{
    const int64_t rest = samples - group * WEFT_LANES;
    return rest < WEFT_LANES ? (int)rest : WEFT_LANES;
}

#define BATCH_NORM_KERNELS(K)                                                                                          \
    K(batch_norm_statistics, (GroupStatistics * statistics, const Real *x, const BatchNormShape *shape))               \
    /* y = dropped((x - mean) * scale + shift), channel by channel */                                                  \
    K(batch_norm, (Real * y, const Real *x, const ChannelMap *channels, Dropped dropped, const BatchNormShape *shape)) \
    /* The channels' means are all that is read of `channels`. */                                                      \
    K(batch_norm_sums, (GroupGradients * sums, const Real *x, const Real *y_grad, const ChannelMap *channels,          \
                        Dropped dropped, const BatchNormShape *shape))                                                 \
    /* x_grad = dropped(y_grad) * scale + shift + (x - mean) * slope; zero in spare lanes. With sums [groups][C], x is \
     * what a relu let pass, x_grad is made the gradient before it, and sums are of that (relu_grad.h). */             \
    K(batch_norm_grad, (Real * x_grad, Real *sums, const Real *x, const Real *y_grad, const ChannelMap *channels,      \
                        Dropped dropped, const BatchNormShape *shape))

#endif
