/* add, sub, mul, div, with broadcasting. */
#include "autograd/node.h"
#include "autograd/onnx.h"
#include "autograd/ops.h"
#include "autograd/ops/strided.h"
#include "tensor/kernels/kernels.h"

/* ---- Forward ---- */

static bool broadcast_shapes(const Op *op, const Tensor *a, const Tensor *b, Shape *result)
{
    int rank = a->shape.rank > b->shape.rank ? a->shape.rank : b->shape.rank;
    bool fits = a != TENSOR_NONE && b != TENSOR_NONE;
    *result = (Shape){.rank = rank};
    for (int d = 0; fits && d < rank; d++) {
        int in_a = d - rank + a->shape.rank, in_b = d - rank + b->shape.rank;
        int64_t size_a = in_a < 0 ? 1 : a->shape.size[in_a], size_b = in_b < 0 ? 1 : b->shape.size[in_b];
        fits = size_a == size_b || size_a == 1 || size_b == 1;
        result->size[d] = size_a == 1 ? size_b : size_a;
    }
    char text_a[SHAPE_TEXT], text_b[SHAPE_TEXT];
    if (!fits)
        weft_fail("%s: %s and %s do not broadcast", op->name, shape_text(a->shape, text_a),
                  shape_text(b->shape, text_b));
    return fits;
}

static Tensor *convert(Tensor *t, Shape result, bool lanes)
{
    return lanes && strided_carries_batch(t, result) ? op_to_lanes(t) : op_to_plain(t);
}

static Tensor *forward(const Op *op, BroadcastKernel *kernel, Tensor *a, Tensor *b)
{
    Shape shape;
    if (!a || !b || !broadcast_shapes(op, a, b, &shape)) return NULL;
    bool lanes = (a->lanes && strided_carries_batch(a, shape)) || (b->lanes && strided_carries_batch(b, shape));
    a = convert(a, shape, lanes);
    b = convert(b, shape, lanes);
    if (!a || !b) return NULL;
    Tensor *out = strided_broadcast(kernel, layout_new(shape, lanes ? LAYOUT_LANES : LAYOUT_PLAIN), a, b);
    return op_record(op, out, (Tensor *[]){a, b}, 2, NULL, 0);
}

/* ---- Backward ---- */

static Tensor *apply(BroadcastKernel *kernel, const Tensor *grad, const Tensor *other)
{
    return grad ? strided_broadcast(kernel, node_new_grad(grad), grad, other) : NULL;
}

/* Adds the gradient of input i, of the result's shape as yet, with this sign. */
static bool add_grad(const Node *node, int i, Tensor *grad, bool negative)
{
    if (!node_needs_grad(node, i)) return true;
    grad = grad ? strided_unbroadcast(grad, node_input(node, i)->shape) : NULL;
    Tensor *result = grad && negative ? node_new_grad(grad) : grad;
    if (!result) return false;
    Real *values = result->storage->data;
    if (negative) weft_kernels()->neg_forward(values, grad->storage->data, 0, result->storage->count);
    return node_add_grad(node, i, result);
}

static bool add_backward(const Node *node, Tensor *grad)
{
    return add_grad(node, 0, grad, false) && add_grad(node, 1, grad, false);
}

static bool sub_backward(const Node *node, Tensor *grad)
{
    return add_grad(node, 0, grad, false) && add_grad(node, 1, grad, true);
}

static bool mul_backward(const Node *node, Tensor *grad)
{
    BroadcastKernel *mul = weft_kernels()->broadcast_mul;
    for (int i = 0; i < 2; i++) {
        if (!node_needs_grad(node, i)) continue;
        if (!add_grad(node, i, apply(mul, grad, node_input(node, 1 - i)), false)) return false;
    }
    return true;
}

/* a / b = y: the gradients are grad / b and -(grad / b) y. */
static bool div_backward(const Node *node, Tensor *grad)
{
    Tensor *quotient = apply(weft_kernels()->broadcast_div, grad, node_input(node, 1));
    if (!add_grad(node, 0, quotient, false)) return false;
    if (!node_needs_grad(node, 1)) return true;
    return add_grad(node, 1, apply(weft_kernels()->broadcast_mul, quotient, node_output(node)), true);
}

/* ---- As ONNX, which broadcasts alike ---- */

static OnnxValue *add_onnx(const OnnxCall *call)
{
    return onnx_op_same(call, "Add");
}

static OnnxValue *sub_onnx(const OnnxCall *call)
{
    return onnx_op_same(call, "Sub");
}

static OnnxValue *mul_onnx(const OnnxCall *call)
{
    return onnx_op_same(call, "Mul");
}

static OnnxValue *div_onnx(const OnnxCall *call)
{
    return onnx_op_same(call, "Div");
}

/* ---- The ops ---- */

enum { READS_A = 1, READS_B = 2 };

Tensor *op_add(Tensor *a, Tensor *b)
{
    static const Op op = {.name = "add", .backward = add_backward, .onnx = add_onnx};
    return forward(&op, weft_kernels()->broadcast_add, a, b);
}

Tensor *op_sub(Tensor *a, Tensor *b)
{
    static const Op op = {.name = "sub", .backward = sub_backward, .onnx = sub_onnx};
    return forward(&op, weft_kernels()->broadcast_sub, a, b);
}

Tensor *op_mul(Tensor *a, Tensor *b)
{
    static const Op op = {
        .name = "mul", .backward = mul_backward, .onnx = mul_onnx, .reads_inputs = READS_A | READS_B};
    return forward(&op, weft_kernels()->broadcast_mul, a, b);
}

Tensor *op_div(Tensor *a, Tensor *b)
{
    static const Op op = {
        .name = "div", .backward = div_backward, .onnx = div_onnx, .reads_inputs = READS_B, .reads_output = true};
    return forward(&op, weft_kernels()->broadcast_div, a, b);
}
