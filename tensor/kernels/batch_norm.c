/* Batch norm: statistics, forward, and the two passes of the gradient. Each goes through memory once (the statistics
 * read a plane twice, the second time from the cache): it is memory that bounds them. */
#include "tensor/kernels/batch_norm.h"

#include "tensor/kernels/kernels.h"
#include "tensor/kernels/mask.h"
#include "tensor/kernels/relu_grad.h"
#include "tensor/parallel.h"

/* Values of a plane's lanes that are worth a thread of their own. */
enum { PASS_GRAIN = 1 << 14 };

typedef struct Pass {
    const Real *x, *y_grad;
    Real *out;
    GroupStatistics *statistics;
    GroupGradients *sums;
    Real *relu_sums; /* of the input's gradient, if that passes a relu */
    const ChannelMap *channels;
    Dropped dropped;
    BatchNormShape shape;
} Pass;

/* One channel of one group: where its plane begins, and which elements of a sample those are. */
typedef struct Plane {
    int64_t index, offset, first;
    const Real *mask; /* the group's */
    ChannelMap channel;
    int valid;
} Plane;

static Plane plane_of(const Pass *pass, int64_t index)
{
    const int64_t channels = pass->shape.channels, area = pass->shape.area;
    const int64_t group = index / channels, channel = index % channels;
    return (Plane){
        .index = index,
        .offset = index * area * WEFT_LANES,
        .first = channel * area,
        .mask = pass->dropped.mask ? pass->dropped.mask + group * dropout_mask_words(channels * area) * WEFT_LANES : 0,
        .channel = pass->channels ? pass->channels[channel] : (ChannelMap){0},
        .valid = valid_in_group(pass->shape.samples, group),
    };
}

static void run(const Pass *pass, ParallelBody *body)
{
    const int64_t groups = kernel_groups(pass->shape.samples);
    parallel_for(groups * pass->shape.channels, 1 + PASS_GRAIN / (pass->shape.area * WEFT_LANES), body, (void *)pass);
}

/* ---- Statistics ---- */

static void statistics_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Pass *pass = context;
    for (int64_t i = begin; i < end; i++) {
        const Plane plane = plane_of(pass, i);
        pass->statistics[i] = plane_statistics(pass->x + plane.offset, pass->shape.area, plane.valid);
    }
}

void KERNEL(batch_norm_statistics)(GroupStatistics *statistics, const Real *x, const BatchNormShape *shape)
{
    run(&(Pass){.statistics = statistics, .x = x, .shape = *shape}, statistics_range);
}

/* ---- Forward ---- */

/* The value of an element after dropout, if there is any. */
VINLINE V after_dropout(const Pass *pass, const Plane *plane, int64_t i, int part, V value)
{
    if (!plane->mask) return value;
    const int64_t element = plane->first + i;
    return mask_apply(mask_word(plane->mask, element, part), element, value, pass->dropped.scale);
}

static void forward_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Pass *pass = context;
    for (int64_t index = begin; index < end; index++) {
        const Plane plane = plane_of(pass, index);
        const V scale = vset(plane.channel.scale), shift = vset(plane.channel.shift);
        const Real *x = pass->x + plane.offset;
        Real *y = pass->out + plane.offset;
        for (int64_t i = 0; i < pass->shape.area; i++)
            for (int p = 0; p < VPARTS; p++, x += VWIDTH, y += VWIDTH)
                vstore(y, after_dropout(pass, &plane, i, p, vfma(vload(x) - plane.channel.mean, scale, shift)));
    }
}

void KERNEL(batch_norm)(Real *y, const Real *x, const ChannelMap *channels, Dropped dropped,
                        const BatchNormShape *shape)
{
    run(&(Pass){.out = y, .x = x, .channels = channels, .dropped = dropped, .shape = *shape}, forward_range);
}

/* ---- Backward ---- */

