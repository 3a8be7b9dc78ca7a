/* Kernels of Winograd's convolution F(4x4, 3x3): 3x3 kernels with stride 1, dilation 1 and one section. Internal.
 *
 * Winograd 1980; Lavin & Gray, "Fast algorithms for convolutional neural networks", CVPR 2016. A tile of 4x4 outputs
 * sees a window of 6x6 inputs d. With the fixed matrices A (6x4), B (6x6) and G (6x3) and the 3x3 weights g,
 *
 *     V = B' d B,   U = G g G',   M = sum over input channels of U . V,   y = A' M A       (. elementwise)
 *
 * which takes 36 products a channel pair where the direct sum takes 144. Each of the 36 frequencies is a matrix product
 * over channels. The gradients are the adjoints of the very same steps on the same tiles:
 *
 *     dM = A dy A',   dU = sum over tiles and samples of dM . V,   dg = G' dU G,
 *     dV = sum over output channels of U . dM,   dx = B dV B' (overlapping windows added)  */
#ifndef WEFT_KERNEL_WINOGRAD_H
#define WEFT_KERNEL_WINOGRAD_H

#include <stddef.h>

#include "tensor/kernels/conv.h"
#include "tensor/kernels/pool.h"

enum {
    WINOGRAD_TILE = 4,         /* outputs a side */
    WINOGRAD_WINDOW = 6,       /* inputs a side */
    WINOGRAD_FREQUENCIES = 36,
    WINOGRAD_PACK = 8,         /* channels side by side in packed weights */
    WINOGRAD_MULTIPLE = 4,     /* the numbers of input and output channels must be multiples of this */
    WINOGRAD_SIDE = 32,        /* channels whose products are computed together, a multiple of 8 */
    WINOGRAD_ROWS = 32,        /* the same of dU: input channels, */
    WINOGRAD_COLUMNS = 64,     /* and output channels, a multiple of 16 */
    WINOGRAD_BYTES = 896 * 1024, /* of transformed tiles and products that are worked on together: they are to stay in
                                  * the second-level cache beside what streams through it */
};

/* Max-pooling with a window of 2 after the convolution, which a tile holds four of. */
enum {
    WINOGRAD_POOL = 2,
    WINOGRAD_CLOSED = WINOGRAD_POOL * WINOGRAD_POOL, /* the index of a maximum that relu let not pass */
};

/* What comes of a convolution: out = in convolved + bias, then relu, then max-pooling. */
typedef struct WinogradOut {
    Real *values;
    PoolIndex *indices; /* of the maxima, or NULL where nobody asks */
    const Real *bias;   /* may be NULL */
    bool relu, pool;
} WinogradOut;

/* The gradient of that: before relu, but behind the pooling if there are indices. */
typedef struct WinogradGrad {
    const Real *values;
    const PoolIndex *indices;
} WinogradGrad;

/* The gradient of the input. If that is what a relu let pass, `relu` is the input itself, the gradient is made that of
 * what came before the relu, and sums [groups][C] (tensor/kernels/relu_grad.h) hold its sums; both are NULL
 * otherwise. */
typedef struct WinogradInputGrad {
    Real *values, *sums;
    const Real *relu;
} WinogradInputGrad;

#define WINOGRAD_KERNELS(K)                                                                                            \
    /* U: blocks of 32 output channels, each [36][channels / 8][C][8], which is the order of its use; transposed, for  \
     * the input's gradient, O and C change places */                                                                  \
    K(winograd_pack, (Real * packed, const Real *weight, const ConvShape *shape, bool transposed))                     \
    K(winograd, (const WinogradOut *out, const Real *in, const Real *packed, Real *scratch, const ConvShape *shape))   \
    K(winograd_input_grad, (const WinogradInputGrad *in_grad, const WinogradGrad *out_grad, const Real *packed,        \
                            Real *scratch, const ConvShape *shape))                                                    \
    /* dU sums over group, tile and sample in order in each part of the batch (winograd_parts), then over parts. */    \
    K(winograd_weight_grad, (Real * weight_grad, const Real *in, const WinogradGrad *out_grad, Real *scratch,          \
                             const ConvShape *shape))

/* The pooling of one group's or, times `groups`, of the whole batch's result. */
static inline PoolShape winograd_pool(const ConvShape *shape, int64_t groups)
{
    return (PoolShape){.planes = groups * shape->out_channels, .in_height = shape->height.out,
                       .in_width = shape->width.out, .out_height = shape->height.out / WINOGRAD_POOL,
                       .out_width = shape->width.out / WINOGRAD_POOL, .kernel_height = WINOGRAD_POOL,
                       .kernel_width = WINOGRAD_POOL, .stride = WINOGRAD_POOL};
}

/* Tiles in a row, and in a whole map. */
static inline int64_t winograd_across(const ConvShape *shape)
{
    return (shape->width.out + WINOGRAD_TILE - 1) / WINOGRAD_TILE;
}

static inline int64_t winograd_tiles(const ConvShape *shape)
{
    return (shape->height.out + WINOGRAD_TILE - 1) / WINOGRAD_TILE * winograd_across(shape);
}

