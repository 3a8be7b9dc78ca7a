#include "autograd/ops/batch_norm.h"

#include <math.h>

#include "autograd/node.h"
#include "autograd/onnx.h"
#include "autograd/ops.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/dropout.h"
#include "tensor/kernels/kernels.h"
#include "tensor/memory.h"

const char op_batch_statistics;

static const double DEFAULT_MOMENTUM = 0.1, DEFAULT_EPS = 1e-5;

/* The running values are inputs that no gradient reaches. */
enum { X, WEIGHT, BIAS, MEAN, VARIANCE, INPUTS };
/* What backward finds: mean and 1 / deviation of each channel, [2, C], and dropout's mask if there is one. */
enum { SAVED_MOMENTS, SAVED_MASK };

typedef struct BatchNormAttributes {
    bool training;
    double momentum, eps, dropout;
    Real scale; /* dropout's */
} BatchNormAttributes;

/* Of one channel over the whole batch. */
typedef struct Moments {
    double mean, variance; /* biased */
} Moments;

static BatchNormShape shape_of(const Tensor *x)
{
    return (BatchNormShape){x->shape.size[0], x->shape.size[1], x->shape.size[2] * x->shape.size[3]};
}

static double value_count(BatchNormShape shape)
{
    return (double)shape.samples * (double)shape.area;
}

static Dropped dropped_by(const Tensor *mask, Real scale)
{
    return (Dropped){mask ? mask->storage->data : NULL, scale};
}

GroupStatistics *op_batch_norm2d_new_statistics(const Tensor *x)
{
    const int64_t reals = layout_groups(x) * x->shape.size[1] * (int64_t)(sizeof(GroupStatistics) / sizeof(Real));
    return (GroupStatistics *)layout_derive(x, &op_batch_statistics, reals);
}

/* The groups' statistics as the op before left them, else computed now; kept either way. */
static const GroupStatistics *group_statistics(const Tensor *x, BatchNormShape shape)
{
    GroupStatistics *statistics = (GroupStatistics *)layout_derived(x, &op_batch_statistics);
    if (statistics) return statistics;
    statistics = op_batch_norm2d_new_statistics(x);
    if (statistics) weft_kernels()->batch_norm_statistics(statistics, x->storage->data, &shape);
    return statistics;
}

/* Adds the groups up in order, as Chan, Golub & LeVeque 1983 do. */
static Moments channel_moments(const GroupStatistics *statistics, BatchNormShape shape, int64_t channel)
{
    double count = 0, mean = 0, squares = 0;
    for (int64_t g = 0; g * WEFT_LANES < shape.samples; g++) {
        const GroupStatistics group = statistics[g * shape.channels + channel];
        const double added = (double)(valid_in_group(shape.samples, g) * shape.area), total = count + added;
        const double delta = (double)group.mean - mean;
        mean += delta * (added / total);
        squares += (double)group.squares + delta * delta * (count * added / total);
        count = total;
    }
    return (Moments){mean, squares / count};
}

static bool moments_of(Moments *moments, const BatchNorm2dOptions *o, BatchNormShape shape)
{
    const GroupStatistics *statistics = o->training ? group_statistics(o->x, shape) : NULL;
    if (o->training && !statistics) return false;
    for (int64_t c = 0; c < shape.channels; c++)
        moments[c] = o->training ? channel_moments(statistics, shape, c)
                                 : (Moments){(double)o->running_mean->storage->data[c],
                                             (double)o->running_var->storage->data[c]};
    return true;
}

/* The share of the batch goes into the running values; its variance unbiased. */
static void update_running(const BatchNorm2dOptions *o, const Moments *moments, BatchNormShape shape)
{
    if (!o->training || o->running_mean == TENSOR_NONE) return;
    const double unbiased = value_count(shape) / (value_count(shape) - 1);
    Real *mean = o->running_mean->storage->data, *variance = o->running_var->storage->data;
    for (int64_t c = 0; c < shape.channels; c++) {
        mean[c] = (Real)((1 - o->momentum) * (double)mean[c] + o->momentum * moments[c].mean);
        variance[c] = (Real)((1 - o->momentum) * (double)variance[c] + o->momentum * moments[c].variance * unbiased);
    }
    layout_fill_spare(o->running_mean);
    layout_fill_spare(o->running_var);
    layout_touch(o->running_mean);
    layout_touch(o->running_var);
}

static Real element_or(const Tensor *t, int64_t i, Real otherwise)
{
    return t == TENSOR_NONE ? otherwise : t->storage->data[i];
}

/* ---- Backward ---- */

/* A channel's sums over the batch. */
typedef struct Gradients {
    double sum, product;
} Gradients;

static Gradients channel_gradients(const GroupGradients *sums, BatchNormShape shape, int64_t channel)
{
    Gradients total = {0, 0};
    for (int64_t g = 0; g * WEFT_LANES < shape.samples; g++) {
        total.sum += (double)sums[g * shape.channels + channel].sum;
        total.product += (double)sums[g * shape.channels + channel].product;
    }
    return total;
}

