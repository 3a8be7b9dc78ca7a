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

#include "tensor/kernels/conv.h"

enum {
    WINOGRAD_TILE = 4,         /* outputs a side */
    WINOGRAD_WINDOW = 6,       /* inputs a side */
    WINOGRAD_FREQUENCIES = 36,
    WINOGRAD_PACK = 8,         /* channels side by side in packed weights */
    WINOGRAD_MULTIPLE = 4,     /* the numbers of input and output channels must be multiples of this */
    WINOGRAD_COLUMNS = 64,     /* channels whose products are computed together, a multiple of 16 */
};

#define WINOGRAD_KERNELS(K)                                                                                            \
    /* U: [ceil(O / 8)][36][C][8]; transposed, for the input's gradient, [ceil(C / 8)][36][O][8] */                    \
    K(winograd_pack, (Real * packed, const Real *weight, const ConvShape *shape, bool transposed))                     \
    /* out = bias + convolution, then relu if asked; bias may be NULL */                                               \
    K(winograd, (Real * out, const Real *in, const Real *packed, const Real *bias, bool relu, Real *scratch,           \
                 const ConvShape *shape))                                                                              \
    K(winograd_input_grad,                                                                                             \
      (Real * in_grad, const Real *out_grad, const Real *packed, Real *scratch, const ConvShape *shape))               \
    /* dU sums over group, tile and sample in order in each part of the batch (winograd_parts), then over parts. */    \
    K(winograd_weight_grad,                                                                                            \
      (Real * weight_grad, const Real *in, const Real *out_grad, Real *scratch, const ConvShape *shape))

/* Tiles in a row, and in a whole map. */
static inline int64_t winograd_across(const ConvShape *shape)
{
    return (shape->width.out + WINOGRAD_TILE - 1) / WINOGRAD_TILE;
}

static inline int64_t winograd_tiles(const ConvShape *shape)
{
    return (shape->height.out + WINOGRAD_TILE - 1) / WINOGRAD_TILE * winograd_across(shape);
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
    enum { BLOCK_BYTES = 768 * 1024 };
    const int64_t all = winograd_tiles(shape);
    const int64_t tile = channels * WINOGRAD_FREQUENCIES * WEFT_LANES * (int64_t)sizeof(Real);
    const int64_t blocks = conv_smaller(conv_divide_up(all * tile, BLOCK_BYTES), all);
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
           (winograd_stride(channels, tiles) + winograd_stride(WINOGRAD_COLUMNS, tiles));
}

/* ---- The gradient of the weights ---- */

/* dU sums over each of so many contiguous parts of the batch, as equal as may be, then over the parts. */
static inline int64_t winograd_parts(const ConvShape *shape)
{
    enum { PARTS = 4 };
    return shape->groups < PARTS ? shape->groups : PARTS;
}

/* Output channels, filled up to whole vectors. */
static inline int64_t winograd_columns(const ConvShape *shape)
{
    return (shape->out_channels + WEFT_LANES - 1) / WEFT_LANES * WEFT_LANES;
}

/* Tiles that are worked on together. */
static inline int64_t winograd_outer_block(const ConvShape *shape)
{
    return winograd_block(shape, shape->in_channels + WINOGRAD_COLUMNS);
}

/* Values of one thread's scratch memory. */
static inline int64_t winograd_outer_scratch(const ConvShape *shape)
{
    int64_t tiles = winograd_outer_block(shape);
    int64_t streams = winograd_stride(shape->in_channels, tiles) + winograd_stride(WINOGRAD_COLUMNS, tiles);
    return WEFT_LANES * (WINOGRAD_FREQUENCIES * streams + tiles * WINOGRAD_COLUMNS);
}

/* Values of all scratch memory of winograd_weight_grad. */
static inline int64_t winograd_weight_scratch(const ConvShape *shape, int threads)
{
    return winograd_parts(shape) * WINOGRAD_FREQUENCIES * shape->in_channels * winograd_columns(shape) +
           threads * winograd_outer_scratch(shape);
}

#endif
