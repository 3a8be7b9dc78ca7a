/* Sums over elements and over samples of a tensor in lanes. Internal. */
#ifndef WEFT_KERNEL_REDUCE_H
#define WEFT_KERNEL_REDUCE_H

#include <stdint.h>

#include "tensor/real.h"

/* Which elements of a sample are added up: result k of a group is the sum over r, in order from 0, of the element
 * kept[k] + reduced[r]. */
typedef struct SumElements {
    int64_t groups, elements;
    int64_t kept_count, reduced_count;
    const int64_t *kept, *reduced;
} SumElements;

#define REDUCE_KERNELS(K)                                                                                              \
    /* sum[groups][kept_count][16] of x[groups][elements][16], each lane for itself */                                 \
    K(sum_elements, (Real * sum, const Real *x, const SumElements *which))                                             \
    /* sum[elements] over all samples of x[ceil(samples/16)][elements][16]: each lane over the groups in order from    \
     * 0, spare lanes left out, then the 16 lanes folded as a tree, +8, +4, +2, +1 */                                  \
    K(sum_samples, (Real * sum, const Real *x, int64_t samples, int64_t elements))

#endif
