/* Convolution: the checks, which algorithm serves which shape, and the gradients. */
#include <string.h>

#include "autograd/node.h"
#include "autograd/onnx.h"
#include "autograd/ops.h"
#include "autograd/ops/batch_norm.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/pool2d.h"
#include "tensor/kernels/kernels.h"
#include "tensor/memory.h"

/* Bounds stride, padding and dilation, and the elements of a result's map, so that no sum of positions and no count of
 * products overflows. */
static const int64_t largest_option = (int64_t)1 << 30, largest_map = INT64_MAX >> 8;

enum { INPUT, WEIGHT, BIAS, INPUTS };
/* What backward finds: which element of each window was the maximum, if pooling was in the same pass. */
enum { SAVED_INDICES };

typedef struct ConvAttributes {
    ConvShape shape;
    bool relu, pool;
} ConvAttributes;

/* ---- Which algorithm ---- */

/* Winograd's for 3x3 kernels with so many channels that its products count and not its transforms, where they are at
 * most half of the direct sum's; direct sums otherwise. Decided by the shape alone, so that results do not depend on
 * the machine. */
static bool uses_winograd(const ConvShape *s)
{
    enum { FEWEST_CHANNELS = 32, TAPS = 3 * 3 };
    return s->height.kernel == 3 && s->width.kernel == 3 && s->stride == 1 && s->dilation == 1 && s->sections == 1 &&
           s->in_channels % WINOGRAD_MULTIPLE == 0 && s->out_channels % WINOGRAD_MULTIPLE == 0 &&
           s->in_channels >= FEWEST_CHANNELS && s->out_channels >= FEWEST_CHANNELS &&
           2 * winograd_products(s, winograd_tile(s)) <= TAPS * s->height.out * s->width.out;
}

/* ---- Packed weights ---- */

/* What packings, as they are and transposed, are called among what is derived from the weights: those of each size of
 * Winograd's tile, never transposed, and at 0 the direct sum's. */
static const char packings[WINOGRAD_LARGEST + 1][2];

/* The number of sections comes first, since the packing depends on it; in room that keeps the weights aligned. */
enum { HEADER = WEFT_LANES };

/* The weights as the kernels want them, packed once as long as they are not written. NULL when memory is short. */
static const Real *packed_weights(const Tensor *weight, const ConvShape *s, bool transposed)
{
    const bool winograd = uses_winograd(s);
    const char *kind = &packings[winograd ? winograd_tile(s) : 0][transposed];
    Real *derived = layout_derived(weight, kind);
    if (derived && memcmp(derived, &s->sections, sizeof s->sections) == 0) return derived + HEADER;
    derived = layout_derive(weight, kind,
                            HEADER + (winograd ? winograd_packed_count(s) : conv_packed_count(s, transposed)));
    if (!derived) return NULL;
    memcpy(derived, &s->sections, sizeof s->sections);
    if (winograd) weft_kernels()->winograd_pack(derived + HEADER, weight->storage->data, s);
    else weft_kernels()->conv2d_pack(derived + HEADER, weight->storage->data, s, transposed);
    return derived + HEADER;
}

/* ---- Gradients ---- */

/* Names the sums of a gradient among what is derived from it. */
static const char gradient_sums;

Real *op_conv2d_new_sums(const Tensor *grad)
{
    return layout_derive(grad, &gradient_sums, layout_groups(grad) * grad->shape.size[1]);
}

/* The gradient of what came before relu, which may lie behind the pooling. */
static WinogradGrad winograd_grad(const Node *node, const Tensor *out_grad)
{
    const ConvAttributes *a = node_attributes(node);
    const Tensor *indices = a->pool ? node_saved(node, SAVED_INDICES) : NULL;
    return (WinogradGrad){out_grad->storage->data, indices ? (const PoolIndex *)indices->storage->data : NULL};
}

