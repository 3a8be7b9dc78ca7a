/* softmax and log_softmax. */
#include "autograd/node.h"
#include "autograd/onnx.h"
#include "autograd/ops.h"
#include "autograd/ops/strided.h"
#include "tensor/kernels/kernels.h"

static int describe(const Node *node, Attribute *attributes)
{
    attributes[0] = (Attribute){.name = "dimension", .count = 1, .integers = {*(const int *)node_attributes(node)}};
    return 1;
}

static Tensor *forward(const Op *op, SliceKernel *kernel, Tensor *x, int dimension)
{
    if (!x || !strided_dimension(op->name, x, &dimension)) return NULL;
    if (dimension == 0) {
        /* Slices of the batch become slices of a sample, and back. */
        bool alone = x->shape.rank == 1;
        Tensor *moved = alone ? op_reshape(x, SHAPE(1, -1)) : op_transpose(x, 0, 1);
        Tensor *y = forward(op, kernel, moved, 1);
        return alone ? op_reshape(y, x->shape) : op_transpose(y, 0, 1);
    }
    x = op_to_lanes(x);
    Tensor *y = x ? layout_new(x->shape, LAYOUT_LANES) : NULL;
    if (!y) return NULL;
    Slices slices = strided_slices(x, dimension);
    kernel(y->storage->data, x->storage->data, x->storage->data, &slices);
    if (x->is_gradient) layout_fill_spare(y);
    return op_record(op, y, &x, 1, &dimension, sizeof dimension);
}

static bool backward_through(const Node *node, SliceKernel *kernel, Tensor *grad)
{
    const Tensor *y = node_output(node);
    Tensor *dx = node_new_grad(y);
    if (!dx) return false;
    Slices slices = strided_slices(y, *(const int *)node_attributes(node));
    kernel(dx->storage->data, y->storage->data, grad->storage->data, &slices);
    layout_fill_spare(dx); /* zero times what may be infinite */
    return node_add_grad(node, 0, dx);
}

static bool softmax_backward(const Node *node, Tensor *grad)
{
    return backward_through(node, weft_kernels()->softmax_backward, grad);
}

static bool log_softmax_backward(const Node *node, Tensor *grad)
{
    return backward_through(node, weft_kernels()->log_softmax_backward, grad);
}

static OnnxValue *onnx_along(const OnnxCall *call, const char *type)
{
    OnnxValue *y = onnx_op_same(call, type);
    onnx_set_integer(y, "axis", *(const int *)node_attributes(call->node));
    return y;
}

static OnnxValue *softmax_onnx(const OnnxCall *call)
{
    return onnx_along(call, "Softmax");
}

static OnnxValue *log_softmax_onnx(const OnnxCall *call)
{
    return onnx_along(call, "LogSoftmax");
}

Tensor *op_softmax(Tensor *x, int dimension)
{
    static const Op op = {.name = "softmax", .backward = softmax_backward, .describe = describe, .reads_output = true,
                          .onnx = softmax_onnx};
    return forward(&op, weft_kernels()->softmax, x, dimension);
}

Tensor *op_log_softmax(Tensor *x, int dimension)
{
    static const Op op = {.name = "log_softmax", .backward = log_softmax_backward, .describe = describe,
                          .reads_output = true, .onnx = log_softmax_onnx};
    return forward(&op, weft_kernels()->log_softmax, x, dimension);
}
