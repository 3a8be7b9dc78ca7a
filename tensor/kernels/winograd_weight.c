/* Winograd's convolution: the gradient of the weights.
 *
 * dU of a frequency is a matrix product over tiles and samples, [C][tiles * 16] by [tiles * 16][O]. The lanes are part
 * of what is summed over, so the gradient is transposed, output channels innermost: sums then fill whole vectors (of
 * floats on AVX-512 6 input channels by 64 output channels are 24 accumulators), and no lane is ever folded. Lanes
 * without a sample add nothing: they are zero in gradients, while inputs repeat the last sample there. */
#include "tensor/kernels/winograd_transform.h"
#include "tensor/parallel.h"

/* The register tile: input channels by vectors of output channels. */
enum {
#if VREGISTERS == 32
    OUTER_HEIGHT = 6,
    OUTER_WIDTH = 4,
#else
    OUTER_HEIGHT = 4,
    OUTER_WIDTH = 3,
#endif
};

typedef struct WeightGrad {
    const ConvShape *shape;
    const Real *in;
    const WinogradGrad *out_grad;
    Real *weight_grad;
    Real *sums;    /* dU, [parts of the batch][blocks of columns][frequencies][C][columns]: see outer_sums */
    Real *scratch; /* of the threads */
} WeightGrad;

/* Transposes a square of vectors: lane i of rows[j] and lane j of rows[i] change places. */
VINLINE void transpose_vectors(V rows[VWIDTH])
{
#define LOWER(i, s) ((i) & (s) ? VWIDTH + (i) - (s) : (i))
#define UPPER(i, s) ((i) & (s) ? VWIDTH + (i) : (i) + (s))
#define EXCHANGE(s)                                                                                                    \
    _Pragma("GCC unroll 16")                                                                                           \
    for (int i = 0; i < VWIDTH; i++) {                                                                                 \
        if (i & (s)) continue;                                                                                         \
        V a = rows[i], b = rows[i + (s)];                                                                              \
        rows[i] = VSHUFFLE(a, b, LOWER, s);                                                                            \
        rows[i + (s)] = VSHUFFLE(a, b, UPPER, s);                                                                      \
    }
    EXCHANGE(1)
#if VWIDTH >= 4
    EXCHANGE(2)
#endif
#if VWIDTH >= 8
    EXCHANGE(4)
#endif
#if VWIDTH >= 16
    EXCHANGE(8)
#endif
}

/* sums[c][o] (+)= sum over samples of windows[c][sample] grads[sample][o], for some rows c and vectors of o. */
VINLINE void outer_tile(int height, int width, int64_t samples, const Real *windows, const Real *grads, int64_t columns,
                        Real *sums, bool resume)
{
    V sum[OUTER_HEIGHT][OUTER_WIDTH];
#pragma GCC unroll 8
    for (int c = 0; c < height; c++) {
#pragma GCC unroll 8
        for (int o = 0; o < width; o++) sum[c][o] = resume ? vload(sums + c * columns + o * VWIDTH) : vset(0);
    }
    for (int64_t i = 0; i < samples; i++) {
        V x[OUTER_WIDTH];
        /* The sums may be farther away than the second-level cache. These are as many as this tile's, from the row
         * below it on: the next tile's where a tile is as wide as the block, as with floats on AVX-512. */
        if (i < height * width) __builtin_prefetch(sums + height * columns + i * VWIDTH, 1);
#pragma GCC unroll 8
        for (int o = 0; o < width; o++) x[o] = vload(grads + i * columns + o * VWIDTH);
#pragma GCC unroll 8
        for (int c = 0; c < height; c++) {
            V w = vset(windows[c * samples + i]);
#pragma GCC unroll 8
            for (int o = 0; o < width; o++) sum[c][o] = vfma(w, x[o], sum[c][o]);
        }
    }
#pragma GCC unroll 8
    for (int c = 0; c < height; c++) {
#pragma GCC unroll 8
        for (int o = 0; o < width; o++) vstore(sums + c * columns + o * VWIDTH, sum[c][o]);
    }
}

