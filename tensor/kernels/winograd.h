/* Kernels of Winograd's convolution F(m x m, 3x3), m = 4, 5 or 6, of 3x3 kernels with stride 1, dilation 1 and one
 * section. Internal.
 *
 * Winograd 1980; Lavin & Gray, "Fast algorithms for convolutional neural networks", CVPR 2016. A tile of m x m outputs
 * sees a window of n x n inputs d, n = m + 2. With fixed matrices A (n x m), B (n x n) and G (n x 3), which
 * winograd_lines.h holds, and the 3x3 weights g,
 *
 *     V = B' d B,   U = G g G',   M = sum over input channels of U . V,   y = A' M A       (. elementwise)
 *
 * which takes n^2 products a channel pair where the direct sum takes 9 m^2: 36 for 144, 49 for 225 or 64 for 324. Each
 * of the n^2 frequencies is a matrix product over channels. The gradients are the adjoints of the very same steps on
 * the same tiles:
 *
 *     dM = A dy A',   dU = sum over tiles and samples of dM . V,   dg = G' dU G,
 *     dV = sum over output channels of U . dM,   dx = B dV B' (overlapping windows added)  */
#ifndef WEFT_KERNEL_WINOGRAD_H
#define WEFT_KERNEL_WINOGRAD_H

#include <stddef.h>

#include "tensor/kernels/conv.h"
#include "tensor/kernels/pool.h"

enum {
    WINOGRAD_SMALLEST = 4,     /* outputs a side of a tile, */
    WINOGRAD_LARGEST = 6,
    WINOGRAD_SHARED = 2,       /* inputs a side that neighbouring windows share */
    WINOGRAD_PACK = 8,         /* channels side by side in packed weights */
    WINOGRAD_MULTIPLE = 4,     /* the numbers of input and output channels must be multiples of this: products sum over
                                * so many at a time, and no height of dU's register tiles leaves fewer */
    WINOGRAD_CHANNELS = 32,    /* channels whose products are computed together, a multiple of 8 */
    WINOGRAD_ROWS = 32,        /* input channels whose dU are computed together, a multiple of 4, */
    WINOGRAD_COLUMNS = 64,     /* and output channels whose are, a multiple of 16 */
    WINOGRAD_BYTES = 896 * 1024, /* of transformed tiles and products that are worked on together: they are to stay in
                                  * the second-level cache beside what streams through it; see winograd_blocks_of */
};

/* Max-pooling with a window of 2 after the convolution, where tiles hold whole windows (winograd_can_pool). */
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

/* The gradient of the input. If the input is the output of a relu, `relu` is that input, the gradient is made that of
 * what came before the relu, and sums [groups][C] (tensor/kernels/relu_grad.h) hold its sums; both are NULL
 * otherwise. */
typedef struct WinogradInputGrad {
    Real *values, *sums;
    const Real *relu;
} WinogradInputGrad;

#define WINOGRAD_KERNELS(K)                                                                                            \
    /* U, as WinogradPacked tells */                                                                                   \
    K(winograd_pack, (Real * packed, const Real *weight, const ConvShape *shape))                                      \
    K(winograd, (const WinogradOut *out, const Real *in, const Real *packed, Real *scratch, const ConvShape *shape))   \
    K(winograd_input_grad, (const WinogradInputGrad *in_grad, const WinogradGrad *out_grad, const Real *packed,        \
                            Real *scratch, const ConvShape *shape))                                                    \
    /* dU sums over group, tile and sample in order in each part of the batch (winograd_parts), then over parts. */    \
    K(winograd_weight_grad, (Real * weight_grad, const Real *in, const WinogradGrad *out_grad, Real *scratch,          \
                             const ConvShape *shape))

/* ---- Tiles ---- */

/* Tiles of `tile` outputs a side in a row, and in a whole map. */
static inline int64_t winograd_across(const ConvShape *shape, int tile)
{
    return conv_divide_up(shape->width.out, tile);
}

static inline int64_t winograd_tiles_of(const ConvShape *shape, int tile)
{
    return conv_divide_up(shape->height.out, tile) * winograd_across(shape, tile);
}

/* Inputs a side of a tile's window. */
static inline int winograd_window(int tile)
{
    return tile + WINOGRAD_SHARED;
}

