#include "autograd/ops.h"
#include "tests/compare.h"

typedef struct Size {
    int64_t samples, features, outputs;
} Size;

static const Size sizes[] = {{1, 1, 1}, {15, 3, 1}, {16, 8, 8}, {17, 9, 10}, {33, 17, 19}, {50, 40, 3}, {97, 5, 25}};
enum { SIZE_COUNT = sizeof sizes / sizeof *sizes };

/* a * b + c as kernels do it: rounded once. */
static Real fused(Real a, Real b, Real c)
{
#ifdef WEFT_DOUBLE
    return fma(a, b, c);
#else
    return fmaf(a, b, c);
#endif
}

/* Whether this machine's kernels round a multiply-add once. */
static bool kernels_fuse(void)
{
    return strcmp(weft_isa(), "baseline") != 0;
}

/* The sum of a[k a_step] b[k b_step]. */
static double product(const Real *a, int64_t a_step, const Real *b, int64_t b_step, int64_t count)
{
    double sum = 0;
    for (int64_t k = 0; k < count; k++) sum += (double)a[k * a_step] * (double)b[k * b_step];
    return sum;
}

static void check_linear(Size s)
{
    Tensor *x = lanes_leaf(SHAPE(s.samples, s.features), 1, 1), *w = leaf(SHAPE(s.outputs, s.features), 2, 1);
    Tensor *b = leaf(SHAPE(s.outputs), 3, 1), *dy = test_tensor(SHAPE(s.samples, s.outputs), 4, 1);
    Tensor *y = op_linear(x, w, b);
    CHECK(backward(y, .grad = dy));
    Real *xs = test_values(x), *ws = test_values(w), *bs = test_values(b), *dys = test_values(dy);
    double *expected = doubles(s.samples * s.outputs), *dx = doubles(s.samples * s.features);
    double *dw = doubles(s.outputs * s.features), *db = doubles(s.outputs);
    for (int64_t n = 0; n < s.samples; n++) {
        for (int64_t o = 0; o < s.outputs; o++) {
            const int64_t i = n * s.outputs + o;
            expected[i] = (double)bs[o] + product(xs + n * s.features, 1, ws + o * s.features, 1, s.features);
            db[o] += (double)dys[i];
        }
        for (int64_t f = 0; f < s.features; f++)
            dx[n * s.features + f] = product(dys + n * s.outputs, 1, ws + f, s.features, s.outputs);
    }
    for (int64_t o = 0; o < s.outputs; o++)
        for (int64_t f = 0; f < s.features; f++)
            dw[o * s.features + f] = product(dys + o, s.outputs, xs + f, s.features, s.samples);
    check_values(y, expected, TOLERANCE);
    check_values(tensor_grad(x), dx, TOLERANCE);
    check_values(tensor_grad(w), dw, TOLERANCE);
    check_values(tensor_grad(b), db, TOLERANCE);
    free(xs), free(ws), free(bs), free(dys), free(expected), free(dx), free(dw), free(db);
}

TEST(linear_is_its_definition)
{
    for (int i = 0; i < SIZE_COUNT && !test_failed(); i++) check_linear(sizes[i]);
}

TEST(linear_adds_features_to_the_bias_in_order)
{
    if (!kernels_fuse()) SKIP("no fused multiply-add");
    Tensor *x = test_tensor(SHAPE(17, 100), 1, 1), *w = test_tensor(SHAPE(11, 100), 2, 1);
    Tensor *b = test_tensor(SHAPE(11), 3, 1);
    Real *xs = test_values(x), *ws = test_values(w), *bs = test_values(b), *got = test_values(op_linear(x, w, b));
    Real expected[17 * 11];
    for (int64_t n = 0; n < 17; n++)
        for (int64_t o = 0; o < 11; o++) {
            Real sum = bs[o];
            for (int64_t f = 0; f < 100; f++) sum = fused(ws[o * 100 + f], xs[n * 100 + f], sum);
            expected[n * 11 + o] = sum;
        }
    CHECK_EQUAL_BITS(got, expected, 17 * 11);
    free(xs), free(ws), free(bs), free(got);
}

/* Relu in the op, or after it. */
static int with_relu(Tensor *results[RESULTS_MAX], bool in_one)
{
    Tensor *x = leaf(SHAPE(33, 9), 1, 1), *w = leaf(SHAPE(10, 9), 2, 1), *b = leaf(SHAPE(10), 3, 1);
    results[0] = in_one ? op_linear(x, w, b, .relu = true) : op_relu(op_linear(x, w, b));
    if (!backward(results[0], .grad = test_tensor(SHAPE(33, 10), 4, 1))) return 0;
    results[1] = tensor_grad(x);
    results[2] = tensor_grad(w);
    results[3] = tensor_grad(b);
    return 4;
}

TEST(linear_with_relu_is_the_two_in_turn)
{
    Tensor *one[RESULTS_MAX], *two[RESULTS_MAX];
    CHECK_EQUAL(with_relu(one, true), 4);
    CHECK_EQUAL(with_relu(two, false), 4);
    for (int i = 0; i < 4 && !test_failed(); i++) check_same_bits(one[i], two[i]);
    CHECK(layout_spare_is_right(one[0]));
}

TEST(linear_with_relu_keeps_nan)
{
    Tensor *x = tensor_full(SHAPE(1, 2), (double)NAN);
    CHECK(isnan(tensor_get(op_linear(x, tensor_full(SHAPE(1, 2), 1), TENSOR_NONE, .relu = true), AT(0, 0))));
}