/* The same for all vectors of o. */
VINLINE void outer_row(const int height, int64_t samples, const Real *windows, const Real *grads, int64_t columns,
                       Real *sums, bool resume)
{
    int64_t width;
    for (int64_t o = 0; o < columns; o += width * VWIDTH) {
        width = conv_smaller((columns - o) / VWIDTH, OUTER_WIDTH);
        if (OUTER_WIDTH > 3 && width > 3)
            outer_tile(height, 4, samples, windows, grads + o, columns, sums + o, resume);
        else if (width == 3) outer_tile(height, 3, samples, windows, grads + o, columns, sums + o, resume);
        else if (width == 2) outer_tile(height, 2, samples, windows, grads + o, columns, sums + o, resume);
        else outer_tile(height, 1, samples, windows, grads + o, columns, sums + o, resume);
    }
}

/* sums [C][columns] (+)= the product of windows [C][samples] and grads [samples][columns]. */
__attribute__((noinline)) static void outer_product(int64_t channels, int64_t samples, const Real *windows,
                                                    const Real *grads, int64_t columns, Real *sums, bool resume)
{
    int64_t height;
    for (int64_t c = 0; c < channels; c += height) {
        const Real *from = windows + c * samples;
        Real *to = sums + c * columns;
        height = channels - c == 4 || channels - c == 8 ? 4 : OUTER_HEIGHT; /* never leaves 2: channels are fours */
        if (height == 4) outer_row(4, samples, from, grads, columns, to, resume);
        else outer_row(OUTER_HEIGHT, samples, from, grads, columns, to, resume);
    }
}

/* Some tiles of a part of the batch, counted through all groups of the batch, and some output channels. */
typedef struct OuterBlock {
    int64_t first, tiles;
    int64_t o, channels, columns; /* output channels; columns: filled up to whole groups of 16 */
    bool resume;
} OuterBlock;

/* Distances between frequencies, in groups of 16: odd, as winograd_stride tells. */
VINLINE int64_t grads_stride(const OuterBlock *b)
{
    return winograd_stride(b->columns, b->tiles);
}

VINLINE int64_t sums_stride(const ConvShape *shape, int64_t columns)
{
    return winograd_stride(columns / WEFT_LANES, shape->in_channels);
}

/* Where a tile of the block lies: its group, and the square in each plane. */
typedef struct GradTile {
    int64_t group;
    Square square;
} GradTile;

VINLINE GradTile grad_tile(const int tile, const WeightGrad *w, const OuterBlock *b, int64_t t)
{
    const int64_t all = winograd_tiles_of(w->shape, tile);
    return (GradTile){(b->first + t) / all, tile_square(w->shape, tile, (b->first + t) % all)};
}

/* The plane of a column; columns beyond the last channel repeat it, and nobody reads what comes of them. */
VINLINE WinogradGrad plane_of_column(const WeightGrad *w, const OuterBlock *b, const GradTile *t, int64_t column)
{
    const int64_t channel = b->o + conv_smaller(column, b->channels - 1);
    return grad_plane(w->out_grad, w->shape, t->group * w->shape->out_channels + channel);
}

/* Loads the gradients of VWIDTH channels in a tile, [place][sample][channel]: transposed, since that is less work
 * before the transform than after it. Of a pooled gradient, whose tile's `side` is half, it is the values, then as many
 * indices: less work again. */
VINLINE void load_transposed(const int side, const bool pooled, const WeightGrad *w, const OuterBlock *b,
                             const GradTile *t, int64_t column, int part, V (*rows)[VWIDTH])
{
    const Square s = pooled ? pooled_square(&t->square) : t->square;
    const int count = side * side, all = pooled ? 2 * count : count;
    if (!is_inside(&s)) {
        for (int k = count; k < all; k++) {
            for (int i = 0; i < VWIDTH; i++) rows[k][i] = vset(0);
        }
    }
    for (int i = 0; i < VWIDTH; i++) {
        const WinogradGrad plane = plane_of_column(w, b, t, column + i);
        V room[LARGEST_TILE * LARGEST_TILE];
        const Grid y = square_grid(plane.values, &s, side, part, room);
        for (int k = 0; k < count; k++) rows[k][i] = vload(y.first + k / side * y.below + k % side * y.beside);
        if (!pooled) continue;
        const PoolIndex *places = plane.indices + (s.y * s.width + s.x) * WEFT_LANES + part * VWIDTH;
        EACH_INSIDE(&s, j, l) rows[count + j * side + l][i] = (V)load_places(places + (j * s.width + l) * WEFT_LANES);
    }
    for (int k = 0; k < all; k++) transpose_vectors(rows[k]);
}

/* Transforms the gradients of VWIDTH channels in a tile, to their place in [frequencies][tiles][16 samples][columns].
 * The number counts tiles, then vectors of columns; what the next number needs is asked for. */
