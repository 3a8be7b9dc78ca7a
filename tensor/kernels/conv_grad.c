/* Direct convolution: the gradients of weight and bias, which sum over the batch.
 *
 * A window is some taps of one input channel for a few output channels, all of whose sums stay in registers while it
 * walks the maps of a chunk: 3 by 3 taps for 2 channels with 32 vector registers, 1 by 3 for 4 with 16. Inputs slide
 * through registers too, so that an output costs 3 + 2 loads for 18 multiply-adds, 1 + 4 for 12. Threads split weights
 * and chunks, never a sum. Channels of the input are taken in blocks whose maps of one chunk stay in the L2 cache
 * while all output channels walk them. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vector.h"
#include "tensor/parallel.h"

#include <stddef.h>

/* Bytes of a block of input channels in one chunk. */
static const int64_t BLOCK_BYTES = 1 << 20;
/* Vector operations that are worth starting a thread for. */
static const int64_t THREAD_WORK = 1 << 14;

/* The largest window, and how many sums leave registers for what is multiplied. */
#if VBYTES == 64 || defined(__aarch64__)
enum { MOST_ROWS = 3, MOST_SUMS = 24 };
#else
enum { MOST_ROWS = 1, MOST_SUMS = 12 };
#endif
enum { MOST_COLUMNS = 3, MOST_CHANNELS = 8 };

/* Things cut into windows: `count` of them, the first `wider` of least + 1, the others of `least`. */
typedef struct Windows {
    int64_t count, least, wider;
} Windows;

/* The columns of a window are taps or, where the kernel is 1 by 1, input channels: there is always enough to multiply
 * with each gradient that was loaded. */
typedef struct WeightGrad {
    const ConvShape *shape;
    const Real *in, *out_grad;
    Real *sums;                        /* of each chunk: [chunks][O][C][KH][KW] */
    int64_t in_channels, out_channels; /* of one section */
    bool pointwise;
    Windows rows, columns;
    int64_t reach, distance;           /* from one column to the next, in positions of the map and in values */
    int64_t planes;                    /* items along the input: channels or, if pointwise, windows of channels */
    int64_t tile_channels, tiles;      /* output channels of an item, and how many such tiles a section has */
    int64_t block;                     /* planes in a block */
} WeightGrad;

/* A window at work: the maps of an input channel and of output channels in a chunk's first group, the place of its
 * first tap, and where its sum goes. */
typedef struct Walk {
    const Real *in, *out_grad;
    int64_t groups, tap_y, tap_x;
    Real *sum;
} Walk;

/* Positions along one axis of the output at which taps that reach from `first` to `last` are inside the input. */
typedef struct Range {
    int64_t begin, end;
} Range;

static Range inside(const ConvAxis *axis, const ConvShape *shape, int64_t first, int64_t last)
{
    const int64_t end = last < axis->in ? (axis->in - 1 - last) / shape->stride + 1 : 0;
    return (Range){first < 0 ? conv_divide_up(-first, shape->stride) : 0, conv_smaller(end, axis->out)};
}

typedef V Sums[MOST_CHANNELS][MOST_ROWS][MOST_COLUMNS];

/* Neighbouring outputs of a row, all of whose taps are inside. Distances are in values. */
typedef struct Run {
    const Real *at, *grad; /* the first tap of the first output, and its gradient in the first channel */
    int64_t count;
    int64_t row, tap, step; /* from one tap row, tap and output to the next */
    int64_t plane;          /* from one output channel to the next */
} Run;

/* Outputs one by one: each loads all of its inputs. */
VINLINE void add_each(const int channels, const int rows, const int columns, Sums sum, const Run *run)
{
    const Real *at = run->at, *grad = run->grad;
    for (int64_t count = run->count; count > 0; count--, at += run->step, grad += WEFT_LANES) {
        V g[MOST_CHANNELS];
        VUNROLL for (int c = 0; c < channels; c++)
            g[c] = vload(grad + c * run->plane);
        VUNROLL for (int ty = 0; ty < rows; ty++)
            VUNROLL for (int tx = 0; tx < columns; tx++) {
                const V value = vload(at + ty * run->row + tx * run->tap);
                VUNROLL for (int c = 0; c < channels; c++)
                    sum[c][ty][tx] = vfma(g[c], value, sum[c][ty][tx]);
            }
    }
}

/* One output whose inputs are in registers but for the last column, which takes the place of the one before the first:
 * column tx is in value[..][(turn + tx) % columns]. */
