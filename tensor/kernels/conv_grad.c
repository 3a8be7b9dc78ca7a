/* Direct convolution: the gradient of the weights, a sum over the batch.
 *
 * A window is some taps of one input channel or, where the kernel is 1 by 1, some input channels. A tile is a window in
 * a few output channels, all of whose sums stay in registers while it walks the maps: 3 by 3 taps in 2 channels with 32
 * vector registers, 1 by 3 in 4 with 16. So an output costs 9 + 2 loads for 18 multiply-adds, or 3 + 4 for 12, and
 * waits for the two multiply-add ports alone, as long as the inputs come from the L1 cache and the gradients from the
 * L2: maps are walked in blocks of so few rows that their inputs stay in L1 while all output channels use them, tiles
 * leaving their sums in memory from block to block, and chunks are so few groups that L2 holds them. Threads split
 * chunks and weights, never a sum. */
#include "tensor/kernels/conv_axis.h"
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vector.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

#include <stddef.h>

/* About as many bytes of input as a window's block of rows reads. */
static const int64_t BLOCK_BYTES = 24 << 10;
/* The most output channels of an item of work: more would leave room for the sums of few windows. */
static const int64_t MOST_SLICE = 64;
/* Items for each thread, where there is enough to split. */
static const int64_t ITEMS_PER_THREAD = 2;
/* Vector operations that are worth starting a thread for. */
static const int64_t THREAD_WORK = 1 << 14;

/* The largest windows, and how many sums leave registers for what is multiplied. */
#if VREGISTERS == 32
enum { MOST_ROWS = 3, MOST_SUMS = 24, MOST_POINTS = 6 };
#else
enum { MOST_ROWS = 1, MOST_SUMS = 12, MOST_POINTS = 3 };
#endif
enum { MOST_TAPS = 3, MOST_COLUMNS = MOST_POINTS, MOST_CHANNELS = 8 };

/* In parts of at most so many. */
static Parts cut(int64_t things, int64_t most)
{
    return conv_cut(things, conv_divide_up(things, most));
}

typedef struct WeightGrad {
    const ConvShape *shape;
    const Real *in, *out_grad;
    Real *sums;                        /* of the chunks: [chunks][sums_size], of these [O][C][KH][KW] are used */
    Real *kept;                        /* of the threads: [CONV_KEPT][16], the sums of an item's tiles */
    int64_t sums_size;
    int64_t in_channels, out_channels; /* of one section */
    bool pointwise;
    Axis y, x;
    Parts rows, columns;               /* the kernel in windows: rows and columns of taps, or of channels */
    Parts blocks, slices;              /* how the windows and the output channels of a section make items */
    int64_t chunk;                     /* groups */
} WeightGrad;

/* A window in a rectangle of outputs, all of whose taps are inside the input. Distances are in values. */
typedef struct Window {
    const Real *in, *grad;           /* the first tap of the first output; its gradient in the first output channel */
    int64_t groups, height, width;   /* of the rectangle, in so many groups */
    int64_t in_group, in_y, in_x;    /* of the input, from one group, row and output to the next */
    int64_t grad_group, grad_y, plane; /* of the gradient, from one group, row and channel to the next */
    int64_t rows, columns, row, column; /* of taps (columns of channels if pointwise), and from one to the next */
    int64_t sums, sums_row;          /* from the sums of one output channel and row of taps to the next */
} Window;

typedef V Sums[MOST_CHANNELS][MOST_ROWS][MOST_COLUMNS];

/* The outputs of a row: `in` is the first tap of the first one, `row` and `column` are from one tap to the next. Here
 * each loads all of its inputs. */
VINLINE void add_row(const int channels, const int rows, const int columns, Sums sum, const Window *w, const Real *in,
                     const Real *grad)
{
    for (int64_t x = w->width; x > 0; x--, in += w->in_x, grad += WEFT_LANES) {
        V g[MOST_CHANNELS];
        VUNROLL for (int c = 0; c < channels; c++)
            g[c] = vload(grad + c * w->plane);
        VUNROLL for (int ty = 0; ty < rows; ty++)
            VUNROLL for (int tx = 0; tx < columns; tx++) {
                const V value = vload(in + ty * w->row + tx * w->column);
                VUNROLL for (int c = 0; c < channels; c++)
                    sum[c][ty][tx] = vfma(g[c], value, sum[c][ty][tx]);
            }
    }
}

/* One output whose inputs are in registers but for the last column, which takes the place of the one before the first:
 * column tx is in value[..][(turn + tx) % columns]. */