static bool add_winograd_input_grad(const Node *node, const Tensor *out_grad, const Real *packed, Tensor *in_grad)
{
    const ConvShape *shape = &((const ConvAttributes *)node_attributes(node))->shape;
    const WinogradGrad grad = winograd_grad(node, out_grad);
    WinogradInputGrad result = {.values = in_grad->storage->data,
                                .relu = op_conv2d_relu_output(node_input(node, INPUT))};
    if (result.relu && !(result.sums = op_conv2d_new_sums(in_grad))) return false;
    Real *scratch = weft_alloc(weft_threads() * winograd_thread_scratch(shape, true), sizeof *scratch);
    if (!scratch) return false;
    weft_kernels()->winograd_input_grad(&result, &grad, packed, scratch, shape);
    weft_free(scratch);
    layout_fill_spare(in_grad); /* zeros times an infinite weight are no zeros */
    return node_add_grad(node, INPUT, in_grad);
}

static bool add_input_grad(const Node *node, const Tensor *out_grad, const ConvShape *shape)
{
    Tensor *in_grad = node_new_grad(node_input(node, INPUT));
    const Real *packed = in_grad ? packed_weights(node_input(node, WEIGHT), shape, !uses_winograd(shape)) : NULL;
    if (!packed) return false;
    if (uses_winograd(shape)) return add_winograd_input_grad(node, out_grad, packed, in_grad);
    Real *scratch = weft_alloc(conv_scratch(weft_threads()), sizeof *scratch);
    if (!scratch) return false;
    weft_kernels()->conv2d_input_grad(in_grad->storage->data, out_grad->storage->data, packed, scratch, shape);
    weft_free(scratch);
    layout_fill_spare(in_grad); /* as above */
    return node_add_grad(node, INPUT, in_grad);
}

static bool add_weight_grad(const Node *node, const Tensor *out_grad, const ConvShape *shape)
{
    Tensor *weight_grad = node_new_grad(node_input(node, WEIGHT));
    if (!weight_grad) return false;
    const bool winograd = uses_winograd(shape);
    const Real *in = node_input(node, INPUT)->storage->data;
    const WinogradGrad grad = winograd_grad(node, out_grad);
    Real *scratch = weft_alloc(winograd ? winograd_weight_scratch(shape, weft_threads())
                                        : conv_weight_scratch(shape, weft_threads()), sizeof *scratch);
    if (!scratch) return false;
    if (winograd) weft_kernels()->winograd_weight_grad(weight_grad->storage->data, in, &grad, scratch, shape);
    else weft_kernels()->conv2d_weight_grad(weight_grad->storage->data, in, grad.values, scratch, shape);
    weft_free(scratch);
    return node_add_grad(node, WEIGHT, weight_grad);
}

/* The groups' sums, in order. */
static bool add_bias_grad(const Node *node, const Real *sums, const ConvShape *shape)
{
    Tensor *bias_grad = node_new_grad(node_input(node, BIAS));
    if (!bias_grad) return false;
    Real *total = bias_grad->storage->data;
    for (int64_t c = 0; c < shape->out_channels; c++) total[c] = sums[c];
    for (int64_t g = 1; g < shape->groups; g++)
        for (int64_t c = 0; c < shape->out_channels; c++) total[c] += sums[g * shape->out_channels + c];
    layout_fill_spare(bias_grad);
    return node_add_grad(node, BIAS, bias_grad);
}

/* The gradient of what came before relu, and the sums of its channels in each group. */
typedef struct Masked {
    const Tensor *grad;
    const Real *sums; /* NULL where nobody wants them */
} Masked;

/* out_grad itself where there was no relu, or the indices of the maxima have taken care of it, or whoever made out_grad
 * has. The sums that are made here are not kept with out_grad: it may be the gradient of other ops' results, too. */
