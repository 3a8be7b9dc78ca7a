#include <string.h>

#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vector.h"
#include "tensor/parallel.h"

/* Why it is fast: each product of transformed weights and windows runs in a register tile of 8 channels x 3 tiles of
 * accumulators (4 by 3 where there are 16 registers), 24 fused multiply-adds for 3 loads and 8 broadcasts, as the direct
 * convolution does, but there are a quarter as many. What is left is moving data: windows are transformed once for all
 * output channels, a block of tiles at a time that stays in the second-level cache, and the products of 8 channels are
 * transformed back while they are there. */

enum {
    TILE = WINOGRAD_TILE,
    WINDOW = WINOGRAD_WINDOW,
    FREQUENCIES = WINOGRAD_FREQUENCIES,
    PACK = WINOGRAD_PACK,
    COLUMNS = WINOGRAD_COLUMNS,
    KERNEL_SIDE = 3,
    TAPS = KERNEL_SIDE * KERNEL_SIDE,
#if VBYTES == 64 || defined(__aarch64__)
    HEIGHT = 8, /* of the register tile: 24 of 32 registers */
#else
    HEIGHT = 4, /* 12 of 16 */
#endif
    WIDTH = 3,
    /* of the register tile for the gradient of the weights: channels by vectors of channels */
#if VBYTES == 64 || defined(__aarch64__)
    OUTER_HEIGHT = 6,
    OUTER_WIDTH = 4,
#else
    OUTER_HEIGHT = 4,
    OUTER_WIDTH = 3,
#endif
};

/* Where lane part `part` of the group with this number begins. */
VINLINE Real *at(const Real *base, int64_t group, int part)
{
    return (Real *)base + group * WEFT_LANES + part * VWIDTH;
}

/* The next width of register tile for `left` columns: 3, but never leaving a single one, which would be slow. */
VINLINE int64_t next_width(int64_t left)
{
    return left == 4 || left == 2 ? 2 : left < WIDTH ? left : WIDTH;
}

/* ---- Transforms ---- */

/* B' d */
VINLINE void input_line(const V *d, V *v)
{
    const V two = vset(2), four = vset(4), five = vset(5);
    V a = vfma(-four, d[2], d[4]), b = vfma(-four, d[1], d[3]), c = d[4] - d[2], e = two * (d[3] - d[1]);
    v[0] = vfma(four, d[0], vfma(-five, d[2], d[4]));
    v[1] = a + b;
    v[2] = a - b;
    v[3] = c + e;
    v[4] = c - e;
    v[5] = vfma(four, d[1], vfma(-five, d[3], d[5]));
}

/* B v, its adjoint */
VINLINE void input_line_adjoint(const V *v, V *d)
{
    const V two = vset(2), four = vset(4), five = vset(5);
    V a = v[1] + v[2], b = v[1] - v[2], c = v[3] + v[4], e = two * (v[3] - v[4]);
    d[0] = four * v[0];
    d[1] = vfma(four, v[5], -vfma(four, b, e));
    d[2] = -vfma(five, v[0], vfma(four, a, c));
    d[3] = vfma(-five, v[5], b + e);
    d[4] = v[0] + (a + c);
    d[5] = v[5];
}

/* A' m */
VINLINE void output_line(const V *m, V *y)
{
    const V two = vset(2), four = vset(4), eight = vset(8);
    V a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], e = m[3] - m[4];
    y[0] = m[0] + (a + c);
    y[1] = vfma(two, e, b);
    y[2] = vfma(four, c, a);
    y[3] = vfma(eight, e, b) + m[5];
}

/* A y, its adjoint */
VINLINE void output_line_adjoint(const V *y, V *m)
{
    const V two = vset(2), four = vset(4), eight = vset(8);
    V a = y[0] + y[2], b = y[1] + y[3], c = vfma(four, y[2], y[0]), e = vfma(eight, y[3], two * y[1]);
    m[0] = y[0];
    m[1] = a + b;
    m[2] = a - b;
    m[3] = c + e;
    m[4] = c - e;
    m[5] = y[3];
}