VINLINE void slide(const int channels, const int rows, const int columns, const int turn, Sums sum,
                   V value[MOST_ROWS][MOST_COLUMNS], const Real *const at[MOST_ROWS], const Real *grad, int64_t plane)
{
    VUNROLL for (int ty = 0; ty < rows; ty++)
        value[ty][(turn + columns - 1) % columns] = vload(at[ty] + (turn + columns - 1) * WEFT_LANES);
    VUNROLL for (int c = 0; c < channels; c++) {
        const V g = vload(grad + turn * WEFT_LANES + c * plane);
        VUNROLL for (int ty = 0; ty < rows; ty++)
            VUNROLL for (int tx = 0; tx < columns; tx++)
                sum[c][ty][tx] = vfma(g, value[ty][(turn + tx) % columns], sum[c][ty][tx]);
    }
}

/* The same where outputs are as far apart as taps: an output shares all columns of its inputs but one with the next, so
 * that 3 by 3 taps in 2 channels cost 3 + 2 loads. */
VINLINE void add_near_row(const int channels, const int rows, const int columns, Sums sum, const Window *w,
                          const Real *in, const Real *grad)
{
    const Real *at[MOST_ROWS];
    V value[MOST_ROWS][MOST_COLUMNS];
    VUNROLL for (int ty = 0; ty < rows; ty++) {
        at[ty] = in + ty * w->row;
        VUNROLL for (int tx = 0; tx < columns - 1; tx++)
            value[ty][tx] = vload(at[ty] + tx * WEFT_LANES);
    }
    int64_t width = w->width;
    for (; width >= columns; width -= columns, grad += columns * WEFT_LANES) {
        VUNROLL for (int turn = 0; turn < columns; turn++)
            slide(channels, rows, columns, turn, sum, value, at, grad, w->plane);
        VUNROLL for (int ty = 0; ty < rows; ty++)
            at[ty] += columns * WEFT_LANES;
    }
    VUNROLL for (int turn = 0; turn < columns - 1; turn++)
        if (turn < width)
            slide(channels, rows, columns, turn, sum, value, at, grad, w->plane);
}

/* Adds a rectangle to a tile's sums, in each output channel [rows][columns][16], over its groups, rows and outputs in
 * order. `grads` is where the gradients of the tile's first output channel begin. With `near`, outputs and taps are
 * neighbours. */
VINLINE void tile(const int channels, const int rows, const int columns, const bool near, const Window *window,
                  const Real *grads, Real *kept)
{
    const Window w = *window;
    for (int part = 0; part < VPARTS; part++) {
        Sums sum;
        Real *const sums = kept + part * VWIDTH;
        VUNROLL for (int c = 0; c < channels; c++)
            VUNROLL for (int ty = 0; ty < rows; ty++)
                VUNROLL for (int tx = 0; tx < columns; tx++)
                    sum[c][ty][tx] = vload(sums + c * w.sums + ty * w.sums_row + tx * WEFT_LANES);
        for (int64_t group = 0; group < w.groups; group++) {
            const Real *in = w.in + group * w.in_group + part * VWIDTH;
            const Real *grad = grads + group * w.grad_group + part * VWIDTH;
            for (int64_t y = w.height; y > 0; y--, in += w.in_y, grad += w.grad_y) {
                if (near) add_near_row(channels, rows, columns, sum, &w, in, grad);
                else add_row(channels, rows, columns, sum, &w, in, grad);
            }
        }
        VUNROLL for (int c = 0; c < channels; c++)
            VUNROLL for (int ty = 0; ty < rows; ty++)
                VUNROLL for (int tx = 0; tx < columns; tx++)
                    vstore(sums + c * w.sums + ty * w.sums_row + tx * WEFT_LANES, sum[c][ty][tx]);
    }
}

/* Tiles of c channels, a power of two, by rows by columns, as many as there are registers for the sums. */
#define CHANNELS_1(F, rows, columns) F(1, rows, columns)
#define CHANNELS_2(F, rows, columns) CHANNELS_1(F, rows, columns) F(2, rows, columns)
#define CHANNELS_4(F, rows, columns) CHANNELS_2(F, rows, columns) F(4, rows, columns)
#define CHANNELS_8(F, rows, columns) CHANNELS_4(F, rows, columns) F(8, rows, columns)
#if VREGISTERS == 32
#define TILES(F)                                                                                                       \
    CHANNELS_8(F, 1, 1) CHANNELS_8(F, 1, 2) CHANNELS_8(F, 1, 3) CHANNELS_4(F, 1, 4) CHANNELS_4(F, 1, 5)                \
    CHANNELS_4(F, 1, 6) CHANNELS_8(F, 2, 1) CHANNELS_4(F, 2, 2) CHANNELS_4(F, 2, 3) CHANNELS_8(F, 3, 1)                \
    CHANNELS_4(F, 3, 2) CHANNELS_2(F, 3, 3)
