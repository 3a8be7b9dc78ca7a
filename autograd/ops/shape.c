/* reshape, flatten, transpose, concat, narrow: they move values and compute nothing. */
#include <string.h>

#include "autograd/node.h"
#include "autograd/onnx.h"
#include "autograd/ops.h"
#include "autograd/ops/strided.h"
#include "tensor/kernels/kernels.h"

/* ---- reshape ---- */

static bool reshape_backward(const Node *node, Tensor *grad)
{
    const Tensor *x = node_input(node, 0);
    Tensor *dx = layout_share(grad, x->shape);
    if (!dx) return false;
    dx->lanes = x->lanes; /* [N] may come from [N, 1] in lanes, which is the same storage */
    layout_fill_spare(dx);
    return node_add_grad(node, 0, dx);
}

/* Works out a size of -1; false if the shape cannot hold that many values. */
static bool resolve(Shape *shape, int64_t count)
{
    int unknown = -1;
    for (int d = 0; d < shape->rank && d < TENSOR_MAX_RANK; d++) {
        if (shape->size[d] != -1) continue;
        if (unknown >= 0) return false;
        unknown = d;
        shape->size[d] = 1;
    }
    int64_t rest = shape_count(*shape);
    if (rest < 1 || count % rest != 0) return false;
    if (unknown >= 0) shape->size[unknown] = count / rest;
    return shape_count(*shape) == count;
}

/* One size that depends on the batch can be worked out from the others. */
static OnnxValue *reshape_onnx(const OnnxCall *call)
{
    int unknown = 0;
    for (int d = 0; d < call->shape.rank; d++) unknown += call->shape.size[d] < 0;
    if (unknown > 1) return weft_fail("onnx: reshape: %d sizes of its result depend on the batch", unknown);
    if (call->shape.rank > 0)
        return onnx_op(call, "Reshape", call->inputs[0], onnx_integers(call, call->shape.size, call->shape.rank));
    return onnx_op(call, "Squeeze", call->inputs[0]); /* all sizes are 1 */
}

Tensor *op_reshape(Tensor *x, Shape shape)
{
    static const Op op = {.name = "reshape", .backward = reshape_backward, .onnx = reshape_onnx};
    if (!x) return NULL;
    Shape full = shape;
    char from[SHAPE_TEXT], to[SHAPE_TEXT];
    if (x == TENSOR_NONE || !resolve(&full, tensor_count(x)))
        return weft_fail("reshape: %s does not become %s", shape_text(x->shape, from), shape_text(shape, to));
    if (x->lanes && (full.rank == 0 || full.size[0] != x->shape.size[0])) x = op_to_plain(x);
    Tensor *result = layout_share(x, full);
    if (!result) return NULL;
    result->lanes = x->lanes && full.rank >= 2;
    layout_fill_spare(result); /* of rank 1, where the storage had mere padding */
    return op_record(&op, result, &x, 1, NULL, 0);
}

Tensor *op_flatten(Tensor *x)
{
    if (!x) return NULL;
    char text[SHAPE_TEXT];
    if (x->shape.rank < 1) return weft_fail("flatten: %s has no dimension 0", shape_text(x->shape, text));
    return op_reshape(x, SHAPE(x->shape.size[0], layout_elements(x)));
}

/* ---- transpose ---- */

/* x with two dimensions exchanged, in x's layout, outside the graph. */
static Tensor *transposed(const Tensor *x, int a, int b)
{
    Shape shape = x->shape;
    shape.size[a] = x->shape.size[b];
    shape.size[b] = x->shape.size[a];
    Tensor *result = layout_new_like(x, shape);
    if (!result) return NULL;
    Space space = strided_space(result);
    strided_steps(x, x->shape.rank, x->lanes, space.a);
    int64_t step = space.a[a];
    space.a[a] = space.a[b];
    space.a[b] = step;
    const Real *values = x->storage->data;
    strided_run(weft_kernels()->broadcast_copy, result->storage->data, values, values, space);
    return result;
}

static bool transpose_backward(const Node *node, Tensor *grad)
{
    const int *dimensions = node_attributes(node);
    return node_add_grad(node, 0, transposed(grad, dimensions[0], dimensions[1]));
}

