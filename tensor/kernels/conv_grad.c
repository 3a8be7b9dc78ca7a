/* Direct convolution: the gradients of weight and bias, which sum over the batch.
 *
 * A window is up to 3 by 3 taps of one input channel for a few output channels, all of whose sums stay in registers (18
 * of them, 3 x 3 x 2, with 32 vector registers) while it walks the maps of a chunk: for each output 9 loads of the
 * input and 2 of the gradient feed 18 multiply-adds. Threads split weights and chunks, never a sum. Channels of the
 * input are taken in blocks whose maps of one chunk stay in the L2 cache while all output channels walk them. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vector.h"
#include "tensor/parallel.h"

#include <stddef.h>

/* Bytes of a block of input channels in one chunk. */
static const int64_t BLOCK_BYTES = 1 << 20;
/* Vector operations that are worth starting a thread for. */
static const int64_t THREAD_WORK = 1 << 14;

enum { MOST_SIDE = 3, MOST_TAPS = MOST_SIDE * MOST_SIDE, MOST_CHANNELS = 8 };

/* The windows along one axis of the kernel: `count` of them, of `least` or one more taps. */
typedef struct Windows {
    int64_t count, least, wider;
} Windows;

typedef struct WeightGrad {
    const ConvShape *shape;
    const Real *in, *out_grad;
    Real *sums;                        /* of each chunk: [chunks][O][C][KH][KW] */
    int64_t in_channels, out_channels; /* of one section */
    Windows rows, columns;
    int64_t tile_channels, tiles;      /* output channels of an item, and how many such tiles a section has */
    int64_t block_channels;            /* input channels of a block */
} WeightGrad;

/* A window at work: the maps of an input channel and of output channels in a chunk's first group, the place of its
 * first tap, and where its sum goes. */
typedef struct Walk {
    const Real *in, *out_grad;
    int64_t groups, tap_y, tap_x;
    Real *sum;
} Walk;

/* Positions along one axis of the output at which all of the taps, the first at `tap`, are inside the input. */
typedef struct Range {
    int64_t begin, end;
} Range;

static Range inside(const ConvAxis *axis, const ConvShape *shape, int64_t tap, int64_t taps)
{
    const int64_t first = tap * shape->dilation - shape->padding, last = first + (taps - 1) * shape->dilation;
    const int64_t end = last < axis->in ? (axis->in - 1 - last) / shape->stride + 1 : 0;
    return (Range){first < 0 ? conv_divide_up(-first, shape->stride) : 0, conv_smaller(end, axis->out)};
}

VINLINE void window(const int channels, const int rows, const int columns, const WeightGrad *w, const Walk *walk)
{
    const ConvShape *s = w->shape;
    const int64_t in_width = s->width.in, in_height = s->height.in, out_width = s->width.out;
    const int64_t tap = s->dilation * WEFT_LANES, row = s->dilation * in_width * WEFT_LANES;
    const int64_t step = s->stride * WEFT_LANES;
    const int64_t in_map = s->in_channels * in_height * in_width * WEFT_LANES;
    const int64_t out_plane = s->height.out * out_width * WEFT_LANES, out_map = s->out_channels * out_plane;
    const Range ys = inside(&s->height, s, walk->tap_y, rows), xs = inside(&s->width, s, walk->tap_x, columns);
    V parts[MOST_CHANNELS * MOST_TAPS][VPARTS];
    for (int part = 0; part < VPARTS; part++) {
        V sum[MOST_CHANNELS][MOST_SIDE][MOST_SIDE];
        VUNROLL for (int c = 0; c < channels; c++)
            VUNROLL for (int ty = 0; ty < rows; ty++)
                VUNROLL for (int tx = 0; tx < columns; tx++)
                    sum[c][ty][tx] = vset(0);
        for (int64_t group = 0; group < walk->groups; group++)
            for (int64_t y = 0; y < s->height.out; y++) {
                const Real *in = walk->in + group * in_map + part * VWIDTH;
                const Real *g = walk->out_grad + group * out_map + y * out_width * WEFT_LANES + part * VWIDTH;
                const int64_t in_y = y * s->stride + walk->tap_y * s->dilation - s->padding;
                const int64_t in_x = walk->tap_x * s->dilation - s->padding;
                for (int64_t x = 0; x < out_width;) {
                    if (y >= ys.begin && y < ys.end && x >= xs.begin && x < xs.end) {
                        const Real *at = in + (in_y * in_width + in_x) * WEFT_LANES + x * step;
                        for (; x < xs.end; x++, at += step, g += WEFT_LANES) {
                            V grad[MOST_CHANNELS];
                            VUNROLL for (int c = 0; c < channels; c++)
                                grad[c] = vload(g + c * out_plane);
                            VUNROLL for (int ty = 0; ty < rows; ty++)
                                VUNROLL for (int tx = 0; tx < columns; tx++) {
                                    const V value = vload(at + ty * row + tx * tap);
                                    VUNROLL for (int c = 0; c < channels; c++)
                                        sum[c][ty][tx] = vfma(grad[c], value, sum[c][ty][tx]);
                                }
                        }
                    } else {
                        VUNROLL for (int ty = 0; ty < rows; ty++)
                            VUNROLL for (int tx = 0; tx < columns; tx++) {
                                const int64_t at_y = in_y + ty * s->dilation;
                                const int64_t at_x = in_x + x * s->stride + tx * s->dilation;
                                if (at_y < 0 || at_y >= in_height || at_x < 0 || at_x >= in_width)
                                    continue;
                                const V value = vload(in + (at_y * in_width + at_x) * WEFT_LANES);
                                VUNROLL for (int c = 0; c < channels; c++)
                                    sum[c][ty][tx] = vfma(vload(g + c * out_plane), value, sum[c][ty][tx]);
                            }
                        x++;
                        g += WEFT_LANES;
                    }
                }
            }
        VUNROLL for (int c = 0; c < channels; c++)
            VUNROLL for (int ty = 0; ty < rows; ty++)
                VUNROLL for (int tx = 0; tx < columns; tx++)
                    parts[(c * rows + ty) * columns + tx][part] = sum[c][ty][tx];
    }
    const int64_t kernel = s->height.kernel * s->width.kernel;
    for (int c = 0; c < channels; c++)
        for (int ty = 0; ty < rows; ty++)
            for (int tx = 0; tx < columns; tx++)
                walk->sum[c * w->in_channels * kernel + ty * s->width.kernel + tx] =
                    vfold(parts[(c * rows + ty) * columns + tx]);
}

