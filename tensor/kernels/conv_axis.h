/* Where the taps of a correlation are, along one dimension. For the kernels of the direct convolution. */
#ifndef WEFT_KERNELS_CONV_AXIS_H
#define WEFT_KERNELS_CONV_AXIS_H

#include "tensor/kernels/conv.h"

/* Output q, stored at out_first + q out_step, sums over the taps t that are inside the input at first + q in_step +
 * t tap_step, times weight number weight_first + t weight_step. */
typedef struct Axis {
    int64_t in, in_step, first;                 /* in: positions of the input */
    int64_t out, out_step, out_first, out_size; /* out: outputs; out_size: the positions that they are among */
    int64_t taps, tap_step, weights, weight_step, weight_first; /* taps: of these outputs; weights: of the kernel */
} Axis;

/* Neighbouring outputs along one axis that use the same taps. */
typedef struct Span {
    int64_t begin, end, tap_begin, tap_end;
} Span;

static inline Axis forward_axis(const ConvAxis *axis, const ConvShape *shape)
{
    return (Axis){.in = axis->in, .in_step = shape->stride, .first = -shape->padding,
                  .out = axis->out, .out_step = 1, .out_size = axis->out,
                  .taps = axis->kernel, .tap_step = shape->dilation, .weights = axis->kernel, .weight_step = 1};
}

/* The outputs from `begin` on, below `limit`, that use the same taps: all that use every tap, or else one alone. */
static inline Span span_from(const Axis *axis, int64_t begin, int64_t limit)
{
    const int64_t reach = (axis->taps - 1) * axis->tap_step;
    const int64_t first = axis->first + begin * axis->in_step;
    if (first >= 0 && first + reach < axis->in) {
        const int64_t inside = (axis->in - 1 - reach - axis->first) / axis->in_step + 1;
        return (Span){begin, conv_smaller(inside, limit), 0, axis->taps};
    }
    const int64_t before = first < 0 ? conv_divide_up(-first, axis->tap_step) : 0;
    const int64_t upto = first < axis->in ? (axis->in - 1 - first) / axis->tap_step + 1 : 0;
    const int64_t tap_begin = conv_smaller(before, axis->taps), tap_end = conv_smaller(upto, axis->taps);
    return (Span){begin, begin + 1, tap_begin, tap_end > tap_begin ? tap_end : tap_begin};
}

/* Where the span's first tap of its first output is. */
static inline int64_t input_position(const Axis *axis, Span span)
{
    return axis->first + span.begin * axis->in_step + span.tap_begin * axis->tap_step;
}

#endif