TEST(linear_refuses_what_does_not_fit)
{
    Tensor *x = test_tensor(SHAPE(2, 3), 1, 1), *w = test_tensor(SHAPE(4, 5), 2, 1);
    CHECK(!op_linear(x, w, TENSOR_NONE));
    CHECK_ERROR("linear: input [2, 3] has 3 features, weight [4, 5] takes 5");
    CHECK(!op_linear(x, test_tensor(SHAPE(4, 3), 2, 1), test_tensor(SHAPE(3), 2, 1)));
    CHECK_ERROR("linear: bias [3], weight [4, 3] has 4 outputs");
    CHECK(!op_linear(x, test_tensor(SHAPE(4, 3), 2, 1), test_tensor(SHAPE(4, 1), 2, 1)));
    CHECK_ERROR("linear: bias [4, 1], weight [4, 3]");
    CHECK(!op_linear(x, test_tensor(SHAPE(4, 3, 2), 2, 1), TENSOR_NONE));
    CHECK_ERROR("weight [4, 3, 2] not [O, F]");
    CHECK(!op_linear(test_tensor(SHAPE(2, 3, 1, 1), 1, 1), w, TENSOR_NONE));
    CHECK_ERROR("linear: input [2, 3, 1, 1] is not [N, F]");
    CHECK(!op_linear(x, NULL, TENSOR_NONE));
}

static const Size products[] = {{1, 1, 1}, {3, 5, 7}, {16, 16, 16}, {17, 1, 33}, {1, 40, 15}, {20, 33, 17}, {50, 7, 1}};
enum { PRODUCT_COUNT = sizeof products / sizeof *products };

/* [M, K] x [K, P] as samples, features and outputs. */
static void check_matmul(Size s, bool lanes)
{
    Tensor *a = leaf(SHAPE(s.samples, s.features), 1, 1), *b = leaf(SHAPE(s.features, s.outputs), 2, 1);
    Tensor *dc = test_tensor(SHAPE(s.samples, s.outputs), 3, 1), *c = op_matmul(lanes ? op_to_lanes(a) : a, b);
    CHECK(backward(c, .grad = dc));
    Real *as = test_values(a), *bs = test_values(b), *dcs = test_values(dc);
    double *expected = doubles(s.samples * s.outputs), *da = doubles(s.samples * s.features);
    double *db = doubles(s.features * s.outputs);
    for (int64_t m = 0; m < s.samples; m++)
        for (int64_t p = 0; p < s.outputs; p++)
            expected[m * s.outputs + p] = product(as + m * s.features, 1, bs + p, s.outputs, s.features);
    for (int64_t k = 0; k < s.features; k++) {
        for (int64_t m = 0; m < s.samples; m++)
            da[m * s.features + k] = product(dcs + m * s.outputs, 1, bs + k * s.outputs, 1, s.outputs);
        for (int64_t p = 0; p < s.outputs; p++)
            db[k * s.outputs + p] = product(as + k, s.features, dcs + p, s.outputs, s.samples);
    }
    check_values(c, expected, TOLERANCE);
    check_values(tensor_grad(a), da, TOLERANCE);
    check_values(tensor_grad(b), db, TOLERANCE);
    free(as), free(bs), free(dcs), free(expected), free(da), free(db);
}

TEST(matmul_is_its_definition)
{
    for (int i = 0; i < PRODUCT_COUNT && !test_failed(); i++) {
        check_matmul(products[i], false);
        if (!test_failed()) check_matmul(products[i], true);
    }
}

TEST(matmul_is_linear_with_the_weights_transposed)
{
    Tensor *x = test_tensor(SHAPE(33, 20), 1, 1), *w = test_tensor(SHAPE(7, 20), 2, 1);
    check_same_bits(op_matmul(x, op_transpose(w, 0, 1)), op_linear(x, w, TENSOR_NONE));
}

TEST(matmul_refuses_what_does_not_fit)
{
    Tensor *a = test_tensor(SHAPE(2, 3), 1, 1);
    CHECK(!op_matmul(a, a));
    CHECK_ERROR("matmul: [2, 3] and [2, 3] are not [M, K] and [K, P]");
    CHECK(!op_matmul(a, test_tensor(SHAPE(3, 2, 2), 1, 1)));
    CHECK_ERROR("matmul: [2, 3] and [3, 2, 2] are not [M, K] and [K, P]");
    CHECK(!op_matmul(a, TENSOR_NONE));
    CHECK_ERROR("matmul: [2, 3] and none");
    CHECK(!op_matmul(NULL, a));
}

static int large(Tensor *results[RESULTS_MAX])
{
    Tensor *x = leaf(SHAPE(113, 301), 1, 1), *w = leaf(SHAPE(50, 301), 2, 1), *b = leaf(SHAPE(50), 3, 1);
    Tensor *m = leaf(SHAPE(50, 203), 4, 1);
    results[0] = op_linear(x, w, b, .relu = true);
    results[1] = op_matmul(results[0], m);
    results[2] = op_matmul(w, x = op_transpose(x, 0, 1));
    tensor_keep_grad(x);
    if (!backward(results[1], .grad = test_tensor(SHAPE(113, 203), 5, 1), .keep_graph = true)) return 0;
    if (!backward(results[2], .grad = test_tensor(SHAPE(50, 113), 6, 1))) return 0;
    results[3] = tensor_grad(x);
    results[4] = tensor_grad(w);
    results[5] = tensor_grad(b);
    results[6] = tensor_grad(m);
    return 7;
}

TEST(products_have_the_same_bits_on_all_machines)
{
    check_machines(large);
}

TEST(products_survive_short_memory)
{
    check_short_memory(large);
}