typedef void Line(const V *from, V *to);

/* The same line transform on the columns of x [from][from], then on the rows: y [to][to]. */
VINLINE void transform(Line *line, int from, int to, const V *x, V *y)
{
    V half[WINDOW * WINDOW];
#pragma GCC unroll 8
    for (int j = 0; j < from; j++) {
        V column[WINDOW], result[WINDOW];
#pragma GCC unroll 8
        for (int i = 0; i < from; i++) column[i] = x[i * from + j];
        line(column, result);
#pragma GCC unroll 8
        for (int i = 0; i < to; i++) half[i * from + j] = result[i];
    }
#pragma GCC unroll 8
    for (int i = 0; i < to; i++) line(half + i * from, y + i * to);
}

/* A square of a plane, which may reach beyond its border. */
typedef struct Square {
    int64_t height, width; /* of the plane */
    int64_t y, x;          /* of the square's first corner */
    int side;
} Square;

VINLINE bool is_inside(const Square *s)
{
    return s->y >= 0 && s->x >= 0 && s->y + s->side <= s->height && s->x + s->side <= s->width;
}

/* The part of a square, along one axis from `start`, that lies within a plane of that size. */
VINLINE int first_inside(int64_t start)
{
    return start < 0 ? (int)-start : 0;
}

VINLINE int end_inside(int64_t start, int64_t size, int side)
{
    return start + side <= size ? side : (int)(size - start);
}

