#include "autograd/node.h"
#include "autograd/onnx.h"
#include "autograd/ops.h"
#include "autograd/ops/pool2d.h"
#include "tensor/kernels/kernels.h"

typedef struct PoolAttributes {
    int64_t kernel, stride, padding; /* the kernel is 0 for the global average */
    PoolShape shape;
} PoolAttributes;

static int pool_describe(const Node *node, Attribute *attributes)
{
    const PoolAttributes *a = node_attributes(node);
    attributes[0] = (Attribute){.name = "kernel", .count = 1, .integers = {a->kernel}};
    attributes[1] = (Attribute){.name = "stride", .count = 1, .integers = {a->stride}};
    attributes[2] = (Attribute){.name = "padding", .count = 1, .integers = {a->padding}};
    return 3;
}

static bool max_pool_backward(const Node *node, Tensor *grad)
{
    const PoolAttributes *a = node_attributes(node);
    Tensor *in_grad = node_new_grad(node_input(node, 0));
    if (!in_grad) return false;
    weft_kernels()->max_pool2d_grad(in_grad->storage->data, grad->storage->data,
                                    (const PoolIndex *)node_saved(node, 0)->storage->data, &a->shape);
    return node_add_grad(node, 0, in_grad);
}

static bool avg_pool_backward(const Node *node, Tensor *grad)
{
    const PoolAttributes *a = node_attributes(node);
    Tensor *in_grad = node_new_grad(node_input(node, 0));
    if (!in_grad) return false;
    weft_kernels()->avg_pool2d_grad(in_grad->storage->data, grad->storage->data, &a->shape);
    return node_add_grad(node, 0, in_grad);
}

static OnnxValue *pool_onnx(const OnnxCall *call, const char *type)
{
    const PoolAttributes *a = node_attributes(call->node);
    OnnxValue *y = onnx_op_same(call, type);
    onnx_set_integers(y, "kernel_shape", (int64_t[]){a->kernel, a->kernel}, 2);
    onnx_set_integers(y, "strides", (int64_t[]){a->stride, a->stride}, 2);
    onnx_set_integers(y, "pads", (int64_t[]){a->padding, a->padding, a->padding, a->padding}, 4);
    return y;
}

static OnnxValue *max_pool_onnx(const OnnxCall *call)
{
    return pool_onnx(call, "MaxPool");
}

static OnnxValue *avg_pool_onnx(const OnnxCall *call)
{
    OnnxValue *y = pool_onnx(call, "AveragePool");
    onnx_set_integer(y, "count_include_pad", 1);
    return y;
}

static OnnxValue *global_avg_pool_onnx(const OnnxCall *call)
{
    return onnx_op_same(call, "GlobalAveragePool");
}

static const Op max_pool = {
    .name = "max_pool2d", .backward = max_pool_backward, .describe = pool_describe, .onnx = max_pool_onnx};
static const Op avg_pool = {
    .name = "avg_pool2d", .backward = avg_pool_backward, .describe = pool_describe, .onnx = avg_pool_onnx};
static const Op global_avg_pool = {
    .name = "global_avg_pool2d", .backward = avg_pool_backward, .onnx = global_avg_pool_onnx};

static bool check_image(const Op *op, const Tensor *x)
{
    char text[SHAPE_TEXT];
    if (x->shape.rank == 4) return true;
    return weft_fail("%s: input %s is not [N, C, H, W]", op->name, shape_text(x->shape, text));
}