/* With y = (x - mean) r w + b, r = 1 / deviation and M values in the channel:
 * dx = r w (dy - sum(dy) / M - (x - mean) r^2 sum(dy (x - mean)) / M); mean and r are constants in evaluation. */
static bool add_parameter_grads(const Node *node, ChannelMap *channels, const GroupGradients *sums,
                                BatchNormShape shape)
{
    const BatchNormAttributes *attributes = node_attributes(node);
    const Real *inverse = node_saved(node, SAVED_MOMENTS)->storage->data + shape.channels;
    Tensor *weight = node_input(node, WEIGHT);
    Tensor *grads[2];
    for (int i = 0; i < 2; i++) {
        grads[i] = layout_new(SHAPE(shape.channels), LAYOUT_PLAIN);
        if (!grads[i]) return false;
        grads[i]->is_gradient = true;
    }
    for (int64_t c = 0; c < shape.channels; c++) {
        const Gradients total = channel_gradients(sums, shape, c);
        const double r = (double)inverse[c], scale = r * (double)element_or(weight, c, 1);
        const double per_value = attributes->training ? scale / value_count(shape) : 0;
        channels[c].scale = (Real)scale;
        channels[c].shift = (Real)(-per_value * total.sum);
        channels[c].slope = (Real)(-per_value * total.product * r * r);
        grads[0]->storage->data[c] = (Real)(total.product * r);
        grads[1]->storage->data[c] = (Real)total.sum;
    }
    layout_fill_spare(grads[0]);
    layout_fill_spare(grads[1]);
    return node_add_grad(node, WEIGHT, grads[0]) && node_add_grad(node, BIAS, grads[1]);
}

static bool run_backward(const Node *node, Tensor *grad, ChannelMap *channels, GroupGradients *sums)
{
    const BatchNormAttributes *attributes = node_attributes(node);
    const Tensor *x = node_input(node, X), *moments = node_saved(node, SAVED_MOMENTS);
    const BatchNormShape shape = shape_of(x);
    const Dropped dropped = dropped_by(node_saved(node, SAVED_MASK), attributes->scale);
    for (int64_t c = 0; c < shape.channels; c++) channels[c].mean = moments->storage->data[c];
    weft_kernels()->batch_norm_sums(sums, x->storage->data, grad->storage->data, channels, dropped, &shape);
    if (!add_parameter_grads(node, channels, sums, shape)) return false;
    if (!node_needs_grad(node, X)) return true;
    Tensor *x_grad = node_new_grad(x);
    Real *relu_sums = x_grad && op_conv2d_relu_output(x) ? op_conv2d_new_sums(x_grad) : NULL;
    if (!x_grad || (op_conv2d_relu_output(x) && !relu_sums)) return false;
    weft_kernels()->batch_norm_grad(x_grad->storage->data, relu_sums, x->storage->data, grad->storage->data, channels,
                                    dropped, &shape);
    return node_add_grad(node, X, x_grad);
}

static bool batch_norm_backward(const Node *node, Tensor *grad)
{
    const BatchNormShape shape = shape_of(node_input(node, X));
    ChannelMap *channels = weft_alloc_zeroed(shape.channels, sizeof *channels);
    GroupGradients *sums = weft_alloc(layout_groups(grad) * shape.channels, sizeof *sums);
    const bool done = channels && sums && run_backward(node, grad, channels, sums);
    weft_free(channels);
    weft_free(sums);
    return done;
}

static int batch_norm_describe(const Node *node, Attribute *attributes)
{
    const BatchNormAttributes *a = node_attributes(node);
    int count = 0;
    attributes[count++] = (Attribute){.name = "training", .count = 1, .integers = {a->training}};
    attributes[count++] = (Attribute){.name = "momentum", .number = a->momentum};
    attributes[count++] = (Attribute){.name = "eps", .number = a->eps};
    if (a->dropout > 0) attributes[count++] = (Attribute){.name = "dropout", .number = a->dropout};
    return count;
}

/* A channel's constant where there is no tensor of them. */
static OnnxValue *onnx_or(const OnnxCall *call, int input, double otherwise)
{
    if (call->inputs[input]) return call->inputs[input];
    Scope scope = scope_open();
    OnnxValue *value = onnx_tensor(call, tensor_full(SHAPE(node_input(call->node, X)->shape.size[1]), otherwise));
    scope_close(scope);
    return value;
}

static OnnxValue *batch_norm_onnx(const OnnxCall *call)
{
    const BatchNormAttributes *a = node_attributes(call->node);
    if (a->training || a->dropout > 0)
        return weft_fail("onnx: batch_norm2d: only evaluation can be written, without dropout");
    OnnxValue *y = onnx_op(call, "BatchNormalization", call->inputs[X], onnx_or(call, WEIGHT, 1),
                           onnx_or(call, BIAS, 0), call->inputs[MEAN], call->inputs[VARIANCE]);
    onnx_set_number(y, "epsilon", a->eps);
    return y;
}

