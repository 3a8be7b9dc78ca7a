#include "autograd/ops.h"
#include "autograd/ops/batch_norm.h"
#include "tests/compare.h"

typedef struct Size {
    int64_t samples, channels, height, width;
} Size;

static const Size sizes[] = {{2, 1, 1, 1}, {1, 1, 3, 5}, {15, 3, 1, 1}, {16, 2, 4, 3}, {17, 3, 2, 7}, {33, 5, 9, 9}};
enum { SIZE_COUNT = sizeof sizes / sizeof *sizes };
static const double EPS = 1e-5;

/* One channel's share of batch norm, by definition, in double. dx is NULL where nobody asks. */
typedef struct Channel {
    double mean, variance, weight, bias;
    double weight_grad, bias_grad;
} Channel;

static int64_t offset(Size s, int64_t n, int64_t c)
{
    return (n * s.channels + c) * s.height * s.width;
}

static void measure(Channel *channel, Size s, int64_t c, const Real *x)
{
    const int64_t area = s.height * s.width;
    const double count = (double)(s.samples * area);
    for (int64_t n = 0; n < s.samples; n++)
        for (int64_t i = 0; i < area; i++) channel->mean += (double)x[offset(s, n, c) + i] / count;
    for (int64_t n = 0; n < s.samples; n++)
        for (int64_t i = 0; i < area; i++)
            channel->variance += square((double)x[offset(s, n, c) + i] - channel->mean) / count;
}

static void normalise(Channel *channel, Size s, int64_t c, const Real *x, const Real *dy, double *y, double *dx,
                      bool training)
{
    const int64_t area = s.height * s.width;
    const double r = 1 / sqrt(channel->variance + EPS), count = (double)(s.samples * area);
    for (int64_t n = 0; n < s.samples; n++)
        for (int64_t i = offset(s, n, c); i < offset(s, n, c) + area; i++) {
            const double normal = ((double)x[i] - channel->mean) * r;
            y[i] = normal * channel->weight + channel->bias;
            channel->weight_grad += (double)dy[i] * normal;
            channel->bias_grad += (double)dy[i];
        }
    for (int64_t n = 0; n < s.samples; n++)
        for (int64_t i = offset(s, n, c); i < offset(s, n, c) + area; i++) {
            const double normal = ((double)x[i] - channel->mean) * r;
            const double shared = (channel->bias_grad + normal * channel->weight_grad) / count;
            dx[i] = channel->weight * r * ((double)dy[i] - (training ? shared : 0));
        }
}

/* x, weight, bias, running mean and variance, and the result's gradient, row-major. */
typedef struct Values {
    Tensor *tensors[6];
    Real *values[6];
} Values;

static bool make(Values *v, Size s, double scale)
{
    v->tensors[0] = lanes_leaf(SHAPE(s.samples, s.channels, s.height, s.width), 1, scale);
    v->tensors[1] = leaf(SHAPE(s.channels), 2, 2);
    v->tensors[2] = leaf(SHAPE(s.channels), 3, 1);
    v->tensors[3] = test_tensor(SHAPE(s.channels), 4, 1);
    v->tensors[4] = op_add_scalar(test_tensor(SHAPE(s.channels), 5, 0.5), 1);
    v->tensors[5] = test_tensor(SHAPE(s.samples, s.channels, s.height, s.width), 6, 1);
    bool made = true;
    for (int i = 0; i < 6; i++) made &= (v->values[i] = test_values(v->tensors[i])) != NULL;
    return made;
}

static void drop(Values *v)
{
    for (int i = 0; i < 6; i++) free(v->values[i]);
}

static Tensor *run(Tensor *const *t, bool training, double dropout)
{
    return op_batch_norm2d(t[0], t[1], t[2], t[3], t[4], .training = training, .dropout = dropout, .key = {.seed = 3});
}

static void check_running(const Values *v, const Channel *channels, Size s)
{
    const double count = (double)(s.samples * s.height * s.width);
    for (int64_t c = 0; c < s.channels; c++) {
        const double mean = channels[c].mean, variance = channels[c].variance * count / (count - 1);
        CHECK_CLOSE(tensor_get(v->tensors[3], AT(c)), 0.9 * (double)v->values[3][c] + 0.1 * mean, TOLERANCE);
        CHECK_CLOSE(tensor_get(v->tensors[4], AT(c)), 0.9 * (double)v->values[4][c] + 0.1 * variance, TOLERANCE);
    }
    CHECK(layout_spare_is_right(v->tensors[3]) && layout_spare_is_right(v->tensors[4]));
}