static bool prepare(const Op *op, Pool2dOptions o, PoolAttributes *attributes)
{
    char text[SHAPE_TEXT];
    if (!check_image(op, o.x)) return false;
    if (o.stride == 0) o.stride = o.kernel;
    const int64_t channels = o.x->shape.size[1], height = o.x->shape.size[2], width = o.x->shape.size[3];
    /* The padding is bounded by the kernel, and what the kernel must fit in by the padded image: no sum overflows. */
    if (o.kernel < 1 || o.stride < 1 || o.padding < 0 || o.padding > o.kernel / 2)
        return weft_fail("%s: kernel %lld and stride %lld must be at least 1, padding %lld from 0 to half the kernel",
                         op->name, (long long)o.kernel, (long long)o.stride, (long long)o.padding);
    if (o.kernel - o.padding > height + o.padding || o.kernel - o.padding > width + o.padding)
        return weft_fail("%s: input %s with padding %lld is smaller than the kernel %lld", op->name,
                         shape_text(o.x->shape, text), (long long)o.padding, (long long)o.kernel);
    *attributes = (PoolAttributes){o.kernel, o.stride, o.padding, {
        .planes = layout_groups(o.x) * channels,
        .in_height = height,
        .in_width = width,
        .out_height = (height + o.padding - (o.kernel - o.padding)) / o.stride + 1,
        .out_width = (width + o.padding - (o.kernel - o.padding)) / o.stride + 1,
        .kernel_height = o.kernel,
        .kernel_width = o.kernel,
        .stride = o.stride,
        .padding = o.padding,
    }};
    return true;
}

/* Room for the result: the kind of lanes that x has stays, as the largest and the mean of zeros are zero. */
static Tensor *new_result(const Tensor *x, const PoolShape *shape)
{
    return x ? layout_new_like(x, SHAPE(x->shape.size[0], x->shape.size[1], shape->out_height, shape->out_width)) : 0;
}

Tensor *op_max_pool2d_indices(const Tensor *y)
{
    const int64_t per_real = (int64_t)(sizeof(Real) / sizeof(PoolIndex));
    return layout_new(SHAPE((y->storage->count + per_real - 1) / per_real), LAYOUT_PLAIN);
}

Tensor *op_max_pool2d_with(Pool2dOptions o)
{
    PoolAttributes a;
    if (!o.x || !prepare(&max_pool, o, &a)) return NULL;
    if (o.kernel > POOL_MAX_WINDOW / o.kernel)
        return weft_fail("max_pool2d: kernel %lld is larger than %d elements", (long long)o.kernel, POOL_MAX_WINDOW);
    Tensor *x = op_to_lanes(o.x), *y = new_result(x, &a.shape), *indices = NULL;
    if (!y) return NULL;
    if (autograd_is_recording() && tensor_requires_grad(x)) {
        indices = op_max_pool2d_indices(y);
        if (!indices) return NULL;
    }
    weft_kernels()->max_pool2d(y->storage->data, indices ? (PoolIndex *)indices->storage->data : NULL,
                               x->storage->data, &a.shape);
    y = op_record(&max_pool, y, &x, 1, &a, sizeof a);
    return indices ? op_save(y, indices) : y;
}

static Tensor *average(const Op *op, Tensor *x, const PoolAttributes *a)
{
    x = op_to_lanes(x);
    Tensor *y = new_result(x, &a->shape);
    if (!y) return NULL;
    weft_kernels()->avg_pool2d(y->storage->data, x->storage->data, &a->shape);
    return op_record(op, y, &x, 1, a, sizeof *a);
}

Tensor *op_avg_pool2d_with(Pool2dOptions o)
{
    PoolAttributes a;
    if (!o.x || !prepare(&avg_pool, o, &a)) return NULL;
    return average(&avg_pool, o.x, &a);
}

Tensor *op_global_avg_pool2d(Tensor *x)
{
    if (!x || !check_image(&global_avg_pool, x)) return NULL;
    const int64_t height = x->shape.size[2], width = x->shape.size[3];
    const PoolAttributes a = {.shape = {
        .planes = layout_groups(x) * x->shape.size[1],
        .in_height = height,
        .in_width = width,
        .out_height = 1,
        .out_width = 1,
        .kernel_height = height,
        .kernel_width = width,
        .stride = 1,
    }};
    return average(&global_avg_pool, x, &a);
}