static const Op batch_norm_op = {.name = "batch_norm2d",
                                 .backward = batch_norm_backward,
                                 .describe = batch_norm_describe,
                                 .onnx = batch_norm_onnx,
                                 .reads_inputs = 1u << X | 1u << WEIGHT};

/* ---- Forward ---- */

static bool check_channels(const Tensor *x, const Tensor *t, const char *name)
{
    char a[SHAPE_TEXT], b[SHAPE_TEXT];
    if (t == TENSOR_NONE || (t->shape.rank == 1 && t->shape.size[0] == x->shape.size[1])) return true;
    return weft_fail("batch_norm2d: input %s has %lld channels, %s is %s", shape_text(x->shape, a),
                     (long long)x->shape.size[1], name, shape_text(t->shape, b));
}

static bool check(const BatchNorm2dOptions *o)
{
    char text[SHAPE_TEXT];
    if (o->x->shape.rank != 4)
        return weft_fail("batch_norm2d: input %s is not [N, C, H, W]", shape_text(o->x->shape, text));
    if (!check_channels(o->x, o->weight, "weight") || !check_channels(o->x, o->bias, "bias") ||
        !check_channels(o->x, o->running_mean, "running_mean") || !check_channels(o->x, o->running_var, "running_var"))
        return false;
    if ((o->running_mean == TENSOR_NONE) != (o->running_var == TENSOR_NONE))
        return weft_fail("batch_norm2d: running_mean and running_var go together");
    if (!o->training && o->running_mean == TENSOR_NONE)
        return weft_fail("batch_norm2d: evaluation needs running_mean and running_var");
    if (o->training && value_count(shape_of(o->x)) < 2)
        return weft_fail("batch_norm2d: input %s has one value a channel, training needs more",
                         shape_text(o->x->shape, text));
    if (!(o->momentum >= 0 && o->momentum <= 1 && o->eps > 0))
        return weft_fail("batch_norm2d: momentum %g is not from 0 to 1 or eps %g not above 0", o->momentum, o->eps);
    return true;
}

static Tensor *normalise(const BatchNorm2dOptions *o, const Moments *moments, Tensor *saved, ChannelMap *channels)
{
    const BatchNormShape shape = shape_of(o->x);
    BatchNormAttributes attributes = {o->training, o->momentum, o->eps, o->dropout, 1};
    Tensor *mask;
    if (!op_dropout_make("batch_norm2d", o->x, o->dropout, o->key, &mask, &attributes.scale)) return NULL;
    Tensor *y = layout_new(o->x->shape, LAYOUT_LANES);
    if (!y) return NULL;
    Real *mean = saved->storage->data, *inverse = mean + shape.channels;
    for (int64_t c = 0; c < shape.channels; c++) {
        const double r = 1 / sqrt(moments[c].variance + o->eps);
        mean[c] = (Real)moments[c].mean;
        inverse[c] = (Real)r;
        channels[c] = (ChannelMap){.mean = mean[c], .scale = (Real)(r * (double)element_or(o->weight, c, 1)),
                                   .shift = element_or(o->bias, c, 0)};
    }
    weft_kernels()->batch_norm(y->storage->data, o->x->storage->data, channels, dropped_by(mask, attributes.scale),
                               &shape);
    if (o->x->is_gradient) layout_fill_spare(y);
    Tensor *const inputs[INPUTS] = {[X] = o->x, [WEIGHT] = o->weight, [BIAS] = o->bias, [MEAN] = o->running_mean,
                                      [VARIANCE] = o->running_var};
    y = op_save(op_record(&batch_norm_op, y, inputs, INPUTS, &attributes, sizeof attributes), saved);
    return mask ? op_save(y, mask) : y;
}

Tensor *op_batch_norm2d_with(BatchNorm2dOptions o)
{
    if (!o.x || !o.weight || !o.bias || !o.running_mean || !o.running_var) return NULL;
    if (o.momentum == 0) o.momentum = DEFAULT_MOMENTUM;
    if (o.eps == 0) o.eps = DEFAULT_EPS;
    if (!check(&o)) return NULL;
    o.x = op_to_lanes(o.x);
    if (!o.x) return NULL;
    const BatchNormShape shape = shape_of(o.x);
    Tensor *saved = layout_new(SHAPE(2, shape.channels), LAYOUT_PLAIN), *y = NULL;
    Moments *moments = weft_alloc(shape.channels, sizeof *moments);
    ChannelMap *channels = weft_alloc(shape.channels, sizeof *channels);
    if (saved && moments && channels && moments_of(moments, &o, shape)) y = normalise(&o, moments, saved, channels);
    if (y) update_running(&o, moments, shape);
    weft_free(moments);
    weft_free(channels);
    return y;
}