VINLINE void transform_grads_of_tile(const int tile, const bool pooled, const WeightGrad *w, const OuterBlock *b,
                                     int64_t number, Real *result)
{
    const int side = pooled ? tile / WINOGRAD_POOL : tile;
    const int64_t stride = grads_stride(b) * WEFT_LANES, t = number % b->tiles, column = number / b->tiles * VWIDTH;
    const GradTile here = grad_tile(tile, w, b, t), next = grad_tile(tile, w, b, (number + 1) % b->tiles);
    const int64_t next_column = (number + 1) / b->tiles * VWIDTH;
    for (int part = 0; part < VPARTS; part++) {
        V rows[LARGEST_TILE * LARGEST_TILE][VWIDTH];
        load_transposed(side, pooled, w, b, &here, column, part, rows);
        for (int i = 0; i < VWIDTH; i++) {
            Real *to = result + (t * WEFT_LANES + part * VWIDTH + i) * b->columns + column;
            const WinogradGrad ahead = plane_of_column(w, b, &next, next_column + i);
            V room[LARGEST_TILE * LARGEST_TILE];
            if (part == 0) prefetch_grads(&ahead, &next.square, tile);
            if (pooled) {
                for (int k = 0; k < side * side; k++)
                    unpool(rows[k][i], (I)rows[side * side + k][i], tile,
                           room + (k / side * tile + k % side) * WINOGRAD_POOL);
            }
            transform(output_line_adjoint, tile, tile, winograd_window(tile),
                      pooled ? grid_of(room, tile)
                             : (Grid){(Real *)&rows[0][i], tile * VWIDTH * VWIDTH, VWIDTH * VWIDTH},
                      (Grid){to, winograd_window(tile) * stride, stride});
        }
    }
}

VINLINE void transform_grads_of(const int tile, const WeightGrad *w, const OuterBlock *b, Real *result)
{
    for (int64_t number = 0; number < b->columns / VWIDTH * b->tiles; number++) {
        if (tile % WINOGRAD_POOL == 0 && w->out_grad->indices)
            transform_grads_of_tile(tile, true, w, b, number, result);
        else transform_grads_of_tile(tile, false, w, b, number, result);
    }
}

__attribute__((noinline)) static void transform_grads(const WeightGrad *w, const OuterBlock *b, Real *result)
{
    FOR_TILE(w->shape, transform_grads_of, w, b, result);
}

/* The windows of some input channels, of all the block's tiles, which may lie in several groups. */
static void transform_inputs(const WeightGrad *w, const OuterBlock *b, int64_t channel, int64_t channels, Real *result)
{
    const ConvShape *shape = w->shape;
    const int64_t all = winograd_tiles(shape), area = shape->height.in * shape->width.in;
    const int64_t stride = winograd_stride(channels, b->tiles);
    int64_t count;
    for (int64_t t = 0; t < b->tiles; t += count) {
        const int64_t group = (b->first + t) / all, first = (b->first + t) % all;
        count = conv_smaller(all - first, b->tiles - t);
        for (int64_t c = 0; c < channels; c++)
            transform_windows(shape, at(w->in, (group * shape->in_channels + channel + c) * area, 0),
                              (Tiles){first, count}, at(result, c * b->tiles + t, 0), stride);
    }
}

/* Adds a block's products to the sums of its columns. */
static void add_block(const WeightGrad *w, const OuterBlock *b, Real *scratch, Real *sums)
{
    const ConvShape *shape = w->shape;
    const int64_t samples = b->tiles * WEFT_LANES, frequencies = winograd_frequencies(shape);
    Real *grads = scratch, *windows = at(grads, frequencies * grads_stride(b), 0);
    transform_grads(w, b, grads);
    for (int64_t c = 0; c < shape->in_channels; c += WINOGRAD_ROWS) {
        const int64_t channels = conv_smaller(shape->in_channels - c, WINOGRAD_ROWS);
        transform_inputs(w, b, c, channels, windows);
        for (int64_t f = 0; f < frequencies; f++)
            outer_product(channels, samples, at(windows, f * winograd_stride(channels, b->tiles), 0),
                          at(grads, f * grads_stride(b), 0), b->columns,
                          at(sums, f * sums_stride(shape, b->columns), 0) + c * b->columns, b->resume);
    }
}

/* The sums of a part of the batch for a block of columns: [frequencies][C][columns of the block], frequencies
 * sums_stride apart. */