static void check_size(Size s, bool training)
{
    Values v;
    CHECK(make(&v, s, 3));
    const int64_t count = tensor_count(v.tensors[0]);
    double *y = doubles(count), *dx = doubles(count), *dw = doubles(s.channels), *db = doubles(s.channels);
    Channel *channels = calloc((size_t)s.channels, sizeof *channels);
    for (int64_t c = 0; c < s.channels; c++) {
        if (training) measure(&channels[c], s, c, v.values[0]);
        else channels[c] = (Channel){.mean = (double)v.values[3][c], .variance = (double)v.values[4][c]};
        channels[c].weight = (double)v.values[1][c];
        channels[c].bias = (double)v.values[2][c];
        normalise(&channels[c], s, c, v.values[0], v.values[5], y, dx, training);
        dw[c] = channels[c].weight_grad;
        db[c] = channels[c].bias_grad;
    }
    Tensor *result = run(v.tensors, training, 0);
    check_values(result, y, TOLERANCE);
    CHECK(backward(result, .grad = v.tensors[5]));
    /* Two values a channel normalise to +1 and -1 whatever they are: their gradient is a difference of like numbers. */
    check_values(tensor_grad(v.tensors[0]), dx, s.samples * s.height * s.width == 2 ? 1e-3 : TOLERANCE);
    check_values(tensor_grad(v.tensors[1]), dw, 10 * TOLERANCE);
    check_values(tensor_grad(v.tensors[2]), db, TOLERANCE);
    if (training) check_running(&v, channels, s);
    else check_same_bits(v.tensors[4], op_add_scalar(test_tensor(SHAPE(s.channels), 5, 0.5), 1));
    free(y), free(dx), free(dw), free(db), free(channels);
    drop(&v);
}

TEST(batch_norm_is_its_definition)
{
    for (int i = 0; i < SIZE_COUNT && !test_failed(); i++) {
        check_size(sizes[i], true);
        if (!test_failed()) check_size(sizes[i], false);
    }
}

TEST(batch_norm_without_parameters_is_that_of_one_and_zero)
{
    Tensor *x = leaf(SHAPE(17, 3, 2, 5), 1, 2), *none = TENSOR_NONE;
    Tensor *bare = op_batch_norm2d(x, none, none, none, none, .training = true);
    Tensor *ones = op_batch_norm2d(x, tensor_full(SHAPE(3), 1), tensor_zeros(SHAPE(3)), none, none, .training = true);
    check_same_bits(bare, ones);
}

TEST(batch_norm_far_from_zero)
{
    const Size s = {33, 2, 8, 9};
    Tensor *deviations = tensor_normal(SHAPE(33, 2, 8, 9), 0, 1, (RandomKey){.seed = 1});
    Tensor *x = op_add_scalar(deviations, 1000);
    Tensor *mean = tensor_zeros(SHAPE(2)), *variance = tensor_zeros(SHAPE(2));
    Tensor *y = op_batch_norm2d(x, TENSOR_NONE, TENSOR_NONE, mean, variance, .training = true, .momentum = 1);
    Real *values = test_values(x), *got = test_values(y);
    for (int64_t c = 0; c < s.channels && !test_failed(); c++) {
        Channel channel = {0};
        measure(&channel, s, c, values);
        const double unbiased = channel.variance * (33.0 * 72) / (33.0 * 72 - 1);
        CHECK_CLOSE(tensor_get(mean, AT(c)), channel.mean, 1e-7);
        CHECK_CLOSE(tensor_get(variance, AT(c)), unbiased, 1e-5);
        for (int64_t n = 0; n < s.samples; n++)
            for (int64_t i = offset(s, n, c); i < offset(s, n, c) + 72; i++)
                CHECK_CLOSE((double)got[i], ((double)values[i] - channel.mean) / sqrt(channel.variance + EPS), 1e-3);
    }
    free(values);
    free(got);
}