/* As plane_sums (tensor/kernels/statistics.h), of the gradient. */
VINLINE GroupGradients plane_gradients(const Pass *pass, const Plane *plane)
{
    V sum[VPARTS], product[VPARTS];
    for (int p = 0; p < VPARTS; p++) {
        const Real *x = pass->x + plane->offset + p * VWIDTH, *grad = pass->y_grad + plane->offset + p * VWIDTH;
        V a[PLANE_CHAINS] = {0}, b[PLANE_CHAINS] = {0};
        for (int64_t i = 0; i < pass->shape.area; i += PLANE_CHAINS) {
            VUNROLL
            for (int c = 0; c < PLANE_CHAINS; c++) {
                if (i + c >= pass->shape.area) break;
                const V g = after_dropout(pass, plane, i + c, p, vload(grad + (i + c) * WEFT_LANES));
                a[c] += g;
                b[c] = vfma(g, vload(x + (i + c) * WEFT_LANES) - plane->channel.mean, b[c]);
            }
        }
        sum[p] = clear_spare(fold_chains(a), p, plane->valid);
        product[p] = clear_spare(fold_chains(b), p, plane->valid);
    }
    return (GroupGradients){vfold(sum), vfold(product)};
}

static void sums_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Pass *pass = context;
    for (int64_t i = begin; i < end; i++) {
        const Plane plane = plane_of(pass, i);
        pass->sums[i] = plane_gradients(pass, &plane);
    }
}

void KERNEL(batch_norm_sums)(GroupGradients *sums, const Real *x, const Real *y_grad, const ChannelMap *channels,
                             Dropped dropped, const BatchNormShape *shape)
{
    run(&(Pass){.sums = sums, .x = x, .y_grad = y_grad, .channels = channels, .dropped = dropped, .shape = *shape},
        sums_range);
}

/* One plane of the input's gradient; with relu, of what came before it, and its sum as relu_grad_plane's. */
VINLINE Real input_grad_plane(const Pass *pass, const Plane *plane, const bool relu)
{
    const ChannelMap *channel = &plane->channel;
    const V scale = vset(channel->scale), shift = vset(channel->shift), slope = vset(channel->slope);
    V sum[VPARTS];
    for (int p = 0; p < VPARTS; p++) {
        const int64_t offset = plane->offset + p * VWIDTH;
        const Real *x = pass->x + offset, *y_grad = pass->y_grad + offset;
        Real *x_grad = pass->out + offset;
        V chains[PLANE_CHAINS] = {0};
        for (int64_t i = 0; i < pass->shape.area; i += PLANE_CHAINS) {
            VUNROLL
            for (int c = 0; c < PLANE_CHAINS; c++) {
                if (i + c >= pass->shape.area) break;
                const int64_t at = (i + c) * WEFT_LANES;
                const V value = vload(x + at), g = after_dropout(pass, plane, i + c, p, vload(y_grad + at));
                V dx = vfma(value - channel->mean, slope, vfma(g, scale, shift));
                dx = clear_spare(relu ? relu_grad(value, dx) : dx, p, plane->valid);
                vstore(x_grad + at, dx);
                chains[c] += dx;
            }
        }
        sum[p] = fold_chains(chains);
    }
    return vfold(sum);
}

static void grad_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Pass *pass = context;
    for (int64_t i = begin; i < end; i++) {
        const Plane plane = plane_of(pass, i);
        if (pass->relu_sums) pass->relu_sums[i] = input_grad_plane(pass, &plane, true);
        else (void)input_grad_plane(pass, &plane, false);
    }
}

void KERNEL(batch_norm_grad)(Real *x_grad, Real *sums, const Real *x, const Real *y_grad, const ChannelMap *channels,
                             Dropped dropped, const BatchNormShape *shape)
{
    run(&(Pass){.out = x_grad, .relu_sums = sums, .x = x, .y_grad = y_grad, .channels = channels, .dropped = dropped,
                .shape = *shape},
        grad_range);
}
