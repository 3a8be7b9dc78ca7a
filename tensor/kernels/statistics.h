/* Mean and squared deviations of one channel of one group of 16 samples: what batch norm is made of. For kernels.
 *
 * This is the one definition, so that a convolution may compute them while its result is in cache, and batch norm
 * otherwise, with the same bits. A sum over a plane [area][16] runs in each lane as PLANE_CHAINS partial sums (one
 * alone would wait for its own additions), element i going to number i mod PLANE_CHAINS; they are added as a tree, then
 * the lanes by vfold, spare ones counting as 0. */
#ifndef WEFT_KERNELS_STATISTICS_H
#define WEFT_KERNELS_STATISTICS_H

#include "tensor/kernels/batch_norm.h"
#include "tensor/kernels/vector.h"

enum { PLANE_CHAINS = 4 };

/* Vector number `part` of a group with its spare lanes cleared. */
VINLINE V clear_spare(V value, int part, int valid)
{
    static const LaneInt numbers[WEFT_LANES] __attribute__((aligned(64))) = {0, 1, 2,  3,  4,  5,  6,  7,
                                                                             8, 9, 10, 11, 12, 13, 14, 15};
    typedef I Memory __attribute__((may_alias));
    return (V)((U)value & (U)(*(const Memory *)(numbers + part * VWIDTH) < (LaneInt)valid));
}

VINLINE V fold_chains(const V chains[PLANE_CHAINS])
{
    return (chains[0] + chains[1]) + (chains[2] + chains[3]);
}

/* sums[0], sums[1]: the sums over a plane's valid samples of x - center and of its square. */
VINLINE void plane_sums(const Real *plane, int64_t area, int valid, Real center, Real sums[2])
{
    V sum[VPARTS], squares[VPARTS];
    for (int p = 0; p < VPARTS; p++) {
        const Real *x = plane + p * VWIDTH;
        V a[PLANE_CHAINS] = {0}, b[PLANE_CHAINS] = {0};
        for (int64_t rest = area; rest > 0; rest -= PLANE_CHAINS, x += PLANE_CHAINS * WEFT_LANES) {
            VUNROLL
            for (int c = 0; c < PLANE_CHAINS; c++) {
                if (c >= rest) break;
                const V d = vload(x + c * WEFT_LANES) - center;
                a[c] += d;
                b[c] = vfma(d, d, b[c]);
            }
        }
        sum[p] = clear_spare(fold_chains(a), p, valid);
        squares[p] = clear_spare(fold_chains(b), p, valid);
    }
    sums[0] = vfold(sum);
    sums[1] = vfold(squares);
}

/* The statistics of a plane [area][16], which is read twice. The second pass, around the first one's mean, also
 * corrects that mean's rounding (the corrected two-pass algorithm of Chan, Golub & LeVeque 1983). */
VINLINE GroupStatistics plane_statistics(const Real *plane, int64_t area, int valid)
{
    const Real count = (Real)(area * valid);
    Real sums[2];
    plane_sums(plane, area, valid, 0, sums);
    const Real center = sums[0] / count;
    plane_sums(plane, area, valid, center, sums);
    const Real squares = sums[1] - sums[0] * (sums[0] / count);
    return (GroupStatistics){center + sums[0] / count, squares < 0 ? 0 : squares};
}

#endif
