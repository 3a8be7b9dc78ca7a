#include "autograd/ops/dropout.h"

#include <math.h>

#include "autograd/node.h"
#include "autograd/ops.h"
#include "tensor/kernels/kernels.h"

typedef struct DropoutAttributes {
    double p;
    Real scale;
} DropoutAttributes;

bool op_dropout_make(const char *op, const Tensor *x, double p, RandomKey key, Tensor **mask, Real *scale)
{
    const double outcomes = ldexp(1, DROPOUT_NUMBER_BITS);
    const double threshold = rint(p * outcomes);
    *mask = NULL;
    *scale = 1;
    if (!(p >= 0 && threshold < outcomes))
        return weft_fail("%s: dropout probability %g is not from 0 to below 1 in steps of 2^-%d", op, p,
                         DROPOUT_NUMBER_BITS);
    if (threshold <= 0) return true;
    const int64_t elements = layout_elements(x);
    *mask = layout_new(SHAPE(layout_groups(x) * dropout_mask_words(elements) * WEFT_LANES), LAYOUT_PLAIN);
    if (!*mask) return false;
    weft_kernels()->dropout_mask((*mask)->storage->data, layout_samples(x), elements, (int64_t)threshold, key);
    *scale = (Real)(outcomes / (outcomes - threshold));
    return true;
}

static void apply(Tensor *out, const Tensor *in, const Tensor *mask, Real scale)
{
    weft_kernels()->dropout(out->storage->data, in->storage->data, mask->storage->data, layout_groups(in),
                            layout_elements(in), scale);
}

static bool dropout_backward(const Node *node, Tensor *grad)
{
    const DropoutAttributes *attributes = node_attributes(node);
    Tensor *x_grad = node_new_grad(grad);
    if (!x_grad) return false;
    apply(x_grad, grad, node_saved(node, 0), attributes->scale);
    return node_add_grad(node, 0, x_grad);
}

static int dropout_describe(const Node *node, Attribute *attributes)
{
    const DropoutAttributes *dropout = node_attributes(node);
    attributes[0] = (Attribute){.name = "p", .number = dropout->p};
    return 1;
}

static const Op dropout_op = {.name = "dropout", .backward = dropout_backward, .describe = dropout_describe};

Tensor *op_dropout(Tensor *x, double p, RandomKey key)
{
    if (!x) return NULL;
    if (x == TENSOR_NONE) return weft_fail("dropout: no tensor");
    Tensor *mask;
    DropoutAttributes attributes = {.p = p};
    if (!op_dropout_make("dropout", x, p, key, &mask, &attributes.scale)) return NULL;
    if (!mask) return op_reshape(x, x->shape); /* a result of its own, as every op's */
    x = op_to_lanes(x);
    Tensor *y = x ? layout_new_like(x, x->shape) : NULL;
    if (!y) return NULL;
    apply(y, x, mask, attributes.scale);
    return op_save(op_record(&dropout_op, y, &x, 1, &attributes, sizeof attributes), mask);
}
