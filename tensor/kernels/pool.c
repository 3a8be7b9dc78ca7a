/* Windows are clipped to the image before their loops, so that nothing is checked inside. Squares of 2 and 3 that tile
 * the image, the usual windows, are compiled with their size known. */
#include "tensor/kernels/pool.h"

#include <stdbool.h>
#include <string.h>

#include "tensor/kernels/kernels.h"
#include "tensor/kernels/maximum.h"
#include "tensor/parallel.h"

/* Values of planes that are worth a thread of their own. */
enum { POOL_GRAIN = 1 << 14 };

typedef struct Pool {
    Real *out;
    const Real *in;
    PoolIndex *indices;
    const PoolIndex *saved;
    PoolShape shape;
    int64_t tile; /* the size of squares that tile the image, each element being in exactly one window; else 0 */
} Pool;

/* The part of a window that is inside the image, in the window's own coordinates, and the place in the plane of its
 * element (0, 0), which may be outside. */
typedef struct Window {
    int64_t top, bottom, left, right;
    int64_t origin;
} Window;

VINLINE Window window_at(const PoolShape *s, int64_t tile, int64_t y, int64_t x)
{
    if (tile > 0) return (Window){0, tile, 0, tile, (y * s->in_width + x) * tile};
    const int64_t row = y * s->stride - s->padding, column = x * s->stride - s->padding;
    const int64_t below = s->in_height - row, beside = s->in_width - column;
    return (Window){
        .top = row < 0 ? -row : 0,
        .bottom = below < s->kernel_height ? below : s->kernel_height,
        .left = column < 0 ? -column : 0,
        .right = beside < s->kernel_width ? beside : s->kernel_width,
        .origin = row * s->in_width + column,
    };
}

static int64_t tile_of(const PoolShape *s)
{
    const int64_t kernel = s->kernel_width;
    const bool tiles = s->kernel_height == kernel && s->stride == kernel && s->padding == 0 &&
                       s->out_height * kernel == s->in_height && s->out_width * kernel == s->in_width;
    return tiles ? kernel : 0;
}

static int64_t in_count(const PoolShape *s)
{
    return s->in_height * s->in_width * WEFT_LANES;
}

static int64_t out_count(const PoolShape *s)
{
    return s->out_height * s->out_width * WEFT_LANES;
}

static void run(Pool *pool, ParallelBody *body)
{
    pool->tile = tile_of(&pool->shape);
    parallel_for(pool->shape.planes, 1 + POOL_GRAIN / in_count(&pool->shape), body, pool);
}

/* A ParallelBody that runs plane_function(pool, plane, tile) with the tile known where it is 2 or 3. */
#define DEFINE_RANGE(name, plane_function)                                                                             \
    static void name(int64_t begin, int64_t end, int thread, void *context)                                            \
    {                                                                                                                  \
        (void)thread;                                                                                                  \
        const Pool *pool = context;                                                                                    \
        for (int64_t plane = begin; plane < end; plane++) {                                                            \
            if (pool->tile == 2) plane_function(pool, plane, 2);                                                       \
            else if (pool->tile == 3) plane_function(pool, plane, 3);                                                  \
            else plane_function(pool, plane, 0);                                                                       \
        }                                                                                                              \
    }

/* Loops over a window's rows and columns. */
#define FOR_ROWS(w, ky) _Pragma("GCC unroll 3") for (int64_t ky = (w).top; ky < (w).bottom; ky++)
#define FOR_COLUMNS(w, kx) _Pragma("GCC unroll 3") for (int64_t kx = (w).left; kx < (w).right; kx++)

/* ---- Maximum ---- */

/* The maximum of one part of a window. */
VINLINE Maximum max_window(const PoolShape *s, Window w, const int64_t kernel_width, const Real *in)
{
    Maximum best = maximum_start((LaneInt)(w.top * kernel_width + w.left));
    FOR_ROWS(w, ky)
    {
        FOR_COLUMNS(w, kx)
        maximum_take(&best, vload(in + (ky * s->in_width + kx) * WEFT_LANES), (LaneInt)(ky * kernel_width + kx));
    }
    return best;
}

VINLINE void max_plane(const Pool *pool, int64_t plane, const int64_t tile)
{
    const PoolShape *s = &pool->shape;
    const Real *in = pool->in + plane * in_count(s);
    int64_t out = plane * out_count(s);
    for (int64_t y = 0; y < s->out_height; y++)
        for (int64_t x = 0; x < s->out_width; x++) {
            const Window w = window_at(s, tile, y, x);
            for (int p = 0; p < VPARTS; p++, out += VWIDTH) {
                const Maximum best = max_window(s, w, tile ? tile : s->kernel_width,
                                                in + w.origin * WEFT_LANES + p * VWIDTH);
                vstore(pool->out + out, best.value);
                if (pool->indices) store_places(pool->indices + out, best.place);
            }
        }
}