static bool mask_gradient(const Node *node, const Tensor *out_grad, bool wants_sums, Masked *masked)
{
    const ConvAttributes *a = node_attributes(node);
    const ConvShape *s = &a->shape;
    const bool masks = a->relu && !a->pool;
    *masked = (Masked){out_grad, masks ? layout_derived(out_grad, &gradient_sums) : NULL};
    if (masked->sums || (!masks && !wants_sums)) return true;
    Tensor *sums = layout_new(SHAPE(s->groups * s->out_channels), LAYOUT_PLAIN);
    Tensor *grad = masks ? node_new_grad(out_grad) : NULL;
    if (!sums || (masks && !grad)) return false;
    masked->sums = sums->storage->data;
    if (masks) masked->grad = grad;
    if (a->pool) {
        const WinogradGrad pooled = winograd_grad(node, out_grad);
        const PoolShape pool = winograd_pool(s, s->groups);
        weft_kernels()->channel_sums_pooled(sums->storage->data, pooled.values, pooled.indices, &pool);
    } else {
        weft_kernels()->channel_sums(sums->storage->data, masks ? grad->storage->data : NULL, out_grad->storage->data,
                                     masks ? node_output(node)->storage->data : NULL, s->groups * s->out_channels,
                                     s->height.out * s->width.out);
    }
    return true;
}

static bool conv2d_backward(const Node *node, Tensor *grad)
{
    const ConvShape *shape = &((const ConvAttributes *)node_attributes(node))->shape;
    const bool wants_bias = node_needs_grad(node, BIAS);
    Masked masked;
    return mask_gradient(node, grad, wants_bias, &masked) &&
           (!wants_bias || add_bias_grad(node, masked.sums, shape)) &&
           (!node_needs_grad(node, INPUT) || add_input_grad(node, masked.grad, shape)) &&
           (!node_needs_grad(node, WEIGHT) || add_weight_grad(node, masked.grad, shape));
}

/* ---- The op ---- */

static int conv2d_describe(const Node *node, Attribute *attributes)
{
    const ConvAttributes *a = node_attributes(node);
    attributes[0] = (Attribute){.name = "stride", .count = 1, .integers = {a->shape.stride}};
    attributes[1] = (Attribute){.name = "padding", .count = 1, .integers = {a->shape.padding}};
    attributes[2] = (Attribute){.name = "dilation", .count = 1, .integers = {a->shape.dilation}};
    attributes[3] = (Attribute){.name = "groups", .count = 1, .integers = {a->shape.sections}};
    attributes[4] = (Attribute){.name = "relu", .count = 1, .integers = {a->relu}};
    attributes[5] = (Attribute){.name = "max_pool", .count = 1, .integers = {a->pool ? WINOGRAD_POOL : 0}};
    return 6;
}

/* Those of the definition, whichever algorithm it is. */
static double conv2d_flops(Tensor *const *inputs, const void *attributes)
{
    const ConvShape *s = &((const ConvAttributes *)attributes)->shape;
    return 2 * (double)tensor_count(inputs[WEIGHT]) * (double)(s->samples * s->height.out * s->width.out);
}

static OnnxValue *conv2d_onnx(const OnnxCall *call)
{
    const ConvAttributes *a = node_attributes(call->node);
    const ConvShape *s = &a->shape;
    OnnxValue *y = onnx_op_same(call, "Conv");
    onnx_set_integers(y, "kernel_shape", (int64_t[]){s->height.kernel, s->width.kernel}, 2);
    onnx_set_integers(y, "strides", (int64_t[]){s->stride, s->stride}, 2);
    onnx_set_integers(y, "pads", (int64_t[]){s->padding, s->padding, s->padding, s->padding}, 4);
    onnx_set_integers(y, "dilations", (int64_t[]){s->dilation, s->dilation}, 2);
    onnx_set_integer(y, "group", s->sections);
    if (a->relu) y = onnx_op(call, "Relu", y);
    if (!a->pool) return y;
    y = onnx_op(call, "MaxPool", y);
    onnx_set_integers(y, "kernel_shape", (int64_t[]){WINOGRAD_POOL, WINOGRAD_POOL}, 2);
    onnx_set_integers(y, "strides", (int64_t[]){WINOGRAD_POOL, WINOGRAD_POOL}, 2);
    return y;
}