/* Products in a map, a channel pair. */
static inline int64_t winograd_products(const ConvShape *shape, int tile)
{
    return winograd_tiles_of(shape, tile) * winograd_window(tile) * winograd_window(tile);
}

/* Outputs a side of this shape's tiles: what takes the fewest products, the smaller of equals, which is more exact. */
static inline int winograd_tile(const ConvShape *shape)
{
    int best = WINOGRAD_SMALLEST;
    for (int tile = best + 1; tile <= WINOGRAD_LARGEST; tile++) {
        if (winograd_products(shape, tile) < winograd_products(shape, best)) best = tile;
    }
    return best;
}

static inline int64_t winograd_tiles(const ConvShape *shape)
{
    return winograd_tiles_of(shape, winograd_tile(shape));
}

static inline int64_t winograd_frequencies(const ConvShape *shape)
{
    const int window = winograd_window(winograd_tile(shape));
    return window * window;
}

/* Whether tiles hold whole windows of the pooling. */
static inline bool winograd_can_pool(const ConvShape *shape)
{
    return winograd_tile(shape) % WINOGRAD_POOL == 0 && shape->height.out >= WINOGRAD_POOL &&
           shape->width.out >= WINOGRAD_POOL;
}

/* The pooling of one group's or, times `groups`, of the whole batch's result. */
static inline PoolShape winograd_pool(const ConvShape *shape, int64_t groups)
{
    return (PoolShape){.planes = groups * shape->out_channels, .in_height = shape->height.out,
                       .in_width = shape->width.out, .out_height = shape->height.out / WINOGRAD_POOL,
                       .out_width = shape->width.out / WINOGRAD_POOL, .kernel_height = WINOGRAD_POOL,
                       .kernel_width = WINOGRAD_POOL, .stride = WINOGRAD_POOL};
}

/* ---- Blocks of work, and memory ---- */

/* Distance between frequencies, in groups of 16 lanes: odd, since the streams that a transform writes would meet in
 * the same few cache sets otherwise. */
static inline int64_t winograd_stride(int64_t channels, int64_t tiles)
{
    return (channels * tiles) | 1;
}

/* Packed weights U: [blocks of 32 output channels][frequencies][packs of 8 input channels][packs of 8 output
 * channels][8 input channels][8 output channels]. Both the forward pass, 64 values at a time, and the gradient of the
 * input, up to 256, read it in runs. Packs are filled up with zeros; what no pack fills is not read. Distances in
 * values: from one pack of input channels, frequency (as winograd_stride has it) and block to the next. */
typedef struct WinogradPacked {
    int64_t pack, frequency, block;
} WinogradPacked;

static inline WinogradPacked winograd_packed(const ConvShape *shape)
{
    const int64_t packs = conv_divide_up(conv_smaller(shape->out_channels, WINOGRAD_CHANNELS), WINOGRAD_PACK);
    const int64_t pack = packs * WINOGRAD_PACK * WINOGRAD_PACK;
    const int64_t in_packs = conv_divide_up(shape->in_channels, WINOGRAD_PACK);
    const int64_t frequency = winograd_stride(in_packs, pack / WEFT_LANES) * WEFT_LANES;
    return (WinogradPacked){pack, frequency, winograd_frequencies(shape) * frequency};
}

/* Values of packed weights. */
static inline int64_t winograd_packed_count(const ConvShape *shape)
{
    return conv_divide_up(shape->out_channels, WINOGRAD_CHANNELS) * winograd_packed(shape).block;
}

/* Tiles that are worked on together, of `all`, when so many channels' transforms are kept: as many as there is room
 * for, but at least two, and three where one would be left over: a single tile would be slow. It decides the order of
 * work, not the result. */
static inline Parts winograd_blocks_of(const ConvShape *shape, int64_t all, int64_t channels)
{
    enum { FEWEST = 2 };
    const int64_t bytes = channels * winograd_frequencies(shape) * WEFT_LANES * (int64_t)sizeof(Real); /* of a tile */
    const int64_t most = FEWEST * bytes > WINOGRAD_BYTES ? FEWEST : WINOGRAD_BYTES / bytes;
    const int64_t count = conv_smaller(conv_divide_up(all, most), all / FEWEST);
    return conv_cut(all, count > 0 ? count : 1);
}

