/* sum, mean, softmax, argmax, count_correct: values against plain loops, and the order that defines a sum. */
#include <float.h>

#include "autograd/node.h"
#include "autograd/ops.h"
#include "tests/test.h"

static const double precise = sizeof(Real) == sizeof(float) ? FLT_EPSILON : DBL_EPSILON;

/* ---- Sums ---- */

enum { N = 21, C = 3, H = 4, W = 5 };

/* The sum over the dimensions in `dims` that belongs to this index, which is 0 in those. */
static double plain_sum(const Tensor *x, unsigned dims, Shape index)
{
    const Shape shape = tensor_shape(x);
    for (int d = 0; d < shape.rank; d++) {
        if (!(dims & DIM(d))) continue;
        double sum = 0;
        for (int64_t i = 0; i < shape.size[d]; i++) {
            index.size[d] = i;
            sum += plain_sum(x, dims & ~DIM(d), index);
        }
        return sum;
    }
    return tensor_get(x, index);
}

static void check_sums(unsigned dims, bool lanes)
{
    Tensor *x = test_tensor(SHAPE(N, C, H, W), 1, 1);
    if (lanes) x = op_to_lanes(x);
    Tensor *sum = op_sum(x, .dims = dims, .keep = true), *mean = op_mean(x, .dims = dims, .keep = true);
    Tensor *dropped = op_sum(x, .dims = dims);
    CHECK(sum && mean && dropped);
    CHECK(layout_spare_is_right(sum) && layout_spare_is_right(mean) && layout_spare_is_right(dropped));
    Shape shape = tensor_shape(x), kept = shape, rest = SCALAR;
    double count = 1;
    for (int d = 0; d < 4; d++) {
        if (dims & DIM(d)) count *= (double)shape.size[d], kept.size[d] = 1;
        else rest.size[rest.rank++] = shape.size[d];
    }
    CHECK(shape_equal(tensor_shape(sum), kept) && shape_equal(tensor_shape(mean), kept));
    CHECK(shape_equal(tensor_shape(dropped), rest));
    for (int64_t i = 0; i < shape_count(kept); i++) {
        Shape index = {.rank = 4};
        for (int64_t d = 3, left = i; d >= 0; left /= kept.size[d--]) index.size[d] = left % kept.size[d];
        double expected = plain_sum(x, dims, index);
        CHECK_CLOSE(tensor_get(sum, index), expected, 64 * precise);
        CHECK_CLOSE(tensor_get(mean, index), expected / count, 4 * precise);
    }
    Real *with = test_values(sum), *without = test_values(dropped);
    CHECK_EQUAL_BITS(with, without, tensor_count(sum));
    free(with);
    free(without);
}

TEST(sum_and_mean_over_every_set_of_dimensions)
{
    for (unsigned dims = 1; dims < 16 && !test_failed(); dims++) {
        check_sums(dims, false);
        check_sums(dims, true);
    }
}

/* The 16 lanes added as the definition says. */
static Real tree(const Real lanes[16])
{
    Real sum[16];
    memcpy(sum, lanes, sizeof sum);
    for (int step = 8; step > 0; step /= 2) {
        for (int i = 0; i < step; i++) sum[i] += sum[i + step];
    }
    return sum[0];
}

TEST(sum_over_the_batch_has_one_order)
{
    Tensor *x = test_tensor(SHAPE(N, C, H, W), 1, 1), *sum = op_sum(x, .dims = DIM(0) | DIM(2) | DIM(3));
    Real *values = test_values(x);
    CHECK(values);
    for (int64_t c = 0; c < C; c++) {
        Real lanes[16] = {0};
        for (int64_t n = 0; n < N; n++) {
            Real sample = 0;
            for (int64_t i = 0; i < H * W; i++) sample += values[(n * C + c) * H * W + i];
            lanes[n % 16] += sample;
        }
        CHECK_CLOSE(tensor_get(sum, AT(c)), (double)tree(lanes), 0);
    }
    free(values);
}

TEST(sum_of_a_vector_leaves_spare_lanes_out)
{
    CHECK_CLOSE(tensor_item(op_sum(tensor_full(SHAPE(17), 3))), 51, 0);
    CHECK_CLOSE(tensor_item(op_sum(tensor_full(SHAPE(17, 2), 3))), 102, 0);
    CHECK_CLOSE(tensor_item(op_mean(op_to_lanes(tensor_full(SHAPE(5, 2), 3)))), 3, 0);
    CHECK_CLOSE(tensor_item(op_sum(tensor_full(SCALAR, 3))), 3, 0);
    CHECK_CLOSE(tensor_item(op_mean(tensor_full(SCALAR, 3), .keep = true)), 3, 0);
}

