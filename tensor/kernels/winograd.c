/* Winograd's convolution: the forward pass and the gradient of the input.
 *
 * Why it is fast: each product of transformed weights and windows runs in a register tile of 8 channels by 3 tiles of
 * accumulators (4 by 3 where there are 16 registers), 24 fused multiply-adds for 3 loads and 8 broadcasts, as the
 * direct convolution does, but there are a quarter as many. What is left is moving data: windows are transformed once
 * for all output channels, a block of tiles at a time that stays in the second-level cache, and products are
 * transformed back while they are there. */
#include "tensor/kernels/relu_grad.h"
#include "tensor/kernels/winograd_transform.h"
#include "tensor/parallel.h"

/* The register tile: channels by tiles. */
enum {
#if VBYTES == 64 || defined(__aarch64__)
    HEIGHT = 8, /* 24 of 32 registers */
#else
    HEIGHT = 4, /* 12 of 16 */
#endif
    WIDTH = 3,
};

/* The next width of register tile for `left` columns: 3, but never leaving a single one, which would be slow. */
VINLINE int64_t next_width(int64_t left)
{
    return left == 4 || left == 2 ? 2 : left < WIDTH ? left : WIDTH;
}

/* ---- Packed weights ---- */

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

/* Packs in a block of at most WINOGRAD_SIDE of the channels that are left. */
VINLINE int64_t packs_of(int64_t channels)
{
    return (conv_smaller(channels, WINOGRAD_SIDE) + PACK - 1) / PACK;
}

