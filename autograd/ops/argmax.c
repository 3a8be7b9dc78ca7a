/* argmax and count_correct, which have no gradient. */
#include <float.h>

#include "autograd/ops.h"
#include "autograd/ops/strided.h"
#include "tensor/kernels/kernels.h"

/* Whole numbers up to this are Reals. */
static const int64_t largest_index = (int64_t)1 << (sizeof(Real) == sizeof(float) ? FLT_MANT_DIG : DBL_MANT_DIG);

Tensor *op_argmax(Tensor *x, int dimension)
{
    if (!x || !strided_dimension("argmax", x, &dimension)) return NULL;
    char text[SHAPE_TEXT];
    if (x->shape.size[dimension] > largest_index)
        return weft_fail("argmax: an index into dimension %d of %s is no Real", dimension, shape_text(x->shape, text));
    if (dimension == 0) {
        /* The maxima over the batch are those over the samples of the transposed tensor. */
        if (x->shape.rank == 1) return op_reshape(op_argmax(op_reshape(x, SHAPE(1, -1)), 1), SCALAR);
        return op_argmax(op_transpose(x, 0, 1), 1);
    }
    const Tensor *lanes = layout_lanes(x);
    if (!lanes) return NULL;
    Shape shape = {.rank = x->shape.rank - 1};
    for (int d = 0; d < shape.rank; d++) shape.size[d] = x->shape.size[d < dimension ? d : d + 1];
    Tensor *index = layout_new(shape, LAYOUT_LANES);
    if (!index) return NULL;
    Slices slices = strided_slices(lanes, dimension);
    weft_kernels()->argmax(index->storage->data, lanes->storage->data, lanes->storage->data, &slices);
    if (x->is_gradient) layout_fill_spare(index);
    return index;
}

/* -1 with an error if a label is not a class. */
static int64_t count_equal(const Tensor *predicted, const Tensor *labels, int64_t classes)
{
    int64_t equal = 0;
    for (int64_t n = 0; n < labels->shape.size[0]; n++) {
        Real label = labels->storage->data[n];
        if (!(label >= 0 && label < (Real)classes) || label != (Real)(int64_t)label) {
            weft_fail("count_correct: label %lld is %g, the classes are 0 to %lld", (long long)n, (double)label,
                      (long long)classes - 1);
            return -1;
        }
        equal += label == predicted->storage->data[n];
    }
    return equal;
}

int64_t op_count_correct(Tensor *scores, Tensor *labels)
{
    if (!scores || !labels) return -1;
    if (scores->shape.rank != 2 || labels->shape.rank != 1 || scores->shape.size[0] != labels->shape.size[0]) {
        char a[SHAPE_TEXT], b[SHAPE_TEXT];
        weft_fail("count_correct: scores %s and labels %s are not [N, C] and [N]", shape_text(scores->shape, a),
                  shape_text(labels->shape, b));
        return -1;
    }
    Scope scope = scope_open();
    const Tensor *predicted = op_argmax(scores, 1);
    int64_t correct = predicted ? count_equal(predicted, labels, scores->shape.size[1]) : -1;
    scope_close(scope);
    return correct;
}
