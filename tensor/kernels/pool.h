/* Kernels of pooling over [groups][C][H][W][16]. Internal. */
#ifndef WEFT_KERNEL_POOL_H
#define WEFT_KERNEL_POOL_H

#include <stdint.h>

#include "tensor/real.h"

typedef struct PoolShape {
    int64_t planes; /* groups times channels */
    int64_t in_height, in_width, out_height, out_width;
    int64_t kernel_height, kernel_width, stride, padding;
} PoolShape;

/* max_pool2d keeps which element of the window the maximum was, row-major within the window, in 16 bits. */
typedef uint16_t PoolIndex;
enum { POOL_MAX_WINDOW = 1 << 16 };

#define POOL_KERNELS(K)                                                                                                \
    /* indices: [groups][C][out_height][out_width][16], or NULL where nobody asks */                                   \
    K(max_pool2d, (Real * out, PoolIndex *indices, const Real *in, const PoolShape *shape))                            \
    K(max_pool2d_grad, (Real * in_grad, const Real *out_grad, const PoolIndex *indices, const PoolShape *shape))       \
    /* The sum of a window, row by row, divided by its whole area: padding counts as zeros. */                         \
    K(avg_pool2d, (Real * out, const Real *in, const PoolShape *shape))                                                \
    K(avg_pool2d_grad, (Real * in_grad, const Real *out_grad, const PoolShape *shape))

#endif