static void pack_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Pack *p = context;
    int64_t count = p->transposed ? p->out_channels : p->in_channels;
    for (int64_t pack = begin; pack < end; pack++) {
        const int64_t side = p->transposed ? p->in_channels : p->out_channels;
        const int64_t first = pack * PACK / WINOGRAD_SIDE * WINOGRAD_SIDE, packs = packs_of(side - first);
        Real *u = p->packed + (first * FREQUENCIES + (pack * PACK - first)) * count;
        for (int64_t across = 0; across < count; across += WEFT_LANES / PACK) {
            Real gathered[TAPS * WEFT_LANES] __attribute__((aligned(64)));
            gather_weights(p, pack * PACK, across, gathered);
            for (int part = 0; part < VPARTS; part++) {
                V g[TAPS], transformed[FREQUENCIES];
                for (int tap = 0; tap < TAPS; tap++) g[tap] = vload(at(gathered, tap, part));
                transform(weight_line, KERNEL_SIDE, WINDOW, g, transformed);
                for (int f = 0; f < FREQUENCIES; f++)
                    vstore(u + (f * packs * count + across) * PACK + part * VWIDTH, transformed[f]);
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
            __builtin_prefetch(u + (count + k) * PACK);
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

/* All frequencies' products for up to WINOGRAD_SIDE channels, from the transformed windows of `count` channels. A frequency's
 * windows stay in the first-level cache while all channels use them. */
static void products_of(const Real *packed, int64_t count, int64_t channels, const Real *windows, int64_t stride,
                        int64_t tiles, Real *products)
{
    for (int f = 0; f < FREQUENCIES; f++) {
        for (int64_t c = 0; c < channels; c += PACK)
            product(count, packed + (f * packs_of(channels) * PACK + c) * count, at(windows, f * stride, 0), tiles,
                    at(products, f * winograd_stride(WINOGRAD_SIDE, tiles) + c * tiles, 0));
    }
}

/* ---- Forward ---- */

typedef struct Forward {
    const ConvShape *shape;
    const WinogradOut *out;
    Real *scratch;
    const Real *in, *packed;
} Forward;

/* Stores a tile of results in their plane. */
VINLINE void store_tile(const WinogradOut *out, Real *plane, const Square *s, int part, V *y)
{
#pragma GCC unroll 16
    for (int i = 0; i < TILE * TILE; i++) y[i] = out->relu ? vmax(vset(0), y[i]) : y[i];
    Real *corner = at(plane, s->y * s->width + s->x, part);
    if (!is_inside(s)) {
        EACH_INSIDE(s, i, j) vstore(at(corner, i * s->width + j, 0), y[i * TILE + j]);
        return;
    }
#pragma GCC unroll 4
    for (int i = 0; i < TILE; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < TILE; j++) vstore(at(corner, i * s->width + j, 0), y[i * TILE + j]);
    }
}

/* Stores the maxima of a tile's windows in the pooled plane, from `offset` on in the whole result. */
VINLINE void store_pooled(const WinogradOut *out, int64_t offset, const Square *s, int part, const V *y)
{
    const Square pooled = pooled_square(s);
    EACH_INSIDE(&pooled, i, j)
    {
        const int64_t to = offset + ((pooled.y + i) * pooled.width + pooled.x + j) * WEFT_LANES + part * VWIDTH;
        const V *window = y + (i * TILE + j) * WINOGRAD_POOL;
        Maximum best = maximum_start(0);
        maximum_take(&best, window[0], 0);
        maximum_take(&best, window[1], 1);
        maximum_take(&best, window[TILE], 2);
        maximum_take(&best, window[TILE + 1], 3);
        if (out->relu) {
            const I open = best.value > vset(0);
            best.place = (open & best.place) | (~open & WINOGRAD_CLOSED);
            best.value = vmax(vset(0), best.value);
        }
        vstore(out->values + to, best.value);
        if (out->indices) store_places(out->indices + to, best.place);
    }
}

/* Transforms the products of one output channel back and finishes them. `plane` counts channels through the batch. */
VINLINE void finish_tiles(const Forward *f, int64_t plane, const Real *products, int64_t stride, int64_t first,
                          int64_t tiles, const bool pool)
{
    const ConvShape *shape = f->shape;
    const WinogradOut *out = f->out;
    const int64_t across = winograd_across(shape);
    Square s = {.height = shape->height.out, .width = shape->width.out, .side = TILE};
    const int64_t side = pool ? WINOGRAD_POOL : 1;
    const int64_t offset = plane * (s.height / side) * (s.width / side) * WEFT_LANES;
    const V bias = vset(out->bias ? out->bias[plane % shape->out_channels] : 0);
    for (int64_t tile = 0; tile < tiles; tile++) {
        s.y = (first + tile) / across * TILE;
        s.x = (first + tile) % across * TILE;
        if (!pool) prefetch_next(out->values + offset, &s, TILE, 1);
        for (int part = 0; part < VPARTS; part++) {
            V m[FREQUENCIES], y[TILE * TILE];
#pragma GCC unroll 36
            for (int k = 0; k < FREQUENCIES; k++) m[k] = vload(at(products, tile + k * stride, part));
            transform(output_line, WINDOW, TILE, m, y);
#pragma GCC unroll 16
            for (int i = 0; i < TILE * TILE; i++) y[i] += bias;
            if (pool) store_pooled(out, offset, &s, part, y);
            else store_tile(out, out->values + offset, &s, part, y);
        }
    }
}

__attribute__((noinline)) static void finish_plain(const Forward *f, int64_t plane, const Real *products,
                                                   int64_t stride, int64_t first, int64_t tiles)
{
    finish_tiles(f, plane, products, stride, first, tiles, false);
}

__attribute__((noinline)) static void finish_pooled(const Forward *f, int64_t plane, const Real *products,
                                                    int64_t stride, int64_t first, int64_t tiles)
{
    finish_tiles(f, plane, products, stride, first, tiles, true);
}

/* Items are blocks of tiles, groups outermost. */
static void forward_range(int64_t begin, int64_t end, int thread, void *context)
{
    const Forward *f = context;
    const ConvShape *shape = f->shape;
    int64_t in_plane = shape->height.in * shape->width.in;
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
        for (int64_t o = 0; o < shape->out_channels; o += WINOGRAD_SIDE) {
            int64_t channels = shape->out_channels - o < WINOGRAD_SIDE ? shape->out_channels - o : WINOGRAD_SIDE;
            products_of(f->packed + o * FREQUENCIES * shape->in_channels, shape->in_channels, channels, windows, stride,
                        tiles, products);
            for (int64_t c = 0; c < channels; c++)
                (f->out->pool ? finish_pooled : finish_plain)(f, group * shape->out_channels + o + c,
                                                              at(products, c * tiles, 0),
                                                              winograd_stride(WINOGRAD_SIDE, tiles), first, tiles);
        }
    }
}

void KERNEL(winograd)(const WinogradOut *out, const Real *in, const Real *packed, Real *scratch,
                      const ConvShape *shape)
{
    int64_t block = winograd_block(shape, shape->in_channels), all = winograd_tiles(shape);
    Forward f = {shape, out, scratch, in, packed};
    parallel_for(shape->groups * ((all + block - 1) / block), 1, forward_range, &f);
}

/* ---- Gradient of the input ---- */

typedef struct InputGrad {
    const ConvShape *shape;
    const WinogradInputGrad *in_grad;
    Real *scratch;
    const WinogradGrad *out_grad;
    const Real *packed;
} InputGrad;

/* As transform_windows, of the gradient. */
__attribute__((noinline)) static void transform_out_grad(const InputGrad *g, int64_t plane_number, int64_t first,
                                                         int64_t tiles, Real *result, int64_t stride)
{
    const ConvShape *shape = g->shape;
    const WinogradGrad plane = grad_plane(g->out_grad, shape, plane_number);
    const WinogradGrad next = grad_plane(g->out_grad, shape, plane_number + 1);
    const int64_t across = winograd_across(shape);
    Square s = {.height = shape->height.out, .width = shape->width.out, .side = TILE};
    for (int64_t tile = 0; tile < tiles; tile++) {
        s.y = (first + tile) / across * TILE;
        s.x = (first + tile) % across * TILE;
        prefetch_grads(&next, &s);
        for (int part = 0; part < VPARTS; part++) {
            V y[TILE * TILE], transformed[FREQUENCIES];
            load_grads(&plane, &s, part, y);
            transform(output_line_adjoint, TILE, WINDOW, y, transformed);
#pragma GCC unroll 36
            for (int f = 0; f < FREQUENCIES; f++) vstore(at(result, tile + f * stride, part), transformed[f]);
        }
    }
}

/* Puts a window in its plane: added where it overlaps the windows above and beside it, which were there before, and
 * written elsewhere. */
VINLINE void put_window(Real *plane, const Square *s, int part, const V *d, const bool above, const bool beside)
{
    enum { SHARED = WINDOW - TILE };
#define PUT(i, j)                                                                                                      \
    do {                                                                                                               \
        Real *to = at(plane, (s->y + i) * s->width + s->x + j, part);                                                  \
        const bool adds = (above && i < SHARED) || (beside && j < SHARED);                                             \
        vstore(to, adds ? vload(to) + d[i * WINDOW + j] : d[i * WINDOW + j]);                                          \
    } while (0)
    if (!is_inside(s)) {
        EACH_INSIDE(s, i, j) PUT(i, j);
        return;
    }
#pragma GCC unroll 6
    for (int i = 0; i < WINDOW; i++) {
#pragma GCC unroll 6
        for (int j = 0; j < WINDOW; j++) PUT(i, j);
    }
#undef PUT
}

/* Transforms the products of one input channel back and adds them up where their windows lie. */
__attribute__((noinline)) static void add_windows(const ConvShape *shape, const Real *products, int64_t stride,
                                                  int64_t first, int64_t tiles, Real *plane)
{
    int64_t across = winograd_across(shape);
    Square s = {.height = shape->height.in, .width = shape->width.in, .side = WINDOW};
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t row = (first + tile) / across, column = (first + tile) % across;
        s.y = row * TILE - shape->padding;
        s.x = column * TILE - shape->padding;
        prefetch_next(plane, &s, WINDOW, 1);
        for (int part = 0; part < VPARTS; part++) {
            V v[FREQUENCIES], d[WINDOW * WINDOW];
#pragma GCC unroll 36
            for (int k = 0; k < FREQUENCIES; k++) v[k] = vload(at(products, tile + k * stride, part));
            transform(input_line_adjoint, WINDOW, WINDOW, v, d);
            if (row > 0 && column > 0) put_window(plane, &s, part, d, true, true);
            else if (row > 0) put_window(plane, &s, part, d, true, false);
            else if (column > 0) put_window(plane, &s, part, d, false, true);
            else put_window(plane, &s, part, d, false, false);
        }
    }
}

