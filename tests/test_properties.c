/* What must hold whatever the numbers are. */
#include <stdio.h>

#include "autograd/node.h"
#include "autograd/ops.h"
#include "data/data.h"
#include "tests/cases.h"
#include "tests/test.h"

enum { IS_DOUBLE = sizeof(Real) == sizeof(double), X_STREAM = 1, OTHER_STREAM, WEIGHT_STREAM, GRAD_STREAM };
/* Of sums of some hundred products, relative to the largest; where Winograd's transforms come in, of more. */
static const double close_enough = IS_DOUBLE ? 1e-13 : 2e-5;

static void check_near(const Tensor *a, const Tensor *b, double tolerance)
{
    CHECK(a && b && shape_equal(tensor_shape(a), tensor_shape(b)));
    Real *x = test_values(a), *y = test_values(b);
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < tensor_count(a); i++) {
        largest = fmax(largest, fabs((double)y[i]));
        worst = fmax(worst, fabs((double)x[i] - (double)y[i]));
    }
    free(x);
    free(y);
    CHECK(largest > 0);
    CHECK_CLOSE(worst / largest, 0, tolerance);
}

static void check_same_bits(const Tensor *a, const Tensor *b)
{
    CHECK(a && b && shape_equal(tensor_shape(a), tensor_shape(b)));
    Real *x = test_values(a), *y = test_values(b);
    test_equal_bits(x, y, tensor_count(a), __FILE__, __LINE__, "both have the same bits");
    free(x);
    free(y);
}

static double inner(const Tensor *a, const Tensor *b)
{
    Real *x = test_values(a), *y = test_values(b);
    double sum = 0;
    for (int64_t i = 0; i < tensor_count(a); i++) sum += (double)x[i] * (double)y[i];
    free(x);
    free(y);
    return sum;
}

static double norm(const Tensor *a)
{
    return sqrt(inner(a, a));
}

/* ---- Convolution ---- */

typedef struct Convolution {
    int64_t n, c, h, w, o, kernel, stride, padding, dilation, groups;
} Convolution;

static const Convolution convolutions[] = {
    /* n, c, h, w, o, kernel, stride, padding, dilation, groups */
    {17, 3, 8, 7, 5, 3, 1, 1, 1, 1}, {1, 1, 6, 5, 8, 3, 1, 0, 1, 1},   {33, 8, 9, 9, 12, 3, 1, 0, 1, 1},
    {5, 4, 11, 9, 6, 3, 2, 1, 2, 2}, {16, 8, 5, 5, 16, 1, 1, 0, 1, 1}, {2, 6, 12, 8, 6, 5, 3, 2, 1, 6},
    /* Winograd's */
    {2, 32, 9, 8, 36, 3, 1, 0, 1, 1}, {17, 36, 8, 8, 32, 3, 1, 1, 1, 1},
};
enum { CONVOLUTIONS = sizeof convolutions / sizeof *convolutions };

static Tensor *convolve(const Convolution *c, Tensor *x, Tensor *weight)
{
    return op_conv2d(x, weight, TENSOR_NONE, .stride = c->stride, .padding = c->padding, .dilation = c->dilation,
                     .groups = c->groups);
}

static Tensor *images_of(const Convolution *c, uint32_t stream)
{
    return test_tensor(SHAPE(c->n, c->c, c->h, c->w), stream, 1);
}

static Tensor *weight_of(const Convolution *c, uint32_t stream)
{
    return test_tensor(SHAPE(c->o, c->c / c->groups, c->kernel, c->kernel), stream, 1);
}

/* 2 a - 3 b */
static Tensor *combine(Tensor *a, Tensor *b)
{
    return op_sub(op_mul_scalar(a, 2), op_mul_scalar(b, 3));
}

TEST(convolution_is_linear_in_image_and_weight)
{
    for (int i = 0; i < CONVOLUTIONS && !test_failed(); i++) {
        const Convolution *c = &convolutions[i];
        Tensor *x = images_of(c, X_STREAM), *other = images_of(c, OTHER_STREAM);
        Tensor *weight = weight_of(c, WEIGHT_STREAM), *second = weight_of(c, OTHER_STREAM);
        check_near(convolve(c, combine(x, other), weight), combine(convolve(c, x, weight), convolve(c, other, weight)),
                   close_enough);
        check_near(convolve(c, x, combine(weight, second)), combine(convolve(c, x, weight), convolve(c, x, second)),
                   close_enough);
    }
}

