/* Losses: a lane is a sample, so nothing is folded before the sum over the batch; the label's value is found by
 * comparison, as lanes cannot look up different ones. */
#include "tensor/kernels/loss.h"

#include <stddef.h>

#include "tensor/kernels/kernels.h"
#include "tensor/kernels/math.h"
#include "tensor/kernels/statistics.h"
#include "tensor/parallel.h"

/* Values that are worth a thread of their own. */
enum { LOSS_GRAIN = 1 << 14 };

typedef struct Loss {
    Real *out;
    const Real *scores, *other; /* labels or targets */
    Real smoothing, factor;
    LossShape shape;
} Loss;

/* One part of one group: pointers to element 0 of its samples, valid of the group's 16. */
typedef struct Part {
    const Real *scores, *other;
    Real *out;
    int64_t classes;
    int number, valid;
} Part;

static void run(const Loss *loss, ParallelBody *body)
{
    const int64_t groups = kernel_groups(loss->shape.samples);
    parallel_for(groups, 1 + LOSS_GRAIN / (loss->shape.classes * WEFT_LANES), body, (void *)loss);
}

/* A ParallelBody over groups that runs part_function(loss, part). `per_sample` says which arrays hold one value a
 * sample rather than all of its elements. */
enum { ONE_OUT = 1, ONE_OTHER = 2 };
#define DEFINE_RANGE(name, part_function, per_sample)                                                                  \
    static void name(int64_t begin, int64_t end, int thread, void *context)                                            \
    {                                                                                                                  \
        (void)thread;                                                                                                  \
        const Loss *loss = context;                                                                                    \
        const int64_t classes = loss->shape.classes;                                                                   \
        for (int64_t i = begin * VPARTS; i < end * VPARTS; i++) {                                                      \
            const int64_t group = i / VPARTS, lane = i % VPARTS * VWIDTH;                                              \
            const int64_t all = group * classes * WEFT_LANES + lane, one = group * WEFT_LANES + lane;                  \
            part_function(loss, (Part){                                                                                \
                .scores = loss->scores + all,                                                                          \
                .other = loss->other + ((per_sample) & ONE_OTHER ? one : all),                                         \
                .out = loss->out + ((per_sample) & ONE_OUT ? one : all),                                               \
                .classes = classes,                                                                                    \
                .number = (int)(i % VPARTS),                                                                           \
                .valid = valid_in_group(loss->shape.samples, group),                                                   \
            });                                                                                                        \
        }                                                                                                              \
    }

void KERNEL(batch_sum)(Real *sum, const Real *values, int64_t samples)
{
    V lanes[VPARTS] = {0};
    for (int64_t group = 0; group * WEFT_LANES < samples; group++)
        for (int p = 0; p < VPARTS; p++, values += VWIDTH)
            lanes[p] += clear_spare(vload(values), p, valid_in_group(samples, group));
    *sum = vfold(lanes);
}

/* ---- Negative log-likelihood ---- */

/* Each lane's score at its label. */
VINLINE V score_at_label(Part part)
{
    const V label = vload(part.other);
    V score = {0};
    for (int64_t c = 0; c < part.classes; c++)
        score = vselect(label == (Real)c, vload(part.scores + c * WEFT_LANES), score);
    return score;
}

VINLINE void nll_part(const Loss *loss, Part part)
{
    (void)loss;
    vstore(part.out, -score_at_label(part));
}

VINLINE void nll_grad_part(const Loss *loss, Part part)
{
    const V label = vload(part.other), grad = clear_spare(vset(-loss->factor), part.number, part.valid);
    for (int64_t c = 0; c < part.classes; c++)
        vstore(part.out + c * WEFT_LANES, vselect(label == (Real)c, grad, vset(0)));
}

DEFINE_RANGE(nll_range, nll_part, ONE_OUT | ONE_OTHER)
DEFINE_RANGE(nll_grad_range, nll_grad_part, ONE_OTHER)

void KERNEL(nll_loss)(Real *losses, const Real *scores, const Real *labels, const LossShape *shape)
{
    run(&(Loss){.out = losses, .scores = scores, .other = labels, .shape = *shape}, nll_range);
}

void KERNEL(nll_loss_grad)(Real *grad, const Real *labels, Real factor, const LossShape *shape)
{
    /* The gradient does not depend on the scores: what stands in for them is not read. */
    run(&(Loss){.out = grad, .scores = grad, .other = labels, .factor = factor, .shape = *shape}, nll_grad_range);
}

