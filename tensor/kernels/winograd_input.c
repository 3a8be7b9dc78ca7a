/* Winograd's convolution: the gradient of the input, by the adjoint of the forward pass's steps. */
#include "tensor/kernels/relu_grad.h"
#include "tensor/kernels/winograd_product.h"
#include "tensor/parallel.h"

typedef struct InputGrad {
    const ConvShape *shape;
    const WinogradInputGrad *in_grad;
    Real *scratch;
    const WinogradGrad *out_grad;
    const Real *packed;
} InputGrad;

/* As transform_windows, of the gradient. `plane` counts channels through the batch. */
__attribute__((noinline)) static void transform_out_grad(const InputGrad *g, int64_t plane, Tiles tiles, Real *result,
                                                         int64_t stride)
{
    const WinogradGrad grad = grad_plane(g->out_grad, g->shape, plane);
    const WinogradGrad next = grad_plane(g->out_grad, g->shape, plane + 1);
    for (int64_t t = 0; t < tiles.count; t++) {
        const Square s = tile_square(g->shape, tiles.first + t);
        prefetch_grads(&next, &s);
        for (int part = 0; part < VPARTS; part++) {
            V y[TILE * TILE], transformed[FREQUENCIES];
            load_grads(&grad, &s, part, y);
            transform(output_line_adjoint, TILE, WINDOW, y, transformed);
#pragma GCC unroll 36
            for (int f = 0; f < FREQUENCIES; f++) vstore(at(result, t + f * stride, part), transformed[f]);
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
__attribute__((noinline)) static void add_windows(const ConvShape *shape, const Real *products, Tiles tiles,
                                                  Real *plane)
{
    const int64_t stride = winograd_stride(SIDE, tiles.count);
    for (int64_t t = 0; t < tiles.count; t++) {
        const Square s = window_square(shape, tiles.first + t);
        const bool above = s.y + shape->padding > 0, beside = s.x + shape->padding > 0;
        prefetch_next(plane, &s, WINDOW, 1);
        for (int part = 0; part < VPARTS; part++) {
            V v[FREQUENCIES], d[WINDOW * WINDOW];
#pragma GCC unroll 36
            for (int k = 0; k < FREQUENCIES; k++) v[k] = vload(at(products, t + k * stride, part));
            transform(input_line_adjoint, WINDOW, WINDOW, v, d);
            if (above && beside) put_window(plane, &s, part, d, true, true);
            else if (above) put_window(plane, &s, part, d, true, false);
            else if (beside) put_window(plane, &s, part, d, false, true);
            else put_window(plane, &s, part, d, false, false);
        }
    }
}

/* Adds one input channel's windows in a block of tiles. The last block finishes the plane, while it is in cache. */
static void finish_plane(const InputGrad *g, int64_t plane, const Real *products, Tiles tiles)
{
    const ConvShape *shape = g->shape;
    const int64_t area = shape->height.in * shape->width.in;
    Real *values = at(g->in_grad->values, plane * area, 0);
    add_windows(shape, products, tiles, values);
    if (g->in_grad->relu && tiles.first + tiles.count == winograd_tiles(shape))
        g->in_grad->sums[plane] = relu_grad_plane(values, values, at(g->in_grad->relu, plane * area, 0), area);
}

/* A block of tiles of one group: all channels. */
static void input_grad_block(const InputGrad *g, int64_t group, Tiles tiles, Real *scratch)
{
    const ConvShape *shape = g->shape;
    const int64_t count = shape->out_channels, stride = winograd_stride(count, tiles.count);
    Real *grads = scratch, *products = at(grads, FREQUENCIES * stride, 0);
    for (int64_t o = 0; o < count; o++)
        transform_out_grad(g, group * count + o, tiles, at(grads, o * tiles.count, 0), stride);
    for (int64_t c = 0; c < shape->in_channels; c += SIDE) {
        const int64_t channels = conv_smaller(shape->in_channels - c, SIDE);
        products_of(g->packed + c * FREQUENCIES * count, count, channels, grads, tiles.count, products);
        for (int64_t i = 0; i < channels; i++)
            finish_plane(g, group * shape->in_channels + c + i, at(products, i * tiles.count, 0), tiles);
    }
}

/* Items are groups: the windows of neighbouring blocks overlap, and are added in order. */
static void input_grad_range(int64_t begin, int64_t end, int thread, void *context)
{
    const InputGrad *g = context;
    const int64_t block = winograd_block(g->shape, g->shape->out_channels), all = winograd_tiles(g->shape);
    Real *scratch = g->scratch + thread * winograd_thread_scratch(g->shape, true);
    for (int64_t group = begin; group < end; group++)
        for (int64_t first = 0; first < all; first += block)
            input_grad_block(g, group, (Tiles){first, conv_smaller(all - first, block)}, scratch);
}

void KERNEL(winograd_input_grad)(const WinogradInputGrad *in_grad, const WinogradGrad *out_grad, const Real *packed,
                                 Real *scratch, const ConvShape *shape)
{
    parallel_for(shape->groups, 1, input_grad_range, &(InputGrad){shape, in_grad, scratch, out_grad, packed});
}
