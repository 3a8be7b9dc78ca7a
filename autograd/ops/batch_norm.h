/* What batch norm and the ops before it agree on. Internal. */
#ifndef WEFT_OPS_BATCH_NORM_H
#define WEFT_OPS_BATCH_NORM_H

#include "tensor/kernels/batch_norm.h"
#include "tensor/tensor.h"

/* Names the channel statistics of an [N, C, H, W] tensor in lanes among what is derived from its storage: one
 * GroupStatistics for each group and channel. op_batch_norm2d takes them from there, or puts them there. */
extern const char op_batch_statistics;
/* Room for them, of x as it is now. NULL when memory is short. */
GroupStatistics *op_batch_norm2d_new_statistics(const Tensor *x);

#endif