/* Without padding, the convolution of a part of the map is a part of the convolution. */
TEST(convolution_moves_with_the_image)
{
    for (int i = 0; i < CONVOLUTIONS && !test_failed(); i++) {
        Convolution c = convolutions[i];
        c.padding = 0;
        Tensor *x = images_of(&c, X_STREAM), *weight = weight_of(&c, WEIGHT_STREAM);
        Tensor *y = convolve(&c, x, weight);
        Tensor *lower = op_narrow(x, 2, c.stride, c.h - c.stride), *right = op_narrow(x, 3, c.stride, c.w - c.stride);
        check_near(convolve(&c, lower, weight), op_narrow(y, 2, 1, tensor_size(y, 2) - 1), close_enough);
        check_near(convolve(&c, right, weight), op_narrow(y, 3, 1, tensor_size(y, 3) - 1), close_enough);
    }
}

/* A kernel that is 1 at one place picks that pixel: the image, moved. */
TEST(convolution_with_one_weight_is_the_image_moved)
{
    Tensor *x = test_tensor(SHAPE(17, 2, 6, 7), X_STREAM, 1);
    for (int64_t place = 0; place < 9; place++) {
        Tensor *weight = tensor_zeros(SHAPE(2, 1, 3, 3));
        for (int64_t o = 0; o < 2; o++) CHECK(tensor_set(weight, AT(o, 0, place / 3, place % 3), 1));
        Tensor *y = op_conv2d(x, weight, TENSOR_NONE, .groups = 2);
        check_same_bits(y, op_narrow(op_narrow(x, 2, place / 3, 4), 3, place % 3, 5));
    }
}

/* ---- Backward ---- */

/* Ops that are linear in an input, and which. */
static const struct {
    const char *text;
    int input;
} linear_ops[] = {
    {"conv2d padding=1 : 17x3x8x7 5x3x3x3 none", 0},
    {"conv2d padding=1 : 17x3x8x7 5x3x3x3 none", 1},
    {"conv2d stride=2 dilation=2 padding=2 groups=2 : 5x4x9x8 6x2x3x3 none", 0},
    {"conv2d stride=2 dilation=2 padding=2 groups=2 : 5x4x9x8 6x2x3x3 none", 1},
    {"conv2d : 33x32x9x8 36x32x3x3 none", 0},
    {"conv2d : 33x32x9x8 36x32x3x3 none", 1},
    {"conv2d padding=1 : 2x36x8x6 32x36x3x3 none", 0},
    {"conv2d padding=2 : 17x36x8x6 32x36x3x3 none", 1},
    {"conv2d : 130x1x28x28 8x1x3x3 none", 1},
    {"linear : 33x50 20x50 none", 0},
    {"linear : 33x50 20x50 none", 1},
    {"matmul : 33x17 17x9", 0},
    {"matmul : 33x17 17x9", 1},
    {"avg_pool2d kernel=3 stride=2 padding=1 : 17x3x8x7", 0},
    {"global_avg_pool2d : 17x3x8x7", 0},
    {"sum dims=0,2 : 17x3x8x7", 0},
    {"mean dims=0,3 : 17x3x8x7", 0},
    {"mul : 17x3x4 3x1", 0},
    {"mul : 17x3x4 3x1", 1},
    {"div : 17x3x4 3x1*0.5+1", 0},
    {"reshape to=24xN : 17x3x8", 0},
    {"transpose a=0 b=2 : 17x3x8", 0},
    {"concat dim=0 : 17x3", 0},
    {"narrow dim=0 start=2 length=20 : 33x3", 0},
    {"dropout p=0.25 : 17x3x8", 0},
};

/* <f(x), g> = <x, f'(g)>: what backward computes is the transpose of what forward does. Rounding is relative to the
 * product of the norms. */
