/* Dropout as part of an op. Internal. */
#ifndef WEFT_OPS_DROPOUT_H
#define WEFT_OPS_DROPOUT_H

#include "tensor/kernels/batch_norm.h"
#include "tensor/tensor.h"

/* The mask that drops elements of x with probability p, and the scale for the rest, for kernels. `mask` receives the
 * tensor that holds it, NULL if p rounds to 0. False with an error that names the op if p is out of range or memory is
 * short. */
bool op_dropout_make(const char *op, const Tensor *x, double p, RandomKey key, Tensor **mask, Real *scale) WEFT_CHECKED;

#endif
