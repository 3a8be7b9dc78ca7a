/* Matrix products with the batch in lanes: weights are broadcast, sums stay in registers over all features. The
 * weight's gradient sums over the batch in lanes, and 16 such sums are folded together. */
#include "tensor/kernels/linear.h"

#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vector.h"
#include "tensor/parallel.h"

/* ---- Products ---- */

/* The register tile: outputs by vectors of samples, about as many accumulators as there are registers to spare and at
 * least the 8 that hide a multiply-add's latency. */
#if VPARTS == 1
enum { TILE_OUTPUTS = 8, TILE_GROUPS = 3 };
#elif VPARTS == 2
enum { TILE_OUTPUTS = 6, TILE_GROUPS = 1 };
#else
enum { TILE_OUTPUTS = VPARTS == 4 ? 3 : 1, TILE_GROUPS = 1 };
#endif
/* Multiply-adds of vectors that are worth a thread of their own. */
enum { LINEAR_GRAIN = 1 << 12 };

typedef struct Linear {
    Real *out;
    const Real *x, *weight, *bias;
    bool relu;
    LinearShape shape;
} Linear;

/* Outputs o and up of groups g and up. Beyond the last output the tile computes that one again and drops it. */
VINLINE void linear_tile(const Linear *l, int64_t o, int64_t g, const int groups)
{
    const LinearShape *s = &l->shape;
    const Real *weight[TILE_OUTPUTS];
    V sum[TILE_OUTPUTS][TILE_GROUPS * VPARTS];
    VUNROLL
    for (int i = 0; i < TILE_OUTPUTS; i++) {
        const int64_t output = o + i < s->outputs ? o + i : s->outputs - 1;
        weight[i] = l->weight + output * s->output_step;
        VUNROLL
        for (int v = 0; v < groups * VPARTS; v++)
            sum[i][v] = vset(l->bias ? l->bias[output] : 0);
    }
    const Real *x = l->x + g * s->features * WEFT_LANES;
    for (int64_t f = 0, step = 0; f < s->features; f++, step += s->feature_step) {
        V value[TILE_GROUPS * VPARTS];
        VUNROLL
        for (int v = 0; v < groups * VPARTS; v++)
            value[v] = vload(x + (v / VPARTS * s->features + f) * WEFT_LANES + v % VPARTS * VWIDTH);
        VUNROLL
        for (int i = 0; i < TILE_OUTPUTS; i++) {
            const V w = vset(weight[i][step]);
            VUNROLL
            for (int v = 0; v < groups * VPARTS; v++)
                sum[i][v] = vfma(w, value[v], sum[i][v]);
        }
    }
    VUNROLL
    for (int i = 0; i < TILE_OUTPUTS; i++) {
        if (o + i >= s->outputs) break;
        Real *out = l->out + (g * s->outputs + o + i) * WEFT_LANES;
        VUNROLL
        for (int v = 0; v < groups * VPARTS; v++)
            vstore(out + v / VPARTS * s->outputs * WEFT_LANES + v % VPARTS * VWIDTH,
                   l->relu ? vmax(vset(0), sum[i][v]) : sum[i][v]);
    }
}

static void linear_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Linear *l = context;
    const int64_t tiles = (l->shape.outputs + TILE_OUTPUTS - 1) / TILE_OUTPUTS;
    for (int64_t i = begin; i < end; i++) {
        const int64_t o = i % tiles * TILE_OUTPUTS, g = i / tiles * TILE_GROUPS;
        const int64_t groups = l->shape.groups - g;
        if (groups >= TILE_GROUPS) linear_tile(l, o, g, TILE_GROUPS);
        else if (groups == 2) linear_tile(l, o, g, TILE_GROUPS < 2 ? TILE_GROUPS : 2);
        else linear_tile(l, o, g, 1);
    }
}

void KERNEL(linear)(Real *out, const Real *x, const Real *weight, const Real *bias, bool relu, const LinearShape *shape)
{
    const int64_t tiles = (shape->outputs + TILE_OUTPUTS - 1) / TILE_OUTPUTS;
    const int64_t work = shape->features * TILE_OUTPUTS * TILE_GROUPS * VPARTS;
    parallel_for((shape->groups + TILE_GROUPS - 1) / TILE_GROUPS * tiles, 1 + LINEAR_GRAIN / work, linear_range,
                 &(Linear){out, x, weight, bias, relu, *shape});
}

/* ---- Gradients of the parameters ---- */