TEST(backward_is_the_adjoint_of_what_is_linear)
{
    for (size_t i = 0; i < sizeof linear_ops / sizeof *linear_ops && !test_failed(); i++) {
        Case c;
        CHECK(case_parse(&c, linear_ops[i].text, 17));
        Tensor *inputs[CASE_INPUTS];
        for (int k = 0; k < c.input_count; k++) inputs[k] = case_input(&c, k);
        Tensor *y = case_run(&c, inputs), *x = inputs[linear_ops[i].input];
        Tensor *grad = case_output_grad(tensor_shape(y));
        CHECK(backward(y, .grad = grad));
        const double forwards = inner(y, grad), backwards = inner(x, tensor_grad(x));
        CHECK_CLOSE((forwards - backwards) / (norm(y) * norm(grad)), 0, close_enough);
    }
}

/* Twice the gradient of a result is, in binary, exactly twice the gradient of each input. */
TEST(gradients_double_with_the_gradient_of_the_result)
{
    static const char *const rows[] = {
        "add : 17x3x4 4",  "sub : 3x1 17x3x4", "mul : 17x3x4 17x1x4", "div : 17x3 17x3*0.5+2",
        "exp : 17x3",      "log : 17x3+1.25",  "sqrt : 17x3+1.25",    "square : 17x3",
        "abs : 17x3",      "tanh : 17x3*3",    "sigmoid : 17x3*3",    "relu : 17x3",
        "neg : 17x3",      "sum dims=1 : 17x3x4", "mean : 17x3x4",    "leaky_relu slope=0.1 : 17x3",
        "matmul : 17x9 9x4",                   "linear relu=1 : 17x50 10x50 10",
        "conv2d relu=1 : 17x3x8x7 5x3x3x3 5",  "conv2d padding=1 relu=1 : 17x32x8x7 32x32x3x3 32",
        "max_pool2d kernel=2 : 17x3x8x7",      "avg_pool2d kernel=3 stride=2 padding=1 : 17x3x8x7",
        "batch_norm2d training=1 dropout=0.25 : 17x3x8x7 3*0.5+1 3 ~3 ~3*0.25+1",
        "batch_norm2d : 17x3x8x7 3*0.5+1 3 ~3 ~3*0.25+1",
        "softmax dim=1 : 17x10*4",             "log_softmax dim=1 : 17x10*4",
        "nll_loss : 17x10 labels:17/10",       "cross_entropy label_smoothing=0.125 : 17x10*4 labels:17/10",
        "mse_loss : 17x3 17x3",
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows && !test_failed(); r++) {
        Case c;
        CHECK(case_parse(&c, rows[r], 0));
        Tensor *inputs[2][CASE_INPUTS];
        for (int twice = 0; twice < 2; twice++) {
            for (int i = 0; i < c.input_count; i++) inputs[twice][i] = case_input(&c, i);
            Tensor *y = case_run(&c, inputs[twice]), *grad = case_output_grad(tensor_shape(y));
            CHECK(backward(y, .grad = twice ? op_mul_scalar(grad, 2) : grad));
        }
        for (int i = 0; i < c.input_count && !test_failed(); i++) {
            if (!tensor_requires_grad(inputs[0][i])) continue;
            check_same_bits(op_mul_scalar(tensor_grad(inputs[0][i]), 2), tensor_grad(inputs[1][i]));
        }
    }
}

/* Puts the values in the opposite order; labels stay labels. */
static bool turn_around(Tensor *t)
{
    const int64_t count = tensor_count(t);
    Real *values = test_values(t);
    for (int64_t i = 0; values && i < count / 2; i++) {
        const Real other = values[count - 1 - i];
        values[count - 1 - i] = values[i];
        values[i] = other;
    }
    const bool ok = values && tensor_write(t, values, count);
    free(values);
    return ok;
}

/* The gradients of a case's inputs, in lanes or as they are, where one tensor is turned around between forward and
 * backward: input number `written`, or the result, which counts as one more, or none at -1. False with an error if
 * backward refuses. */
