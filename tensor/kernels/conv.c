/* Direct convolution: the forward pass and the gradient of the input, both as one correlation with packed weights.
 *
 * The register tile is 8 output channels by 3 neighbouring outputs on machines with 32 vector registers, 4 by 3 with
 * 16. Each tap then costs 8 broadcasts and 3 loads for 24 independent multiply-adds: the two FMA ports are busy all the
 * time, the two load ports half of it, and there are enough chains to hide a multiply-add's latency. Nothing is checked
 * in the loop over taps: outputs are cut into rectangles that use the same taps, the border's being one output wide
 * and run along instead of across. */
#include "tensor/kernels/conv_axis.h"
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/statistics.h"
#include "tensor/kernels/vector.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

#include <stddef.h>

/* Bytes of input that a block of rows may read, so that it stays in the L2 cache while all output channels use it. */
static const int64_t BLOCK_BYTES = 1 << 20;
/* Blocks are made smaller until each thread has so many items, so that one group of samples keeps several busy. */
static const int64_t ITEMS_PER_THREAD = 4;
/* Vector multiply-adds that are worth starting a thread for. */
static const int64_t THREAD_WORK = 1 << 14;

/* The outputs along one dimension: all of them or, for the gradient of an input that strides skip, every stride-th from
 * `phase` on. */
typedef Axis AxisOf(const ConvAxis *axis, const ConvShape *shape, int64_t phase);

typedef struct Correlation {
    const ConvShape *shape;
    AxisOf *axis_of;
    int64_t phases_y, phases_x;
    int64_t in_channels, out_channels;  /* of one section */
    int64_t tiles, blocks;              /* of CONV_PACK output channels in a section, of rows in a map */
    const Real *in, *weights, *bias;
    Real *out, *scratch;
    bool relu, gathers;          /* whether a block's input is copied together first */
    GroupStatistics *statistics; /* NULL unless wanted and blocks are whole maps */
} Correlation;

/* The rows of a map that a block reads, from `row` on; channels are `plane` values apart. */
typedef struct Input {
    const Real *values;
    int64_t row, plane;
} Input;

/* The channels of one map that a tile computes. */
typedef struct Slice {
    Input in;
    const Real *weights, *bias;
    Real *out;
    int64_t channels;
} Slice;

/* The outputs of one phase. */
typedef struct Phase {
    Axis y, x;
} Phase;

/* What the tiles of one rectangle of outputs share: taps, and distances in values. */
typedef struct Patch {
    int64_t channels, taps_y, taps_x;
    int64_t in_plane, in_row, in_tap, in_next; /* from an input channel, tap row, tap and output to the next */
    int64_t weight_plane, weight_row, weight_tap;
    int64_t out_plane, out_next;
    bool relu;
} Patch;

enum { MOST_OUTPUTS = 8 };

/* One tap: each weight times each value, added to the sums, all of which are registers once this is inlined. */
VINLINE void add_tap(const int channels, const int outputs, V sum[CONV_PACK][MOST_OUTPUTS], const Real *x,
                     int64_t next, const Real *w)
{
    V values[MOST_OUTPUTS];
    VUNROLL for (int i = 0; i < outputs; i++)
        values[i] = vload(x + i * next);
    VUNROLL for (int c = 0; c < channels; c++) {
        const V weight = vset(w[c]);
        VUNROLL for (int i = 0; i < outputs; i++)
            sum[c][i] = vfma(weight, values[i], sum[c][i]);
    }
}

/* How taps lie: in one row, in rows of 3 neighbours for outputs that are neighbours, or otherwise. */
enum { ONE_ROW, THREES, ROWS, ARRANGEMENTS };

/* A register tile of outputs. Each arrangement of taps is compiled by itself: one loop for all would need more pointers
 * than there are registers. */