static const Op conv2d = {.name = "conv2d", .backward = conv2d_backward, .describe = conv2d_describe,
                          .flops = conv2d_flops, .onnx = conv2d_onnx,
                          .reads_inputs = 1u << INPUT | 1u << WEIGHT};
static const Op conv2d_relu = {.name = "conv2d", .backward = conv2d_backward, .describe = conv2d_describe,
                               .flops = conv2d_flops, .onnx = conv2d_onnx,
                               .reads_inputs = 1u << INPUT | 1u << WEIGHT, .reads_output = true};

const Real *op_conv2d_relu_output(const Tensor *x)
{
    return x->node && x->node->op == &conv2d_relu && !x->keep_grad ? x->storage->data : NULL;
}

static bool check_options(const Conv2dOptions *o)
{
    if (o->stride < 1 || o->padding < 0 || o->dilation < 1 || o->groups < 1)
        return weft_fail("conv2d: stride %lld, dilation %lld and groups %lld must be positive, padding %lld at least 0",
                         (long long)o->stride, (long long)o->dilation, (long long)o->groups, (long long)o->padding);
    if (o->max_pool < 0) return weft_fail("conv2d: max_pool %lld must be at least 0", (long long)o->max_pool);
    if (o->stride > largest_option || o->padding > largest_option || o->dilation > largest_option)
        return weft_fail("conv2d: stride %lld, padding %lld and dilation %lld must be at most %lld",
                         (long long)o->stride, (long long)o->padding, (long long)o->dilation,
                         (long long)largest_option);
    return true;
}

static bool check_shapes(const Conv2dOptions *o)
{
    char input[SHAPE_TEXT], weight[SHAPE_TEXT], bias[SHAPE_TEXT];
    const Shape *x = &o->x->shape, *w = &o->weight->shape, *b = &o->bias->shape;
    shape_text(*x, input);
    shape_text(*w, weight);
    if (x->rank != 4) return weft_fail("conv2d: input %s is not [N, C, H, W]", input);
    if (w->rank != 4) return weft_fail("conv2d: weight %s is not [O, C, KH, KW]", weight);
    if (x->size[1] % o->groups != 0 || w->size[0] % o->groups != 0)
        return weft_fail("conv2d: %lld groups do not divide the channels of input %s and weight %s",
                         (long long)o->groups, input, weight);
    if (x->size[1] != w->size[1] * o->groups)
        return weft_fail("conv2d: input %s has %lld channels, weight %s takes %lld", input, (long long)x->size[1],
                         weight, (long long)(w->size[1] * o->groups));
    if (o->bias != TENSOR_NONE && (b->rank != 1 || b->size[0] != w->size[0]))
        return weft_fail("conv2d: bias %s, weight %s wants [%lld]", shape_text(*b, bias), weight,
                         (long long)w->size[0]);
    return true;
}

/* False with an error if not one output fits. */
static bool make_axis(const Conv2dOptions *o, int dimension, ConvAxis *axis)
{
    char input[SHAPE_TEXT], weight[SHAPE_TEXT];
    const int64_t in = o->x->shape.size[dimension], kernel = o->weight->shape.size[dimension];
    const int64_t room = in + 2 * o->padding - o->dilation * (kernel - 1) - 1;
    *axis = (ConvAxis){in, room / o->stride + 1, kernel};
    if (room >= 0) return true;
    return weft_fail("conv2d: input %s with padding %lld is smaller than weight %s with dilation %lld",
                     shape_text(o->x->shape, input), (long long)o->padding, shape_text(o->weight->shape, weight),
                     (long long)o->dilation);
}

static bool prepare(const Conv2dOptions *o, ConvAttributes *a)
{
    if (!check_options(o) || !check_shapes(o)) return false;
    *a = (ConvAttributes){.relu = o->relu, .shape = {
        .samples = layout_samples(o->x), .groups = layout_groups(o->x),
        .in_channels = o->x->shape.size[1], .out_channels = o->weight->shape.size[0],
        .sections = o->groups, .stride = o->stride, .padding = o->padding, .dilation = o->dilation,
    }};
    if (!make_axis(o, 2, &a->shape.height) || !make_axis(o, 3, &a->shape.width)) return false;
    if (a->shape.height.out <= largest_map / a->shape.width.out) return true;
    return weft_fail("conv2d: a result of %lld by %lld is too large", (long long)a->shape.height.out,
                     (long long)a->shape.width.out);
}

