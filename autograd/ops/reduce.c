/* sum and mean.
 *
 * The definition of a sum, whatever the layout: within each sample over its elements, row-major, from 0; then, where
 * dimension 0 is summed over too, each lane (n mod 16) over its samples in order from 0, and the 16 lanes as a tree,
 * +8, +4, +2, +1. A plain tensor is brought to lanes first, so there is one way to compute it. */
#include "autograd/node.h"
#include "autograd/onnx.h"
#include "autograd/ops.h"
#include "autograd/ops/strided.h"
#include "tensor/kernels/kernels.h"
#include "tensor/memory.h"

/* ---- Outside the graph ---- */

/* Which element each index over `dims` reaches, the indices in row-major order. Dimension 0 is not an element's. */
static int64_t list_offsets(int64_t *offsets, Shape shape, unsigned dims)
{
    int64_t count = 1, step = 1;
    offsets[0] = 0;
    for (int d = shape.rank - 1; d > 0; d--) {
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): a rank is at most TENSOR_MAX_RANK */
        for (int64_t i = count; (dims & DIM(d)) && i < shape.size[d] * count; i++)
            offsets[i] = offsets[i % count] + i / count * step;
        if (dims & DIM(d)) count *= shape.size[d];
        step *= shape.size[d];
    }
    return count;
}

static int64_t count_elements(Shape shape, unsigned dims)
{
    int64_t count = 1;
    for (int d = 1; d < shape.rank; d++) {
        if (dims & DIM(d)) count *= shape.size[d];
    }
    return count;
}

/* The sum over elements into a tensor in lanes, `shape` having the sizes that are left. */
static Tensor *sum_elements(const Tensor *x, unsigned dims, Shape shape)
{
    Tensor *result = layout_new(shape, LAYOUT_LANES);
    int64_t reduced_count = count_elements(x->shape, dims), kept_count = count_elements(x->shape, ~dims);
    int64_t *offsets = result ? weft_alloc(reduced_count + kept_count, sizeof *offsets) : NULL;
    if (!offsets) return NULL;
    SumElements which = {layout_groups(x), layout_elements(x), kept_count, reduced_count, offsets + reduced_count,
                         offsets};
    list_offsets(offsets, x->shape, dims);
    list_offsets(offsets + reduced_count, x->shape, ~dims);
    weft_kernels()->sum_elements(result->storage->data, x->storage->data, &which);
    weft_free(offsets);
    result->is_gradient = x->is_gradient;
    return result;
}

static Tensor *sum_samples(const Tensor *x, Shape shape)
{
    Tensor *result = layout_new(shape, LAYOUT_PLAIN);
    if (!result) return NULL;
    weft_kernels()->sum_samples(result->storage->data, x->storage->data, layout_samples(x), layout_elements(x));
    result->is_gradient = x->is_gradient;
    layout_fill_spare(result);
    return result;
}

/* The sum of x over `dims`, given `shape`, that of the other dimensions with or without sizes of 1. It is plain if
 * dimension 0 is summed over, else in lanes. */
static Tensor *sum_over(const Tensor *x, unsigned dims, Shape shape)
{
    Scope scope = scope_open();
    x = layout_lanes(x);
    if (x && !(dims & DIM(0))) return scope_return(scope, sum_elements(x, dims, shape));
    if (x && dims != DIM(0)) x = sum_elements(x, dims, SHAPE(layout_samples(x), count_elements(x->shape, ~dims)));
    return scope_return(scope, x ? sum_samples(x, shape) : NULL);
}

Tensor *strided_unbroadcast(Tensor *grad, Shape shape)
{
    int extra = grad->shape.rank - shape.rank;
    unsigned dims = DIM(extra) - 1;
    for (int d = extra; d < grad->shape.rank; d++) {
        if (grad->shape.size[d] != shape.size[d - extra]) dims |= DIM(d);
    }
    return dims ? sum_over(grad, dims, shape) : grad;
}

/* ---- The ops ---- */

typedef struct Reduction {
    unsigned dims;   /* as given, but never 0 */
    bool keep;
    int64_t divisor; /* of the sum */
} Reduction;

