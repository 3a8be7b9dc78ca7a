/* The ops of ELEMENTWISE_OPS: all that is common to them, once. */
#include "autograd/node.h"
#include "autograd/onnx.h"
#include "autograd/ops.h"
#include "tensor/kernels/kernels.h"

/* The number that an op takes besides its tensor; it has no name where there is none. */
typedef struct Number {
    const char *name;
    Real value;
} Number;

static int describe(const Node *node, Attribute *attributes)
{
    const Number *number = node_attributes(node);
    if (!number->name) return 0;
    attributes[0] = (Attribute){.name = number->name, .number = (double)number->value};
    return 1;
}

static Tensor *forward(const Op *op, ElementwiseForward *kernel, Tensor *x, Number number)
{
    if (!x) return NULL;
    if (x == TENSOR_NONE) return weft_fail("%s: no tensor", op->name);
    Tensor *y = layout_new(x->shape, x->lanes ? LAYOUT_LANES : LAYOUT_PLAIN);
    if (!y) return NULL;
    kernel(y->storage->data, x->storage->data, number.value, y->storage->count);
    /* f of a gradient's zero spare lanes is not f of its last sample. */
    if (x->is_gradient) layout_fill_spare(y);
    return op_record(op, y, &x, 1, &number, sizeof number);
}

static bool backward_through(const Node *node, ElementwiseBackward *kernel, Tensor *grad)
{
    const Op *op = node_op(node);
    const Number *number = node_attributes(node);
    const Tensor *read = op->reads_inputs ? node_input(node, 0) : op->reads_output ? node_output(node) : grad;
    Tensor *dx = node_new_grad(grad);
    if (!dx) return false;
    kernel(dx->storage->data, grad->storage->data, read->storage->data, number->value, dx->storage->count);
    /* A gradient of zero times an infinite derivative is no zero. */
    layout_fill_spare(dx);
    return node_add_grad(node, 0, dx);
}

static OnnxValue *onnx_with(const OnnxCall *call, const char *type)
{
    const Number *number = node_attributes(call->node);
    return onnx_op(call, type, call->inputs[0], onnx_number(call, (double)number->value));
}

static OnnxValue *onnx_alpha(const OnnxCall *call, const char *type)
{
    const Number *number = node_attributes(call->node);
    OnnxValue *y = onnx_op_same(call, type);
    onnx_set_number(y, "alpha", (double)number->value);
    return y;
}

#define READS_NOTHING .reads_output = false
#define READS_INPUT   .reads_inputs = 1
#define READS_OUTPUT  .reads_output = true

#define PARAMETERS_ALONE        (Tensor * x)
#define PARAMETERS_NUMBER(name) (Tensor * x, double name)
#define NUMBER_ALONE            ((Number){.name = NULL})
#define NUMBER_NUMBER(name)     ((Number){#name, (Real)name})

#define ONNX_SAME(type)  onnx_op_same(call, #type)
#define ONNX_WITH(type)  onnx_with(call, #type)
#define ONNX_TWICE(type) onnx_op(call, #type, call->inputs[0], call->inputs[0])
#define ONNX_ALPHA(type) onnx_alpha(call, #type)

#define DEFINE_OP(K, op, number, reads, as, y, dx)                                                                     \
    static bool op##_backward(const Node *node, Tensor *grad)                                                          \
    {                                                                                                                  \
        return backward_through(node, weft_kernels()->op##_backward, grad);                                            \
    }                                                                                                                  \
    static OnnxValue *op##_onnx(const OnnxCall *call)                                                                  \
    {                                                                                                                  \
        return ONNX_##as;                                                                                              \
    }                                                                                                                  \
    Tensor *op_##op PARAMETERS_##number                                                                                \
    {                                                                                                                  \
        static const Op self = {.name = #op, .backward = op##_backward, .describe = describe, .onnx = op##_onnx,       \
                                READS_##reads};                                                                        \
        return forward(&self, weft_kernels()->op##_forward, x, NUMBER_##number);                                       \
    }
ELEMENTWISE_OPS(DEFINE_OP, )