/* The same of one map: the transforms of all channels are kept, and the products of some. */
static inline Parts winograd_blocks(const ConvShape *shape, int64_t channels)
{
    return winograd_blocks_of(shape, winograd_tiles(shape), channels + WINOGRAD_CHANNELS);
}

/* Values of one thread's scratch memory in winograd and winograd_input_grad. */
static inline int64_t winograd_thread_scratch(const ConvShape *shape, bool input_grad)
{
    int64_t channels = input_grad ? shape->out_channels : shape->in_channels;
    int64_t tiles = conv_part_most(winograd_blocks(shape, channels));
    return winograd_frequencies(shape) * WEFT_LANES *
           (winograd_stride(channels, tiles) + winograd_stride(WINOGRAD_CHANNELS, tiles));
}

/* ---- The gradient of the weights: dU [C][O] of a frequency is a sum of outer products over tiles and samples ---- */

/* The columns of dU: output channels, filled up to a multiple of 16. */
static inline int64_t winograd_columns(const ConvShape *shape)
{
    return conv_divide_up(shape->out_channels, WEFT_LANES) * WEFT_LANES;
}

/* Blocks of columns, and the columns of the widest. */
static inline int64_t winograd_column_blocks(const ConvShape *shape)
{
    return conv_divide_up(winograd_columns(shape), WINOGRAD_COLUMNS);
}

static inline int64_t winograd_block_columns(const ConvShape *shape)
{
    return conv_smaller(winograd_columns(shape), WINOGRAD_COLUMNS);
}

/* dU sums over each of so many contiguous parts of the batch, as equal as may be, then over the parts. Each part and
 * each block of columns is an item: so many that there is work for a few threads, if there are as many groups. */
static inline int64_t winograd_parts(const ConvShape *shape)
{
    enum { ITEMS = 4 };
    return conv_smaller(shape->groups, conv_divide_up(ITEMS, winograd_column_blocks(shape)));
}

/* The first tile of a part of the batch, counted through all its groups. */
static inline int64_t winograd_part_begin(const ConvShape *shape, int64_t part)
{
    return part * shape->groups / winograd_parts(shape) * winograd_tiles(shape);
}

/* Input channels whose products are computed together. */
static inline int64_t winograd_outer_rows(const ConvShape *shape)
{
    return conv_smaller(shape->in_channels, WINOGRAD_ROWS);
}

/* Tiles of a part of the batch that are worked on together, of several groups if need be: the more, the less often the
 * sums are read and written. */
static inline Parts winograd_outer_blocks(const ConvShape *shape, int64_t part)
{
    return winograd_blocks_of(shape, winograd_part_begin(shape, part + 1) - winograd_part_begin(shape, part),
                              winograd_outer_rows(shape) + winograd_block_columns(shape));
}

/* Values of one thread's scratch memory, enough for any part: that with the most tiles need not have the largest block
 * (two parts of 3 and 4 tiles, 3 at a time: blocks of 3, and of 2 and 2). */
static inline int64_t winograd_outer_scratch(const ConvShape *shape)
{
    int64_t tiles = 0;
    for (int64_t part = 0; part < winograd_parts(shape); part++) {
        const int64_t most = conv_part_most(winograd_outer_blocks(shape, part));
        if (most > tiles) tiles = most;
    }
    return winograd_frequencies(shape) * WEFT_LANES *
           (winograd_stride(winograd_outer_rows(shape), tiles) +
            winograd_stride(winograd_block_columns(shape), tiles));
}

/* Values of the sums of one block of columns, and of one part of the batch. */
static inline int64_t winograd_block_sums(const ConvShape *shape)
{
    return winograd_frequencies(shape) * WEFT_LANES *
           winograd_stride(winograd_block_columns(shape) / WEFT_LANES, shape->in_channels);
}

static inline int64_t winograd_sums(const ConvShape *shape)
{
    return winograd_column_blocks(shape) * winograd_block_sums(shape);
}

/* Values of all scratch memory of winograd_weight_grad. */
static inline int64_t winograd_weight_scratch(const ConvShape *shape, int threads)
{
    return winograd_parts(shape) * winograd_sums(shape) + threads * winograd_outer_scratch(shape);
}

#endif