static int transpose_describe(const Node *node, Attribute *attributes)
{
    const int *dimensions = node_attributes(node);
    attributes[0] = (Attribute){.name = "dimensions", .count = 2, .integers = {dimensions[0], dimensions[1]}};
    return 1;
}

static OnnxValue *transpose_onnx(const OnnxCall *call)
{
    const int *dimensions = node_attributes(call->node);
    int64_t order[TENSOR_MAX_RANK];
    for (int d = 0; d < call->shape.rank; d++) order[d] = d;
    order[dimensions[0]] = dimensions[1];
    order[dimensions[1]] = dimensions[0];
    OnnxValue *y = onnx_op(call, "Transpose", call->inputs[0]);
    onnx_set_integers(y, "perm", order, call->shape.rank);
    return y;
}

Tensor *op_transpose(Tensor *x, int a, int b)
{
    static const Op op = {.name = "transpose", .backward = transpose_backward, .describe = transpose_describe,
                          .onnx = transpose_onnx};
    if (!x || !strided_dimension(op.name, x, &a) || !strided_dimension(op.name, x, &b)) return NULL;
    if (a == b) return op_reshape(x, x->shape);
    if (a == 0 || b == 0) x = op_to_plain(x);
    return x ? op_record(&op, transposed(x, a, b), &x, 1, (int[]){a, b}, 2 * sizeof(int)) : NULL;
}

/* ---- concat and narrow: a piece of a whole, both in the same layout ---- */

typedef enum Direction { INTO_WHOLE, OUT_OF_WHOLE } Direction;

static void copy_piece(Direction direction, Tensor *whole, Tensor *piece, int dimension, int64_t start)
{
    Space space = strided_space(piece);
    int64_t steps[SPACE_MAX_RANK];
    strided_steps(whole, whole->shape.rank, whole->lanes, steps);
    Real *to = piece->storage->data, *from = whole->storage->data + start * steps[dimension];
    memcpy(space.a, steps, sizeof steps);
    if (direction == INTO_WHOLE) {
        Real *swap = to;
        to = from;
        from = swap;
        memcpy(space.a, space.out, sizeof steps);
        memcpy(space.out, steps, sizeof steps);
    }
    strided_run(weft_kernels()->broadcast_copy, to, from, from, space);
}

static Tensor *piece_of(Tensor *whole, int dimension, int64_t start, int64_t length)
{
    Shape shape = whole->shape;
    shape.size[dimension] = length;
    Tensor *piece = layout_new_like(whole, shape);
    if (!piece) return NULL;
    copy_piece(OUT_OF_WHOLE, whole, piece, dimension, start);
    layout_fill_spare(piece); /* of rank 1 */
    return piece;
}

static bool concat_backward(const Node *node, Tensor *grad)
{
    int dimension = *(const int *)node_attributes(node);
    int64_t start = 0;
    for (int i = 0; i < node_input_count(node); i++) {
        int64_t length = node_input(node, i)->shape.size[dimension];
        if (node_needs_grad(node, i) && !node_add_grad(node, i, piece_of(grad, dimension, start, length))) return false;
        start += length;
    }
    return true;
}

static int concat_describe(const Node *node, Attribute *attributes)
{
    attributes[0] = (Attribute){.name = "dimension", .count = 1, .integers = {*(const int *)node_attributes(node)}};
    return 1;
}

static OnnxValue *concat_onnx(const OnnxCall *call)
{
    OnnxValue *whole = onnx_op_same(call, "Concat");
    onnx_set_integer(whole, "axis", *(const int *)node_attributes(call->node));
    return whole;
}

/* The shape of the result; rank -1 with an error if the inputs do not fit together. */
static Shape concat_shape(Tensor *const *inputs, int count, int dimension)
{
    Shape shape = inputs[0]->shape;
    for (int i = 1; i < count; i++) {
        Shape other = inputs[i]->shape;
        int64_t length = other.rank == shape.rank ? other.size[dimension] : 0;
        other.size[dimension] = shape.size[dimension];
        char a[SHAPE_TEXT], b[SHAPE_TEXT];
        if (!shape_equal(shape, other)) {
            weft_fail("concat: %s and %s differ elsewhere than in dimension %d", shape_text(inputs[0]->shape, a),
                      shape_text(inputs[i]->shape, b), dimension);
            return (Shape){.rank = -1};
        }
        shape.size[dimension] += length;
    }
    return shape;
}