TEST(reductions_of_a_gradient)
{
    Tensor *x = op_to_lanes(test_tensor(SHAPE(5, 3), 1, 1));
    tensor_set_requires_grad(x, true);
    CHECK(backward(op_mean(op_square(x))));
    CHECK_CLOSE(tensor_get(tensor_grad(x), AT(4, 2)), 2 * tensor_get(x, AT(4, 2)) / 15, precise);
    Tensor *results[] = {op_sum(tensor_grad(x), .dims = DIM(1)), op_softmax(tensor_grad(x), 1),
                         op_log_softmax(tensor_grad(x), 1), op_argmax(tensor_grad(x), 1)};
    for (int i = 0; i < 4; i++) CHECK(results[i] && layout_spare_is_right(results[i]));
}

TEST(reductions_within_samples_convert_nothing)
{
    Tensor *x = op_to_lanes(test_tensor(SHAPE(18, 3, 4), 1, 1));
    tensor_set_requires_grad(x, true);
    int64_t before = weft_counters().conversions;
    CHECK(backward(op_sum(op_square(op_mean(x, .dims = DIM(1) | DIM(2))))));
    CHECK(backward(op_mean(op_square(op_sum(x, .dims = DIM(2))))));
    CHECK_EQUAL(weft_counters().conversions, before);
    double row = tensor_get(op_sum(x, .dims = DIM(2)), AT(17, 2));
    double all = tensor_get(op_mean(x, .dims = DIM(1) | DIM(2)), AT(17));
    CHECK_CLOSE(tensor_get(tensor_grad(x), AT(17, 2, 3)), 2 * all / 12 + 2 * row / 54, 8 * precise);
}

TEST(reduce_errors_and_attributes)
{
    Tensor *x = tensor_zeros(SHAPE(2, 3));
    CHECK(!op_sum(x, .dims = DIM(2)));
    CHECK_ERROR("sum: [2, 3] has not all dimensions");
    CHECK(!op_mean(tensor_zeros(SCALAR), .dims = DIM(0)));
    CHECK_ERROR("mean: []");
    CHECK(!op_sum(TENSOR_NONE));
    CHECK_ERROR("sum: none");
    CHECK(!op_sum(NULL) && !op_mean(NULL) && !op_softmax(NULL, 0) && !op_argmax(NULL, 0));
    CHECK(!weft_error());
    tensor_set_requires_grad(x, true);
    const Node *node = tensor_node(op_mean(x, .dims = DIM(1), .keep = true));
    Attribute attributes[OP_MAX_ATTRIBUTES];
    CHECK_EQUAL(node_op(node)->describe(node, attributes), 2);
    CHECK_TEXT(attributes[0].name, "dims");
    CHECK(attributes[0].count == 1 && attributes[0].integers[0] == 1);
    CHECK_TEXT(attributes[1].name, "keep");
    CHECK_EQUAL(attributes[1].integers[0], 1);
}

/* ---- softmax ---- */

static void check_softmax(int dimension, bool lanes)
{
    Tensor *x = op_mul_scalar(test_tensor(SHAPE(17, 3, 4), 1, 1), 6);
    if (lanes) x = op_to_lanes(x);
    Tensor *y = op_softmax(x, dimension), *log_y = op_log_softmax(x, dimension - 3);
    CHECK(y && log_y && shape_equal(tensor_shape(y), tensor_shape(x)));
    const int64_t size = tensor_size(x, dimension);
    for (int64_t i = 0; i < tensor_count(x); i++) {
        Shape at = AT(i / 12, i / 4 % 3, i % 4), other = at;
        double sum = 0;
        for (int64_t k = 0; k < size; k++) {
            other.size[dimension] = k;
            sum += exp(tensor_get(x, other));
        }
        CHECK_CLOSE(tensor_get(y, at), exp(tensor_get(x, at)) / sum, 16 * precise);
        CHECK_CLOSE(tensor_get(log_y, at), tensor_get(x, at) - log(sum), 16 * precise);
    }
}

TEST(softmax_values)
{
    for (int dimension = 0; dimension < 3 && !test_failed(); dimension++) {
        check_softmax(dimension, false);
        check_softmax(dimension, true);
    }
}

TEST(softmax_of_large_and_of_wrong_values)
{
    const Real values[] = {1000, 1001, (Real)-1e30, NAN, 0, 1, 3, 3, 3};
    Tensor *x = tensor_from(SHAPE(3, 3), values);
    Tensor *y = op_softmax(x, 1), *log_y = op_log_softmax(x, -1);
    CHECK_CLOSE(tensor_get(y, AT(0, 1)), 1 / (1 + exp(-1)), 4 * precise);
    CHECK_CLOSE(tensor_get(y, AT(0, 2)), 0, 0);
    CHECK_CLOSE(tensor_get(log_y, AT(0, 0)), -1 - log(1 + exp(-1)), 4 * precise);
    CHECK(isnan(tensor_get(y, AT(1, 0))) && isnan(tensor_get(log_y, AT(1, 2))));
    CHECK_CLOSE(tensor_get(y, AT(2, 0)), 1.0 / 3, 4 * precise);
    CHECK_CLOSE(tensor_item(op_softmax(tensor_full(SHAPE(1), 7), 0)), 1, 0);
    CHECK(!op_softmax(x, 2));
    CHECK_ERROR("softmax: [3, 3] has no dimension 2");
    CHECK(!op_log_softmax(tensor_zeros(SCALAR), 0));
    CHECK_ERROR("log_softmax: [] has no dimension 0");
}