/* Adds one input channel's windows in a block of tiles. The last block finishes the plane, while it is in cache. */
static void finish_input_grad(const InputGrad *g, int64_t plane, const Real *products, int64_t stride, int64_t first,
                              int64_t tiles)
{
    const ConvShape *shape = g->shape;
    const int64_t area = shape->height.in * shape->width.in;
    Real *values = at(g->in_grad->values, plane * area, 0);
    add_windows(shape, products, stride, first, tiles, values);
    if (g->in_grad->relu && first + tiles == winograd_tiles(shape))
        g->in_grad->sums[plane] = relu_grad_plane(values, values, at(g->in_grad->relu, plane * area, 0), area);
}

/* Items are groups: the windows of neighbouring blocks overlap, and are added in order. */
static void input_grad_range(int64_t begin, int64_t end, int thread, void *context)
{
    const InputGrad *g = context;
    const ConvShape *shape = g->shape;
    int64_t block = winograd_block(shape, shape->out_channels), all = winograd_tiles(shape);
    Real *grads = g->scratch + thread * winograd_thread_scratch(shape, true);
    for (int64_t group = begin; group < end; group++) {
        for (int64_t first = 0; first < all; first += block) {
            int64_t tiles = all - first < block ? all - first : block;
            int64_t stride = winograd_stride(shape->out_channels, tiles);
            Real *products = at(grads, FREQUENCIES * stride, 0);
            for (int64_t o = 0; o < shape->out_channels; o++)
                transform_out_grad(g, group * shape->out_channels + o, first, tiles, at(grads, o * tiles, 0), stride);
            for (int64_t c = 0; c < shape->in_channels; c += WINOGRAD_SIDE) {
                int64_t channels = shape->in_channels - c < WINOGRAD_SIDE ? shape->in_channels - c : WINOGRAD_SIDE;
                products_of(g->packed + c * FREQUENCIES * shape->out_channels, shape->out_channels, channels, grads,
                            stride, tiles, products);
                for (int64_t i = 0; i < channels; i++)
                    finish_input_grad(g, group * shape->in_channels + c + i, at(products, i * tiles, 0),
                                      winograd_stride(WINOGRAD_SIDE, tiles), first, tiles);
            }
        }
    }
}

void KERNEL(winograd_input_grad)(const WinogradInputGrad *in_grad, const WinogradGrad *out_grad, const Real *packed,
                                 Real *scratch, const ConvShape *shape)
{
    InputGrad g = {shape, in_grad, scratch, out_grad, packed};
    parallel_for(shape->groups, 1, input_grad_range, &g);
}