VINLINE void tile(const int channels, const int outputs, const int arrangement, const Patch *patch, const Real *in,
                  const Real *weights, const Real *bias, Real *out)
{
    const Patch p = *patch;
    const bool three = arrangement == THREES;
    const int64_t in_tap = three ? WEFT_LANES : p.in_tap, in_next = three ? WEFT_LANES : p.in_next;
    const int64_t weight_tap = three ? CONV_PACK : p.weight_tap, taps = three ? 3 : p.taps_x;
    /* From the end of one row and plane to the start of the next: fewer pointers to keep in registers. */
    const int64_t in_row = p.in_row - taps * in_tap, in_plane = p.in_plane - p.taps_y * p.in_row;
    const int64_t weight_row = p.weight_row - taps * weight_tap;
    const int64_t weight_plane = p.weight_plane - p.taps_y * p.weight_row;
    for (int part = 0; part < VPARTS; part++, in += VWIDTH, out += VWIDTH) {
        V sum[CONV_PACK][MOST_OUTPUTS];
        VUNROLL for (int c = 0; c < channels; c++)
            VUNROLL for (int i = 0; i < outputs; i++)
                sum[c][i] = vset(bias != NULL ? bias[c] : 0);
        const Real *x = in, *w = weights;
        const int64_t planes = arrangement == ONE_ROW ? 1 : p.channels, rows = arrangement == ONE_ROW ? 1 : p.taps_y;
        for (int64_t channel = planes; channel > 0; channel--, x += in_plane, w += weight_plane)
            for (int64_t ty = rows; ty > 0; ty--, x += in_row, w += weight_row) {
                if (three)
                    VUNROLL for (int tx = 0; tx < 3; tx++, x += WEFT_LANES, w += CONV_PACK)
                        add_tap(channels, outputs, sum, x, WEFT_LANES, w);
                else
                    for (int64_t tx = taps; tx > 0; tx--, x += in_tap, w += weight_tap)
                        add_tap(channels, outputs, sum, x, in_next, w);
            }
        if (p.relu)
            VUNROLL for (int c = 0; c < channels; c++)
                VUNROLL for (int i = 0; i < outputs; i++)
                    sum[c][i] = vmax(vset(0), sum[c][i]);
        Real *o = out;
        VUNROLL for (int c = 0; c < channels; c++, o += p.out_plane)
            VUNROLL for (int i = 0; i < outputs; i++)
                vstore(o + i * p.out_next, sum[c][i]);
    }
}

/* Tiles of c channels: F(c, n) for each number n of outputs that leaves registers for the values and a weight.
 * most_outputs[c] is the largest n, 0 where there are no tiles of c channels: those are cut into fewer. */
#if VREGISTERS == 32
#define TILES_8(F) F(8, 1) F(8, 2) F(8, 3)
#define TILES_3(F) F(3, 1) F(3, 2) F(3, 3) F(3, 4) F(3, 5) F(3, 6) F(3, 7)
#define TILES_4(F) F(4, 1) F(4, 2) F(4, 3) F(4, 4) F(4, 5) F(4, 6)
#define TILES_2(F) F(2, 1) F(2, 2) F(2, 3) F(2, 4) F(2, 5) F(2, 6) F(2, 7) F(2, 8)
static const int64_t most_outputs[CONV_PACK + 1] = {[1] = 8, [2] = 8, [3] = 7, [4] = 6, [8] = 3};
#else
#define TILES_8(F)
#define TILES_3(F) F(3, 1) F(3, 2) F(3, 3) F(3, 4)
#define TILES_4(F) F(4, 1) F(4, 2) F(4, 3)
#define TILES_2(F) F(2, 1) F(2, 2) F(2, 3) F(2, 4) F(2, 5) F(2, 6)
static const int64_t most_outputs[CONV_PACK + 1] = {[1] = 8, [2] = 6, [3] = 4, [4] = 3};
#endif
#define TILES_1(F) F(1, 1) F(1, 2) F(1, 3) F(1, 4) F(1, 5) F(1, 6) F(1, 7) F(1, 8)
#define TILES(F) TILES_1(F) TILES_2(F) TILES_3(F) TILES_4(F) TILES_8(F)

typedef void Tile(const Patch *patch, const Real *in, const Real *weights, const Real *bias, Real *out);
#define TILE_FUNCTION(name, c, n, arrangement)                                                                         \
    static void name##c##_##n(const Patch *patch, const Real *in, const Real *weights, const Real *bias, Real *out)    \
    {                                                                                                                  \
        tile(c, n, arrangement, patch, in, weights, bias, out);                                                        \
    }
#define TILE_FUNCTIONS(c, n)                                                                                           \
    TILE_FUNCTION(row_, c, n, ONE_ROW) TILE_FUNCTION(threes_, c, n, THREES) TILE_FUNCTION(rows_, c, n, ROWS)