VINLINE void slide(const int channels, const int rows, const int columns, const int turn, Sums sum,
                   V value[MOST_ROWS][MOST_COLUMNS], const Run *run, const Real *at, const Real *grad)
{
    VUNROLL for (int ty = 0; ty < rows; ty++)
        value[ty][(turn + columns - 1) % columns] = vload(at + ty * run->row);
    VUNROLL for (int c = 0; c < channels; c++) {
        const V g = vload(grad + c * run->plane);
        VUNROLL for (int ty = 0; ty < rows; ty++)
            VUNROLL for (int tx = 0; tx < columns; tx++)
                sum[c][ty][tx] = vfma(g, value[ty][(turn + tx) % columns], sum[c][ty][tx]);
    }
}

/* Where outputs are as far apart as taps, an output shares all columns of its inputs but one with the next: for 3 by 3
 * taps and 2 channels 5 loads feed 18 multiply-adds. */
VINLINE void add_sliding(const int channels, const int rows, const int columns, Sums sum, const Run *run)
{
    const Real *at = run->at, *grad = run->grad;
    int64_t count = run->count;
    V value[MOST_ROWS][MOST_COLUMNS];
    VUNROLL for (int tx = 0; tx < columns - 1; tx++, at += run->step)
        VUNROLL for (int ty = 0; ty < rows; ty++)
            value[ty][tx] = vload(at + ty * run->row);
    for (; count >= columns; count -= columns)
        VUNROLL for (int turn = 0; turn < columns; turn++, at += run->step, grad += WEFT_LANES)
            slide(channels, rows, columns, turn, sum, value, run, at, grad);
    VUNROLL for (int turn = 0; turn < columns - 1; turn++, at += run->step, grad += WEFT_LANES)
        if (turn < count)
            slide(channels, rows, columns, turn, sum, value, run, at, grad);
}

/* Adds one output, whose first tap is at y, x of the map, with those of its taps that are inside. */
VINLINE void add_border(const int channels, const int rows, const int columns, Sums sum, const WeightGrad *w,
                        const Real *map, int64_t y, int64_t x, const Real *grad, int64_t plane)
{
    const ConvShape *s = w->shape;
    VUNROLL for (int ty = 0; ty < rows; ty++)
        VUNROLL for (int tx = 0; tx < columns; tx++) {
            const int64_t at_y = y + ty * s->dilation, at_x = x + tx * w->reach;
            if (at_y < 0 || at_y >= s->height.in || at_x < 0 || at_x >= s->width.in)
                continue;
            const V value = vload(map + (at_y * s->width.in + x) * WEFT_LANES + tx * w->distance);
            VUNROLL for (int c = 0; c < channels; c++)
                sum[c][ty][tx] = vfma(vload(grad + c * plane), value, sum[c][ty][tx]);
        }
}

/* The sums of one part of the lanes, over the groups, rows and columns of the maps in order. */
VINLINE void add_maps(const int channels, const int rows, const int columns, Sums sum, const WeightGrad *w,
                      const Walk *walk, int part)
{
    const ConvShape *s = w->shape;
    const int64_t in_row = s->width.in * WEFT_LANES, in_map = s->in_channels * s->height.in * in_row;
    const int64_t out_row = s->width.out * WEFT_LANES, plane = s->height.out * out_row;
    const int64_t first_y = walk->tap_y * s->dilation - s->padding, first_x = walk->tap_x * s->dilation - s->padding;
    const Range ys = inside(&s->height, s, first_y, first_y + (rows - 1) * s->dilation);
    const Range xs = inside(&s->width, s, first_x, first_x + (columns - 1) * w->reach);
    for (int64_t group = 0; group < walk->groups; group++) {
        const Real *map = walk->in + group * in_map + part * VWIDTH;
        const Real *grad = walk->out_grad + group * s->out_channels * plane + part * VWIDTH;
        for (int64_t out_y = 0; out_y < s->height.out; out_y++, grad += out_row) {
            const int64_t y = out_y * s->stride + first_y;
            const bool row_inside = out_y >= ys.begin && out_y < ys.end;
            for (int64_t out_x = 0; out_x < s->width.out;) {
                const int64_t x = out_x * s->stride + first_x;
                const Real *g = grad + out_x * WEFT_LANES;
                if (row_inside && out_x >= xs.begin && out_x < xs.end) {
                    const Run run = {.at = map + y * in_row + x * WEFT_LANES, .grad = g, .count = xs.end - out_x,
                               .row = s->dilation * in_row, .tap = w->distance, .step = s->stride * WEFT_LANES,
                               .plane = plane};
                    if (columns > 1 && run.step == run.tap)
                        add_sliding(channels, rows, columns, sum, &run);
                    else
                        add_each(channels, rows, columns, sum, &run);
                    out_x = xs.end;
                } else {
                    add_border(channels, rows, columns, sum, w, map, y, x, g, plane);
                    out_x++;
                }
            }
        }
    }
}