DEFINE_RANGE(max_range, max_plane)

void KERNEL(max_pool2d)(Real *out, PoolIndex *indices, const Real *in, const PoolShape *shape)
{
    run(&(Pool){.out = out, .in = in, .indices = indices, .shape = *shape}, max_range);
}

/* Where windows tile the image each element is written once, otherwise the windows add up in order. */
VINLINE void add_to(Real *sum, V value, const int64_t tile)
{
    vstore(sum, tile > 0 ? value : vload(sum) + value);
}

VINLINE void max_grad_plane(const Pool *pool, int64_t plane, const int64_t tile)
{
    const PoolShape *s = &pool->shape;
    Real *in_grad = pool->out + plane * in_count(s);
    int64_t out = plane * out_count(s);
    if (tile == 0) memset(in_grad, 0, (size_t)in_count(s) * sizeof *in_grad);
    for (int64_t y = 0; y < s->out_height; y++)
        for (int64_t x = 0; x < s->out_width; x++) {
            const Window w = window_at(s, tile, y, x);
            for (int p = 0; p < VPARTS; p++, out += VWIDTH) {
                const U grad = (U)vload(pool->in + out);
                const I place = load_places(pool->saved + out);
                Real *window = in_grad + w.origin * WEFT_LANES + p * VWIDTH;
                FOR_ROWS(w, ky)
                {
                    FOR_COLUMNS(w, kx)
                    {
                        const LaneInt here = (LaneInt)(ky * (tile ? tile : s->kernel_width) + kx);
                        add_to(window + (ky * s->in_width + kx) * WEFT_LANES, (V)(grad & (U)(place == here)), tile);
                    }
                }
            }
        }
}

DEFINE_RANGE(max_grad_range, max_grad_plane)

void KERNEL(max_pool2d_grad)(Real *in_grad, const Real *out_grad, const PoolIndex *indices, const PoolShape *shape)
{
    run(&(Pool){.out = in_grad, .in = out_grad, .saved = indices, .shape = *shape}, max_grad_range);
}

/* ---- Average ---- */

VINLINE void avg_plane(const Pool *pool, int64_t plane, const int64_t tile)
{
    const PoolShape *s = &pool->shape;
    const Real *in = pool->in + plane * in_count(s);
    const V area = vset((Real)s->kernel_height * (Real)s->kernel_width);
    int64_t out = plane * out_count(s);
    for (int64_t y = 0; y < s->out_height; y++)
        for (int64_t x = 0; x < s->out_width; x++) {
            const Window w = window_at(s, tile, y, x);
            for (int p = 0; p < VPARTS; p++, out += VWIDTH) {
                const Real *window = in + w.origin * WEFT_LANES + p * VWIDTH;
                V sum = {0};
                FOR_ROWS(w, ky)
                {
                    FOR_COLUMNS(w, kx)
                    sum += vload(window + (ky * s->in_width + kx) * WEFT_LANES);
                }
                vstore(pool->out + out, sum / area);
            }
        }
}

DEFINE_RANGE(avg_range, avg_plane)

void KERNEL(avg_pool2d)(Real *out, const Real *in, const PoolShape *shape)
{
    run(&(Pool){.out = out, .in = in, .shape = *shape}, avg_range);
}

VINLINE void avg_grad_plane(const Pool *pool, int64_t plane, const int64_t tile)
{
    const PoolShape *s = &pool->shape;
    Real *in_grad = pool->out + plane * in_count(s);
    const V area = vset((Real)s->kernel_height * (Real)s->kernel_width);
    int64_t out = plane * out_count(s);
    if (tile == 0) memset(in_grad, 0, (size_t)in_count(s) * sizeof *in_grad);
    for (int64_t y = 0; y < s->out_height; y++)
        for (int64_t x = 0; x < s->out_width; x++) {
            const Window w = window_at(s, tile, y, x);
            for (int p = 0; p < VPARTS; p++, out += VWIDTH) {
                const V share = vload(pool->in + out) / area;
                Real *window = in_grad + w.origin * WEFT_LANES + p * VWIDTH;
                FOR_ROWS(w, ky)
                {
                    FOR_COLUMNS(w, kx)
                    add_to(window + (ky * s->in_width + kx) * WEFT_LANES, share, tile);
                }
            }
        }
}

DEFINE_RANGE(avg_grad_range, avg_grad_plane)

void KERNEL(avg_pool2d_grad)(Real *in_grad, const Real *out_grad, const PoolShape *shape)
{
    run(&(Pool){.out = in_grad, .in = out_grad, .shape = *shape}, avg_grad_range);
}