static bool gradients_of(const Case *c, bool lanes, int written, Tensor *grads[CASE_INPUTS])
{
    Tensor *inputs[CASE_INPUTS], *tensors[CASE_INPUTS + 1];
    for (int i = 0; i < c->input_count; i++) {
        inputs[i] = case_input(c, i);
        tensors[i] = lanes ? op_to_lanes(inputs[i]) : inputs[i];
    }
    Tensor *y = tensors[c->input_count] = case_run(c, tensors);
    if (!y || (written >= 0 && !turn_around(tensors[written]))) return false;
    if (!backward(y, .grad = case_output_grad(tensor_shape(y)))) return false;
    for (int i = 0; i < c->input_count; i++) grads[i] = tensor_grad(inputs[i]);
    return true;
}

static bool has_same_values(const Tensor *a, const Tensor *b)
{
    Real *x = test_values(a), *y = test_values(b);
    const bool same = x && y && memcmp(x, y, (size_t)tensor_count(a) * sizeof *x) == 0;
    free(x);
    free(y);
    return same;
}

/* What backward reads of forward's inputs and result may have been written since: that is an error, or else changes no
 * gradient. */
TEST(a_write_is_an_error_or_changes_no_gradient)
{
    static const char *const rows[] = {
        "add : 17x3 17x3",  "sub : 17x3 3",      "mul : 17x3 17x3",   "div : 17x3 17x3*0.5+2",
        "add_scalar s=1.5 : 17x3",               "mul_scalar s=1.5 : 17x3",
        "exp : 17x3",       "log : 17x3+1.25",   "sqrt : 17x3+1.25",  "square : 17x3",  "abs : 17x3",
        "tanh : 17x3*3",    "sigmoid : 17x3*3",  "relu : 17x3",       "neg : 17x3",     "leaky_relu slope=0.1 : 17x3",
        "sum dims=1 : 17x3x4",                   "mean : 17x3x4",     "flatten : 17x3x4",
        "transpose a=0 b=1 : 17x3",              "concat dim=1 : 17x3 17x2",
        "narrow dim=1 start=1 length=2 : 17x4",  "matmul : 17x9 9x4",
        "linear : 17x5 4x5 4",                   "linear relu=1 : 17x5 4x5 4",
        "conv2d : 17x2x5x4 3x2x3x3 3",           "conv2d relu=1 : 17x2x5x4 3x2x3x3 3",
        "conv2d padding=1 relu=1 : 2x32x8x6 32x32x3x3 32",
        "conv2d padding=1 relu=1 max_pool=2 : 2x32x8x6 32x32x3x3 32",
        "max_pool2d kernel=2 : 17x2x4x6",        "avg_pool2d kernel=2 : 17x2x4x6",
        "batch_norm2d training=1 dropout=0.25 : 17x3x4x2 3*0.5+1 3 ~3 ~3*0.25+1",
        "batch_norm2d : 17x3x4x2 3*0.5+1 3 ~3 ~3*0.25+1",
        "dropout p=0.25 : 17x3x8",               "softmax dim=1 : 17x10*4",           "log_softmax dim=1 : 17x10*4",
        "nll_loss : 17x10 labels:17/10",         "cross_entropy label_smoothing=0.125 : 17x10*4 labels:17/10",
        "mse_loss : 17x3 17x3",
    };
    int wrong = 0;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        Case c;
        Tensor *expected[CASE_INPUTS], *grads[CASE_INPUTS];
        CHECK(case_parse(&c, rows[r], 0));
        CHECK(gradients_of(&c, false, -1, expected));
        for (int k = 0; k < 2 * (c.input_count + 1); k++) {
            const bool made = gradients_of(&c, k % 2, k / 2, grads);
            bool right = made || strstr(weft_error(), "was written after");
            for (int i = 0; i < c.input_count && made; i++)
                right &= !expected[i] || has_same_values(grads[i], expected[i]);
            weft_error_clear();
            if (!right) printf("%s: a write to tensor %d goes unnoticed\n", rows[r], k / 2);
            wrong += !right;
        }
    }
    CHECK_EQUAL(wrong, 0);
}