TILES(TILE_FUNCTIONS)
#define TILE_ENTRY(c, n) [c][n] = {row_##c##_##n, threes_##c##_##n, rows_##c##_##n},
static Tile *const tile_table[CONV_PACK + 1][MOST_OUTPUTS + 1][ARRANGEMENTS] = {TILES(TILE_ENTRY)};

static int64_t weight_position(const Axis *axis, Span span)
{
    return axis->weight_first + span.tap_begin * axis->weight_step;
}

static int64_t output_position(const Axis *axis, Span span)
{
    return axis->out_first + span.begin * axis->out_step;
}

/* Computes a rectangle of outputs that use the same taps, in tiles along x, or along y if it is too narrow. */
static void correlate_patch(const Correlation *c, const Phase *phase, Slice slice, Span y, Span x)
{
    const Axis *const ay = &phase->y, *const ax = &phase->x;
    const int64_t in_row = ax->in * WEFT_LANES, out_row = ax->out_size * WEFT_LANES;
    const int64_t steps[2] = {ax->in_step * WEFT_LANES, ay->in_step * in_row};
    const int64_t out_steps[2] = {ax->out_step * WEFT_LANES, ay->out_step * out_row};
    const int64_t counts[2] = {x.end - x.begin, y.end - y.begin};
    const int64_t most = most_outputs[slice.channels];
    const int along = counts[0] < most && counts[0] < counts[1], across = 1 - along;
    Patch patch = {
        .channels = c->in_channels,
        .taps_y = y.tap_end - y.tap_begin,
        .taps_x = x.tap_end - x.tap_begin,
        .in_plane = slice.in.plane,
        .in_row = ay->tap_step * in_row,
        .in_tap = ax->tap_step * WEFT_LANES,
        .in_next = steps[along],
        .weight_plane = ay->weights * ax->weights * CONV_PACK,
        .weight_row = ay->weight_step * ax->weights * CONV_PACK,
        .weight_tap = ax->weight_step * CONV_PACK,
        .out_plane = ay->out_size * out_row,
        .out_next = out_steps[along],
        .relu = c->relu,
    };
    if (patch.taps_y == 1 && patch.taps_x == 1) {
        /* All channels' only taps make one row: one loop instead of three. */
        patch.taps_x = patch.channels;
        patch.in_tap = patch.in_plane;
        patch.weight_tap = patch.weight_plane;
        patch.channels = 1;
    }
    if (patch.taps_y > 0 && patch.taps_x > 0) {
        slice.in.values += (input_position(ay, y) - slice.in.row) * in_row + input_position(ax, x) * WEFT_LANES;
        slice.weights += (weight_position(ay, y) * ax->weights + weight_position(ax, x)) * CONV_PACK;
    } else {
        patch.channels = 0; /* no tap is inside of the input, or strides skip it: the bias remains */
    }
    const bool three = patch.taps_x == 3 && patch.in_tap == WEFT_LANES && patch.in_next == WEFT_LANES &&
                       patch.weight_tap == CONV_PACK;
    const int arrangement = patch.channels == 1 && patch.taps_y == 1 ? ONE_ROW : three ? THREES : ROWS;
    slice.out += output_position(ay, y) * out_row + output_position(ax, x) * WEFT_LANES;

    /* Tiles of a line differ by at most one output: a tail of width 1 would run at a third of the speed. */
    const int64_t tiles = conv_divide_up(counts[along], most);
    const int64_t width = counts[along] / tiles, wider = counts[along] % tiles;
    for (int64_t line = 0; line < counts[across]; line++) {
        const Real *in = slice.in.values + line * steps[across];
        Real *out = slice.out + line * out_steps[across];
        for (int64_t i = 0; i < tiles; i++) {
            const int64_t outputs = width + (i < wider);
            tile_table[slice.channels][outputs][arrangement](&patch, in, slice.weights, slice.bias, out);
            in += outputs * steps[along];
            out += outputs * out_steps[along];
        }
    }
}

/* The rows of outputs that a block has. */
static Span block_rows(const Correlation *c, const Axis *y, int64_t block)
{
    return (Span){.begin = block * y->out / c->blocks, .end = (block + 1) * y->out / c->blocks};
}

/* Copies runs of `length` groups of lanes, which start `from_next` values apart, and `to_next` in the copy. They are
 * too short for the hardware to foresee the next ones, so those are asked for meanwhile. */