#else
#define TILES(F) CHANNELS_8(F, 1, 1) CHANNELS_4(F, 1, 2) CHANNELS_4(F, 1, 3)
#endif

typedef void Tile(const Window *window, const Real *grads, Real *kept);
#define TILE_FUNCTION(c, rows, columns)                                                                                \
    static void tile_##c##_##rows##_##columns(const Window *window, const Real *grads, Real *kept)                     \
    {                                                                                                                  \
        tile(c, rows, columns, false, window, grads, kept);                                                            \
    }                                                                                                                  \
    static void near_##c##_##rows##_##columns(const Window *window, const Real *grads, Real *kept)                     \
    {                                                                                                                  \
        tile(c, rows, columns, true, window, grads, kept);                                                             \
    }
TILES(TILE_FUNCTION)
#define TILE_ENTRY(c, rows, columns) [c][rows][columns] = {tile_##c##_##rows##_##columns,                              \
                                                         near_##c##_##rows##_##columns},
static Tile *const tile_table[MOST_CHANNELS + 1][MOST_ROWS + 1][MOST_COLUMNS + 1][2] = {TILES(TILE_ENTRY)};

typedef struct Range {
    int64_t begin, end;
} Range;

/* What an item of work computes: windows and output channels of a section, numbered within it, in one chunk. */
typedef struct Item {
    int64_t chunk, section;
    Range windows, channels;
} Item;

static Item item_of(const WeightGrad *w, int64_t i)
{
    const int64_t slice = i % w->slices.count, block = i / w->slices.count % w->blocks.count;
    const int64_t rest = i / w->slices.count / w->blocks.count;
    return (Item){
        .chunk = rest / w->shape->sections, .section = rest % w->shape->sections,
        .windows = {conv_part_begin(w->blocks, block), conv_part_begin(w->blocks, block + 1)},
        .channels = {conv_part_begin(w->slices, slice), conv_part_begin(w->slices, slice + 1)},
    };
}

/* A section's window number i: its first input channel and tap, and how many there are of each. */
typedef struct Place {
    int64_t channel, tap_y, tap_x, rows, columns;
} Place;

static Place place_of(const WeightGrad *w, int64_t i)
{
    const int64_t column = i % w->columns.count, row = i / w->columns.count % w->rows.count;
    const int64_t first = conv_part_begin(w->columns, column);
    const int64_t columns = conv_part_begin(w->columns, column + 1) - first;
    if (w->pointwise)
        return (Place){.channel = first, .rows = 1, .columns = columns};
    const int64_t tap_y = conv_part_begin(w->rows, row);
    return (Place){.channel = i / w->columns.count / w->rows.count, .tap_y = tap_y, .tap_x = first,
                   .rows = conv_part_begin(w->rows, row + 1) - tap_y, .columns = columns};
}

/* The taps of a place that outputs y, x have, for these outputs of some groups. */
static Window window_at(const WeightGrad *w, const Item *item, Place place, Range groups, Span y, Span x)
{
    const ConvShape *s = w->shape;
    const int64_t in_row = s->width.in * WEFT_LANES, in_plane = s->height.in * in_row;
    const int64_t out_row = s->width.out * WEFT_LANES, out_plane = s->height.out * out_row;
    const int64_t in_channel = item->section * w->in_channels + place.channel;
    const int64_t out_channel = item->section * w->out_channels + item->channels.begin;
    return (Window){
        .in = w->in + (groups.begin * s->in_channels + in_channel) * in_plane + input_position(&w->y, y) * in_row +
              input_position(&w->x, x) * WEFT_LANES,
        .grad = w->out_grad + (groups.begin * s->out_channels + out_channel) * out_plane + y.begin * out_row +
                x.begin * WEFT_LANES,
        .groups = groups.end - groups.begin, .height = y.end - y.begin, .width = x.end - x.begin,
        .in_group = s->in_channels * in_plane, .in_y = s->stride * in_row, .in_x = s->stride * WEFT_LANES,
        .grad_group = s->out_channels * out_plane, .grad_y = out_row, .plane = out_plane,
        .rows = y.tap_end - y.tap_begin, .row = s->dilation * in_row,
        .columns = w->pointwise ? place.columns : x.tap_end - x.tap_begin,
        .column = w->pointwise ? in_plane : s->dilation * WEFT_LANES,
        .sums = place.rows * place.columns * WEFT_LANES, .sums_row = place.columns * WEFT_LANES,
    };
}