static Real *outer_sums(const WeightGrad *w, int64_t part, int64_t block)
{
    return w->sums + part * winograd_sums(w->shape) + block * winograd_block_sums(w->shape);
}

/* Items are blocks of columns, parts of the batch outermost. */
static void products_range(int64_t begin, int64_t end, int thread, void *context)
{
    const WeightGrad *w = context;
    const ConvShape *shape = w->shape;
    const int64_t column_blocks = winograd_column_blocks(shape);
    Real *scratch = w->scratch + thread * winograd_outer_scratch(shape);
    for (int64_t item = begin; item < end; item++) {
        const int64_t part = item / column_blocks, column_block = item % column_blocks;
        const Parts blocks = winograd_outer_blocks(shape, part);
        OuterBlock b = {.o = column_block * COLUMNS};
        b.columns = conv_smaller(winograd_columns(shape) - b.o, COLUMNS);
        b.channels = conv_smaller(shape->out_channels - b.o, b.columns);
        for (int64_t block = 0; block < blocks.count; block++) {
            const Tiles tiles = tiles_of_block(blocks, block);
            b.first = winograd_part_begin(shape, part) + tiles.first;
            b.tiles = tiles.count;
            b.resume = block > 0;
            add_block(w, &b, scratch, outer_sums(w, part, column_block));
        }
    }
}

/* Items are 16 columns of one input channel: [blocks of columns][C][columns / 16]. Adds up the parts of the batch and
 * transforms the sums back. */
VINLINE void weight_of(const int tile, const WeightGrad *w, int64_t begin, int64_t end)
{
    const int window = winograd_window(tile);
    const int64_t in_channels = w->shape->in_channels, out_channels = w->shape->out_channels;
    enum { AHEAD = 2 }; /* items whose sums are asked for ahead of their use */
    const int64_t columns = winograd_columns(w->shape), batch_parts = winograd_parts(w->shape);
    const int64_t per_block = in_channels * COLUMNS / WEFT_LANES, apart = winograd_sums(w->shape);
    for (int64_t item = begin; item < end; item++) {
        const int64_t o = item / per_block * COLUMNS, width = conv_smaller(columns - o, COLUMNS);
        const int64_t stride = sums_stride(w->shape, width);
        const Real *sums = at(outer_sums(w, 0, item / per_block), item % per_block, 0);
        Real scattered[TAPS * WEFT_LANES] __attribute__((aligned(64)));
        for (int part = 0; part < VPARTS; part++) {
            V u[LARGEST_WINDOW * LARGEST_WINDOW];
            for (int f = 0; f < window * window; f++) {
                const Real *sum = at(sums, f * stride, part);
                u[f] = vload(sum);
                for (int64_t i = 1; i < batch_parts; i++) u[f] += vload(sum + i * apart);
                for (int64_t i = 0; i < batch_parts; i++) __builtin_prefetch(at(sum + i * apart, AHEAD, 0));
            }
            transform(weight_line_adjoint, tile, window, KERNEL_SIDE, grid_of(u, window),
                      (Grid){scattered + part * VWIDTH, KERNEL_SIDE * WEFT_LANES, WEFT_LANES});
        }
        const int64_t c = item % per_block * WEFT_LANES / width, first = o + item % per_block * WEFT_LANES % width;
        for (int64_t lane = 0; lane < WEFT_LANES && first + lane < out_channels; lane++) {
            Real *weight_grad = w->weight_grad + ((first + lane) * in_channels + c) * TAPS;
            for (int tap = 0; tap < TAPS; tap++) weight_grad[tap] = scattered[tap * WEFT_LANES + lane];
        }
    }
}

static void weight_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const WeightGrad *w = context;
    FOR_TILE(w->shape, weight_of, w, begin, end);
}

void KERNEL(winograd_weight_grad)(Real *weight_grad, const Real *in, const WinogradGrad *out_grad, Real *scratch,
                                  const ConvShape *shape)
{
    enum { GRAIN = 16 }; /* items of weight_range that are worth a thread's while */
    const int64_t parts = winograd_parts(shape);
    WeightGrad w = {shape, in, out_grad, weight_grad, scratch, scratch + parts * winograd_sums(shape)};
    parallel_for(parts * winograd_column_blocks(shape), 1, products_range, &w);
    parallel_for(shape->in_channels * winograd_columns(shape) / WEFT_LANES, GRAIN, weight_range, &w);
}