/* For every position (i, j) of a square that lies inside the plane. */
#define EACH_INSIDE(s, i, j)                                                                                           \
    for (int i = first_inside((s)->y), i##_end = end_inside((s)->y, (s)->height, (s)->side); i < i##_end; i++)         \
        for (int j = first_inside((s)->x), j##_end = end_inside((s)->x, (s)->width, (s)->side); j < j##_end; j++)

/* Loads a square, zero outside the plane. */
VINLINE void load_square(const Real *plane, const Square *s, int side, int part, V *values)
{
    const Real *corner = at(plane, s->y * s->width + s->x, part);
    if (is_inside(s)) {
#pragma GCC unroll 8
        for (int i = 0; i < side; i++) {
#pragma GCC unroll 8
            for (int j = 0; j < side; j++) values[i * side + j] = vload(at(corner, i * s->width + j, 0));
        }
        return;
    }
    for (int i = 0; i < side * side; i++) values[i] = vset(0);
    EACH_INSIDE(s, i, j) values[i * side + j] = vload(at(corner, i * s->width + j, 0));
}

/* Asks for the square at the same place in the next plane: planes are too far apart for the processor to guess it. */
VINLINE void prefetch_next(const Real *plane, const Square *s, int side, const int write)
{
    const Real *corner = at(plane, (s->height + s->y) * s->width + s->x, 0);
#pragma GCC unroll 1
    for (int i = 0; i < side; i++) {
#pragma GCC unroll 8
        for (int j = 0; j < side; j++) {
            if (write) __builtin_prefetch(at(corner, i * s->width + j, 0), 1);
            else __builtin_prefetch(at(corner, i * s->width + j, 0), 0);
        }
    }
}

/* Transforms squares of one plane: tile `first` + t goes to column t of each of the 36 frequencies, `stride` groups
 * apart. */
VINLINE void transform_plane(Line *line, int side, Square s, int64_t offset, const Real *plane, int64_t across,
                             int64_t first, int64_t tiles, Real *result, int64_t stride)
{
    for (int64_t tile = 0; tile < tiles; tile++) {
        s.y = (first + tile) / across * TILE - offset;
        s.x = (first + tile) % across * TILE - offset;
        for (int part = 0; part < VPARTS; part++) {
            V values[WINDOW * WINDOW], transformed[FREQUENCIES];
            if (part == 0) prefetch_next(plane, &s, side, 0);
            load_square(plane, &s, side, part, values);
            transform(line, side, WINDOW, values, transformed);
#pragma GCC unroll 36
            for (int f = 0; f < FREQUENCIES; f++) vstore(at(result, tile + f * stride, part), transformed[f]);
        }
    }
}

__attribute__((noinline)) static void transform_windows(const ConvShape *shape, const Real *plane, int64_t first,
                                                        int64_t tiles, Real *result, int64_t stride)
{
    Square s = {.height = shape->height.in, .width = shape->width.in, .side = WINDOW};
    transform_plane(input_line, WINDOW, s, shape->padding, plane, winograd_across(shape), first, tiles, result, stride);
}

__attribute__((noinline)) static void transform_out_grad(const ConvShape *shape, const Real *plane, int64_t first,
                                                         int64_t tiles, Real *result, int64_t stride)
{
    Square s = {.height = shape->height.out, .width = shape->width.out, .side = TILE};
    transform_plane(output_line_adjoint, TILE, s, 0, plane, winograd_across(shape), first, tiles, result, stride);
}

/* ---- Weights: 16 channel pairs at a time, one in each lane ---- */

/* G g */
VINLINE void weight_line(const V *g, V *u)
{
    V outer = vset((Real)1 / 6) * (g[0] + g[2]), middle = vset((Real)1 / 6) * g[1];
    V a = vfma(vset((Real)1 / 24), g[0], vset((Real)1 / 6) * g[2]), b = vset((Real)1 / 12) * g[1];
    u[0] = vset((Real)1 / 4) * g[0];
    u[1] = -outer - middle;
    u[2] = middle - outer;
    u[3] = a + b;
    u[4] = a - b;
    u[5] = g[2];
}

/* G' u, its adjoint */
VINLINE void weight_line_adjoint(const V *u, V *g)
{
    V a = u[1] + u[2], b = u[2] - u[1], c = u[3] + u[4], e = u[3] - u[4];
    g[0] = vfma(vset((Real)1 / 4), u[0], vfma(vset((Real)1 / 24), c, vset(-(Real)1 / 6) * a));
    g[1] = vfma(vset((Real)1 / 12), e, vset((Real)1 / 6) * b);
    g[2] = vfma(vset((Real)1 / 6), c - a, u[5]);
}

typedef struct Pack {
    Real *packed;
    const Real *weight;
    int64_t out_channels, in_channels;
    bool transposed;
} Pack;

/* Gathers the weights of 2 channels across, from `across` on, by 8 to a side, from `side` on: zero beyond the last. */
static void gather_weights(const Pack *p, int64_t side, int64_t across, Real *g)
{
    for (int lane = 0; lane < WEFT_LANES; lane++) {
        int64_t s = side + lane % PACK, a = across + lane / PACK;
        int64_t o = p->transposed ? a : s, c = p->transposed ? s : a;
        bool real = o < p->out_channels && c < p->in_channels;
        const Real *weight = p->weight + (o * p->in_channels + c) * TAPS;
        for (int tap = 0; tap < TAPS; tap++) g[tap * WEFT_LANES + lane] = real ? weight[tap] : 0;
    }
}

static void pack_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Pack *p = context;
    int64_t count = p->transposed ? p->out_channels : p->in_channels;
    for (int64_t block = begin; block < end; block++) {
        Real *u = p->packed + block * FREQUENCIES * count * PACK;
        for (int64_t across = 0; across < count; across += WEFT_LANES / PACK) {
            Real gathered[TAPS * WEFT_LANES] __attribute__((aligned(64)));
            gather_weights(p, block * PACK, across, gathered);
            for (int part = 0; part < VPARTS; part++) {
                V g[TAPS], transformed[FREQUENCIES];
                for (int tap = 0; tap < TAPS; tap++) g[tap] = vload(at(gathered, tap, part));
                transform(weight_line, KERNEL_SIDE, WINDOW, g, transformed);
                for (int f = 0; f < FREQUENCIES; f++)
                    vstore(u + (f * count + across) * PACK + part * VWIDTH, transformed[f]);
            }
        }
    }
}

void KERNEL(winograd_pack)(Real *packed, const Real *weight, const ConvShape *shape, bool transposed)
{
    int64_t side = transposed ? shape->in_channels : shape->out_channels;
    parallel_for((side + PACK - 1) / PACK, 1, pack_range,
                 &(Pack){packed, weight, shape->out_channels, shape->in_channels, transposed});
}

/* ---- Products over channels: result[c][t] = sum over k of u[k][c] v[k][t], c in a pack of 8 ---- */

VINLINE void product_tile(int height, int width, int64_t count, const Real *u, const Real *v, int64_t tiles,
                          Real *result)
{
    for (int part = 0; part < VPARTS; part++) {
        V sum[HEIGHT][WIDTH];
        for (int c = 0; c < height; c++) {
            for (int t = 0; t < width; t++) sum[c][t] = vset(0);
        }
        for (int64_t k = 0; k < count; k++) {
            V x[WIDTH];
#pragma GCC unroll 8
            for (int t = 0; t < width; t++) x[t] = vload(at(v, k * tiles + t, part));
#pragma GCC unroll 8
            for (int c = 0; c < height; c++) {
                V w = vset(u[k * PACK + c]);
#pragma GCC unroll 8
                for (int t = 0; t < width; t++) sum[c][t] = vfma(w, x[t], sum[c][t]);
            }
        }
        for (int c = 0; c < height; c++) {
            for (int t = 0; t < width; t++) vstore(at(result, c * tiles + t, part), sum[c][t]);
        }
    }
}

__attribute__((noinline)) static void product(int64_t count, const Real *u, const Real *v, int64_t tiles, Real *result)
{
    for (int c = 0; c < PACK; c += HEIGHT) {
        int64_t width;
        for (int64_t t = 0; t < tiles; t += width) {
            Real *to = at(result, c * tiles + t, 0);
            const Real *from = at(v, t, 0);
            width = next_width(tiles - t);
            if (width == 3) product_tile(HEIGHT, 3, count, u + c, from, tiles, to);
            else if (width == 2) product_tile(HEIGHT, 2, count, u + c, from, tiles, to);
            else product_tile(HEIGHT, 1, count, u + c, from, tiles, to);
        }
    }
}

/* All frequencies' products for up to COLUMNS channels, from the transformed windows of `count` channels. A frequency's
 * windows stay in the first-level cache while all channels use them. */
static void products_of(const Real *packed, int64_t count, int64_t channels, const Real *windows, int64_t stride,
                        int64_t tiles, Real *products)
{
    for (int f = 0; f < FREQUENCIES; f++) {
        for (int64_t c = 0; c < channels; c += PACK)
            product(count, packed + (c * FREQUENCIES + f * PACK) * count, at(windows, f * stride, 0), tiles,
                    at(products, f * winograd_stride(COLUMNS, tiles) + c * tiles, 0));
    }
}

/* ---- Forward ---- */

typedef struct Forward {
    const ConvShape *shape;
    Real *out, *scratch;
    const Real *in, *packed, *bias;
    bool relu;
} Forward;

/* Transforms the products of one output channel back and finishes them. */
__attribute__((noinline)) static void finish_plane(const Forward *f, int64_t channel, const Real *products,
                                                   int64_t stride, int64_t first, int64_t tiles, Real *plane)
{
    const ConvShape *shape = f->shape;
    int64_t across = winograd_across(shape);
    Square s = {.height = shape->height.out, .width = shape->width.out, .side = TILE};
    V bias = vset(f->bias ? f->bias[channel] : 0);
    for (int64_t tile = 0; tile < tiles; tile++) {
        s.y = (first + tile) / across * TILE;
        s.x = (first + tile) % across * TILE;
        for (int part = 0; part < VPARTS; part++) {
            V m[FREQUENCIES], y[TILE * TILE];
            if (part == 0) prefetch_next(plane, &s, TILE, 1);
#pragma GCC unroll 36
            for (int k = 0; k < FREQUENCIES; k++) m[k] = vload(at(products, tile + k * stride, part));
            transform(output_line, WINDOW, TILE, m, y);
#pragma GCC unroll 16
            for (int i = 0; i < TILE * TILE; i++) {
                y[i] += bias;
                if (f->relu) y[i] = vmax(vset(0), y[i]);
            }
            Real *corner = at(plane, s.y * s.width + s.x, part);
            if (!is_inside(&s)) {
                EACH_INSIDE(&s, i, j) vstore(at(corner, i * s.width + j, 0), y[i * TILE + j]);
                continue;
            }
#pragma GCC unroll 4
            for (int i = 0; i < TILE; i++) {
#pragma GCC unroll 4
                for (int j = 0; j < TILE; j++) vstore(at(corner, i * s.width + j, 0), y[i * TILE + j]);
            }
        }
    }
}

/* Items are blocks of tiles, groups outermost. */
static void forward_range(int64_t begin, int64_t end, int thread, void *context)
{
    const Forward *f = context;
    const ConvShape *shape = f->shape;
    int64_t in_plane = shape->height.in * shape->width.in, out_plane = shape->height.out * shape->width.out;
    int64_t block = winograd_block(shape, shape->in_channels), all = winograd_tiles(shape);
    int64_t blocks = (all + block - 1) / block;
    Real *windows = f->scratch + thread * winograd_thread_scratch(shape, false);
    for (int64_t item = begin; item < end; item++) {
        int64_t group = item / blocks, first = item % blocks * block, tiles = all - first < block ? all - first : block;
        int64_t stride = winograd_stride(shape->in_channels, tiles);
        Real *products = at(windows, FREQUENCIES * stride, 0);
        for (int64_t c = 0; c < shape->in_channels; c++)
            transform_windows(shape, at(f->in, (group * shape->in_channels + c) * in_plane, 0), first, tiles,
                              at(windows, c * tiles, 0), stride);
        for (int64_t o = 0; o < shape->out_channels; o += COLUMNS) {
            int64_t channels = shape->out_channels - o < COLUMNS ? shape->out_channels - o : COLUMNS;
            products_of(f->packed + o * FREQUENCIES * shape->in_channels, shape->in_channels, channels, windows, stride,
                        tiles, products);
            for (int64_t c = 0; c < channels; c++)
                finish_plane(f, o + c, at(products, c * tiles, 0), winograd_stride(COLUMNS, tiles), first, tiles,
                             at(f->out, (group * shape->out_channels + o + c) * out_plane, 0));
        }
    }
}

void KERNEL(winograd)(Real *out, const Real *in, const Real *packed, const Real *bias, bool relu, Real *scratch,
                      const ConvShape *shape)
{
    int64_t block = winograd_block(shape, shape->in_channels), all = winograd_tiles(shape);
    Forward f = {shape, out, scratch, in, packed, bias, relu};
    parallel_for(shape->groups * ((all + block - 1) / block), 1, forward_range, &f);
}

/* ---- Gradient of the input ---- */

typedef struct InputGrad {
    const ConvShape *shape;
    Real *in_grad, *scratch;
    const Real *out_grad, *packed;
} InputGrad;

VINLINE void add(Real *to, V value)
{
    vstore(to, vload(to) + value);
}

/* Transforms the products of one input channel back and adds them to where their windows lie. */
__attribute__((noinline)) static void add_windows(const ConvShape *shape, const Real *products, int64_t stride,
                                                  int64_t first, int64_t tiles, Real *plane)
{
    int64_t across = winograd_across(shape);
    Square s = {.height = shape->height.in, .width = shape->width.in, .side = WINDOW};
    for (int64_t tile = 0; tile < tiles; tile++) {
        s.y = (first + tile) / across * TILE - shape->padding;
        s.x = (first + tile) % across * TILE - shape->padding;
        for (int part = 0; part < VPARTS; part++) {
            V v[FREQUENCIES], d[WINDOW * WINDOW];
#pragma GCC unroll 36
            for (int k = 0; k < FREQUENCIES; k++) v[k] = vload(at(products, tile + k * stride, part));
            transform(input_line_adjoint, WINDOW, WINDOW, v, d);
            Real *corner = at(plane, s.y * s.width + s.x, part);
            if (!is_inside(&s)) {
                EACH_INSIDE(&s, i, j) add(at(corner, i * s.width + j, 0), d[i * WINDOW + j]);
                continue;
            }
#pragma GCC unroll 6
            for (int i = 0; i < WINDOW; i++) {
#pragma GCC unroll 6
                for (int j = 0; j < WINDOW; j++) add(at(corner, i * s.width + j, 0), d[i * WINDOW + j]);
            }
        }
    }
}

/* Items are groups: the windows of neighbouring blocks overlap, and are added in order. */
static void input_grad_range(int64_t begin, int64_t end, int thread, void *context)
{
    const InputGrad *g = context;
    const ConvShape *shape = g->shape;
    int64_t in_plane = shape->height.in * shape->width.in, out_plane = shape->height.out * shape->width.out;
    int64_t block = winograd_block(shape, shape->out_channels), all = winograd_tiles(shape);
    Real *grads = g->scratch + thread * winograd_thread_scratch(shape, true);
    for (int64_t group = begin; group < end; group++) {
        Real *in_grad = at(g->in_grad, group * shape->in_channels * in_plane, 0);
        memset(in_grad, 0, (size_t)(shape->in_channels * in_plane * WEFT_LANES) * sizeof *in_grad);
        for (int64_t first = 0; first < all; first += block) {
            int64_t tiles = all - first < block ? all - first : block;
            int64_t stride = winograd_stride(shape->out_channels, tiles);
            Real *products = at(grads, FREQUENCIES * stride, 0);
            for (int64_t o = 0; o < shape->out_channels; o++)
                transform_out_grad(shape, at(g->out_grad, (group * shape->out_channels + o) * out_plane, 0), first,
                                   tiles, at(grads, o * tiles, 0), stride);
            for (int64_t c = 0; c < shape->in_channels; c += COLUMNS) {
                int64_t channels = shape->in_channels - c < COLUMNS ? shape->in_channels - c : COLUMNS;
                products_of(g->packed + c * FREQUENCIES * shape->out_channels, shape->out_channels, channels, grads,
                            stride, tiles, products);
                for (int64_t i = 0; i < channels; i++)
                    add_windows(shape, at(products, i * tiles, 0), winograd_stride(COLUMNS, tiles), first, tiles,
                                at(in_grad, (c + i) * in_plane, 0));
            }
        }
    }
}

void KERNEL(winograd_input_grad)(Real *in_grad, const Real *out_grad, const Real *packed, Real *scratch,
                                 const ConvShape *shape)
{
    InputGrad g = {shape, in_grad, scratch, out_grad, packed};
    parallel_for(shape->groups, 1, input_grad_range, &g);
}

/* ---- Gradient of the weights ----
 *
 * dU of a frequency is a matrix product over tiles and samples, [C][tiles 16] by [tiles 16][O]. The lanes are part of
 * what is summed over, so the gradient is transposed, output channels innermost: sums then fill whole vectors, 6 input
 * channels by 64 output channels are 24 accumulators, and no lane is ever folded. */

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
