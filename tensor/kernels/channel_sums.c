/* Sums of each channel in each group, the gradient of a bias, in one pass with the relu mask or the unpooling. */
#include "tensor/kernels/channel_sums.h"

#include <stddef.h>

#include "tensor/kernels/kernels.h"
#include "tensor/kernels/maximum.h"
#include "tensor/kernels/relu_grad.h"
#include "tensor/parallel.h"

/* Values of planes that are worth a thread of their own. */
enum { SUMS_GRAIN = 1 << 14 };

typedef struct Sums {
    Real *sums, *masked;
    const Real *grad, *out;
    int64_t area;
} Sums;

static void sums_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Sums *s = context;
    for (int64_t plane = begin; plane < end; plane++) {
        const int64_t offset = plane * s->area * WEFT_LANES;
        if (s->out) s->sums[plane] = relu_grad_plane(s->masked + offset, s->grad + offset, s->out + offset, s->area);
        else s->sums[plane] = relu_grad_plane(NULL, s->grad + offset, NULL, s->area);
    }
}

void KERNEL(channel_sums)(Real *sums, Real *masked, const Real *grad, const Real *out, int64_t planes, int64_t area)
{
    parallel_for(planes, 1 + SUMS_GRAIN / (area * WEFT_LANES), sums_range, &(Sums){sums, masked, grad, out, area});
}

/* The pooling window's side. */
enum { SIDE = 2 };

typedef struct PooledSums {
    Real *sums;
    const Real *grad;
    const PoolIndex *indices;
    PoolShape shape;
} PooledSums;

/* One row of the map that was pooled: each window's gradient counts in the row and column of its maximum. */
VINLINE void add_row(const PoolShape *s, int64_t row, const Real *grad, const PoolIndex *indices, V *chains)
{
    const int64_t first = row / SIDE * s->out_width, start = row * s->in_width;
    for (int64_t x = 0; x < s->out_width * SIDE; x++) {
        const int64_t at = (first + x / SIDE) * WEFT_LANES;
        const LaneInt place = (LaneInt)(row % SIDE * SIDE + x % SIDE);
        chains[(start + x) % PLANE_CHAINS] += (V)((U)vload(grad + at) & (U)(load_places(indices + at) == place));
    }
}

static void pooled_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const PooledSums *s = context;
    const int64_t area = s->shape.out_height * s->shape.out_width * WEFT_LANES;
    for (int64_t plane = begin; plane < end; plane++) {
        V sum[VPARTS];
        for (int p = 0; p < VPARTS; p++) {
            const int64_t offset = plane * area + p * VWIDTH;
            V chains[PLANE_CHAINS] = {0};
            for (int64_t y = 0; y < s->shape.out_height * SIDE; y++)
                add_row(&s->shape, y, s->grad + offset, s->indices + offset, chains);
            sum[p] = fold_chains(chains);
        }
        s->sums[plane] = vfold(sum);
    }
}

void KERNEL(channel_sums_pooled)(Real *sums, const Real *grad, const PoolIndex *indices, const PoolShape *shape)
{
    parallel_for(shape->planes, 1 + SUMS_GRAIN / (shape->in_height * shape->in_width * WEFT_LANES), pooled_range,
                 &(PooledSums){sums, grad, indices, *shape});
}