TEST(gradient_of_a_sum_is_ones_and_of_a_mean_their_share)
{
    static const int64_t batches[] = {1, 15, 16, 17, 33};
    for (size_t b = 0; b < sizeof batches / sizeof *batches && !test_failed(); b++) {
        Shape shape = SHAPE(batches[b], 3, 2);
        Tensor *x = test_tensor(shape, X_STREAM, 1);
        tensor_set_requires_grad(x, true);
        CHECK(backward(op_sum(x)));
        check_same_bits(tensor_grad(x), tensor_full(shape, 1));
        tensor_clear_grad(x);
        CHECK(backward(op_mean(x)));
        check_near(tensor_grad(x), tensor_full(shape, 1 / (double)tensor_count(x)), IS_DOUBLE ? 1e-15 : 1e-7);
    }
}

/* ---- A sample does not see its neighbours ---- */

/* What the whole batch gives for a sample, that sample gives alone, bit for bit: result and gradient. */
TEST(a_sample_alone_is_what_it_is_in_a_batch)
{
    enum { BATCH = 33 };
    static const int64_t samples[] = {0, 7, 15, 16, 31, 32};
    static const char *const rows[] = {
        "conv2d padding=1 relu=1 : Nx3x6x7 5x3x3x3 5", "conv2d padding=1 : Nx32x6x6 32x32x3x3 32",
        "linear relu=1 : Nx50 10x50 10",     "max_pool2d kernel=3 stride=2 padding=1 : Nx3x8x7",
        "avg_pool2d kernel=2 : Nx3x8x7",     "batch_norm2d : Nx3x4x5 3*0.5+1 3 ~3 ~3*0.25+1",
        "softmax dim=1 : Nx10*4",            "log_softmax dim=2 : Nx3x5*4",
        "tanh : Nx3x5*3",                    "mul : Nx3x5 3x1",
        "sum dims=1 : Nx3x5",
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        Case whole, one;
        CHECK(case_parse(&whole, rows[r], BATCH) && case_parse(&one, rows[r], 1));
        Tensor *inputs[CASE_INPUTS];
        for (int i = 0; i < whole.input_count; i++) inputs[i] = case_input(&whole, i);
        Tensor *x = inputs[0], *y = case_run(&whole, inputs), *grad = case_output_grad(tensor_shape(y));
        CHECK(backward(y, .grad = grad));
        Tensor *grads = tensor_grad(x);
        for (size_t s = 0; s < sizeof samples / sizeof *samples && !test_failed(); s++) {
            inputs[0] = tensor_detach(op_narrow(x, 0, samples[s], 1));
            tensor_set_requires_grad(inputs[0], true);
            Tensor *alone = case_run(&one, inputs);
            CHECK(backward(alone, .grad = op_narrow(grad, 0, samples[s], 1)));
            check_same_bits(alone, op_narrow(y, 0, samples[s], 1));
            check_same_bits(tensor_grad(inputs[0]), op_narrow(grads, 0, samples[s], 1));
        }
    }
}

/* ---- Normalisation ---- */

TEST(batch_norm_gives_each_channel_its_mean_and_deviation)
{
    enum { CHANNELS = 5 };
    static const int64_t batches[] = {1, 16, 17, 33};
    const double eps = 1e-5;
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        Tensor *x = test_tensor_near(SHAPE(batches[b], CHANNELS, 6, 7), X_STREAM, 2, 5);
        Tensor *weight = test_tensor_near(SHAPE(CHANNELS), WEIGHT_STREAM, 0.5, 1);
        Tensor *bias = test_tensor(SHAPE(CHANNELS), OTHER_STREAM, 1);
        Tensor *y = op_batch_norm2d(x, weight, bias, TENSOR_NONE, TENSOR_NONE, .training = true, .eps = eps);
        const unsigned all = DIM(0) | DIM(2) | DIM(3);
        Tensor *mean = op_mean(y, .dims = all, .keep = true), *before = op_mean(x, .dims = all, .keep = true);
        Tensor *variance = op_mean(op_square(op_sub(y, mean)), .dims = all);
        Tensor *variance_before = op_mean(op_square(op_sub(x, before)), .dims = all);
        check_near(op_reshape(mean, SHAPE(CHANNELS)), bias, IS_DOUBLE ? 1e-13 : 1e-5);
        for (int64_t c = 0; c < CHANNELS && !test_failed(); c++) {
            const double w = tensor_get(weight, AT(c)), v = tensor_get(variance_before, AT(c));
            CHECK_CLOSE(tensor_get(variance, AT(c)), w * w * v / (v + eps), IS_DOUBLE ? 1e-13 : 1e-5);
        }
    }
}

