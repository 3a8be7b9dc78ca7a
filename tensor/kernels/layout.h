/* Kernels that move values between layouts. Internal. */
#ifndef WEFT_KERNEL_LAYOUT_H
#define WEFT_KERNEL_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/real.h"

#define LAYOUT_KERNELS(K)                                                                                              \
    /* lanes[ceil(N/16)][elements][16] from plain[N][elements]; spare lanes repeat the last sample, or are zero */     \
    K(to_lanes, (Real * lanes, const Real *plain, int64_t samples, int64_t elements, bool zero_spare))                 \
    /* plain[N][elements] from lanes */                                                                                \
    K(to_plain, (Real * plain, const Real *lanes, int64_t samples, int64_t elements))                                  \
    /* sum[i] += addend[i]; count is a multiple of 16 */                                                               \
    K(accumulate, (Real * sum, const Real *addend, int64_t count))

#endif
