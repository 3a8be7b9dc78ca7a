/* A plane of the gradient after a convolution with relu. For kernels.
 *
 * Sums of planes are the bias's gradient. They are defined here, so that whatever makes a gradient may mask and sum it
 * while it is in cache, with the same bits; what has no such plane in memory sums in the same order (batch_norm.c's
 * input_grad_plane, channel_sums.c's add_row). The sum of a plane [area][16] runs in each lane as PLANE_CHAINS
 * partial sums, element i going to number i mod PLANE_CHAINS; they are added as a tree, then the lanes by vfold. */
#ifndef WEFT_KERNELS_RELU_GRAD_H
#define WEFT_KERNELS_RELU_GRAD_H

#include "tensor/kernels/statistics.h"

/* The gradient before relu, whose output was `out`. */
VINLINE V relu_grad(V out, V grad)
{
    return vselect(out > vset(0), grad, vset(0));
}

/* Writes the gradient before relu to masked, which may be grad itself, and returns its sum; with out == NULL, there is
 * no relu, nothing is written, and the sum is grad's. */
VINLINE Real relu_grad_plane(Real *masked, const Real *grad, const Real *out, int64_t area)
{
    V sum[VPARTS];
    for (int p = 0; p < VPARTS; p++) {
        V chains[PLANE_CHAINS] = {0};
        for (int64_t i = 0; i < area; i += PLANE_CHAINS) {
            VUNROLL
            for (int c = 0; c < PLANE_CHAINS; c++) {
                if (i + c >= area) break;
                const int64_t at = (i + c) * WEFT_LANES + p * VWIDTH;
                V value = vload(grad + at);
                if (out) vstore(masked + at, value = relu_grad(vload(out + at), value));
                chains[c] += value;
            }
        }
        sum[p] = fold_chains(chains);
    }
    return vfold(sum);
}

#endif
