/* The two layout conversions as ops: each is the other's adjoint. */
#include "autograd/node.h"

static bool to_lanes_backward(const Node *node, Tensor *grad)
{
    return node_add_grad(node, 0, (Tensor *)layout_plain(grad));
}

static bool to_plain_backward(const Node *node, Tensor *grad)
{
    return node_add_grad(node, 0, (Tensor *)layout_lanes(grad));
}

static const Op to_lanes = {.name = "to_lanes", .backward = to_lanes_backward};
static const Op to_plain = {.name = "to_plain", .backward = to_plain_backward};

bool node_is_conversion(const Node *node)
{
    return node && (node->op == &to_lanes || node->op == &to_plain);
}

static Tensor *convert(const Op *op, Tensor *x, const Tensor *converted)
{
    if (converted == x) return x;
    return op_record(op, (Tensor *)converted, (Tensor *[]){x}, 1, NULL, 0);
}

Tensor *op_to_lanes(Tensor *x)
{
    return x ? convert(&to_lanes, x, layout_lanes(x)) : NULL;
}

Tensor *op_to_plain(Tensor *x)
{
    return x ? convert(&to_plain, x, layout_plain(x)) : NULL;
}

Tensor *node_new_grad(const Tensor *like)
{
    Tensor *grad = layout_new(like->shape, like->lanes ? LAYOUT_LANES : LAYOUT_PLAIN);
    if (grad) grad->is_gradient = true;
    return grad;
}
