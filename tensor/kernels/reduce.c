/* Sums over elements and over samples of a tensor in lanes. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vector.h"
#include "tensor/parallel.h"

/* Groups of 16 values below which a thread costs more than it saves. */
enum { GRAIN = 1024 };

static int64_t grain(int64_t groups_of_values_an_item)
{
    return GRAIN / groups_of_values_an_item + 1;
}

typedef struct ElementSums {
    Real *sum;
    const Real *x;
    const SumElements *which;
} ElementSums;

static void sum_elements(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const ElementSums *c = context;
    const SumElements *which = c->which;
    for (int64_t i = begin; i < end; i++) {
        int64_t group = i / which->kept_count, first = which->kept[i % which->kept_count];
        const Real *x = c->x + (group * which->elements + first) * WEFT_LANES;
        V sum[VPARTS] = {{0}};
        for (int64_t r = 0; r < which->reduced_count; r++) {
            for (int p = 0; p < VPARTS; p++) sum[p] += vload(x + which->reduced[r] * WEFT_LANES + p * VWIDTH);
        }
        for (int p = 0; p < VPARTS; p++) vstore(c->sum + i * WEFT_LANES + p * VWIDTH, sum[p]);
    }
}

void KERNEL(sum_elements)(Real *sum, const Real *x, const SumElements *which)
{
    ElementSums context = {sum, x, which};
    parallel_for(which->groups * which->kept_count, grain(which->reduced_count), sum_elements, &context);
}

typedef struct SampleSums {
    Real *sum;
    const Real *x;
    int64_t samples, elements;
} SampleSums;

static void sum_samples(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const SampleSums *c = context;
    int64_t full = c->samples / WEFT_LANES, rest = c->samples % WEFT_LANES;
    for (int64_t e = begin; e < end; e++) {
        V sum[VPARTS] = {{0}};
        for (int64_t g = 0; g < full; g++) {
            for (int p = 0; p < VPARTS; p++) sum[p] += vload(c->x + (g * c->elements + e) * WEFT_LANES + p * VWIDTH);
        }
        if (rest > 0) {
            Real last[WEFT_LANES] __attribute__((aligned(64))) = {0};
            for (int64_t i = 0; i < rest; i++) last[i] = c->x[(full * c->elements + e) * WEFT_LANES + i];
            for (int p = 0; p < VPARTS; p++) sum[p] += vload(last + p * VWIDTH);
        }
        c->sum[e] = vfold(sum);
    }
}

void KERNEL(sum_samples)(Real *sum, const Real *x, int64_t samples, int64_t elements)
{
    SampleSums context = {sum, x, samples, elements};
    parallel_for(elements, grain(samples / WEFT_LANES + 1), sum_samples, &context);
}
