/* Every kernel, by family: K(name, (arguments)). A new family is its header, included here, and a row. Internal. */
#ifndef WEFT_KERNEL_LIST_H
#define WEFT_KERNEL_LIST_H

#include "tensor/kernels/batch_norm.h"
#include "tensor/kernels/broadcast.h"
#include "tensor/kernels/channel_sums.h"
#include "tensor/kernels/conv.h"
#include "tensor/kernels/dropout.h"
#include "tensor/kernels/elementwise.h"
#include "tensor/kernels/layout.h"
#include "tensor/kernels/linear.h"
#include "tensor/kernels/loss.h"
#include "tensor/kernels/pool.h"
#include "tensor/kernels/reduce.h"
#include "tensor/kernels/sgd.h"
#include "tensor/kernels/softmax.h"
#include "tensor/kernels/winograd.h"

#define WEFT_KERNELS(K)                                                                                                \
    BATCH_NORM_KERNELS(K)                                                                                              \
    BROADCAST_KERNELS(K)                                                                                               \
    CHANNEL_SUMS_KERNELS(K)                                                                                            \
    CONV_KERNELS(K)                                                                                                    \
    DROPOUT_KERNELS(K)                                                                                                 \
    ELEMENTWISE_KERNELS(K)                                                                                             \
    LAYOUT_KERNELS(K)                                                                                                  \
    LINEAR_KERNELS(K)                                                                                                  \
    LOSS_KERNELS(K)                                                                                                    \
    POOL_KERNELS(K)                                                                                                    \
    REDUCE_KERNELS(K)                                                                                                  \
    SGD_KERNELS(K)                                                                                                     \
    SOFTMAX_KERNELS(K)                                                                                                 \
    WINOGRAD_KERNELS(K)

#endif