static bool convolve(const WinogradOut *out, const Tensor *x, const Real *packed, GroupStatistics *statistics,
                     const ConvAttributes *a)
{
    const ConvShape *s = &a->shape;
    const bool winograd = uses_winograd(s);
    Real *scratch = weft_alloc(winograd ? weft_threads() * winograd_thread_scratch(s, false)
                                        : conv_scratch(weft_threads()), sizeof *scratch);
    if (!scratch) return false;
    if (winograd) {
        weft_kernels()->winograd(out, x->storage->data, packed, scratch, s);
        const BatchNormShape plane = {s->samples, s->out_channels, s->height.out * s->width.out};
        if (statistics) weft_kernels()->batch_norm_statistics(statistics, out->values, &plane);
    } else {
        weft_kernels()->conv2d(out->values, x->storage->data, packed, out->bias, a->relu, statistics, scratch, s);
    }
    weft_free(scratch);
    return true;
}

static bool any_requires_grad(Tensor *const *inputs)
{
    return autograd_is_recording() && (tensor_requires_grad(inputs[INPUT]) || tensor_requires_grad(inputs[WEIGHT]) ||
                                       tensor_requires_grad(inputs[BIAS]));
}

static Tensor *run(const Conv2dOptions *o, const ConvAttributes *a)
{
    Tensor *inputs[INPUTS] = {op_to_lanes(o->x), op_to_plain(o->weight), o->bias};
    if (!inputs[INPUT] || !inputs[WEIGHT]) return NULL;
    const int64_t side = a->pool ? WINOGRAD_POOL : 1;
    Tensor *y = layout_new(SHAPE(o->x->shape.size[0], a->shape.out_channels, a->shape.height.out / side,
                                 a->shape.width.out / side), LAYOUT_LANES);
    const Real *packed = y ? packed_weights(inputs[WEIGHT], &a->shape, false) : NULL;
    if (!packed) return NULL;
    GroupStatistics *statistics = NULL;
    if (o->statistics && !(statistics = op_batch_norm2d_new_statistics(y))) return NULL;
    Tensor *indices = NULL;
    if (a->pool && any_requires_grad(inputs) && !(indices = op_max_pool2d_indices(y))) return NULL;
    const WinogradOut out = {.values = y->storage->data, .relu = a->relu, .pool = a->pool,
                             .indices = indices ? (PoolIndex *)indices->storage->data : NULL,
                             .bias = o->bias != TENSOR_NONE ? o->bias->storage->data : NULL};
    if (!convolve(&out, inputs[INPUT], packed, statistics, a)) return NULL;
    if (inputs[INPUT]->is_gradient) layout_fill_spare(y);
    const Op *op = a->relu && !a->pool ? &conv2d_relu : &conv2d;
    y = op_record(op, y, inputs, INPUTS, a, sizeof *a);
    return indices ? op_save(y, indices) : y;
}

Tensor *op_conv2d_with(Conv2dOptions o)
{
    if (!o.x || !o.weight || !o.bias) return NULL;
    if (o.stride == 0) o.stride = 1;
    if (o.dilation == 0) o.dilation = 1;
    if (o.groups == 0) o.groups = 1;
    ConvAttributes a;
    if (!prepare(&o, &a)) return NULL;
    const bool in_one_pass = o.max_pool == WINOGRAD_POOL && !o.statistics && uses_winograd(&a.shape) &&
                             winograd_can_pool(&a.shape);
    a.pool = in_one_pass;
    Tensor *y = run(&o, &a);
    return o.max_pool == 0 || in_one_pass ? y : op_max_pool2d(y, o.max_pool);
}