TEST(softmax_of_nan_keeps_spare_lanes_of_gradients_zero)
{
    const Real values[] = {1, 2, NAN, 4};
    Tensor *x = op_to_lanes(tensor_from(SHAPE(2, 2), values)), *grad = tensor_full(SHAPE(2, 2), 1);
    tensor_set_requires_grad(x, true);
    CHECK(backward(op_softmax(x, 1), .grad = grad));
    CHECK(layout_spare_is_right(tensor_grad(x)));
    tensor_clear_grad(x);
    CHECK(backward(op_log_softmax(x, 1), .grad = grad));
    CHECK(layout_spare_is_right(tensor_grad(x)));
    CHECK(isnan(tensor_get(tensor_grad(x), AT(1, 0))) && !isnan(tensor_get(tensor_grad(x), AT(0, 0))));
}

/* ---- argmax and count_correct ---- */

TEST(argmax_takes_the_first_maximum_and_nan_for_the_largest)
{
    const Real values[] = {1, 5, 5, 2, NAN, NAN, NAN, 0, INFINITY, -1, -1, -2, -INFINITY, -INFINITY, -5};
    const double expected[] = {1, 1, 0, 0, 2};
    Tensor *x = tensor_from(SHAPE(5, 3), values);
    Tensor *rows = op_argmax(x, 1), *in_lanes = op_argmax(op_to_lanes(x), -1);
    for (int64_t n = 0; n < 5; n++) {
        CHECK_CLOSE(tensor_get(rows, AT(n)), expected[n], 0);
        CHECK_CLOSE(tensor_get(in_lanes, AT(n)), expected[n], 0);
    }
    Tensor *columns = op_argmax(op_to_lanes(x), 0);
    CHECK(shape_equal(tensor_shape(columns), SHAPE(3)));
    CHECK_CLOSE(tensor_get(columns, AT(0)), 2, 0);
    CHECK_CLOSE(tensor_get(columns, AT(1)), 1, 0);
    CHECK_CLOSE(tensor_get(columns, AT(2)), 1, 0);
    CHECK_CLOSE(tensor_item(op_argmax(tensor_from(SHAPE(4), values), 0)), 1, 0);
}

TEST(argmax_of_a_middle_dimension_is_outside_the_graph)
{
    Tensor *x = test_tensor(SHAPE(18, 5, 3), 1, 1);
    tensor_set_requires_grad(x, true);
    Tensor *index = op_argmax(x, 1);
    CHECK(shape_equal(tensor_shape(index), SHAPE(18, 3)) && !tensor_requires_grad(index));
    for (int64_t n = 0; n < 18; n++) {
        for (int64_t f = 0; f < 3; f++) {
            int64_t best = 0;
            for (int64_t k = 1; k < 5; k++)
                if (tensor_get(x, AT(n, k, f)) > tensor_get(x, AT(n, best, f))) best = k;
            CHECK_CLOSE(tensor_get(index, AT(n, f)), (double)best, 0);
        }
    }
    CHECK(!op_argmax(x, 3));
    CHECK_ERROR("argmax: [18, 5, 3] has no dimension 3");
}

TEST(count_correct_counts_and_checks)
{
    enum { SAMPLES = 37, CLASSES = 7 };
    Tensor *scores = test_tensor(SHAPE(SAMPLES, CLASSES), 1, 1), *labels = op_argmax(scores, 1);
    CHECK_EQUAL(op_count_correct(scores, labels), SAMPLES);
    CHECK_EQUAL(op_count_correct(op_to_lanes(scores), labels), SAMPLES);
    double last = tensor_get(labels, AT(SAMPLES - 1));
    CHECK(tensor_set(labels, AT(SAMPLES - 1), last > 0 ? last - 1 : 1));
    CHECK_EQUAL(op_count_correct(scores, labels), SAMPLES - 1);
    CHECK_EQUAL(op_count_correct(scores, tensor_zeros(SHAPE(SAMPLES - 1))), -1);
    CHECK_ERROR("count_correct: scores [37, 7] and labels [36]");
    const double wrong[] = {7, -1, 0.5, NAN};
    for (int i = 0; i < 4; i++) {
        CHECK(tensor_set(labels, AT(20), wrong[i]));
        CHECK_EQUAL(op_count_correct(scores, labels), -1);
        CHECK_ERROR("count_correct: label 20 is");
    }
    CHECK_EQUAL(op_count_correct(NULL, labels), -1);
    CHECK(!weft_error());
}
