/* The graph's node, and layout conversions as ops. Internal: ops use autograd/autograd.h. */
#ifndef WEFT_NODE_H
#define WEFT_NODE_H

#include "autograd/autograd.h"
#include "tensor/layout.h"

/* x in that layout, inside the graph: x itself where it has it already, else a converted copy. */
Tensor *op_to_lanes(Tensor *x);
Tensor *op_to_plain(Tensor *x);
/* Whether the node is one of these two: what reads its result reads a copy of its input. */
bool node_is_conversion(const Node *node);

/* A tensor for a gradient of shape and layout of `like`: not cleared; spare lanes are to be written as zero. */
Tensor *node_new_grad(const Tensor *like);

#endif