/* Sums that are folded together, 16 in all; and how many outputs of these are in registers at a time. */
enum { FOLD_FEATURES = 8, FOLD_OUTPUTS = 16 / FOLD_FEATURES, FOLD_ROWS = VPARTS == 1 ? FOLD_OUTPUTS : 1 };

typedef struct LinearGrad {
    Real *grad;
    const Real *x, *out_grad;
    LinearShape shape;
} LinearGrad;

/* Adds up one part of outputs o and up by features f and up; those beyond the last repeat it. */
VINLINE void sum_products(const LinearGrad *l, int64_t o, int64_t f, int part, const bool inside,
                          V sums[FOLD_ROWS * FOLD_FEATURES * VPARTS])
{
    const LinearShape *s = &l->shape;
    V sum[FOLD_ROWS][FOLD_FEATURES] = {0};
    const Real *x = l->x + part * VWIDTH, *out_grad = l->out_grad + part * VWIDTH;
    for (int64_t g = 0; g < s->groups; g++) {
        V value[FOLD_FEATURES];
        VUNROLL
        for (int j = 0; j < FOLD_FEATURES; j++) {
            const int64_t feature = inside || f + j < s->features ? f + j : s->features - 1;
            value[j] = vload(x + (g * s->features + feature) * WEFT_LANES);
        }
        VUNROLL
        for (int r = 0; r < FOLD_ROWS; r++) {
            const int64_t output = inside || o + r < s->outputs ? o + r : s->outputs - 1;
            const V grad = vload(out_grad + (g * s->outputs + output) * WEFT_LANES);
            VUNROLL
            for (int j = 0; j < FOLD_FEATURES; j++)
                sum[r][j] = vfma(grad, value[j], sum[r][j]);
        }
    }
    VUNROLL
    for (int r = 0; r < FOLD_ROWS; r++)
        VUNROLL
        for (int j = 0; j < FOLD_FEATURES; j++)
            sums[(r * FOLD_FEATURES + j) * VPARTS + part] = sum[r][j];
}

VINLINE void weight_grad_tile(const LinearGrad *l, int64_t o, int64_t f, const bool inside)
{
    const LinearShape *s = &l->shape;
    V groups[16 * VPARTS], sums[VPARTS];
    for (int row = 0; row < FOLD_OUTPUTS; row += FOLD_ROWS)
        for (int p = 0; p < VPARTS; p++)
            sum_products(l, o + row, f, p, inside, groups + row * FOLD_FEATURES * VPARTS);
    vfold16(groups, sums);
    Real values[16] __attribute__((aligned(64)));
    for (int p = 0; p < VPARTS; p++)
        vstore(values + p * VWIDTH, sums[p]);
    for (int64_t r = 0; r < FOLD_OUTPUTS && (inside || o + r < s->outputs); r++)
        for (int64_t j = 0; j < FOLD_FEATURES && (inside || f + j < s->features); j++)
            l->grad[(o + r) * s->features + f + j] = values[r * FOLD_FEATURES + j];
}

static int64_t fold_rows(const LinearShape *s)
{
    return (s->outputs + FOLD_OUTPUTS - 1) / FOLD_OUTPUTS;
}

static void weight_grad_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const LinearGrad *l = context;
    const int64_t rows = fold_rows(&l->shape);
    for (int64_t i = begin; i < end; i++) {
        const int64_t o = i % rows * FOLD_OUTPUTS, f = i / rows * FOLD_FEATURES;
        const bool inside = o + FOLD_OUTPUTS <= l->shape.outputs && f + FOLD_FEATURES <= l->shape.features;
        if (inside) weight_grad_tile(l, o, f, true);
        else weight_grad_tile(l, o, f, false);
    }
}

void KERNEL(linear_weight_grad)(Real *weight_grad, const Real *x, const Real *out_grad, const LinearShape *shape)
{
    const int64_t columns = (shape->features + FOLD_FEATURES - 1) / FOLD_FEATURES;
    parallel_for(columns * fold_rows(shape), 1 + LINEAR_GRAIN / (shape->groups * 16 * VPARTS), weight_grad_range,
                 &(LinearGrad){weight_grad, x, out_grad, *shape});
}

void KERNEL(linear_bias_grad)(Real *bias_grad, const Real *out_grad, const LinearShape *shape)
{
    for (int64_t o = 0; o < shape->outputs; o++) {
        V sum[VPARTS] = {0};
        for (int64_t g = 0; g < shape->groups; g++)
            for (int p = 0; p < VPARTS; p++)
                sum[p] += vload(out_grad + (g * shape->outputs + o) * WEFT_LANES + p * VWIDTH);
        bias_grad[o] = vfold(sum);
    }
}
