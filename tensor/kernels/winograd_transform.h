/* Winograd's transforms, of 16 samples at once: squares of a map into frequencies. For kernels.
 *
 * What depends on the size of the tile is compiled for each, with the size as a constant: see FOR_TILE. */
#ifndef WEFT_KERNEL_WINOGRAD_TRANSFORM_H
#define WEFT_KERNEL_WINOGRAD_TRANSFORM_H

#include "tensor/kernels/kernels.h"
#include "tensor/kernels/maximum.h"
#include "tensor/kernels/winograd_lines.h"

enum {
    LARGEST_TILE = WINOGRAD_LARGEST,
    LARGEST_WINDOW = LARGEST_TILE + WINOGRAD_SHARED,
    PACK = WINOGRAD_PACK,
    CHANNELS = WINOGRAD_CHANNELS,
    COLUMNS = WINOGRAD_COLUMNS,
    KERNEL_SIDE = 3,
    TAPS = KERNEL_SIDE * KERNEL_SIDE,
};

/* Calls a function with the shape's tile, a constant each time, before the other arguments. */
#define FOR_TILE(shape, function, ...)                                                                                 \
    do {                                                                                                               \
        const int tile_of_shape = winograd_tile(shape);                                                                \
        if (tile_of_shape == 4) function(4, __VA_ARGS__);                                                              \
        else if (tile_of_shape == 5) function(5, __VA_ARGS__);                                                         \
        else function(6, __VA_ARGS__);                                                                                 \
    } while (0)

/* Where lane part `part` of the group with this number begins. */
VINLINE Real *at(const Real *base, int64_t group, int part)
{
    return (Real *)base + group * WEFT_LANES + part * VWIDTH;
}

/* ---- Along both axes ---- */

/* A square of vectors in memory: the first, and the distance in values to the one below and to the one beside it. */
typedef struct Grid {
    Real *first;
    int64_t below, beside;
} Grid;

/* Vectors one after the other, `side` in a row. */
VINLINE Grid grid_of(V *values, int side)
{
    return (Grid){(Real *)values, side * VWIDTH, VWIDTH};
}

/* The frequencies of tile number t in a part of the lanes: each frequency `stride` groups after the one before. */
VINLINE Grid frequencies_of(const Real *values, int64_t t, int64_t stride, const int tile, int part)
{
    return (Grid){at(values, t, part), winograd_window(tile) * stride * WEFT_LANES, stride * WEFT_LANES};
}

/* The same line transform on the columns of x [from][from], then on the rows: y [to][to]. */
VINLINE void transform(Line *line, const int tile, const int from, const int to, Grid x, Grid y)
{
    V half[LARGEST_WINDOW][LARGEST_WINDOW];
#pragma GCC unroll 1
    for (int j = 0; j < from; j++) {
        V column[LARGEST_WINDOW], result[LARGEST_WINDOW];
#pragma GCC unroll 8
        for (int i = 0; i < from; i++) column[i] = vload(x.first + i * x.below + j * x.beside);
        line(tile, column, result);
#pragma GCC unroll 8
        for (int i = 0; i < to; i++) half[i][j] = result[i];
    }
#pragma GCC unroll 1
    for (int i = 0; i < to; i++) {
        V result[LARGEST_WINDOW];
        line(tile, half[i], result);
#pragma GCC unroll 8
        for (int j = 0; j < to; j++) vstore(y.first + i * y.below + j * y.beside, result[j]);
    }
}

/* ---- Squares of planes ---- */

/* A square of a plane, which may reach beyond its border. */
typedef struct Square {
    int64_t height, width; /* of the plane */
    int64_t y, x;          /* of the square's first corner */
    int side;
} Square;

/* The window of tile number t in a plane of the input, and the tile in a plane of the output. */
VINLINE Square window_square(const ConvShape *shape, const int tile, int64_t t)
{
    const int64_t across = winograd_across(shape, tile);
    return (Square){shape->height.in, shape->width.in, t / across * tile - shape->padding,
                    t % across * tile - shape->padding, winograd_window(tile)};
}