VINLINE void window(const int channels, const int rows, const int columns, const WeightGrad *w, const Walk *walk)
{
    V parts[MOST_CHANNELS * MOST_ROWS * MOST_COLUMNS][VPARTS];
    for (int part = 0; part < VPARTS; part++) {
        Sums sum;
        VUNROLL for (int c = 0; c < channels; c++)
            VUNROLL for (int ty = 0; ty < rows; ty++)
                VUNROLL for (int tx = 0; tx < columns; tx++)
                    sum[c][ty][tx] = vset(0);
        add_maps(channels, rows, columns, sum, w, walk, part);
        VUNROLL for (int c = 0; c < channels; c++)
            VUNROLL for (int ty = 0; ty < rows; ty++)
                VUNROLL for (int tx = 0; tx < columns; tx++)
                    parts[(c * rows + ty) * columns + tx][part] = sum[c][ty][tx];
    }
    const int64_t width = w->shape->width.kernel, kernel = w->shape->height.kernel * width;
    for (int c = 0; c < channels; c++)
        for (int ty = 0; ty < rows; ty++)
            for (int tx = 0; tx < columns; tx++)
                walk->sum[c * w->in_channels * kernel + ty * width + tx] =
                    vfold(parts[(c * rows + ty) * columns + tx]);
}

/* Windows of c channels, a power of two, by rows by columns, as many as there are registers for the sums. */
#define CHANNELS_1(F, rows, columns) F(1, rows, columns)
#define CHANNELS_2(F, rows, columns) CHANNELS_1(F, rows, columns) F(2, rows, columns)
#define CHANNELS_4(F, rows, columns) CHANNELS_2(F, rows, columns) F(4, rows, columns)
#define CHANNELS_8(F, rows, columns) CHANNELS_4(F, rows, columns) F(8, rows, columns)
#if VBYTES == 64 || defined(__aarch64__)
#define WINDOWS(F)                                                                                                     \
    CHANNELS_8(F, 1, 1) CHANNELS_8(F, 1, 2) CHANNELS_8(F, 1, 3)                                                        \
    CHANNELS_8(F, 2, 1) CHANNELS_4(F, 2, 2) CHANNELS_4(F, 2, 3)                                                        \
    CHANNELS_8(F, 3, 1) CHANNELS_4(F, 3, 2) CHANNELS_2(F, 3, 3)
#else
#define WINDOWS(F) CHANNELS_8(F, 1, 1) CHANNELS_4(F, 1, 2) CHANNELS_4(F, 1, 3)
#endif

typedef void Window(const WeightGrad *w, const Walk *walk);
#define WINDOW_FUNCTION(c, rows, columns)                                                                              \
    static void window_##c##_##rows##_##columns(const WeightGrad *w, const Walk *walk)                                 \
    {                                                                                                                  \
        window(c, rows, columns, w, walk);                                                                             \
    }
WINDOWS(WINDOW_FUNCTION)
#define WINDOW_ENTRY(c, rows, columns) [c][rows][columns] = window_##c##_##rows##_##columns,
static Window *const window_table[MOST_CHANNELS + 1][MOST_ROWS + 1][MOST_COLUMNS + 1] = {WINDOWS(WINDOW_ENTRY)};

static int64_t channels_at_once(int64_t columns, int64_t channels)
{
    int64_t most = MOST_CHANNELS;
    while (most * columns > MOST_SUMS || most > channels)
        most /= 2;
    return most;
}

static Windows cut(int64_t count, int64_t most)
{
    const int64_t windows = conv_divide_up(count, most);
    return (Windows){windows, count / windows, count % windows};
}

static int64_t window_begin(Windows w, int64_t i)
{
    return i * w.least + conv_smaller(i, w.wider);
}

/* One window in each of `channels` output channels; walk is at the first of them. */
static void walk_channels(const WeightGrad *w, Walk walk, int64_t rows, int64_t columns, int64_t channels)
{
    const ConvShape *s = w->shape;
    while (channels > 0) {
        const int64_t count = channels_at_once(rows * columns, channels);
        window_table[count][rows][columns](w, &walk);
        walk.out_grad += count * s->height.out * s->width.out * WEFT_LANES;
        walk.sum += count * w->in_channels * s->height.kernel * s->width.kernel;
        channels -= count;
    }
}