static void gather(Real *to, int64_t to_next, const Real *from, int64_t from_next, int64_t runs, int64_t length)
{
    enum { AHEAD = 2 };
    for (int64_t i = 0; i < runs; i++, to += to_next, from += from_next) {
        const Real *const ahead = i + AHEAD < runs ? from + AHEAD * from_next : from;
        for (int64_t j = 0; j < length * WEFT_LANES; j += VWIDTH) {
            __builtin_prefetch(ahead + j, 0, 2);
            vstore(to + j, vload(from + j));
        }
    }
}

/* What a block reads: the map, or a copy of the rows that it takes. Channels that lie a power of two apart push each
 * other out of the cache: in the copy there is an odd number of lines from one to the next. */
static Input block_input(const Correlation *c, int64_t map, int64_t block, Real *scratch)
{
    const Axis x = c->axis_of(&c->shape->width, c->shape, 0);
    const int64_t in_row = x.in * WEFT_LANES, height = c->axis_of(&c->shape->height, c->shape, 0).in;
    const Input all = {c->in + map * c->in_channels * height * in_row, 0, height * in_row};
    if (!c->gathers) return all;
    int64_t begin = height, end = 0; /* of the rows that any phase takes */
    for (int64_t phase = 0; phase < c->phases_y; phase++) {
        const Axis y = c->axis_of(&c->shape->height, c->shape, phase);
        const Span rows = block_rows(c, &y, block);
        const int64_t first = y.first + rows.begin * y.in_step;
        const int64_t limit = y.first + (rows.end - 1) * y.in_step + (y.taps - 1) * y.tap_step + 1;
        begin = conv_smaller(begin, first < 0 ? 0 : first);
        end = conv_smaller(height, limit > end ? limit : end);
    }
    const int64_t plane = ((end - begin) * x.in | 1) * WEFT_LANES;
    if (begin >= end || c->in_channels * plane > CONV_GATHERED) return all;
    gather(scratch, plane, all.values + begin * in_row, all.plane, c->in_channels, (end - begin) * x.in);
    return (Input){scratch, begin, plane};
}

/* Statistics of maps that are finished and still in the cache. */
static void add_statistics(const Correlation *c, int64_t map, int64_t channel, int64_t end)
{
    const int64_t area = c->shape->height.out * c->shape->width.out;
    const int64_t valid = valid_in_group(c->shape->samples, map / c->shape->sections);
    for (; channel < end; channel++) {
        const int64_t plane = map * c->out_channels + channel;
        c->statistics[plane] = plane_statistics(c->out + plane * area * WEFT_LANES, area, (int)valid);
    }
}

static void correlate_slice(const Correlation *c, Slice slice, int64_t block)
{
    for (int64_t phase_y = 0; phase_y < c->phases_y; phase_y++)
        for (int64_t phase_x = 0; phase_x < c->phases_x; phase_x++) {
            const Phase phase = {c->axis_of(&c->shape->height, c->shape, phase_y),
                                 c->axis_of(&c->shape->width, c->shape, phase_x)};
            const Span rows = block_rows(c, &phase.y, block);
            for (Span y = {.end = rows.begin}; y.end < rows.end;) {
                y = span_from(&phase.y, y.end, rows.end);
                for (Span x = {.end = 0}; x.end < phase.x.out;) {
                    x = span_from(&phase.x, x.end, phase.x.out);
                    correlate_patch(c, &phase, slice, y, x);
                }
            }
        }
}

/* CONV_PACK output channels of a block of rows of one group's map. */
static void correlate_tile(const Correlation *c, int64_t map, int64_t block, int64_t tile_index, Input in)
{
    const int64_t section = map % c->shape->sections;
    const Axis y = c->axis_of(&c->shape->height, c->shape, 0), x = c->axis_of(&c->shape->width, c->shape, 0);
    const int64_t out_plane = y.out_size * x.out_size * WEFT_LANES;
    const int64_t tile_weights = c->in_channels * y.weights * x.weights * CONV_PACK;
    const int64_t channel_end = conv_smaller((tile_index + 1) * CONV_PACK, c->out_channels);
    Slice slice = {.in = in};
    for (int64_t channel = tile_index * CONV_PACK; channel < channel_end; channel += slice.channels) {
        slice.channels = channel_end - channel;
        while (most_outputs[slice.channels] == 0)
            slice.channels--;
        slice.weights = c->weights + (section * c->tiles + tile_index) * tile_weights + channel % CONV_PACK;
        slice.bias = c->bias != NULL ? c->bias + section * c->out_channels + channel : NULL;
        slice.out = c->out + (map * c->out_channels + channel) * out_plane;
        correlate_slice(c, slice, block);
    }
    if (c->statistics)
        add_statistics(c, map, tile_index * CONV_PACK, channel_end);
}

