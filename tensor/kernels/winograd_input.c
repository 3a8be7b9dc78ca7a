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
VINLINE void transform_out_grad_of(const int tile, const InputGrad *g, int64_t plane, Tiles tiles, Real *result,
                                   int64_t stride)
{
    const WinogradGrad grad = grad_plane(g->out_grad, g->shape, plane);
    const WinogradGrad next = grad_plane(g->out_grad, g->shape, plane + 1);
    for (int64_t t = 0; t < tiles.count; t++) {
        const Square s = tile_square(g->shape, tile, tiles.first + t);
        prefetch_grads(&next, &s, tile);
        for (int part = 0; part < VPARTS; part++) {
            V room[LARGEST_TILE * LARGEST_TILE];
            transform(output_line_adjoint, tile, tile, winograd_window(tile), grad_grid(&grad, &s, tile, part, room),
                      frequencies_of(result, t, stride, tile, part));
        }
    }
}

__attribute__((noinline)) static void transform_out_grad(const InputGrad *g, int64_t plane, Tiles tiles, Real *result,
                                                         int64_t stride)
{
    FOR_TILE(g->shape, transform_out_grad_of, g, plane, tiles, result, stride);
}

/* Puts a window in its plane: added where it overlaps the windows above and beside it, which were there before, and
 * written elsewhere. */
VINLINE void put_window(const int window, Real *plane, const Square *s, int part, const V *d, const bool above,
                        const bool beside)
{
    enum { SHARED = WINOGRAD_SHARED };
#define PUT(i, j)                                                                                                      \
    do {                                                                                                               \
        Real *to = at(plane, (s->y + i) * s->width + s->x + j, part);                                                  \
        const bool adds = (above && i < SHARED) || (beside && j < SHARED);                                             \
        vstore(to, adds ? vload(to) + d[i * window + j] : d[i * window + j]);                                          \
    } while (0)
    if (!is_inside(s)) {
        EACH_INSIDE(s, i, j) PUT(i, j);
        return;
    }
#pragma GCC unroll 8
    for (int i = 0; i < window; i++) {
#pragma GCC unroll 8
        for (int j = 0; j < window; j++) PUT(i, j);
    }
#undef PUT
}

/* Transforms the products of one input channel back and adds them up where their windows lie. */
VINLINE void add_windows_of(const int tile, const ConvShape *shape, const Real *products, Tiles tiles, Real *plane)
{
    const int window = winograd_window(tile);
    const int64_t stride = winograd_stride(CHANNELS, tiles.count);
    for (int64_t t = 0; t < tiles.count; t++) {
        const Square s = window_square(shape, tile, tiles.first + t);
        const bool above = s.y + shape->padding > 0, beside = s.x + shape->padding > 0;
        prefetch_next(plane, &s, window, 1);
        for (int part = 0; part < VPARTS; part++) {
            V d[LARGEST_WINDOW * LARGEST_WINDOW];
            transform(input_line_adjoint, tile, window, window, frequencies_of(products, t, stride, tile, part),
                      grid_of(d, window));
            if (above && beside) put_window(window, plane, &s, part, d, true, true);
            else if (above) put_window(window, plane, &s, part, d, true, false);
            else if (beside) put_window(window, plane, &s, part, d, false, true);
            else put_window(window, plane, &s, part, d, false, false);
        }
    }
}

__attribute__((noinline)) static void add_windows(const ConvShape *shape, const Real *products, Tiles tiles,
                                                  Real *plane)
{
    FOR_TILE(shape, add_windows_of, shape, products, tiles, plane);
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
    const int64_t frequencies = winograd_frequencies(shape);
    const WinogradPacked packed = winograd_packed(shape);
    Real *grads = scratch, *products = at(grads, frequencies * stride, 0);
    for (int64_t o = 0; o < count; o++)
        transform_out_grad(g, group * count + o, tiles, at(grads, o * tiles.count, 0), stride);
    for (int64_t c = 0; c < shape->in_channels; c += CHANNELS) {
        const int64_t channels = conv_smaller(shape->in_channels - c, CHANNELS);
        products_of(product_transposed, shape, g->packed + c / PACK * packed.pack, packed.pack, count, channels, grads,
                    tiles.count, products);
        for (int64_t i = 0; i < channels; i++)
            finish_plane(g, group * shape->in_channels + c + i, at(products, i * tiles.count, 0), tiles);
    }
}

/* Items are groups, so that up to 16 samples take one thread: the windows of neighbouring blocks overlap, and are added
 * in order. */
static void input_grad_range(int64_t begin, int64_t end, int thread, void *context)
{
    const InputGrad *g = context;
    const Parts blocks = winograd_blocks(g->shape, g->shape->out_channels);
    Real *scratch = g->scratch + thread * winograd_thread_scratch(g->shape, true);
    for (int64_t group = begin; group < end; group++)
        for (int64_t block = 0; block < blocks.count; block++)
            input_grad_block(g, group, tiles_of_block(blocks, block), scratch);
}

void KERNEL(winograd_input_grad)(const WinogradInputGrad *in_grad, const WinogradGrad *out_grad, const Real *packed,
                                 Real *scratch, const ConvShape *shape)
{
    parallel_for(shape->groups, 1, input_grad_range, &(InputGrad){shape, in_grad, scratch, out_grad, packed});
}