TEST(batch_norm_does_not_see_scale_and_shift)
{
    const BatchNorm2dOptions options = {.weight = TENSOR_NONE, .bias = TENSOR_NONE, .running_mean = TENSOR_NONE,
                                        .running_var = TENSOR_NONE, .training = true, .eps = 1e-12};
    BatchNorm2dOptions one = options, other = options;
    one.x = test_tensor(SHAPE(17, 3, 5, 4), X_STREAM, 1);
    other.x = op_add_scalar(op_mul_scalar(one.x, 4), 3);
    check_near(op_batch_norm2d_with(other), op_batch_norm2d_with(one), IS_DOUBLE ? 1e-11 : 1e-5);
}

/* ---- Classification ---- */

TEST(softmax_is_a_distribution)
{
    Tensor *x = test_tensor(SHAPE(17, 10, 3), X_STREAM, 20), *y = op_softmax(x, 1);
    check_near(op_sum(y, .dims = DIM(1)), tensor_full(SHAPE(17, 3), 1), IS_DOUBLE ? 1e-15 : 1e-6);
    check_same_bits(y, op_abs(y));
    check_near(op_exp(op_log_softmax(x, 1)), y, IS_DOUBLE ? 1e-14 : 1e-5);
    check_near(op_softmax(op_add_scalar(x, 100), 1), y, IS_DOUBLE ? 1e-13 : 2e-5);
}

TEST(cross_entropy_does_not_see_a_constant)
{
    enum { BATCH = 17, CLASSES = 10 };
    Tensor *logits = test_tensor(SHAPE(BATCH, CLASSES), X_STREAM, 4), *labels = tensor_zeros(SHAPE(BATCH));
    for (int64_t n = 0; n < BATCH; n++) CHECK(tensor_set(labels, AT(n), (double)(n * 7 % CLASSES)));
    for (double smoothing = 0; smoothing < 0.3; smoothing += 0.25) {
        Tensor *shifted = op_add(logits, test_tensor(SHAPE(BATCH, 1), OTHER_STREAM, 50));
        Tensor *loss = op_cross_entropy(logits, labels, smoothing);
        check_near(op_cross_entropy(shifted, labels, smoothing), loss, IS_DOUBLE ? 1e-13 : 1e-5);
    }
    tensor_set_requires_grad(logits, true);
    CHECK(backward(op_cross_entropy(logits, labels)));
    Tensor *sums = op_sum(tensor_grad(logits), .dims = DIM(1));
    for (int64_t n = 0; n < BATCH; n++) CHECK_CLOSE(tensor_get(sums, AT(n)), 0, IS_DOUBLE ? 1e-16 : 1e-7);
}

TEST(functions_keep_their_identities)
{
    Tensor *x = test_tensor(SHAPE(17, 50), X_STREAM, 6), *positive = op_add_scalar(op_square(x), 0.1);
    const double tolerance = IS_DOUBLE ? 1e-15 : 1e-6;
    check_near(op_add(op_sigmoid(x), op_sigmoid(op_neg(x))), tensor_full(SHAPE(17, 50), 1), tolerance);
    check_near(op_tanh(x), op_sub_scalar(op_mul_scalar(op_sigmoid(op_mul_scalar(x, 2)), 2), 1), tolerance);
    check_near(op_exp(op_log(positive)), positive, 10 * tolerance);
    check_near(op_square(op_sqrt(positive)), positive, tolerance);
    check_same_bits(op_sub(op_relu(x), op_relu(op_neg(x))), x);
}

/* ---- Pooling and dropout ---- */