/* An item is a tile of a block; neighbours are of the same block. */
static void correlate_items(int64_t begin, int64_t end, int thread, void *context)
{
    const Correlation *c = context;
    Input in;
    for (int64_t item = begin; item < end; item++) {
        const int64_t block = item / c->tiles % c->blocks, map = item / c->tiles / c->blocks;
        if (item == begin || item % c->tiles == 0)
            in = block_input(c, map, block, c->scratch + thread * CONV_GATHERED);
        correlate_tile(c, map, block, item % c->tiles, in);
    }
}

/* A block of r rows of outputs reads at most r in_step + this many rows of the input. */
static int64_t rows_beyond(const Correlation *c)
{
    int64_t most = 0;
    for (int64_t phase = 0; phase < c->phases_y; phase++) {
        const Axis y = c->axis_of(&c->shape->height, c->shape, phase);
        const int64_t beyond = (y.taps - 1) * y.tap_step;
        most = beyond > most ? beyond : most;
    }
    return most;
}

/* Cuts maps into blocks of rows. A map that the L2 cache does not hold is gathered, unless only one tile reads it,
 * strides skip most rows, or there is no room for the rows that one row of outputs needs. */
static void cut_blocks(Correlation *c)
{
    const ConvShape *s = c->shape;
    const Axis y = c->axis_of(&s->height, s, 0), x = c->axis_of(&s->width, s, 0);
    const int64_t step = conv_smaller(y.in_step, y.in);
    const int64_t row_bytes = c->in_channels * x.in * WEFT_LANES * (int64_t)sizeof(Real);
    const int64_t room = (CONV_GATHERED / WEFT_LANES / c->in_channels - 1) / x.in - rows_beyond(c);
    c->gathers = c->tiles > 1 && row_bytes * y.in > BLOCK_BYTES && room >= step && y.taps * x.taps >= step;
    const int64_t rows = c->gathers ? room / step : conv_divide_up(BLOCK_BYTES, row_bytes * step);
    const int64_t fit = conv_divide_up(y.out, rows);
    const int64_t few = conv_divide_up(ITEMS_PER_THREAD * weft_threads(), s->groups * s->sections * c->tiles);
    c->blocks = fit > few ? fit : conv_smaller(few, y.out);
}

/* Groups are outermost, so that a thread keeps its samples from layer to layer; channels are innermost, so that a
 * block of the input is read from the L2 cache by all but the first. */
static void correlate(Correlation *c)
{
    const ConvShape *s = c->shape;
    c->tiles = conv_divide_up(c->out_channels, CONV_PACK);
    cut_blocks(c);
    GroupStatistics *const statistics = c->statistics;
    if (c->blocks > 1) c->statistics = NULL;
    const int64_t items = s->groups * s->sections * c->blocks * c->tiles;
    const int64_t work = s->out_channels * (s->in_channels / s->sections) * s->height.kernel * s->width.kernel *
                         s->height.out * s->width.out * s->groups / items * VPARTS;
    parallel_for(items, THREAD_WORK / (work + 1) + 1, correlate_items, c);
    if (statistics && !c->statistics) {
        const BatchNormShape maps = {s->samples, s->out_channels, s->height.out * s->width.out};
        KERNEL(batch_norm_statistics)(statistics, c->out, &maps);
    }
}

static Axis forward_phase(const ConvAxis *axis, const ConvShape *shape, int64_t phase)
{
    (void)phase;
    return forward_axis(axis, shape);
}

/* A convolution of single pixels sees no neighbours: its map may as well be a column, which is cut anywhere. */
static ConvShape as_column(const ConvShape *shape)
{
    ConvShape s = *shape;
    if (s.height.kernel == 1 && s.width.kernel == 1 && s.stride == 1 && s.padding == 0) {
        s.height.in = s.height.out = s.height.in * s.width.in;
        s.width.in = s.width.out = 1;
    }
    return s;
}