/* Rounding must not put the variance of equal values below 0, where large ones would then become NaN. */
TEST(batch_norm_of_equal_values)
{
    for (int64_t i = 0; i < 40; i++) {
        const int exponent = (sizeof(Real) == sizeof(float) ? 30 : 60) + (int)i % 8;
        Tensor *x = tensor_full(SHAPE(1, 1, 60, 60), ldexp(1.5 + test_number(1, i) / 2, exponent));
        Tensor *mean = tensor_zeros(SHAPE(1)), *variance = tensor_zeros(SHAPE(1));
        Tensor *y = op_batch_norm2d(x, TENSOR_NONE, TENSOR_NONE, mean, variance, .training = true, .momentum = 1);
        CHECK(tensor_get(variance, AT(0)) >= 0 && isfinite(tensor_get(y, AT(0, 0, 30, 30))));
    }
}

/* Batch norm and dropout in one op, or in two. */
static int with_dropout(Tensor *results[RESULTS_MAX], bool fused)
{
    Tensor *t[] = {leaf(SHAPE(33, 3, 7, 9), 1, 2), leaf(SHAPE(3), 2, 1), leaf(SHAPE(3), 3, 1), tensor_zeros(SHAPE(3)),
                   tensor_full(SHAPE(3), 1)};
    Tensor *y = fused ? run(t, true, 0.3) : op_dropout(run(t, true, 0), 0.3, (RandomKey){.seed = 3});
    results[0] = y;
    if (!backward(y, .grad = test_tensor(SHAPE(33, 3, 7, 9), 4, 1))) return 0;
    for (int i = 0; i < 3; i++) results[1 + i] = tensor_grad(t[i]);
    results[4] = t[3];
    results[5] = t[4];
    return 6;
}

TEST(batch_norm_with_dropout_is_the_two_in_turn)
{
    Tensor *fused[RESULTS_MAX], *composed[RESULTS_MAX];
    CHECK_EQUAL(with_dropout(fused, true), 6);
    CHECK_EQUAL(with_dropout(composed, false), 6);
    for (int i = 0; i < 6 && !test_failed(); i++) {
        check_same_bits(fused[i], composed[i]);
        CHECK(layout_spare_is_right(fused[i]));
    }
}

static int large(Tensor *results[RESULTS_MAX])
{
    Tensor *t[] = {lanes_leaf(SHAPE(33, 5, 40, 41), 1, 2), leaf(SHAPE(5), 2, 1), leaf(SHAPE(5), 3, 1),
                   tensor_zeros(SHAPE(5)), tensor_full(SHAPE(5), 1)};
    results[0] = run(t, true, 0.2);
    if (!backward(results[0], .grad = test_tensor(SHAPE(33, 5, 40, 41), 4, 1))) return 0;
    for (int i = 0; i < 3; i++) results[1 + i] = tensor_grad(t[i]);
    results[4] = t[3];
    results[5] = t[4];
    return 6;
}

TEST(batch_norm_has_the_same_bits_on_all_machines)
{
    check_machines(large);
}

TEST(batch_norm_statistics_are_kept_until_the_values_change)
{
    Tensor *x = op_to_lanes(test_tensor(SHAPE(17, 2, 3, 3), 1, 1)), *none = TENSOR_NONE;
    CHECK(layout_derived(x, &op_batch_statistics) == NULL);
    Tensor *first = op_batch_norm2d(x, none, none, none, none, .training = true);
    const Real *kept = layout_derived(x, &op_batch_statistics);
    CHECK(kept != NULL);
    check_same_bits(first, op_batch_norm2d(x, none, none, none, none, .training = true));
    CHECK(layout_derived(x, &op_batch_statistics) == kept);
    CHECK(tensor_set(x, AT(16, 1, 2, 2), 100));
    CHECK(layout_derived(x, &op_batch_statistics) == NULL);
    Tensor *copy = tensor_zeros(SHAPE(17, 2, 3, 3));
    CHECK(tensor_copy(copy, x));
    check_same_bits(op_batch_norm2d(x, none, none, none, none, .training = true),
                    op_batch_norm2d(copy, none, none, none, none, .training = true));
}