TEST(max_pool_is_monotone)
{
    Tensor *x = test_tensor(SHAPE(17, 3, 9, 8), X_STREAM, 1);
    Tensor *more = op_add(x, op_square(test_tensor(SHAPE(17, 3, 9, 8), OTHER_STREAM, 0.1)));
    Tensor *low = op_max_pool2d(x, 3, .stride = 2, .padding = 1);
    Tensor *high = op_max_pool2d(more, 3, .stride = 2, .padding = 1);
    check_same_bits(op_relu(op_sub(high, low)), op_sub(high, low));
    check_same_bits(op_max_pool2d(op_relu(x), 2), op_relu(op_max_pool2d(x, 2)));
}

/* Over many keys the mean is the value, within five deviations. */
TEST(dropout_keeps_the_expectation)
{
    enum { KEYS = 2000, COUNT = 33 * 2 };
    const double p = 0.25;
    Tensor *ones = tensor_full(SHAPE(33, 2), 1);
    double sums[COUNT] = {0};
    for (uint32_t epoch = 0; epoch < KEYS; epoch++) {
        Scope scope = scope_open();
        Real *values = test_values(op_dropout(ones, p, (RandomKey){.seed = 3, .epoch = epoch}));
        for (int i = 0; i < COUNT; i++) sums[i] += (double)values[i];
        free(values);
        scope_close(scope);
    }
    for (int i = 0; i < COUNT; i++) CHECK_CLOSE(sums[i] / KEYS, 1, 5 * sqrt(p / (1 - p) / KEYS));
}

/* ---- Data ---- */

/* Each image once an epoch, for each seed; and over many seeds in any place of the order as often as in any other. */
TEST(shuffled_epochs_hold_each_image_once)
{
    enum { IMAGES = 37, SIZE = 16, SEEDS = 2000 };
    uint8_t images[IMAGES], labels[IMAGES] = {0};
    for (int i = 0; i < IMAGES; i++) images[i] = (uint8_t)i;
    Dataset *dataset = dataset_from(images, labels, IMAGES, 1, 1, 1, 1);
    double places[IMAGES] = {0};
    for (uint64_t seed = 0; seed < SEEDS && !test_failed(); seed++) {
        Loader *loader = loader_new(dataset, SIZE, .shuffle = true, .seed = seed);
        Batch batch;
        uint64_t seen = 0;
        for (int64_t place = 0; loader_next(loader, &batch);) {
            for (int64_t n = 0; n < batch.count; n++) {
                seen ^= UINT64_C(1) << batch.indices[n];
                places[batch.indices[n]] += (double)place++ / SEEDS;
            }
        }
        test_check(seen == (UINT64_C(1) << IMAGES) - 1, __FILE__, __LINE__, "each image is there once");
        loader_free(loader);
    }
    dataset_free(dataset);
    const double middle = (IMAGES - 1) / 2.0, deviation = sqrt((IMAGES * IMAGES - 1) / 12.0 / SEEDS);
    for (int i = 0; i < IMAGES; i++) CHECK(fabs(places[i] - middle) < 5 * deviation);
}

/* A disc about the centre, with a soft edge: its inside stays full, its outside empty, at whatever angle is drawn. */
TEST(a_centred_disc_rotates_to_itself)
{
    enum { SIDE = 28, ANGLES = 200, FULL = 255 };
    const double radius = 9;
    const Augmentation turn = {.rotation = 180};
    uint8_t disc[SIDE * SIDE];
    Real turned[SIDE * SIDE];
    double distance[SIDE * SIDE];
    for (int i = 0; i < SIDE * SIDE; i++) {
        distance[i] = hypot(i / SIDE - (SIDE - 1) / 2.0, i % SIDE - (SIDE - 1) / 2.0);
        disc[i] = (uint8_t)(FULL * fmin(1, fmax(0, radius + 0.5 - distance[i])));
    }
    for (int64_t index = 0; index < ANGLES; index++) {
        augment_image(disc, SIDE, SIDE, &turn, (RandomKey){.seed = 5}, index, turned);
        for (int i = 0; i < SIDE * SIDE; i++) {
            if (distance[i] < radius - 2) CHECK_CLOSE((double)turned[i], FULL, 0);
            if (distance[i] > radius + 2) CHECK_CLOSE((double)turned[i], 0, 0);
            CHECK(fabs((double)turned[i] - disc[i]) < FULL / 4.0);
        }
    }
}
