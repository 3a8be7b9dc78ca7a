/* Kernels of the direct 2-d convolution. Internal.
 *
 * Maps are in lanes: [groups][channels][height][width][16]. Weights are row-major, [O][C / sections][KH][KW]. */
#ifndef WEFT_KERNEL_CONV_H
#define WEFT_KERNEL_CONV_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/kernels/batch_norm.h"
#include "tensor/real.h"

/* One dimension of the maps, height or width. */
typedef struct ConvAxis {
    int64_t in, out, kernel; /* out = (in + 2 padding - dilation (kernel - 1) - 1) / stride + 1, at least 1 */
} ConvAxis;

typedef struct ConvShape {
    int64_t samples, groups;           /* the batch, and groups of 16 samples in it */
    int64_t in_channels, out_channels; /* of the whole convolution */
    int64_t sections;                  /* of the channels that see only each other (PyTorch's `groups`) */
    ConvAxis height, width;
    int64_t stride, padding, dilation;
} ConvShape;

/* Packed weights hold 8 output channels side by side: [sections][ceil(O / 8)][C][taps][8], with O and C of one section.
 * The transposed packing swaps the channels and reverses the taps, as the gradient of the input wants them. */
enum { CONV_PACK = 8 };

/* How many sums, of 16 lanes each, a thread keeps while it walks the maps of a chunk. */
enum { CONV_KEPT = 4096 };

/* How many values of the input, at most, a thread copies close together for the outputs of a block. */
enum { CONV_GATHERED = 1 << 17 };

#define CONV_KERNELS(K)                                                                                                \
    K(conv2d_pack, (Real * packed, const Real *weight, const ConvShape *shape, bool transposed))                       \
    /* out = bias + correlation of in with the weights, then relu if asked; bias may be NULL. In each output the       \
     * sum starts at the bias and adds input channel, ky and kx in order. Unless `statistics` is NULL, also what       \
     * batch_norm_statistics makes of out. `scratch` is of conv_scratch values. */                                     \
    K(conv2d, (Real * out, const Real *in, const Real *packed, const Real *bias, bool relu,                            \
               GroupStatistics *statistics, Real *scratch, const ConvShape *shape))                                    \
    /* in_grad from out_grad; the weights are packed transposed */                                                     \
    K(conv2d_input_grad,                                                                                               \
      (Real * in_grad, const Real *out_grad, const Real *packed, Real *scratch, const ConvShape *shape))               \
    /* weight_grad from the input and out_grad; `scratch` is of conv_weight_scratch values */                          \
    K(conv2d_weight_grad,                                                                                              \
      (Real * weight_grad, const Real *in, const Real *out_grad, Real *scratch, const ConvShape *shape))

static inline int64_t conv_smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t conv_divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Things cut into parts of about one size: `count` of them, the first `wider` of least + 1, the others of `least`. */
typedef struct Parts {
    int64_t count, least, wider;
} Parts;

static inline Parts conv_cut(int64_t things, int64_t count)
{
    return (Parts){count, things / count, things % count};
}

static inline int64_t conv_part_begin(Parts parts, int64_t i)
{
    return i * parts.least + conv_smaller(i, parts.wider);
}

/* The size of the largest. */
static inline int64_t conv_part_most(Parts parts)
{
    return parts.least + (parts.wider > 0);
}

/* The gradient of the weight is defined as a sum over chunks of so many groups. In a chunk the outputs are cut into
 * rectangles that use the same taps (the middle, and single rows and columns where some taps are outside of the input),
 * taken row by row; each lane sums over rectangle, group, y and x in order, then the lanes are folded as a tree; the
 * sums of the chunks are added in order. A chunk is so few groups that the L2 cache of most machines holds their maps,
 * but not so few that folding would be half of the work. */
static inline int64_t conv_chunk(const ConvShape *shape)
{
    enum { MOST_GROUPS = 4, MOST_VALUES = 5 << 16, FEWEST_OUTPUTS = 128 };
    const int64_t outputs = shape->height.out * shape->width.out;
    const int64_t values = (shape->in_channels * shape->height.in * shape->width.in + shape->out_channels * outputs) *
                           WEFT_LANES;
    int64_t groups = MOST_GROUPS;
    while (groups > 1 && groups * values > MOST_VALUES && groups / 2 * outputs >= FEWEST_OUTPUTS)
        groups /= 2;
    return groups;
}

static inline int64_t conv_chunks(const ConvShape *shape)
{
    return conv_divide_up(shape->groups, conv_chunk(shape));
}

/* Values that hold the sums of one chunk. */
static inline int64_t conv_chunk_sums(const ConvShape *shape)
{
    const int64_t count = shape->out_channels * (shape->in_channels / shape->sections) * shape->height.kernel *
                          shape->width.kernel;
    return conv_divide_up(count, WEFT_LANES) * WEFT_LANES;
}

static inline int64_t conv_scratch(int64_t threads)
{
    return threads * CONV_GATHERED;
}

static inline int64_t conv_weight_scratch(const ConvShape *shape, int64_t threads)
{
    return threads * CONV_KEPT * WEFT_LANES + conv_chunks(shape) * conv_chunk_sums(shape);
}

/* Values of packed weights, transposed or not. */
static inline int64_t conv_packed_count(const ConvShape *shape, bool transposed)
{
    int64_t out = shape->out_channels / shape->sections, in = shape->in_channels / shape->sections;
    int64_t side = transposed ? in : out, across = transposed ? out : in;
    return shape->sections * conv_divide_up(side, CONV_PACK) * CONV_PACK * across * shape->height.kernel *
           shape->width.kernel;
}

#endif
