/* Winograd's products over channels, for the forward pass and the gradient of the input. For kernels.
 *
 * Why they are fast: a register tile of 8 channels by 3 tiles of accumulators (4 by 3 where there are 16 registers)
 * takes 24 fused multiply-adds for 3 loads and 8 broadcasts (12 for 3 and 4), as the direct convolution's does. */
#ifndef WEFT_KERNEL_WINOGRAD_PRODUCT_H
#define WEFT_KERNEL_WINOGRAD_PRODUCT_H

#include "tensor/kernels/winograd_transform.h"

/* The register tile: channels by tiles. */
enum {
#if VREGISTERS == 32
    HEIGHT = 8, /* 24 of 32 registers */
#else
    HEIGHT = 4, /* 12 of 16 */
#endif
    WIDTH = 3,
};

/* The next width of register tile for `left` columns: 3, but never leaving a single one, which would be slow. */
VINLINE int64_t next_width(int64_t left)
{
    return left == 4 ? 2 : conv_smaller(left, WIDTH);
}

/* What is summed over `count` channels: packed weights, transposed for the gradient of the input, by the transforms
 * [count][tiles][16] of a frequency. */
typedef struct Product {
    int64_t count, tiles;
    WinogradPacked packed;
    int64_t ahead; /* from a pack's weights to those that are used next: large layers' come from beyond the caches */
} Product;

/* The 8 by 8 weights that channel k is in, of those that begin at u. */
VINLINE const Real *weights_of(const bool transposed, const WinogradPacked *packed, const Real *u, int64_t k)
{
    if (!transposed) return u + k / PACK * packed->pack;
    return u + k / CHANNELS * packed->block + k % CHANNELS / PACK * PACK * PACK;
}

/* result[c][t] = sum over k of u[k][c] v[k][t] for `height` of a pack of channels, from c on. */
VINLINE void product_tile(const bool transposed, const int height, const int width, const Product *product, const int c,
                          const Real *u, const Real *v, Real *result)
{
    enum { STEP = WINOGRAD_MULTIPLE };
    const Product p = *product;
    for (int part = 0; part < VPARTS; part++) {
        V sum[HEIGHT][WIDTH];
#pragma GCC unroll 8
        for (int i = 0; i < height; i++) {
#pragma GCC unroll 8
            for (int t = 0; t < width; t++) sum[i][t] = vset(0);
        }
        for (int64_t first = 0; first < p.count; first += STEP) {
            const Real *weights = weights_of(transposed, &p.packed, u, first);
            const int64_t row = first % PACK;
#pragma GCC unroll 4
            for (int k = 0; k < STEP; k++) {
                V x[WIDTH];
                __builtin_prefetch(weights + p.ahead + (row + k) * PACK);
#pragma GCC unroll 8
                for (int t = 0; t < width; t++) x[t] = vload(at(v, (first + k) * p.tiles + t, part));
#pragma GCC unroll 8
                for (int i = 0; i < height; i++) {
                    V w = vset(weights[transposed ? (c + i) * PACK + row + k : (row + k) * PACK + c + i]);
#pragma GCC unroll 8
                    for (int t = 0; t < width; t++) sum[i][t] = vfma(w, x[t], sum[i][t]);
                }
            }
        }
#pragma GCC unroll 8
        for (int i = 0; i < height; i++) {
#pragma GCC unroll 8
            for (int t = 0; t < width; t++) vstore(at(result, (c + i) * p.tiles + t, part), sum[i][t]);
        }
    }
}

/* The products of a pack of channels with all tiles. */
VINLINE void product_of(const bool transposed, const Product *p, const Real *u, const Real *v, Real *result)
{
    for (int c = 0; c < PACK; c += HEIGHT) {
        int64_t width;
        for (int64_t t = 0; t < p->tiles; t += width) {
            const Real *from = at(v, t, 0);
            Real *to = at(result, t, 0);
            width = next_width(p->tiles - t);
            if (width == 3) product_tile(transposed, HEIGHT, 3, p, c, u, from, to);
            else if (width == 2) product_tile(transposed, HEIGHT, 2, p, c, u, from, to);
            else product_tile(transposed, HEIGHT, 1, p, c, u, from, to);
        }
    }
}

__attribute__((noinline, unused)) static void product(const Product *p, const Real *u, const Real *v, Real *result)
{
    product_of(false, p, u, v, result);
}

__attribute__((noinline, unused)) static void product_transposed(const Product *p, const Real *u, const Real *v,
                                                                 Real *result)
{
    product_of(true, p, u, v, result);
}

typedef void ProductOf(const Product *p, const Real *u, const Real *v, Real *result);

/* All frequencies' products for up to CHANNELS channels, the first in the pack at `packed` and the other packs `apart`
 * from each other, from the transformed tiles of `count` channels. A frequency's tiles stay in the first-level cache,
 * unless there are hundreds of channels, while all packs use them. */
VINLINE void products_of(ProductOf *product_of_pack, const ConvShape *shape, const Real *packed, int64_t apart,
                         int64_t count, int64_t channels, const Real *transformed, int64_t tiles, Real *products)
{
    Product p = {count, tiles, winograd_packed(shape), 0};
    for (int64_t f = 0; f < winograd_frequencies(shape); f++) {
        const Real *from = at(transformed, f * winograd_stride(count, tiles), 0), *u = packed + f * p.packed.frequency;
        Real *to = at(products, f * winograd_stride(CHANNELS, tiles), 0);
        for (int64_t c = 0; c < channels; c += PACK) {
            const Real *next = c + PACK < channels ? u + apart : packed + (f + 1) * p.packed.frequency;
            p.ahead = next - u;
            product_of_pack(&p, u, from, at(to, c * tiles, 0));
            u = next;
        }
    }
}

#endif
