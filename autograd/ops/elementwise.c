/* The ops of ELEMENTWISE_OPS: all that is common to them, once. */
#include "autograd/node.h"
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

#define READS_NOTHING .reads_output = false
#define READS_INPUT   .reads_inputs = 1
#define READS_OUTPUT  .reads_output = true

#define PARAMETERS_ALONE        (Tensor * x)
#define PARAMETERS_NUMBER(name) (Tensor * x, double name)
#define NUMBER_ALONE            ((Number){.name = NULL})
#define NUMBER_NUMBER(name)     ((Number){#name, (Real)name})

#define DEFINE_OP(K, op, number, reads, y, dx)                                                                         \
    static bool op##_backward(const Node *node, Tensor *grad)                                                          \
    {                                                                                                                  \
        return backward_through(node, weft_kernels()->op##_backward, grad);                                            \
    }                                                                                                                  \
    Tensor *op_##op PARAMETERS_##number                                                                                \
    {                                                                                                                  \
        static const Op self = {.name = #op, .backward = op##_backward, .describe = describe, READS_##reads};          \
        return forward(&self, weft_kernels()->op##_forward, x, NUMBER_##number);                                       \
    }
ELEMENTWISE_OPS(DEFINE_OP, )
