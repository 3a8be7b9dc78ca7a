/* What arithmetic, reductions and shape ops share: strided loops over tensors in either layout. Internal. */
#ifndef WEFT_OPS_STRIDED_H
#define WEFT_OPS_STRIDED_H

#include "tensor/kernels/broadcast.h"
#include "tensor/kernels/softmax.h"
#include "tensor/layout.h"

/* Makes a dimension that may count from the last one count from 0; false with an error if x has no such dimension. */
bool strided_dimension(const char *op, const Tensor *x, int *dimension);

/* How many values t moves along when an index of a result of that rank grows by one, its shape aligned with the
 * result's at the last dimension; 0 where its size is 1 or it has no such dimension. If `lanes`, the result is in lanes
 * and its dimensions are groups, dimensions 1 to rank - 1, and the lane: t is then a batch in lanes of the same
 * dimension 0, or plain and the same for every sample. */
void strided_steps(const Tensor *t, int rank, bool lanes, int64_t steps[SPACE_MAX_RANK]);
/* The loop over all values of t in its own layout, with `out` moving through t; a and b are zero. */
Space strided_space(const Tensor *t);
/* Runs a kernel over a space, its dimensions merged where all three arrays allow it. */
void strided_run(BroadcastKernel *kernel, Real *out, const Real *a, const Real *b, Space space);

/* x, which is in lanes, as slices along a dimension other than 0. */
Slices strided_slices(const Tensor *x, int dimension);

/* Whether t varies with dimension 0 of a result of this shape; it is then a batch like the result itself. */
bool strided_carries_batch(const Tensor *t, Shape result);
/* Writes out = kernel(a, b), both broadcast to out's shape, which they must fit, and converted if the layout of out
 * asks for it. Returns out; NULL if anything is NULL or memory is short. */
Tensor *strided_broadcast(BroadcastKernel *kernel, Tensor *out, const Tensor *a, const Tensor *b);

/* The gradient of an operand of this shape from that of what it was broadcast to: the sum over what was repeated, as
 * op_sum defines it, in reduce.c. */
Tensor *strided_unbroadcast(Tensor *grad, Shape shape);

#endif
