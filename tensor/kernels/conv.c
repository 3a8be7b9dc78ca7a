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

typedef struct Correlation {
    Axis y, x;
    int64_t groups, sections;
    int64_t in_channels, out_channels;  /* of one section */
    int64_t tiles, blocks;              /* of CONV_PACK output channels in a section, of rows in a map */
    const Real *in, *weights, *bias;
    Real *out;
    bool relu;
    GroupStatistics *statistics; /* NULL unless wanted and blocks are whole maps */
    int64_t samples;
} Correlation;

/* The channels of one map that an item of work computes. */
typedef struct Slice {
    const Real *in, *weights, *bias;
    Real *out;
    int64_t channels;
} Slice;

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

/* A tile of outputs. With `three` it is for rows of 3 neighbouring taps, unrolled, and neighbouring outputs. */
VINLINE void tile(const int channels, const int outputs, const bool three, const Patch *patch, const Real *in,
                  const Real *weights, const Real *bias, Real *out)
{
    const Patch p = *patch;
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
        for (int64_t channel = p.channels; channel > 0; channel--, x += in_plane, w += weight_plane)
            for (int64_t ty = p.taps_y; ty > 0; ty--, x += in_row, w += weight_row) {
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

/* Tiles of c channels: F(c, n) for each number n of outputs that leaves registers for the values and a weight. */
#if VBYTES == 64 || defined(__aarch64__)
#define TILES_8(F) F(8, 1) F(8, 2) F(8, 3)
#define TILES_4(F) F(4, 1) F(4, 2) F(4, 3) F(4, 4) F(4, 5) F(4, 6)
#define TILES_2(F) F(2, 1) F(2, 2) F(2, 3) F(2, 4) F(2, 5) F(2, 6) F(2, 7) F(2, 8)
static const int64_t most_outputs[CONV_PACK + 1] = {[1] = 8, [2] = 8, [4] = 6, [8] = 3};
#else
#define TILES_8(F)
#define TILES_4(F) F(4, 1) F(4, 2) F(4, 3)
#define TILES_2(F) F(2, 1) F(2, 2) F(2, 3) F(2, 4) F(2, 5) F(2, 6)
static const int64_t most_outputs[CONV_PACK + 1] = {[1] = 8, [2] = 6, [4] = 3};
#endif
#define TILES_1(F) F(1, 1) F(1, 2) F(1, 3) F(1, 4) F(1, 5) F(1, 6) F(1, 7) F(1, 8)
#define TILES(F) TILES_1(F) TILES_2(F) TILES_4(F) TILES_8(F)

typedef void Tile(const Patch *patch, const Real *in, const Real *weights, const Real *bias, Real *out);
#define TILE_FUNCTION(c, n)                                                                                            \
    static void tile_##c##_##n(const Patch *patch, const Real *in, const Real *weights, const Real *bias, Real *out)   \
    {                                                                                                                  \
        tile(c, n, false, patch, in, weights, bias, out);                                                              \
    }                                                                                                                  \
    static void tile3_##c##_##n(const Patch *patch, const Real *in, const Real *weights, const Real *bias, Real *out)  \
    {                                                                                                                  \
        tile(c, n, true, patch, in, weights, bias, out);                                                               \
    }
TILES(TILE_FUNCTION)
#define TILE_ENTRY(c, n) [c][n] = {tile_##c##_##n, tile3_##c##_##n},
static Tile *const tile_table[CONV_PACK + 1][MOST_OUTPUTS + 1][2] = {TILES(TILE_ENTRY)};

static int64_t weight_position(const Axis *axis, Span span)
{
    return axis->weight_first + span.tap_begin * axis->weight_step;
}

static int64_t output_position(const Axis *axis, Span span)
{
    return axis->out_first + span.begin * axis->out_step;
}

/* Computes a rectangle of outputs that use the same taps, in tiles along x, or along y if it is too narrow. */
static void correlate_patch(const Correlation *c, Slice slice, Span y, Span x)
{
    const int64_t in_row = c->x.in * WEFT_LANES, out_row = c->x.out_size * WEFT_LANES;
    const int64_t steps[2] = {c->x.in_step * WEFT_LANES, c->y.in_step * in_row};
    const int64_t out_steps[2] = {c->x.out_step * WEFT_LANES, c->y.out_step * out_row};
    const int64_t counts[2] = {x.end - x.begin, y.end - y.begin};
    const int64_t most = most_outputs[slice.channels];
    const int along = counts[0] < most && counts[0] < counts[1], across = 1 - along;
    Patch patch = {
        .channels = c->in_channels,
        .taps_y = y.tap_end - y.tap_begin,
        .taps_x = x.tap_end - x.tap_begin,
        .in_plane = c->y.in * in_row,
        .in_row = c->y.tap_step * in_row,
        .in_tap = c->x.tap_step * WEFT_LANES,
        .in_next = steps[along],
        .weight_plane = c->y.weights * c->x.weights * CONV_PACK,
        .weight_row = c->y.weight_step * c->x.weights * CONV_PACK,
        .weight_tap = c->x.weight_step * CONV_PACK,
        .out_plane = c->y.out_size * out_row,
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
    const bool three = patch.taps_x == 3 && patch.in_tap == WEFT_LANES && patch.in_next == WEFT_LANES &&
                       patch.weight_tap == CONV_PACK;
    const Real *weights = slice.weights;
    if (patch.taps_y > 0 && patch.taps_x > 0) {
        slice.in += input_position(&c->y, y) * in_row + input_position(&c->x, x) * WEFT_LANES;
        weights += (weight_position(&c->y, y) * c->x.weights + weight_position(&c->x, x)) * CONV_PACK;
    }
    slice.out += output_position(&c->y, y) * out_row + output_position(&c->x, x) * WEFT_LANES;

    /* Tiles of a line differ by at most one output: a tail of width 1 would run at a third of the speed. */
    const int64_t tiles = conv_divide_up(counts[along], most);
    const int64_t width = counts[along] / tiles, wider = counts[along] % tiles;
    for (int64_t line = 0; line < counts[across]; line++) {
        const Real *in = slice.in + line * steps[across];
        Real *out = slice.out + line * out_steps[across];
        for (int64_t i = 0; i < tiles; i++) {
            const int64_t outputs = width + (i < wider);
            tile_table[slice.channels][outputs][three](&patch, in, weights, slice.bias, out);
            in += outputs * steps[along];
            out += outputs * out_steps[along];
        }
    }
}

/* Statistics of maps that are finished and still in the cache. */
static void add_statistics(const Correlation *c, int64_t map, int64_t channel, int64_t end)
{
    const int64_t area = c->y.out * c->x.out, valid = valid_in_group(c->samples, map / c->sections);
    for (; channel < end; channel++) {
        const int64_t plane = map * c->out_channels + channel;
        c->statistics[plane] = plane_statistics(c->out + plane * area * WEFT_LANES, area, (int)valid);
    }
}

/* An item is CONV_PACK output channels of a block of rows of one group's map. */
static void correlate_item(const Correlation *c, int64_t item)
{
    const int64_t tile_index = item % c->tiles, block = item / c->tiles % c->blocks;
    const int64_t map = item / c->tiles / c->blocks, section = map % c->sections;
    const int64_t row_begin = block * c->y.out / c->blocks, row_end = (block + 1) * c->y.out / c->blocks;
    const int64_t out_plane = c->y.out_size * c->x.out_size * WEFT_LANES;
    const int64_t tile_weights = c->in_channels * c->y.weights * c->x.weights * CONV_PACK;
    const int64_t channel_end = conv_smaller((tile_index + 1) * CONV_PACK, c->out_channels);
    Slice slice = {.in = c->in + map * c->in_channels * c->y.in * c->x.in * WEFT_LANES};
    for (int64_t channel = tile_index * CONV_PACK; channel < channel_end; channel += slice.channels) {
        slice.channels = CONV_PACK;
        while (slice.channels > channel_end - channel || most_outputs[slice.channels] == 0)
            slice.channels /= 2;
        slice.weights = c->weights + (section * c->tiles + tile_index) * tile_weights + channel % CONV_PACK;
        slice.bias = c->bias != NULL ? c->bias + section * c->out_channels + channel : NULL;
        slice.out = c->out + (map * c->out_channels + channel) * out_plane;
        for (Span y = {.end = row_begin}; y.end < row_end;) {
            y = span_from(&c->y, y.end, row_end);
            for (Span x = {.end = 0}; x.end < c->x.out;) {
                x = span_from(&c->x, x.end, c->x.out);
                correlate_patch(c, slice, y, x);
            }
        }
    }
    if (c->statistics)
        add_statistics(c, map, tile_index * CONV_PACK, channel_end);
}

static void correlate_items(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    for (int64_t item = begin; item < end; item++)
        correlate_item(context, item);
}

/* Groups are outermost, so that a thread keeps its samples from layer to layer; channels are innermost, so that a
 * block of the input is read from the L2 cache by all but the first. */
static void correlate(Correlation *c)
{
    c->tiles = conv_divide_up(c->out_channels, CONV_PACK);
    const int64_t row_bytes = c->in_channels * c->x.in * conv_smaller(c->y.in_step, c->y.in) * WEFT_LANES *
                              (int64_t)sizeof(Real);
    const int64_t few = conv_divide_up(ITEMS_PER_THREAD * weft_threads(), c->groups * c->sections * c->tiles);
    const int64_t fit = conv_divide_up(c->y.out, conv_divide_up(BLOCK_BYTES, row_bytes));
    c->blocks = fit > few ? fit : conv_smaller(few, c->y.out);
    GroupStatistics *const statistics = c->statistics;
    if (c->blocks > 1) c->statistics = NULL;
    const int64_t outputs = c->y.out / c->blocks * c->x.out;
    const int64_t work = CONV_PACK * c->in_channels * c->y.taps * c->x.taps * outputs * VPARTS;
    parallel_for(c->groups * c->sections * c->blocks * c->tiles, THREAD_WORK / (work + 1) + 1, correlate_items, c);
    if (statistics && !c->statistics) {
        const BatchNormShape maps = {c->samples, c->sections * c->out_channels, c->y.out * c->x.out};
        KERNEL(batch_norm_statistics)(statistics, c->out, &maps);
    }
}

void KERNEL(conv2d)(Real *out, const Real *in, const Real *packed, const Real *bias, bool relu,
                    GroupStatistics *statistics, const ConvShape *shape)
{
    Correlation c = {
        .y = forward_axis(&shape->height, shape), .x = forward_axis(&shape->width, shape),
        .groups = shape->groups, .sections = shape->sections,
        .in_channels = shape->in_channels / shape->sections, .out_channels = shape->out_channels / shape->sections,
        .in = in, .weights = packed, .bias = bias, .out = out, .relu = relu,
        .statistics = statistics, .samples = shape->samples,
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

void KERNEL(conv2d_input_grad)(Real *in_grad, const Real *out_grad, const Real *packed, const ConvShape *shape)
{
    const int64_t phases_y = conv_smaller(shape->stride, shape->height.in);
    const int64_t phases_x = conv_smaller(shape->stride, shape->width.in);
    for (int64_t phase_y = 0; phase_y < phases_y; phase_y++)
        for (int64_t phase_x = 0; phase_x < phases_x; phase_x++) {
            Correlation c = {
                .y = input_grad_axis(&shape->height, shape, phase_y),
                .x = input_grad_axis(&shape->width, shape, phase_x),
                .groups = shape->groups, .sections = shape->sections,
                .in_channels = shape->out_channels / shape->sections,
                .out_channels = shape->in_channels / shape->sections,
                .in = out_grad, .weights = packed, .out = in_grad,
            };
            correlate(&c);
        }
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
