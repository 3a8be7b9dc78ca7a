/* What a convolution with relu and the ops after it agree on. Internal.
 *
 * The gradient of its result passes the relu's mask first, and the bias's gradient sums what passed. An op that makes
 * such a gradient of its input x, and has its values at hand, may do both: where op_conv2d_relu_output(x) gives x's
 * values it writes the gradient of what came before the relu, and the sums of each channel of each group (as
 * tensor/kernels/relu_grad.h defines them) into op_conv2d_new_sums(grad). The convolution finds them with the gradient.
 * That must be a tensor that the op made for x alone. Gradients that are added up lose the sums, and are masked again,
 * which changes nothing. */
#ifndef WEFT_OPS_CONV2D_H
#define WEFT_OPS_CONV2D_H

#include "tensor/tensor.h"

/* The values of x if it is what a convolution's relu let pass and nobody asked to keep its gradient, else NULL. */
const Real *op_conv2d_relu_output(const Tensor *x);
/* Room for the sums [groups][C] of grad, the gradient of [N, C, H, W]. NULL when memory is short. */
Real *op_conv2d_new_sums(const Tensor *grad);

#endif
