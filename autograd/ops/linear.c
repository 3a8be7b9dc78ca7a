#include "autograd/node.h"
#include "autograd/onnx.h"
#include "autograd/ops.h"
#include "tensor/kernels/kernels.h"

enum { X, WEIGHT, BIAS, INPUTS };

typedef struct LinearAttributes {
    bool relu;
} LinearAttributes;

static LinearShape shape_of(const Tensor *x, const Tensor *weight)
{
    const int64_t outputs = weight->shape.size[0], features = weight->shape.size[1];
    return (LinearShape){layout_groups(x), features, outputs, .output_step = features, .feature_step = 1};
}

static bool add_input_grad(const Node *node, const Tensor *grad)
{
    if (!node_needs_grad(node, X)) return true;
    const Tensor *weight = node_input(node, WEIGHT);
    Tensor *x_grad = node_new_grad(node_input(node, X));
    if (!x_grad) return false;
    const LinearShape s = shape_of(grad, weight);
    const LinearShape transposed = {s.groups, s.outputs, s.features, s.feature_step, s.output_step};
    weft_kernels()->linear(x_grad->storage->data, grad->storage->data, weight->storage->data, NULL, false, &transposed);
    layout_fill_spare(x_grad); /* zeros times an infinite weight are no zeros */
    return node_add_grad(node, X, x_grad);
}

static bool add_weight_grad(const Node *node, const Tensor *grad)
{
    if (!node_needs_grad(node, WEIGHT)) return true;
    const Tensor *x = node_input(node, X), *weight = node_input(node, WEIGHT);
    Tensor *weight_grad = node_new_grad(weight);
    if (!weight_grad) return false;
    const LinearShape shape = shape_of(x, weight);
    weft_kernels()->linear_weight_grad(weight_grad->storage->data, x->storage->data, grad->storage->data, &shape);
    return node_add_grad(node, WEIGHT, weight_grad);
}

static bool add_bias_grad(const Node *node, const Tensor *grad)
{
    if (!node_needs_grad(node, BIAS)) return true;
    Tensor *bias_grad = node_new_grad(node_input(node, BIAS));
    if (!bias_grad) return false;
    const LinearShape shape = shape_of(grad, node_input(node, WEIGHT));
    weft_kernels()->linear_bias_grad(bias_grad->storage->data, grad->storage->data, &shape);
    layout_fill_spare(bias_grad);
    return node_add_grad(node, BIAS, bias_grad);
}

static bool linear_backward(const Node *node, Tensor *grad)
{
    const LinearAttributes *attributes = node_attributes(node);
    if (attributes->relu) {
        Tensor *passed = node_new_grad(grad);
        if (!passed) return false;
        weft_kernels()->relu_backward(passed->storage->data, grad->storage->data, node_output(node)->storage->data, 0,
                                      grad->storage->count);
        grad = passed;
    }
    return add_input_grad(node, grad) && add_weight_grad(node, grad) && add_bias_grad(node, grad);
}

static int linear_describe(const Node *node, Attribute *attributes)
{
    const LinearAttributes *linear = node_attributes(node);
    attributes[0] = (Attribute){.name = "relu", .count = 1, .integers = {linear->relu}};
    return 1;
}

static double linear_flops(Tensor *const *inputs, const void *attributes)
{
    (void)attributes;
    return 2 * (double)tensor_size(inputs[X], 0) * (double)tensor_count(inputs[WEIGHT]);
}

/* y = x weight' + bias */
static OnnxValue *linear_onnx(const OnnxCall *call)
{
    const LinearAttributes *linear = node_attributes(call->node);
    OnnxValue *y = onnx_op_same(call, "Gemm");
    onnx_set_integer(y, "transB", 1);
    return linear->relu ? onnx_op(call, "Relu", y) : y;
}

#define LINEAR_OP .name = "linear", .backward = linear_backward, .describe = linear_describe, \
                  .flops = linear_flops, .onnx = linear_onnx, .reads_inputs = 1u << X | 1u << WEIGHT
static const Op linear_op = {LINEAR_OP};
static const Op linear_relu_op = {LINEAR_OP, .reads_output = true};

static bool check(const LinearOptions *o)
{
    char a[SHAPE_TEXT], b[SHAPE_TEXT];
    if (o->x->shape.rank != 2 || o->weight->shape.rank != 2)
        return weft_fail("linear: input %s is not [N, F] or weight %s not [O, F]", shape_text(o->x->shape, a),
                         shape_text(o->weight->shape, b));
    if (o->x->shape.size[1] != o->weight->shape.size[1])
        return weft_fail("linear: input %s has %lld features, weight %s takes %lld", shape_text(o->x->shape, a),
                         (long long)o->x->shape.size[1], shape_text(o->weight->shape, b),
                         (long long)o->weight->shape.size[1]);
    if (o->bias == TENSOR_NONE) return true;
    if (o->bias->shape.rank != 1 || o->bias->shape.size[0] != o->weight->shape.size[0])
        return weft_fail("linear: bias %s, weight %s has %lld outputs", shape_text(o->bias->shape, a),
                         shape_text(o->weight->shape, b), (long long)o->weight->shape.size[0]);
    return true;
}

Tensor *op_linear_with(LinearOptions o)
{
    if (!o.x || !o.weight || !o.bias || !check(&o)) return NULL;
    Tensor *x = op_to_lanes(o.x), *weight = op_to_plain(o.weight);
    if (!x || !weight) return NULL;
    const LinearShape shape = shape_of(x, weight);
    Tensor *y = layout_new(SHAPE(x->shape.size[0], shape.outputs), LAYOUT_LANES);
    if (!y) return NULL;
    weft_kernels()->linear(y->storage->data, x->storage->data, weight->storage->data,
                           o.bias == TENSOR_NONE ? NULL : o.bias->storage->data, o.relu, &shape);
    if (x->is_gradient) layout_fill_spare(y);
    const LinearAttributes attributes = {o.relu};
    Tensor *const inputs[INPUTS] = {[X] = x, [WEIGHT] = weight, [BIAS] = o.bias};
    return op_record(o.relu ? &linear_relu_op : &linear_op, y, inputs, INPUTS, &attributes, sizeof attributes);
}
