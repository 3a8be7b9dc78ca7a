/* Winograd's transforms, of 16 samples at once: squares of a map into 36 frequencies, and weights. For kernels. */
#ifndef WEFT_KERNEL_WINOGRAD_TRANSFORM_H
#define WEFT_KERNEL_WINOGRAD_TRANSFORM_H

#include "tensor/kernels/kernels.h"
#include "tensor/kernels/maximum.h"

enum {
    TILE = WINOGRAD_TILE,
    WINDOW = WINOGRAD_WINDOW,
    FREQUENCIES = WINOGRAD_FREQUENCIES,
    PACK = WINOGRAD_PACK,
    SIDE = WINOGRAD_SIDE,
    COLUMNS = WINOGRAD_COLUMNS,
    KERNEL_SIDE = 3,
    TAPS = KERNEL_SIDE * KERNEL_SIDE,
};

/* Where lane part `part` of the group with this number begins. */
VINLINE Real *at(const Real *base, int64_t group, int part)
{
    return (Real *)base + group * WEFT_LANES + part * VWIDTH;
}

/* ---- Along one line ---- */

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

/* The window of a tile in a plane of the input, and the tile in a plane of the output. */
VINLINE Square window_square(const ConvShape *shape, int64_t tile)
{
    const int64_t across = winograd_across(shape);
    return (Square){shape->height.in, shape->width.in, tile / across * TILE - shape->padding,
                    tile % across * TILE - shape->padding, WINDOW};
}

VINLINE Square tile_square(const ConvShape *shape, int64_t tile)
{
    const int64_t across = winograd_across(shape);
    return (Square){shape->height.out, shape->width.out, tile / across * TILE, tile % across * TILE, TILE};
}

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

/* Asks for a square of a plane ahead of its use: planes are too far apart for the processor to guess it. */
VINLINE void prefetch_square(const Real *plane, const Square *s, int side, const int write)
{
    const Real *corner = at(plane, s->y * s->width + s->x, 0);
#pragma GCC unroll 1
    for (int i = 0; i < side; i++) {
#pragma GCC unroll 8
        for (int j = 0; j < side; j++) {
            if (write) __builtin_prefetch(at(corner, i * s->width + j, 0), 1);
            else __builtin_prefetch(at(corner, i * s->width + j, 0), 0);
        }
    }
}

/* The same of the plane that follows. */
VINLINE void prefetch_next(const Real *plane, const Square *s, int side, const int write)
{
    prefetch_square(at(plane, s->height * s->width, 0), s, side, write);
}

/* The square of a tile, in the pooled plane that it becomes a part of. */
VINLINE Square pooled_square(const Square *s)
{
    return (Square){s->height / WINOGRAD_POOL, s->width / WINOGRAD_POOL, s->y / WINOGRAD_POOL, s->x / WINOGRAD_POOL,
                    s->side / WINOGRAD_POOL};
}

/* One plane of a gradient. */
VINLINE WinogradGrad grad_plane(const WinogradGrad *grad, const ConvShape *shape, int64_t plane)
{
    const int64_t pool = grad->indices ? WINOGRAD_POOL : 1;
    const int64_t offset = plane * (shape->height.out / pool) * (shape->width.out / pool) * WEFT_LANES;
    return (WinogradGrad){grad->values + offset, grad->indices ? grad->indices + offset : NULL};
}

/* Loads a tile of a gradient: of a pooled one, each value goes to where its maximum was. */
VINLINE void load_grads(const WinogradGrad *plane, const Square *s, int part, V *y)
{
    if (!plane->indices) {
        load_square(plane->values, s, TILE, part, y);
        return;
    }
    const Square pooled = pooled_square(s);
    for (int i = 0; i < TILE * TILE; i++) y[i] = vset(0);
    EACH_INSIDE(&pooled, i, j)
    {
        const int64_t group = (pooled.y + i) * pooled.width + pooled.x + j;
        const U value = (U)vload(at(plane->values, group, part));
        const I place = load_places(plane->indices + group * WEFT_LANES + part * VWIDTH);
        V *window = y + (i * TILE + j) * WINOGRAD_POOL;
        window[0] = (V)(value & (U)(place == 0));
        window[1] = (V)(value & (U)(place == 1));
        window[TILE] = (V)(value & (U)(place == 2));
        window[TILE + 1] = (V)(value & (U)(place == 3));
    }
}

VINLINE void prefetch_grads(const WinogradGrad *plane, const Square *s)
{
    if (!plane->indices) {
        prefetch_square(plane->values, s, TILE, 0);
        return;
    }
    const Square pooled = pooled_square(s);
    prefetch_square(plane->values, &pooled, TILE / WINOGRAD_POOL, 0);
}

/* Tiles of one map that are worked on together. */
typedef struct Tiles {
    int64_t first, count;
} Tiles;

/* Transforms windows of one plane: that of tile number t goes to column t of each of the 36 frequencies, `stride`
 * groups apart. */
__attribute__((noinline, unused)) static void transform_windows(const ConvShape *shape, const Real *plane, Tiles tiles,
                                                                Real *result, int64_t stride)
{
    for (int64_t t = 0; t < tiles.count; t++) {
        const Square s = window_square(shape, tiles.first + t);
        prefetch_next(plane, &s, WINDOW, 0);
        for (int part = 0; part < VPARTS; part++) {
            V values[WINDOW * WINDOW], transformed[FREQUENCIES];
            load_square(plane, &s, WINDOW, part, values);
            transform(input_line, WINDOW, WINDOW, values, transformed);
#pragma GCC unroll 36
            for (int f = 0; f < FREQUENCIES; f++) vstore(at(result, t + f * stride, part), transformed[f]);
        }
    }
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

#endif
