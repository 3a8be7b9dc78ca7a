/* What batch norm and the ops before it agree on. Internal. */
#ifndef WEFT_OPS_BATCH_NORM_H
#define WEFT_OPS_BATCH_NORM_H

/* Names the channel statistics of an [N, C, H, W] tensor in lanes among what is derived from its storage: one
 * GroupStatistics (tensor/kernels/batch_norm.h) for each group and channel, layout_derive(x, &op_batch_statistics,
 * groups * C * 2). op_batch_norm2d takes them from there, or puts them there. */
extern const char op_batch_statistics;

#endif
