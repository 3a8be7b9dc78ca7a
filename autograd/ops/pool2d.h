/* Max-pooling as part of an op. Internal. */
#ifndef WEFT_OPS_POOL2D_H
#define WEFT_OPS_POOL2D_H

#include "tensor/tensor.h"

/* Room for the places of the maxima in y, a PoolIndex for each value. NULL when memory is short. */
Tensor *op_max_pool2d_indices(const Tensor *y);

#endif
