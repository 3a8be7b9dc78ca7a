/* Winograd's products over channels, for the forward pass and the gradient of the input. For kernels.
 *
 * Why they are fast: a register tile of 8 channels by 3 tiles of accumulators (4 by 3 where there are 16 registers)
 * takes 24 fused multiply-adds for 3 loads and 8 broadcasts, as the direct convolution's does. */
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
    return left == 4 || left == 2 ? 2 : left < WIDTH ? left : WIDTH;
}

/* result[c][t] = sum over k of u[k][c] v[k][t], c in a pack of 8. */
VINLINE void product_tile(int height, int width, int64_t count, const Real *u, const Real *v, int64_t tiles,
                          Real *result)
{
    for (int part = 0; part < VPARTS; part++) {
        V sum[HEIGHT][WIDTH];
#pragma GCC unroll 8
        for (int c = 0; c < height; c++) {
#pragma GCC unroll 8
            for (int t = 0; t < width; t++) sum[c][t] = vset(0);
        }
        for (int64_t k = 0; k < count; k++) {
            V x[WIDTH];
            __builtin_prefetch(u + (count + k) * PACK); /* the next pack: large layers' come from beyond the caches */
#pragma GCC unroll 8
            for (int t = 0; t < width; t++) x[t] = vload(at(v, k * tiles + t, part));
#pragma GCC unroll 8
            for (int c = 0; c < height; c++) {
                V w = vset(u[k * PACK + c]);
#pragma GCC unroll 8
                for (int t = 0; t < width; t++) sum[c][t] = vfma(w, x[t], sum[c][t]);
            }
        }
#pragma GCC unroll 8
        for (int c = 0; c < height; c++) {
#pragma GCC unroll 8
            for (int t = 0; t < width; t++) vstore(at(result, c * tiles + t, part), sum[c][t]);
        }
    }
}

/* The products of a pack of channels with all tiles. */
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

/* All frequencies' products for up to SIDE channels, from the transformed tiles of `count` channels. A frequency's
 * tiles stay in the first-level cache while all channels use them. */
static void products_of(const ConvShape *shape, const Real *packed, int64_t count, int64_t channels,
                        const Real *transformed, int64_t tiles, Real *products)
{
    const int64_t frequency = winograd_packs(channels) * PACK * count, frequencies = winograd_frequencies(shape);
    for (int64_t f = 0; f < frequencies; f++) {
        const Real *from = at(transformed, f * winograd_stride(count, tiles), 0);
        Real *to = at(products, f * winograd_stride(SIDE, tiles), 0);
        for (int64_t c = 0; c < channels; c += PACK)
            product(count, packed + f * frequency + c * count, from, tiles, at(to, c * tiles, 0));
    }
}

#endif