/* Packs in a block of at most WINOGRAD_SIDE of the channels that are left. */
static inline int64_t winograd_packs(int64_t channels)
{
    return conv_divide_up(conv_smaller(channels, WINOGRAD_SIDE), WINOGRAD_PACK);
}

/* Values of packed weights. */
static inline int64_t winograd_packed_count(const ConvShape *shape, bool transposed)
{
    int64_t side = transposed ? shape->in_channels : shape->out_channels;
    int64_t across = transposed ? shape->out_channels : shape->in_channels;
    return (side + WINOGRAD_PACK - 1) / WINOGRAD_PACK * WINOGRAD_PACK * WINOGRAD_FREQUENCIES * across;
}

/* Tiles that are worked on together: about as many as keep what all channels' windows become in the second-level cache,
 * and blocks of about one size. It decides the order of work, not the result. */
static inline int64_t winograd_block(const ConvShape *shape, int64_t channels)
{
    const int64_t all = winograd_tiles(shape);
    const int64_t tile = (channels + WINOGRAD_SIDE) * WINOGRAD_FREQUENCIES * WEFT_LANES * (int64_t)sizeof(Real);
    const int64_t blocks = conv_smaller(conv_divide_up(all * tile, WINOGRAD_BYTES), all);
    return conv_divide_up(all, blocks);
}

/* Distance between frequencies, in groups of 16 lanes: odd, since the 36 streams that a transform writes would meet in
 * the same few cache sets otherwise. */
static inline int64_t winograd_stride(int64_t channels, int64_t tiles)
{
    return (channels * tiles) | 1;
}

/* Values of one thread's scratch memory in winograd and winograd_input_grad. */
static inline int64_t winograd_thread_scratch(const ConvShape *shape, bool input_grad)
{
    int64_t channels = input_grad ? shape->out_channels : shape->in_channels;
    int64_t tiles = winograd_block(shape, channels);
    return WINOGRAD_FREQUENCIES * WEFT_LANES *
           (winograd_stride(channels, tiles) + winograd_stride(WINOGRAD_SIDE, tiles));
}

/* ---- The gradient of the weights ---- */

/* Output channels, filled up to whole vectors. */
static inline int64_t winograd_columns(const ConvShape *shape)
{
    return (shape->out_channels + WEFT_LANES - 1) / WEFT_LANES * WEFT_LANES;
}

/* dU sums over each of so many contiguous parts of the batch, as equal as may be, then over the parts: so many that
 * there is work for a few threads, as each part of the batch and each block of output channels is an item. */
static inline int64_t winograd_parts(const ConvShape *shape)
{
    enum { ITEMS = 4 };
    const int64_t blocks = conv_divide_up(winograd_columns(shape), WINOGRAD_COLUMNS);
    return conv_smaller(shape->groups, conv_divide_up(ITEMS, blocks));
}

/* Input channels whose products are computed together. */
static inline int64_t winograd_outer_rows(const ConvShape *shape)
{
    return conv_smaller(shape->in_channels, WINOGRAD_ROWS);
}

/* Tiles that are worked on together, of several groups if need be: the more, the less often the sums are read and
 * written, as long as what is transformed stays in the second-level cache. */
static inline int64_t winograd_outer_block(const ConvShape *shape)
{
    const int64_t most = conv_divide_up(shape->groups, winograd_parts(shape)) * winograd_tiles(shape);
    const int64_t channels = winograd_outer_rows(shape) + conv_smaller(winograd_columns(shape), WINOGRAD_COLUMNS);
    const int64_t tile = channels * WINOGRAD_FREQUENCIES * WEFT_LANES * (int64_t)sizeof(Real);
    const int64_t blocks = conv_smaller(conv_divide_up(most * tile, WINOGRAD_BYTES), most);
    return conv_divide_up(most, blocks);
}

/* Values of one thread's scratch memory. */
static inline int64_t winograd_outer_scratch(const ConvShape *shape)
{
    const int64_t tiles = winograd_outer_block(shape);
    const int64_t columns = conv_smaller(winograd_columns(shape), WINOGRAD_COLUMNS);
    return WINOGRAD_FREQUENCIES * WEFT_LANES *
           (winograd_stride(winograd_outer_rows(shape), tiles) + winograd_stride(columns, tiles));
}

/* Values of the sums of one part of the batch. */
static inline int64_t winograd_sums(const ConvShape *shape)
{
    const int64_t blocks = conv_divide_up(winograd_columns(shape), WINOGRAD_COLUMNS);
    const int64_t columns = conv_smaller(winograd_columns(shape), WINOGRAD_COLUMNS) / WEFT_LANES;
    return blocks * WINOGRAD_FREQUENCIES * winograd_stride(columns, shape->in_channels) * WEFT_LANES;
}

/* Values of all scratch memory of winograd_weight_grad. */
static inline int64_t winograd_weight_scratch(const ConvShape *shape, int threads)
{
    return winograd_parts(shape) * winograd_sums(shape) + threads * winograd_outer_scratch(shape);
}

#endif