/* All windows of one plane in `channels` output channels; walk is at the first input and output channel. */
static void walk_plane(const WeightGrad *w, Walk walk, int64_t plane, int64_t channels)
{
    const ConvShape *s = w->shape;
    const int64_t in_channel = w->pointwise ? window_begin(w->columns, plane) : plane;
    walk.in += in_channel * s->height.in * s->width.in * WEFT_LANES;
    walk.sum += in_channel * s->height.kernel * s->width.kernel;
    if (w->pointwise) {
        walk_channels(w, walk, 1, window_begin(w->columns, plane + 1) - in_channel, channels);
        return;
    }
    Real *const sum = walk.sum;
    for (int64_t i = 0; i < w->rows.count; i++)
        for (int64_t j = 0; j < w->columns.count; j++) {
            walk.tap_y = window_begin(w->rows, i);
            walk.tap_x = window_begin(w->columns, j);
            walk.sum = sum + walk.tap_y * s->width.kernel + walk.tap_x;
            walk_channels(w, walk, window_begin(w->rows, i + 1) - walk.tap_y,
                          window_begin(w->columns, j + 1) - walk.tap_x, channels);
        }
}

/* An item is one plane and one tile of output channels in one chunk. */
static void weight_grad_items(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const WeightGrad *w = context;
    const ConvShape *s = w->shape;
    const int64_t in_plane = s->height.in * s->width.in * WEFT_LANES;
    const int64_t out_plane = s->height.out * s->width.out * WEFT_LANES;
    const int64_t kernels = w->in_channels * s->height.kernel * s->width.kernel;
    const int64_t block_items = w->block * w->tiles, section_items = w->planes * w->tiles;
    for (int64_t item = begin; item < end; item++) {
        const int64_t chunk = item / section_items / s->sections, section = item / section_items % s->sections;
        const int64_t first = item % section_items / block_items * w->block, rest = item % section_items % block_items;
        const int64_t width = conv_smaller(w->block, w->planes - first);
        const int64_t tile = rest / width * w->tile_channels, out_channel = section * w->out_channels + tile;
        const int64_t group = chunk * CONV_CHUNK;
        const Walk walk = {
            .in = w->in + (group * s->in_channels + section * w->in_channels) * in_plane,
            .out_grad = w->out_grad + (group * s->out_channels + out_channel) * out_plane,
            .groups = conv_smaller(CONV_CHUNK, s->groups - group),
            .sum = w->sums + (chunk * s->out_channels + out_channel) * kernels,
        };
        walk_plane(w, walk, first + rest % width, conv_smaller(w->tile_channels, w->out_channels - tile));
    }
}

/* The sums of the chunks, added in order. */
static void add_chunks(Real *total, const Real *sums, int64_t chunks, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        total[i] = sums[i];
    for (int64_t chunk = 1; chunk < chunks; chunk++)
        for (int64_t i = 0; i < count; i++)
            total[i] += sums[chunk * count + i];
}

void KERNEL(conv2d_weight_grad)(Real *weight_grad, const Real *in, const Real *out_grad, Real *partial,
                                const ConvShape *shape)
{
    const int64_t chunks = conv_chunks(shape), kernel = shape->height.kernel * shape->width.kernel;
    const int64_t in_plane = shape->height.in * shape->width.in * WEFT_LANES;
    WeightGrad w = {
        .shape = shape, .in = in, .out_grad = out_grad, .sums = partial, .pointwise = kernel == 1,
        .in_channels = shape->in_channels / shape->sections, .out_channels = shape->out_channels / shape->sections,
        .rows = cut(shape->height.kernel, MOST_ROWS),
    };
    w.columns = cut(w.pointwise ? w.in_channels : shape->width.kernel, MOST_COLUMNS);
    w.reach = w.pointwise ? 0 : shape->dilation;
    w.distance = w.pointwise ? in_plane : shape->dilation * WEFT_LANES;
    w.planes = w.pointwise ? w.columns.count : w.in_channels;
    w.block = BLOCK_BYTES / (CONV_CHUNK * in_plane * (int64_t)sizeof(Real)) + 1;
    w.tile_channels = channels_at_once(w.rows.least * w.columns.least, MOST_CHANNELS);
    w.tiles = conv_divide_up(w.out_channels, w.tile_channels);
    const int64_t work = w.tile_channels * kernel * shape->height.out * shape->width.out * VPARTS;
    parallel_for(chunks * shape->sections * w.planes * w.tiles, THREAD_WORK / (work + 1) + 1, weight_grad_items, &w);
    add_chunks(weight_grad, partial, chunks, shape->out_channels * w.in_channels * kernel);
}
