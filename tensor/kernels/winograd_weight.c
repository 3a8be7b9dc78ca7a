/* Winograd's convolution: the gradient of the weights.
 *
 * dU of a frequency is a matrix product over tiles and samples, [C][tiles 16] by [tiles 16][O]. The lanes are part of
 * what is summed over, so the gradient is transposed, output channels innermost: sums then fill whole vectors, 6 input
 * channels by 64 output channels are 24 accumulators, and no lane is ever folded. */
#include "tensor/kernels/winograd_transform.h"
#include "tensor/parallel.h"

/* The register tile: channels by vectors of channels. */
enum {
#if VBYTES == 64 || defined(__aarch64__)
    OUTER_HEIGHT = 6,
    OUTER_WIDTH = 4,
#else
    OUTER_HEIGHT = 4,
    OUTER_WIDTH = 3,
#endif
};

typedef struct WeightGrad {
    const ConvShape *shape;
    const Real *in, *out_grad;
    Real *weight_grad;
    Real *products; /* dU of each part of the batch, [parts][36][C][O filled up to 16] */
    Real *scratch;  /* of the threads */
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

/* Turns grads [channels][tiles][16 samples] of one frequency into result [tiles][16 samples][columns]; columns beyond
 * the last channel repeat it, and nobody reads what comes of them. */
__attribute__((noinline)) static void transpose_grads(const Real *grads, int64_t channels, int64_t tiles, Real *result,
                                                      int64_t columns)
{
    for (int64_t first = 0; first < columns; first += VWIDTH) {
        for (int64_t tile = 0; tile < tiles; tile++) {
            for (int part = 0; part < VPARTS; part++) {
                V rows[VWIDTH];
#pragma GCC unroll 16
                for (int i = 0; i < VWIDTH; i++) {
                    int64_t c = first + i < channels ? first + i : channels - 1;
                    rows[i] = vload(at(grads, c * tiles + tile, part));
                }
                transpose_vectors(rows);
                Real *to = result + (tile * WEFT_LANES + part * VWIDTH) * columns + first;
#pragma GCC unroll 16
                for (int i = 0; i < VWIDTH; i++) vstore(to + i * columns, rows[i]);
            }
        }
    }
}

/* sums[c][o] (+)= sum over samples of windows[c][sample] grads[sample][o], for some rows c and vectors of o. */
VINLINE void outer_tile(int height, int width, int64_t samples, const Real *windows, const Real *grads, int64_t columns,
                        Real *sums, int64_t sum_columns, bool resume)
{
    V sum[OUTER_HEIGHT][OUTER_WIDTH];
#pragma GCC unroll 8
    for (int c = 0; c < height; c++) {
#pragma GCC unroll 8
        for (int o = 0; o < width; o++) sum[c][o] = resume ? vload(sums + c * sum_columns + o * VWIDTH) : vset(0);
    }
    for (int64_t i = 0; i < samples; i++) {
        V x[OUTER_WIDTH];
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
        for (int o = 0; o < width; o++) vstore(sums + c * sum_columns + o * VWIDTH, sum[c][o]);
    }
}

/* One height of outer_tile at every width. */
#define OUTER_ROW(height)                                                                                              \
    for (int64_t o = 0, width; o < columns; o += width * VWIDTH) {                                                     \
        const Real *x = grads + o;                                                                                     \
        width = (columns - o) / VWIDTH < OUTER_WIDTH ? (columns - o) / VWIDTH : OUTER_WIDTH;                           \
        if (OUTER_WIDTH > 3 && width > 3)                                                                              \
            outer_tile(height, 4, samples, from, x, columns, to + o, sum_columns, resume);                             \
        else if (width == 3) outer_tile(height, 3, samples, from, x, columns, to + o, sum_columns, resume);            \
        else if (width == 2) outer_tile(height, 2, samples, from, x, columns, to + o, sum_columns, resume);            \
        else outer_tile(height, 1, samples, from, x, columns, to + o, sum_columns, resume);                            \
    }

/* sums[C][sum_columns] (+)= the product of windows [C][samples] and grads [samples][columns]. */
__attribute__((noinline)) static void outer_product(int64_t channels, int64_t samples, const Real *windows,
                                                    const Real *grads, int64_t columns, Real *sums,
                                                    int64_t sum_columns, bool resume)
{
    int64_t height;
    for (int64_t c = 0; c < channels; c += height) {
        const Real *from = windows + c * samples;
        Real *to = sums + c * sum_columns;
        height = channels - c == 4 || channels - c == 8 ? 4 : OUTER_HEIGHT; /* leaves no 2: channels are fours */
        if (height == 4) OUTER_ROW(4)
        else OUTER_ROW(OUTER_HEIGHT)
    }
}

/* A block of tiles of one group: the input's windows of all channels, the gradients of some output channels, and their
 * products in every frequency. */
typedef struct OuterBlock {
    int64_t group, first, tiles;
    int64_t o, channels, columns; /* output channels; columns: filled up to whole groups of 16 */
    bool resume;
} OuterBlock;

static void add_block(const WeightGrad *w, const OuterBlock *b, Real *windows, Real *sums)
{
    const ConvShape *shape = w->shape;
    int64_t in_plane = shape->height.in * shape->width.in, out_plane = shape->height.out * shape->width.out;
    int64_t tiles = b->tiles, sum_columns = winograd_columns(shape);
    int64_t window_stride = winograd_stride(shape->in_channels, tiles);
    int64_t grad_stride = winograd_stride(b->channels, tiles);
    Real *grads = at(windows, FREQUENCIES * window_stride, 0);
    Real *transposed = at(grads, FREQUENCIES * grad_stride, 0);
    for (int64_t c = 0; c < shape->in_channels; c++)
        transform_windows(shape, at(w->in, (b->group * shape->in_channels + c) * in_plane, 0), b->first, tiles,
                          at(windows, c * tiles, 0), window_stride);
    for (int64_t o = 0; o < b->channels; o++)
        transform_out_grad(shape, at(w->out_grad, (b->group * shape->out_channels + b->o + o) * out_plane, 0), b->first,
                           tiles, at(grads, o * tiles, 0), grad_stride);
    for (int f = 0; f < FREQUENCIES; f++) {
        transpose_grads(at(grads, f * grad_stride, 0), b->channels, tiles, transposed, b->columns);
        outer_product(shape->in_channels, tiles * WEFT_LANES, at(windows, f * window_stride, 0), transposed, b->columns,
                      sums + f * shape->in_channels * sum_columns + b->o, sum_columns, b->resume);
    }
}

/* Items are blocks of output channels, parts of the batch outermost. */
static void products_range(int64_t begin, int64_t end, int thread, void *context)
{
    const WeightGrad *w = context;
    const ConvShape *shape = w->shape;
    int64_t columns = winograd_columns(shape), blocks = (columns + COLUMNS - 1) / COLUMNS;
    int64_t parts = winograd_parts(shape), all = winograd_tiles(shape), block = winograd_outer_block(shape);
    Real *scratch = w->scratch + thread * winograd_outer_scratch(shape);
    for (int64_t item = begin; item < end; item++) {
        int64_t part = item / blocks, o = item % blocks * COLUMNS;
        OuterBlock b = {.o = o};
        b.columns = columns - o < COLUMNS ? columns - o : COLUMNS;
        b.channels = shape->out_channels - o < b.columns ? shape->out_channels - o : b.columns;
        Real *sums = w->products + part * FREQUENCIES * shape->in_channels * columns;
        for (b.group = part * shape->groups / parts; b.group < (part + 1) * shape->groups / parts; b.group++) {
            for (b.first = 0; b.first < all; b.first += block) {
                b.tiles = all - b.first < block ? all - b.first : block;
                add_block(w, &b, scratch, sums);
                b.resume = true;
            }
        }
    }
}

/* Adds up the parts and transforms the sums back, for 16 output channels and one input channel an item. */
static void weight_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const WeightGrad *w = context;
    int64_t in_channels = w->shape->in_channels, out_channels = w->shape->out_channels;
    int64_t columns = winograd_columns(w->shape), count = in_channels * columns, parts = winograd_parts(w->shape);
    for (int64_t item = begin; item < end; item++) {
        Real scattered[TAPS * WEFT_LANES] __attribute__((aligned(64)));
        for (int part = 0; part < VPARTS; part++) {
            V u[FREQUENCIES], g[TAPS];
            for (int f = 0; f < FREQUENCIES; f++) {
                const Real *sum = at(w->products + f * count, item, part);
                u[f] = vload(sum);
                for (int64_t i = 1; i < parts; i++) u[f] += vload(sum + i * FREQUENCIES * count);
            }
            transform(weight_line_adjoint, WINDOW, KERNEL_SIDE, u, g);
            for (int tap = 0; tap < TAPS; tap++) vstore(at(scattered, tap, part), g[tap]);
        }
        int64_t c = item * WEFT_LANES / columns, o = item * WEFT_LANES % columns;
        for (int64_t lane = 0; lane < WEFT_LANES && o + lane < out_channels; lane++) {
            Real *weight_grad = w->weight_grad + ((o + lane) * in_channels + c) * TAPS;
            for (int tap = 0; tap < TAPS; tap++) weight_grad[tap] = scattered[tap * WEFT_LANES + lane];
        }
    }
}

void KERNEL(winograd_weight_grad)(Real *weight_grad, const Real *in, const Real *out_grad, Real *scratch,
                                  const ConvShape *shape)
{
    int64_t columns = winograd_columns(shape), parts = winograd_parts(shape);
    int64_t products = parts * FREQUENCIES * shape->in_channels * columns;
    WeightGrad w = {shape, in, out_grad, weight_grad, scratch, scratch + products};
    parallel_for(parts * ((columns + COLUMNS - 1) / COLUMNS), 1, products_range, &w);
    parallel_for(shape->in_channels * columns / WEFT_LANES, 16, weight_range, &w);
}