/* Other channels of the same storage have statistics of their own. */
TEST(batch_norm_of_a_convolution_seen_in_another_shape)
{
    Tensor *none = TENSOR_NONE, *weight = test_tensor(SHAPE(8, 2, 3, 3), 2, 1);
    Tensor *y = op_conv2d(test_tensor(SHAPE(17, 2, 4, 6), 1, 1), weight, none, .padding = 1, .statistics = true);
    CHECK(layout_derived(y, &op_batch_statistics) != NULL);
    const Shape shapes[] = {SHAPE(17, 4, 8, 6), SHAPE(17, 32, 2, 3), SHAPE(17, 8, 4, 6), SHAPE(17, 8, 6, 4)};
    for (int i = 0; i < 4 && !test_failed(); i++) {
        Tensor *seen = op_reshape(y, shapes[i]), *copy = tensor_zeros(shapes[i]);
        CHECK(seen && seen->storage == y->storage);
        CHECK(tensor_copy(copy, seen));
        check_same_bits(op_batch_norm2d(seen, none, none, none, none, .training = true),
                        op_batch_norm2d(copy, none, none, none, none, .training = true));
    }
}

TEST(batch_norm_refuses_what_does_not_fit)
{
    Tensor *x = test_tensor(SHAPE(2, 3, 2, 2), 1, 1), *none = TENSOR_NONE;
    Tensor *three = tensor_full(SHAPE(3), 1), *four = tensor_full(SHAPE(4), 1);
    CHECK(!op_batch_norm2d(x, four, three, none, none, .training = true));
    CHECK_ERROR("batch_norm2d: input [2, 3, 2, 2] has 3 channels, weight is [4]");
    CHECK(!op_batch_norm2d(x, three, four, none, none, .training = true));
    CHECK_ERROR("bias is [4]");
    CHECK(!op_batch_norm2d(x, three, three, four, three));
    CHECK_ERROR("running_mean is [4]");
    CHECK(!op_batch_norm2d(x, three, three, three, four));
    CHECK_ERROR("running_var is [4]");
    CHECK(!op_batch_norm2d(x, three, three, three, none));
    CHECK_ERROR("running_mean and running_var go together");
    CHECK(!op_batch_norm2d(x, three, three, none, none));
    CHECK_ERROR("evaluation needs running_mean and running_var");
    CHECK(!op_batch_norm2d(three, three, three, three, three));
    CHECK_ERROR("input [3] is not [N, C, H, W]");
    CHECK(!op_batch_norm2d(x, three, three, three, three, .dropout = 1));
    CHECK_ERROR("batch_norm2d: dropout probability 1 ");
    CHECK(!op_batch_norm2d(x, three, three, three, three, .momentum = 2));
    CHECK_ERROR("momentum 2 is not from 0 to 1");
    CHECK(!op_batch_norm2d(x, three, three, three, three, .eps = -1));
    CHECK_ERROR("eps -1 not above 0");
    CHECK(!op_batch_norm2d(NULL, three, three, three, three));
    CHECK(!op_batch_norm2d(x, three, three, NULL, three));
}

TEST(batch_norm_writes_nothing_when_it_fails)
{
    Tensor *one = test_tensor(SHAPE(1, 3, 1, 1), 1, 1), *two = test_tensor(SHAPE(2, 3, 1, 1), 1, 1);
    Tensor *none = TENSOR_NONE, *mean = tensor_zeros(SHAPE(3)), *variance = tensor_zeros(SHAPE(3));
    const int64_t version = tensor_version(mean);
    CHECK(!op_batch_norm2d(one, none, none, mean, variance, .training = true));
    CHECK_ERROR("batch_norm2d: input [1, 3, 1, 1] has one value a channel, training needs more");
    CHECK(!op_batch_norm2d(two, none, none, mean, variance, .training = true, .dropout = -1));
    CHECK_ERROR("dropout probability -1");
    CHECK_EQUAL(tensor_version(mean), version);
    CHECK(op_batch_norm2d(two, none, none, mean, variance, .training = true));
    CHECK(tensor_version(mean) > version && tensor_version(variance) > version);
}

TEST(batch_norm_survives_short_memory)
{
    check_short_memory(large);
}