static int describe(const Node *node, Attribute *attributes)
{
    const Reduction *r = node_attributes(node);
    attributes[0] = (Attribute){.name = "dims"};
    for (int d = 0; d < TENSOR_MAX_RANK; d++) {
        if (r->dims & DIM(d)) attributes[0].integers[attributes[0].count++] = d;
    }
    attributes[1] = (Attribute){.name = "keep", .count = 1, .integers = {r->keep}};
    return 2;
}

/* The shape with sizes of 1 where it was reduced, or without them. */
static Shape reduced_shape(Shape shape, unsigned dims, bool keep)
{
    Shape result = {0};
    for (int d = 0; d < shape.rank; d++) {
        if (!(dims & DIM(d))) result.size[result.rank++] = shape.size[d];
        else if (keep) result.size[result.rank++] = 1;
    }
    return result;
}

static bool reduce_backward(const Node *node, Tensor *grad)
{
    const Tensor *x = node_input(node, 0);
    const Reduction *r = node_attributes(node);
    Tensor *kept = layout_share(grad, reduced_shape(x->shape, r->dims, true));
    Tensor *divisor = tensor_full(SCALAR, (double)r->divisor);
    if (!kept || !divisor) return false;
    /* A gradient [N] is at the same time [N, 1, ...] in lanes. */
    kept->lanes = x->lanes && !(r->dims & DIM(0));
    return node_add_grad(node, 0, strided_broadcast(weft_kernels()->broadcast_div, node_new_grad(x), kept, divisor));
}

/* The dimensions that are reduced; none of a scalar, whose sum and mean are itself. */
static int list_axes(const OnnxCall *call, int64_t axes[TENSOR_MAX_RANK])
{
    const Reduction *r = node_attributes(call->node);
    int count = 0;
    for (int d = 0; d < node_input(call->node, 0)->shape.rank; d++) {
        if (r->dims & DIM(d)) axes[count++] = d;
    }
    return count;
}

/* In opset 13 the axes of a sum are an input and those of a mean an attribute. */
static OnnxValue *sum_onnx(const OnnxCall *call)
{
    const Reduction *r = node_attributes(call->node);
    int64_t axes[TENSOR_MAX_RANK];
    int count = list_axes(call, axes);
    if (count == 0) return call->inputs[0];
    OnnxValue *sum = onnx_op(call, "ReduceSum", call->inputs[0], onnx_integers(call, axes, count));
    onnx_set_integer(sum, "keepdims", r->keep);
    return sum;
}

static OnnxValue *mean_onnx(const OnnxCall *call)
{
    const Reduction *r = node_attributes(call->node);
    int64_t axes[TENSOR_MAX_RANK];
    int count = list_axes(call, axes);
    if (count == 0) return call->inputs[0];
    OnnxValue *mean = onnx_op(call, "ReduceMean", call->inputs[0]);
    onnx_set_integers(mean, "axes", axes, count);
    onnx_set_integer(mean, "keepdims", r->keep);
    return mean;
}

static Tensor *reduce(const Op *op, ReduceOptions options, bool mean)
{
    Tensor *x = options.x;
    if (!x) return NULL;
    char text[SHAPE_TEXT];
    if (x == TENSOR_NONE || options.dims >> x->shape.rank)
        return weft_fail("%s: %s has not all dimensions of the set %#x", op->name, shape_text(x->shape, text),
                         options.dims);
    Reduction r = {.dims = options.dims ? options.dims : DIM(x->shape.rank) - 1, .keep = options.keep, .divisor = 1};
    if (x->shape.rank == 0) r.dims = DIM(0);
    if (!(x = op_to_lanes(x))) return NULL;
    Tensor *result = sum_over(x, r.dims, reduced_shape(x->shape, r.dims, r.keep));
    if (mean && result) {
        r.divisor = tensor_count(x) / tensor_count(result);
        Real *values = result->storage->data;
        weft_kernels()->div_scalar_forward(values, values, (Real)r.divisor, result->storage->count);
    }
    return op_record(op, result, &x, 1, &r, sizeof r);
}

Tensor *op_sum_with(ReduceOptions options)
{
    static const Op op = {
        .name = "sum", .backward = reduce_backward, .describe = describe, .onnx = sum_onnx};
    return reduce(&op, options, false);
}

Tensor *op_mean_with(ReduceOptions options)
{
    static const Op op = {
        .name = "mean", .backward = reduce_backward, .describe = describe, .onnx = mean_onnx};
    return reduce(&op, options, true);
}