/* Windows of c channels, a power of two, by rows by columns, as many as there are registers for the sums. */
#define CHANNELS_1(F, rows, columns) F(1, rows, columns)
#define CHANNELS_2(F, rows, columns) CHANNELS_1(F, rows, columns) F(2, rows, columns)
#define CHANNELS_4(F, rows, columns) CHANNELS_2(F, rows, columns) F(4, rows, columns)
#define CHANNELS_8(F, rows, columns) CHANNELS_4(F, rows, columns) F(8, rows, columns)
#if VBYTES == 64 || defined(__aarch64__)
enum { MOST_SUMS = 24 };
#define WINDOWS(F)                                                                                                     \
    CHANNELS_8(F, 1, 1) CHANNELS_8(F, 1, 2) CHANNELS_8(F, 1, 3)                                                        \
    CHANNELS_8(F, 2, 1) CHANNELS_4(F, 2, 2) CHANNELS_4(F, 2, 3)                                                        \
    CHANNELS_8(F, 3, 1) CHANNELS_4(F, 3, 2) CHANNELS_2(F, 3, 3)
#else
enum { MOST_SUMS = 12 };
#define WINDOWS(F)                                                                                                     \
    CHANNELS_8(F, 1, 1) CHANNELS_4(F, 1, 2) CHANNELS_4(F, 1, 3)                                                        \
    CHANNELS_4(F, 2, 1) CHANNELS_2(F, 2, 2) CHANNELS_2(F, 2, 3)                                                        \
    CHANNELS_4(F, 3, 1) CHANNELS_2(F, 3, 2) CHANNELS_1(F, 3, 3)
#endif

typedef void Window(const WeightGrad *w, const Walk *walk);
#define WINDOW_FUNCTION(c, rows, columns)                                                                              \
    static void window_##c##_##rows##_##columns(const WeightGrad *w, const Walk *walk)                                 \
    {                                                                                                                  \
        window(c, rows, columns, w, walk);                                                                             \
    }
WINDOWS(WINDOW_FUNCTION)
#define WINDOW_ENTRY(c, rows, columns) [c][rows][columns] = window_##c##_##rows##_##columns,
static Window *const window_table[MOST_CHANNELS + 1][MOST_SIDE + 1][MOST_SIDE + 1] = {WINDOWS(WINDOW_ENTRY)};

static int64_t channels_at_once(int64_t taps, int64_t channels)
{
    int64_t most = MOST_CHANNELS;
    while (most * taps > MOST_SUMS || most > channels)
        most /= 2;
    return most;
}

static Windows cut(int64_t taps)
{
    const int64_t count = conv_divide_up(taps, MOST_SIDE);
    return (Windows){count, taps / count, taps % count};
}

/* All windows of one input channel's kernels in `channels` output channels; walk is at the first of them. */
static void walk_windows(const WeightGrad *w, Walk walk, int64_t channels)
{
    const ConvShape *s = w->shape;
    const int64_t out_plane = s->height.out * s->width.out * WEFT_LANES;
    const int64_t kernel = s->height.kernel * s->width.kernel;
    const Walk start = walk;
    for (int64_t i = 0; i < w->rows.count; i++) {
        const int64_t rows = w->rows.least + (i < w->rows.wider);
        for (int64_t j = 0; j < w->columns.count; j++) {
            const int64_t columns = w->columns.least + (j < w->columns.wider);
            for (int64_t done = 0, count; done < channels; done += count) {
                count = channels_at_once(rows * columns, channels - done);
                walk.out_grad = start.out_grad + done * out_plane;
                walk.sum = start.sum + done * w->in_channels * kernel + walk.tap_y * s->width.kernel + walk.tap_x;
                window_table[count][rows][columns](w, &walk);
            }
            walk.tap_x += columns;
        }
        walk.tap_y += rows;
        walk.tap_x = 0;
    }
}