VINLINE Square tile_square(const ConvShape *shape, const int tile, int64_t t)
{
    const int64_t across = winograd_across(shape, tile);
    return (Square){shape->height.out, shape->width.out, t / across * tile, t % across * tile, tile};
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

/* Where a square's vectors are: in the plane, or in `room`, zero where they would be outside of the plane. */
VINLINE Grid square_grid(const Real *plane, const Square *s, const int side, int part, V *room)
{
    Real *corner = at(plane, s->y * s->width + s->x, part);
    if (is_inside(s)) return (Grid){corner, s->width * WEFT_LANES, WEFT_LANES};
    for (int i = 0; i < side * side; i++) room[i] = vset(0);
    EACH_INSIDE(s, i, j) room[i * side + j] = vload(at(corner, i * s->width + j, 0));
    return grid_of(room, side);
}

/* Where prefetches go: the first-level cache can have few lines under way at a time, the second-level one many. */
enum { SECOND_LEVEL = 2 };

/* Asks for a square of a plane ahead of its use: planes are too far apart for the processor to guess it. */
VINLINE void prefetch_square(const Real *plane, const Square *s, const int side, const int write)
{
    const Real *corner = at(plane, s->y * s->width + s->x, 0);
#pragma GCC unroll 1
    for (int i = 0; i < side; i++) {
#pragma GCC unroll 8
        for (int j = 0; j < side; j++) {
            if (write) __builtin_prefetch(at(corner, i * s->width + j, 0), 1, SECOND_LEVEL);
            else __builtin_prefetch(at(corner, i * s->width + j, 0), 0, SECOND_LEVEL);
        }
    }
}

/* The same of the plane that follows. */
VINLINE void prefetch_next(const Real *plane, const Square *s, const int side, const int write)
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
    const int64_t factor = grad->indices ? WINOGRAD_POOL : 1;
    const int64_t offset = plane * (shape->height.out / factor) * (shape->width.out / factor) * WEFT_LANES;
    return (WinogradGrad){grad->values + offset, grad->indices ? grad->indices + offset : NULL};
}

/* Puts a pooled gradient's value where its maximum was, in the window that begins here in a tile; zero elsewhere. */
VINLINE void unpool(V value, I place, const int tile, V *window)
{
    window[0] = (V)((U)value & (U)(place == 0));
    window[1] = (V)((U)value & (U)(place == 1));
    window[tile] = (V)((U)value & (U)(place == 2));
    window[tile + 1] = (V)((U)value & (U)(place == 3));
}

/* Where a gradient's vectors are in a tile: as in square_grid, but of a pooled one each value is put where its maximum
 * was, into `room`. */
VINLINE Grid grad_grid(const WinogradGrad *plane, const Square *s, const int tile, int part, V *room)
{
    if (tile % WINOGRAD_POOL != 0 || !plane->indices) return square_grid(plane->values, s, tile, part, room);
    const Square pooled = pooled_square(s);
    if (!is_inside(&pooled)) {
        for (int i = 0; i < tile * tile; i++) room[i] = vset(0);
    }
    EACH_INSIDE(&pooled, i, j)
    {
        const int64_t group = (pooled.y + i) * pooled.width + pooled.x + j;
        const I place = load_places(plane->indices + group * WEFT_LANES + part * VWIDTH);
        unpool(vload(at(plane->values, group, part)), place, tile, room + (i * tile + j) * WINOGRAD_POOL);
    }
    return grid_of(room, tile);
}

VINLINE void prefetch_grads(const WinogradGrad *plane, const Square *s, const int tile)
{
    const Square pooled = pooled_square(s);
    if (!plane->indices) {
        prefetch_square(plane->values, s, tile, 0);
        return;
    }
    prefetch_square(plane->values, &pooled, tile / WINOGRAD_POOL, 0);
    const PoolIndex *places = plane->indices + (pooled.y * pooled.width + pooled.x) * WEFT_LANES;
    for (int i = 0; i < tile / WINOGRAD_POOL; i++) /* a row is about a line */
        __builtin_prefetch(places + i * pooled.width * WEFT_LANES, 0, SECOND_LEVEL);
}

/* Consecutive tiles that are worked on together, counted in a map or through a part of the batch. */
typedef struct Tiles {
    int64_t first, count;
} Tiles;

VINLINE Tiles tiles_of_block(Parts blocks, int64_t block)
{
    const int64_t first = conv_part_begin(blocks, block);
    return (Tiles){first, conv_part_begin(blocks, block + 1) - first};
}

/* Transforms windows of one plane: that of tile number t goes to column t of each of the frequencies, `stride` groups
 * apart. */
VINLINE void transform_windows_of(const int tile, const ConvShape *shape, const Real *plane, Tiles tiles, Real *result,
                                  int64_t stride)
{
    const int window = winograd_window(tile);
    for (int64_t t = 0; t < tiles.count; t++) {
        const Square s = window_square(shape, tile, tiles.first + t);
        prefetch_next(plane, &s, window, 0);
        for (int part = 0; part < VPARTS; part++) {
            V room[LARGEST_WINDOW * LARGEST_WINDOW];
            transform(input_line, tile, window, window, square_grid(plane, &s, window, part, room),
                      frequencies_of(result, t, stride, tile, part));
        }
    }
}

__attribute__((noinline, unused)) static void transform_windows(const ConvShape *shape, const Real *plane, Tiles tiles,
                                                                Real *result, int64_t stride)
{
    FOR_TILE(shape, transform_windows_of, shape, plane, tiles, result, stride);
}

#endif
