/* Winograd's convolution: the forward pass.
 *
 * Why it is fast: where tiles fit the map there are a quarter of the direct convolution's products, or fewer. What is
 * left is moving data: windows are transformed once for all output channels, a block of tiles at a time that stays in
 * the second-level cache, and products are transformed back, and what follows is computed, while they are there. */
#include "tensor/kernels/winograd_product.h"
#include "tensor/parallel.h"

typedef struct Forward {
    const ConvShape *shape;
    const WinogradOut *out;
    Real *scratch;
    const Real *in, *packed;
} Forward;

/* Stores a tile of results in their plane. */
VINLINE void store_tile(const int tile, const WinogradOut *out, V bias, Real *plane, const Square *s, int part, V *y)
{
#pragma GCC unroll 36
    for (int i = 0; i < tile * tile; i++) y[i] = out->relu ? vmax(vset(0), y[i] + bias) : y[i] + bias;
    Real *corner = at(plane, s->y * s->width + s->x, part);
    if (!is_inside(s)) {
        EACH_INSIDE(s, i, j) vstore(at(corner, i * s->width + j, 0), y[i * tile + j]);
        return;
    }
#pragma GCC unroll 8
    for (int i = 0; i < tile; i++) {
#pragma GCC unroll 8
        for (int j = 0; j < tile; j++) vstore(at(corner, i * s->width + j, 0), y[i * tile + j]);
    }
}

/* Stores the maxima of a tile's windows in the pooled plane, from `offset` on in the whole result. */
VINLINE void store_pooled(const int tile, const WinogradOut *out, V bias, int64_t offset, const Square *s, int part,
                          const V *y)
{
    const Square pooled = pooled_square(s);
    EACH_INSIDE(&pooled, i, j)
    {
        const int64_t to = offset + ((pooled.y + i) * pooled.width + pooled.x + j) * WEFT_LANES + part * VWIDTH;
        const V *window = y + (i * tile + j) * WINOGRAD_POOL;
        Maximum best = maximum_start(0);
        maximum_take(&best, window[0] + bias, 0);
        maximum_take(&best, window[1] + bias, 1);
        maximum_take(&best, window[tile] + bias, 2);
        maximum_take(&best, window[tile + 1] + bias, 3);
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
VINLINE void finish_tiles(const int tile, const bool pool, const Forward *f, int64_t plane, const Real *products,
                          Tiles tiles)
{
    const ConvShape *shape = f->shape;
    const WinogradOut *out = f->out;
    const int64_t factor = pool ? WINOGRAD_POOL : 1, stride = winograd_stride(CHANNELS, tiles.count);
    const int64_t offset = plane * (shape->height.out / factor) * (shape->width.out / factor) * WEFT_LANES;
    const V bias = vset(out->bias ? out->bias[plane % shape->out_channels] : 0);
    for (int64_t t = 0; t < tiles.count; t++) {
        const Square s = tile_square(shape, tile, tiles.first + t);
        if (!pool) prefetch_next(out->values + offset, &s, tile, 1);
        for (int part = 0; part < VPARTS; part++) {
            V y[LARGEST_TILE * LARGEST_TILE];
            transform(output_line, tile, winograd_window(tile), tile, frequencies_of(products, t, stride, tile, part),
                      grid_of(y, tile));
            if (pool) store_pooled(tile, out, bias, offset, &s, part, y);
            else store_tile(tile, out, bias, out->values + offset, &s, part, y);
        }
    }
}

__attribute__((noinline)) static void finish_plain(const Forward *f, int64_t plane, const Real *products, Tiles tiles)
{
    FOR_TILE(f->shape, finish_tiles, false, f, plane, products, tiles);
}

/* Tiles of 5 hold no whole windows: winograd_can_pool. */
__attribute__((noinline)) static void finish_pooled(const Forward *f, int64_t plane, const Real *products, Tiles tiles)
{
    if (winograd_tile(f->shape) == WINOGRAD_SMALLEST) finish_tiles(WINOGRAD_SMALLEST, true, f, plane, products, tiles);
    else finish_tiles(WINOGRAD_LARGEST, true, f, plane, products, tiles);
}

/* A block of tiles of one group: all channels. */
static void forward_block(const Forward *f, int64_t group, Tiles tiles, Real *scratch)
{
    const ConvShape *shape = f->shape;
    const int64_t plane = shape->height.in * shape->width.in, count = shape->in_channels;
    const int64_t stride = winograd_stride(count, tiles.count), frequencies = winograd_frequencies(shape);
    const WinogradPacked packed = winograd_packed(shape);
    Real *windows = scratch, *products = at(windows, frequencies * stride, 0);
    for (int64_t c = 0; c < count; c++)
        transform_windows(shape, at(f->in, (group * count + c) * plane, 0), tiles, at(windows, c * tiles.count, 0),
                          stride);
    for (int64_t o = 0; o < shape->out_channels; o += CHANNELS) {
        const int64_t channels = conv_smaller(shape->out_channels - o, CHANNELS);
        products_of(product, shape, f->packed + o / CHANNELS * packed.block, PACK * PACK, count, channels, windows,
                    tiles.count, products);
        for (int64_t c = 0; c < channels; c++)
            (f->out->pool ? finish_pooled : finish_plain)(f, group * shape->out_channels + o + c,
                                                          at(products, c * tiles.count, 0), tiles);
    }
}

/* Items are blocks of tiles, groups outermost. */
static void forward_range(int64_t begin, int64_t end, int thread, void *context)
{
    const Forward *f = context;
    const Parts blocks = winograd_blocks(f->shape, f->shape->in_channels);
    Real *scratch = f->scratch + thread * winograd_thread_scratch(f->shape, false);
    for (int64_t item = begin; item < end; item++) {
        forward_block(f, item / blocks.count, tiles_of_block(blocks, item % blocks.count), scratch);
    }
}

void KERNEL(winograd)(const WinogradOut *out, const Real *in, const Real *packed, Real *scratch, const ConvShape *shape)
{
    const Parts blocks = winograd_blocks(shape, shape->in_channels);
    parallel_for(shape->groups * blocks.count, 1, forward_range, &(Forward){shape, out, scratch, in, packed});
}