void KERNEL(conv2d)(Real *out, const Real *in, const Real *packed, const Real *bias, bool relu,
                    GroupStatistics *statistics, Real *scratch, const ConvShape *shape)
{
    const ConvShape column = as_column(shape);
    Correlation c = {
        .shape = &column, .axis_of = forward_phase, .phases_y = 1, .phases_x = 1,
        .in_channels = shape->in_channels / shape->sections, .out_channels = shape->out_channels / shape->sections,
        .in = in, .weights = packed, .bias = bias, .out = out, .relu = relu, .statistics = statistics,
        .scratch = scratch,
    };
    correlate(&c);
}

static int64_t greatest_common_divisor(int64_t a, int64_t b)
{
    return b == 0 ? a : greatest_common_divisor(b, a % b);
}

/* Of the input's gradient, positions phase, phase + stride, ... as a correlation of the output's gradient with step 1:
 * position p takes output (p + padding - dilation k) / stride through tap k where that is whole, which picks every
 * (stride / divisor)-th tap. Taps are counted backwards so that outputs come in order. */
static Axis input_grad_axis(const ConvAxis *axis, const ConvShape *shape, int64_t phase)
{
    const int64_t divisor = greatest_common_divisor(shape->stride, shape->dilation);
    const int64_t weight_step = shape->stride / divisor;
    int64_t weight = 0, reach = phase + shape->padding - shape->dilation * (axis->kernel - 1);
    for (; weight < axis->kernel && reach % shape->stride != 0; weight++)
        reach += shape->dilation;
    return (Axis){.in = axis->out, .in_step = 1, .first = reach / shape->stride,
                  .out = (axis->in - phase - 1) / shape->stride + 1,
                  .out_step = shape->stride, .out_first = phase, .out_size = axis->in,
                  .taps = conv_divide_up(axis->kernel - weight, weight_step),
                  .tap_step = shape->dilation / divisor,
                  .weights = axis->kernel, .weight_step = weight_step, .weight_first = weight};
}

void KERNEL(conv2d_input_grad)(Real *in_grad, const Real *out_grad, const Real *packed, Real *scratch,
                               const ConvShape *shape)
{
    const ConvShape column = as_column(shape);
    Correlation c = {
        .shape = &column, .axis_of = input_grad_axis,
        .phases_y = conv_smaller(column.stride, column.height.in),
        .phases_x = conv_smaller(column.stride, column.width.in),
        .in_channels = shape->out_channels / shape->sections, .out_channels = shape->in_channels / shape->sections,
        .in = out_grad, .weights = packed, .out = in_grad, .scratch = scratch,
    };
    correlate(&c);
}

typedef struct Packing {
    Real *packed;
    const Real *weight;
    int64_t side, across, taps, tiles;               /* channels that lie side by side, and the others, of a section */
    int64_t side_step, across_step, section_step;    /* distances in the row-major weights */
    bool reverse;
} Packing;

/* An item is one channel across of one tile. */
static void pack_items(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Packing *p = context;
    for (int64_t item = begin; item < end; item++) {
        const int64_t across = item % p->across, tile_index = item / p->across % p->tiles;
        const int64_t section = item / p->across / p->tiles;
        const Real *weight = p->weight + section * p->section_step + across * p->across_step;
        Real *packed = p->packed + item * p->taps * CONV_PACK;
        for (int64_t i = 0; i < CONV_PACK; i++) {
            const int64_t side = tile_index * CONV_PACK + i;
            for (int64_t t = 0; t < p->taps; t++)
                packed[t * CONV_PACK + i] =
                    side < p->side ? weight[side * p->side_step + (p->reverse ? p->taps - 1 - t : t)] : 0;
        }
    }
}

void KERNEL(conv2d_pack)(Real *packed, const Real *weight, const ConvShape *shape, bool transposed)
{
    const int64_t out = shape->out_channels / shape->sections, in = shape->in_channels / shape->sections;
    const int64_t taps = shape->height.kernel * shape->width.kernel;
    Packing p = {
        .packed = packed, .weight = weight, .taps = taps, .reverse = transposed,
        .side = transposed ? in : out, .across = transposed ? out : in,
        .side_step = transposed ? taps : in * taps, .across_step = transposed ? in * taps : taps,
        .section_step = out * in * taps,
    };
    p.tiles = conv_divide_up(p.side, CONV_PACK);
    parallel_for(shape->sections * p.tiles * p.across, THREAD_WORK / (taps * CONV_PACK) + 1, pack_items, &p);
}