static int64_t channels_at_once(int64_t taps, int64_t channels)
{
    int64_t most = MOST_CHANNELS;
    while (most * taps > MOST_SUMS || most > channels)
        most /= 2;
    return most;
}

/* A window in each of the output channels. */
static void walk_channels(const Window *window, int64_t channels, Real *kept)
{
    const int64_t taps = window->rows * window->columns;
    const bool near = window->in_x == WEFT_LANES && window->column == WEFT_LANES;
    const Real *grads = window->grad;
    while (channels > 0) {
        const int64_t count = channels_at_once(taps, channels);
        tile_table[count][window->rows][window->columns][near](window, grads, kept);
        grads += count * window->plane;
        kept += count * window->sums;
        channels -= count;
    }
}

static Span with_taps(Span span, int64_t first, int64_t count)
{
    if (span.tap_begin < first) span.tap_begin = first;
    span.tap_end = conv_smaller(span.tap_end, first + count);
    return span;
}

/* All of the item's windows for the outputs y, x of some groups. */
static void walk_windows(const WeightGrad *w, const Item *item, Range groups, Span y, Span x, Real *kept)
{
    const int64_t channels = item->channels.end - item->channels.begin;
    for (int64_t i = item->windows.begin; i < item->windows.end; i++) {
        const Place place = place_of(w, i);
        const Span taps_y = with_taps(y, place.tap_y, place.rows);
        const Span taps_x = w->pointwise ? x : with_taps(x, place.tap_x, place.columns);
        if (taps_y.tap_begin < taps_y.tap_end && taps_x.tap_begin < taps_x.tap_end) {
            const Window window = window_at(w, item, place, groups, taps_y, taps_x);
            const int64_t skipped = (taps_y.tap_begin - place.tap_y) * place.columns + taps_x.tap_begin - place.tap_x;
            walk_channels(&window, channels, kept + skipped * WEFT_LANES);
        }
        kept += channels * place.rows * place.columns * WEFT_LANES;
    }
}

/* Walks outputs that use the same taps, block by block. Where maps are small a block is several groups. */
static void walk_blocks(const WeightGrad *w, const Item *item, Range groups, Span y, Span x, Real *kept)
{
    const ConvShape *s = w->shape;
    const int64_t height = y.end - y.begin;
    const int64_t row_bytes = s->width.in * WEFT_LANES * (int64_t)sizeof(Real) * (w->pointwise ? MOST_POINTS : 1);
    const int64_t rows = conv_divide_up(BLOCK_BYTES, row_bytes * conv_smaller(s->stride, s->height.in));
    const int64_t row_step = conv_smaller(rows, height), group_step = conv_divide_up(rows, height);
    for (int64_t group = groups.begin; group < groups.end; group += group_step)
        for (Span block = {y.begin, y.begin, y.tap_begin, y.tap_end}; block.end < y.end; block.begin = block.end) {
            block.end = conv_smaller(block.begin + row_step, y.end);
            walk_windows(w, item, (Range){group, conv_smaller(group + group_step, groups.end)}, block, x, kept);
        }
}

/* Walks the maps of a chunk in rectangles of outputs that use the same taps: the middle, and what is around it. */
static void walk_chunk(const WeightGrad *w, const Item *item, Real *kept)
{
    const int64_t group = item->chunk * w->chunk;
    const Range groups = {group, conv_smaller(group + w->chunk, w->shape->groups)};
    for (Span y = {.end = 0}; y.end < w->y.out;) {
        y = span_from(&w->y, y.end, w->y.out);
        for (Span x = {.end = 0}; x.end < w->x.out;) {
            x = span_from(&w->x, x.end, w->x.out);
            walk_blocks(w, item, groups, y, x, kept);
        }
    }
}