/* ---- Cross-entropy ---- */

/* The largest score, and the sum of exp(score - largest). */
typedef struct Normaliser {
    V largest, sum;
} Normaliser;

VINLINE Normaliser normaliser_of(Part part)
{
    Normaliser n = {vload(part.scores), {0}};
    for (int64_t c = 1; c < part.classes; c++) n.largest = vmax(vload(part.scores + c * WEFT_LANES), n.largest);
    for (int64_t c = 0; c < part.classes; c++) n.sum += vexp(vload(part.scores + c * WEFT_LANES) - n.largest);
    return n;
}

/* With z = score - largest and s = log of the sum, -log p = s - z: the loss is s - (1 - smoothing) z[label] -
 * smoothing mean(z). */
static void cross_entropy_part(const Loss *loss, Part part)
{
    const Normaliser n = normaliser_of(part);
    V target = score_at_label(part) - n.largest;
    if (loss->smoothing > 0) {
        V sum = {0};
        for (int64_t c = 0; c < part.classes; c++) sum += vload(part.scores + c * WEFT_LANES) - n.largest;
        target = vfma(vset(loss->smoothing), sum / (Real)part.classes - target, target);
    }
    vstore(part.out, vlog(n.sum) - target);
}

static void cross_entropy_grad_part(const Loss *loss, Part part)
{
    const Normaliser n = normaliser_of(part);
    const V label = vload(part.other);
    const V anywhere = vset(loss->smoothing / (Real)part.classes), there = anywhere + ((Real)1 - loss->smoothing);
    for (int64_t c = 0; c < part.classes; c++) {
        const V p = vexp(vload(part.scores + c * WEFT_LANES) - n.largest) / n.sum;
        const V grad = (p - vselect(label == (Real)c, there, anywhere)) * loss->factor;
        vstore(part.out + c * WEFT_LANES, clear_spare(grad, part.number, part.valid));
    }
}

DEFINE_RANGE(cross_entropy_range, cross_entropy_part, ONE_OUT | ONE_OTHER)
DEFINE_RANGE(cross_entropy_grad_range, cross_entropy_grad_part, ONE_OTHER)

void KERNEL(cross_entropy)(Real *losses, const Real *scores, const Real *labels, Real smoothing, const LossShape *shape)
{
    run(&(Loss){.out = losses, .scores = scores, .other = labels, .smoothing = smoothing, .shape = *shape},
        cross_entropy_range);
}

void KERNEL(cross_entropy_grad)(Real *grad, const Real *scores, const Real *labels, Real smoothing, Real factor,
                                const LossShape *shape)
{
    run(&(Loss){.out = grad, .scores = scores, .other = labels, .smoothing = smoothing, .factor = factor,
                .shape = *shape}, cross_entropy_grad_range);
}

/* ---- Squared differences ---- */

VINLINE void mse_part(const Loss *loss, Part part)
{
    (void)loss;
    V sum = {0};
    for (int64_t i = 0; i < part.classes; i++) {
        const V d = vload(part.scores + i * WEFT_LANES) - vload(part.other + i * WEFT_LANES);
        sum = vfma(d, d, sum);
    }
    vstore(part.out, sum);
}

VINLINE void mse_grad_part(const Loss *loss, Part part)
{
    for (int64_t i = 0; i < part.classes; i++) {
        const V d = vload(part.scores + i * WEFT_LANES) - vload(part.other + i * WEFT_LANES);
        vstore(part.out + i * WEFT_LANES, clear_spare(loss->factor * d, part.number, part.valid));
    }
}

DEFINE_RANGE(mse_range, mse_part, ONE_OUT)
DEFINE_RANGE(mse_grad_range, mse_grad_part, 0)

void KERNEL(mse_loss)(Real *losses, const Real *x, const Real *target, const LossShape *shape)
{
    run(&(Loss){.out = losses, .scores = x, .other = target, .shape = *shape}, mse_range);
}

void KERNEL(mse_loss_grad)(Real *grad, const Real *x, const Real *target, Real factor, const LossShape *shape)
{
    run(&(Loss){.out = grad, .scores = x, .other = target, .factor = factor, .shape = *shape}, mse_grad_range);
}