Tensor *op_concat(Tensor *const *inputs, int count, int dimension)
{
    static const Op op = {
        .name = "concat", .backward = concat_backward, .describe = concat_describe, .onnx = concat_onnx};
    if (!inputs || count < 1 || count > OP_MAX_INPUTS)
        return weft_fail("concat: %d inputs are not 1 to %d", inputs ? count : 0, OP_MAX_INPUTS);
    bool lanes = false;
    for (int i = 0; i < count; i++) {
        if (!inputs[i]) return NULL;
        lanes |= inputs[i]->lanes;
    }
    if (!strided_dimension(op.name, inputs[0], &dimension)) return NULL;
    lanes &= dimension != 0;
    Shape shape = concat_shape(inputs, count, dimension);
    Tensor *whole = shape.rank > 0 ? layout_new(shape, lanes ? LAYOUT_LANES : LAYOUT_PLAIN) : NULL;
    Tensor *pieces[OP_MAX_INPUTS];
    int64_t start = 0;
    for (int i = 0; whole && i < count; i++) {
        pieces[i] = lanes ? op_to_lanes(inputs[i]) : op_to_plain(inputs[i]);
        if (!pieces[i]) return NULL;
        copy_piece(INTO_WHOLE, whole, pieces[i], dimension, start);
        start += inputs[i]->shape.size[dimension];
    }
    if (whole) layout_fill_spare(whole); /* of rank 1, or of pieces that are gradients */
    return op_record(&op, whole, pieces, count, &dimension, sizeof dimension);
}

typedef struct Narrow {
    int dimension;
    int64_t start, length;
} Narrow;

static bool narrow_backward(const Node *node, Tensor *grad)
{
    const Narrow *n = node_attributes(node);
    Tensor *dx = node_new_grad(node_input(node, 0));
    if (!dx) return false;
    memset(dx->storage->data, 0, (size_t)dx->storage->count * sizeof(Real));
    copy_piece(INTO_WHOLE, dx, grad, n->dimension, n->start);
    return node_add_grad(node, 0, dx);
}

static int narrow_describe(const Node *node, Attribute *attributes)
{
    const Narrow *n = node_attributes(node);
    attributes[0] = (Attribute){.name = "dimension", .count = 1, .integers = {n->dimension}};
    attributes[1] = (Attribute){.name = "start", .count = 1, .integers = {n->start}};
    attributes[2] = (Attribute){.name = "length", .count = 1, .integers = {n->length}};
    return 3;
}

static OnnxValue *narrow_onnx(const OnnxCall *call)
{
    const Narrow *n = node_attributes(call->node);
    const int64_t dimension = n->dimension, end = n->start + n->length;
    return onnx_op(call, "Slice", call->inputs[0], onnx_integers(call, &n->start, 1), onnx_integers(call, &end, 1),
                   onnx_integers(call, &dimension, 1));
}

Tensor *op_narrow(Tensor *x, int dimension, int64_t start, int64_t length)
{
    static const Op op = {
        .name = "narrow", .backward = narrow_backward, .describe = narrow_describe, .onnx = narrow_onnx};
    if (!x || !strided_dimension(op.name, x, &dimension)) return NULL;
    char text[SHAPE_TEXT];
    if (start < 0 || length < 1 || start > x->shape.size[dimension] - length)
        return weft_fail("narrow: %lld from %lld on are not in dimension %d of %s", (long long)length,
                         (long long)start, dimension, shape_text(x->shape, text));
    if (dimension == 0) x = op_to_plain(x);
    Tensor *piece = x ? piece_of(x, dimension, start, length) : NULL;
    return op_record(&op, piece, &x, 1, &(Narrow){dimension, start, length}, sizeof(Narrow));
}