/* Folds the lanes of an item's sums and puts them to the other weights. */
static void fold_kept(const WeightGrad *w, const Item *item, Real *kept, int64_t count)
{
    enum { AT_ONCE = 16 };
    const ConvShape *s = w->shape;
    const int64_t kernel = s->height.kernel * s->width.kernel, channels = item->channels.end - item->channels.begin;
    for (int64_t i = 0; i < count; i += AT_ONCE) {
        V groups[AT_ONCE * VPARTS], folded[VPARTS];
        for (int64_t j = 0; j < AT_ONCE * VPARTS; j++)
            groups[j] = vload(kept + i * WEFT_LANES + j * VWIDTH);
        vfold16(groups, folded);
        for (int part = 0; part < VPARTS; part++)
            vstore(kept + i + part * VWIDTH, folded[part]);
    }
    Real *const sums = w->sums + item->chunk * w->sums_size +
                       (item->section * w->out_channels + item->channels.begin) * w->in_channels * kernel;
    for (int64_t i = item->windows.begin; i < item->windows.end; i++) {
        const Place place = place_of(w, i);
        for (int64_t c = 0; c < channels; c++)
            for (int64_t ty = 0; ty < place.rows; ty++)
                for (int64_t tx = 0; tx < place.columns; tx++)
                    sums[(c * w->in_channels + place.channel) * kernel + (place.tap_y + ty) * s->width.kernel +
                         place.tap_x + tx] = *kept++;
    }
}

static void weight_grad_items(int64_t begin, int64_t end, int thread, void *context)
{
    const WeightGrad *w = context;
    Real *const kept = w->kept + thread * CONV_KEPT * WEFT_LANES;
    for (int64_t i = begin; i < end; i++) {
        const Item item = item_of(w, i);
        int64_t count = 0;
        for (int64_t j = item.windows.begin; j < item.windows.end; j++) {
            const Place place = place_of(w, j);
            count += place.rows * place.columns * (item.channels.end - item.channels.begin);
        }
        for (int64_t j = 0; j < conv_divide_up(count, WEFT_LANES) * WEFT_LANES * WEFT_LANES; j += VWIDTH)
            vstore(kept + j, vset(0));
        walk_chunk(w, &item, kept);
        fold_kept(w, &item, kept, count);
    }
}

/* Cuts the work into items: of so many output channels and windows that their sums can be kept, and of fewer windows
 * if threads would have nothing to do. */
static void cut_items(WeightGrad *w)
{
    const ConvShape *s = w->shape;
    const int64_t windows = w->pointwise ? w->columns.count : w->in_channels * w->rows.count * w->columns.count;
    const int64_t sums = conv_part_most(w->rows) * conv_part_most(w->columns);
    w->slices = cut(w->out_channels, MOST_SLICE);
    const int64_t slice = conv_part_most(w->slices);
    const int64_t fewest = conv_divide_up(ITEMS_PER_THREAD * weft_threads(),
                                          conv_chunks(s) * s->sections * w->slices.count);
    w->blocks = cut(windows, conv_smaller(CONV_KEPT / (slice * sums), conv_divide_up(windows, fewest)));
}

/* The sums of the chunks, `size` apart, added in order. */
static void add_chunks(Real *total, const Real *sums, int64_t chunks, int64_t size, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        Real sum = sums[i];
        for (int64_t chunk = 1; chunk < chunks; chunk++)
            sum += sums[chunk * size + i];
        total[i] = sum;
    }
}

void KERNEL(conv2d_weight_grad)(Real *weight_grad, const Real *in, const Real *out_grad, Real *scratch,
                                const ConvShape *shape)
{
    const int64_t kernel = shape->height.kernel * shape->width.kernel, chunks = conv_chunks(shape);
    WeightGrad w = {
        .shape = shape, .in = in, .out_grad = out_grad, .pointwise = kernel == 1, .chunk = conv_chunk(shape),
        .kept = scratch, .sums = scratch + weft_threads() * CONV_KEPT * WEFT_LANES,
        .sums_size = conv_chunk_sums(shape),
        .y = forward_axis(&shape->height, shape), .x = forward_axis(&shape->width, shape),
        .in_channels = shape->in_channels / shape->sections, .out_channels = shape->out_channels / shape->sections,
        .rows = cut(shape->height.kernel, MOST_ROWS),
    };
    w.columns = w.pointwise ? cut(w.in_channels, MOST_POINTS) : cut(shape->width.kernel, MOST_TAPS);
    cut_items(&w);
    const int64_t items = chunks * shape->sections * w.blocks.count * w.slices.count;
    const int64_t work = shape->out_channels * w.in_channels * kernel * shape->height.out * shape->width.out *
                         shape->groups / items * VPARTS;
    parallel_for(items, THREAD_WORK / (work + 1) + 1, weight_grad_items, &w);
    const int64_t count = shape->out_channels * w.in_channels * kernel;
    add_chunks(weight_grad, w.sums, chunks, w.sums_size, count);
}