/* An item is the kernels of one input channel in one tile of output channels, in one chunk. */
static void weight_grad_items(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const WeightGrad *w = context;
    const ConvShape *s = w->shape;
    const int64_t in_plane = s->height.in * s->width.in * WEFT_LANES;
    const int64_t out_plane = s->height.out * s->width.out * WEFT_LANES;
    const int64_t kernel = s->height.kernel * s->width.kernel;
    const int64_t block_items = w->block_channels * w->tiles, section_items = w->in_channels * w->tiles;
    for (int64_t item = begin; item < end; item++) {
        const int64_t chunk = item / section_items / s->sections, section = item / section_items % s->sections;
        const int64_t block = item % section_items / block_items, rest = item % section_items % block_items;
        const int64_t first = block * w->block_channels;
        const int64_t width = conv_smaller(w->block_channels, w->in_channels - first);
        const int64_t in_channel = first + rest % width, tile = rest / width * w->tile_channels;
        const int64_t out_channel = section * w->out_channels + tile, group = chunk * CONV_CHUNK;
        const Walk walk = {
            .in = w->in + (group * s->in_channels + section * w->in_channels + in_channel) * in_plane,
            .out_grad = w->out_grad + (group * s->out_channels + out_channel) * out_plane,
            .groups = conv_smaller(CONV_CHUNK, s->groups - group),
            .sum = w->sums + ((chunk * s->out_channels + out_channel) * w->in_channels + in_channel) * kernel,
        };
        walk_windows(w, walk, conv_smaller(w->tile_channels, w->out_channels - tile));
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
    const int64_t chunks = conv_chunks(shape);
    const int64_t plane_bytes = shape->height.in * shape->width.in * WEFT_LANES * (int64_t)sizeof(Real);
    WeightGrad w = {
        .shape = shape, .in = in, .out_grad = out_grad, .sums = partial,
        .in_channels = shape->in_channels / shape->sections, .out_channels = shape->out_channels / shape->sections,
        .rows = cut(shape->height.kernel), .columns = cut(shape->width.kernel),
        .block_channels = BLOCK_BYTES / (CONV_CHUNK * plane_bytes) + 1,
    };
    w.tile_channels = channels_at_once(w.rows.least * w.columns.least, MOST_CHANNELS);
    w.tiles = conv_divide_up(w.out_channels, w.tile_channels);
    const int64_t kernel = shape->height.kernel * shape->width.kernel;
    const int64_t work = w.tile_channels * kernel * shape->height.out * shape->width.out * VPARTS;
    parallel_for(chunks * shape->sections * w.in_channels * w.tiles, THREAD_WORK / (work + 1) + 1, weight_grad_items,
                 &w);
    add_chunks(weight_grad, partial, chunks, shape->out_channels * w.in_channels * kernel);
}

typedef struct BiasGrad {
    const ConvShape *shape;
    Real *sums, *masked;
    const Real *out_grad, *out;
} BiasGrad;

/* An item is one channel in one chunk. */
static void bias_grad_items(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const BiasGrad *b = context;
    const int64_t channels = b->shape->out_channels;
    const int64_t plane = b->shape->height.out * b->shape->width.out * WEFT_LANES;
    for (int64_t item = begin; item < end; item++) {
        const int64_t group = item / channels * CONV_CHUNK, channel = item % channels;
        const int64_t group_end = conv_smaller(group + CONV_CHUNK, b->shape->groups);
        V sum[VPARTS] = {{0}};
        for (int64_t g = group; g < group_end; g++) {
            const int64_t start = (g * channels + channel) * plane;
            for (int64_t i = start; i < start + plane; i += WEFT_LANES)
                VUNROLL for (int part = 0; part < VPARTS; part++) {
                    const int64_t at = i + part * VWIDTH;
                    V grad = vload(b->out_grad + at);
                    if (b->masked != NULL) {
                        grad = vselect(vload(b->out + at) > vset(0), grad, vset(0));
                        vstore(b->masked + at, grad);
                    }
                    sum[part] += grad;
                }
        }
        if (b->sums != NULL)
            b->sums[item] = vfold(sum);
    }
}

void KERNEL(conv2d_bias_grad)(Real *bias_grad, Real *masked, const Real *out_grad, const Real *out, Real *partial,
                              const ConvShape *shape)
{
    const int64_t chunks = conv_chunks(shape);
    BiasGrad b = {.shape = shape, .sums = bias_grad != NULL ? partial : NULL, .masked = masked,
                  .out_grad = out_grad, .out = out};
    const int64_t work = CONV_CHUNK * shape->height.out * shape->width.out * VPARTS;
    parallel_for(chunks * shape->out_channels, THREAD_WORK / work + 1, bias_grad_items, &b);
    if (bias_grad != NULL)
        add_chunks(bias_grad, partial, chunks, shape->out_channels);
}
