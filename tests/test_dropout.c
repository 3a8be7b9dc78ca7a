#include "autograd/ops.h"
#include "tests/compare.h"

static const RandomKey key = {.seed = 0x123456789abcdef0, .stream = 5, .epoch = 2};

/* Whether dropout keeps an element, by its definition (tensor/kernels/dropout.h). */
static bool is_kept(RandomKey k, double p, int64_t elements, int64_t n, int64_t e)
{
    uint32_t block[4];
    random_block(k, (uint64_t)(n * ((elements + 7) / 8) + e / 8), block);
    const uint32_t number = block[e % 8 / 2] >> (e % 2 * 16) & 0xFFFF;
    return number >= rint(p * 65536);
}

static void check_definition(Shape shape, double p)
{
    Tensor *x = lanes_leaf(shape, 1, 1), *y = op_dropout(x, p, key);
    const int64_t count = tensor_count(x), samples = shape.rank ? shape.size[0] : 1, elements = count / samples;
    CHECK(backward(y, .grad = test_tensor(shape, 2, 1)));
    Real *in = test_values(x), *dy = test_values(test_tensor(shape, 2, 1));
    double *expected = doubles(count), *dx = doubles(count);
    const double scale = (double)(Real)(1 / (1 - rint(p * 65536) / 65536));
    for (int64_t i = 0; i < count; i++) {
        const double factor = is_kept(key, p, elements, i / elements, i % elements) ? scale : 0;
        expected[i] = (double)(Real)((double)in[i] * factor);
        dx[i] = (double)(Real)((double)dy[i] * factor);
    }
    check_values(y, expected, TOLERANCE);
    check_values(tensor_grad(x), dx, TOLERANCE);
    free(in), free(dy), free(expected), free(dx);
}

TEST(dropout_is_its_definition)
{
    static const int64_t samples[] = {1, 15, 16, 17, 33}, elements[] = {1, 7, 8, 31, 32, 33, 65};
    for (int n = 0; n < 5; n++)
        for (int e = 0; e < 7 && !test_failed(); e++) check_definition(SHAPE(samples[n], elements[e]), 0.4);
    check_definition(SHAPE(17, 3, 5, 4), 0.03);
    check_definition(SHAPE(17, 3, 5, 4), 0.99);
    /* Here a low half and a high half equal the threshold. */
    check_definition(SHAPE(33, 4001), 0.3);
    check_definition(SHAPE(33, 4001), 0.4);
    check_definition(SHAPE(40), 0.5);
    check_definition(SCALAR, 0.5);
}

TEST(dropout_drops_its_share)
{
    Real *y = test_values(op_dropout(tensor_full(SHAPE(100, 1000), 1), 0.3, key));
    int64_t dropped = 0;
    double sum = 0;
    for (int64_t i = 0; i < 100000; i++) {
        dropped += y[i] == 0;
        sum += (double)y[i];
        CHECK(y[i] == 0 || fabs((double)y[i] - 1 / 0.7) < 1e-4);
    }
    free(y);
    /* The deviation of the count is 145. */
    CHECK_CLOSE((double)dropped / 100000, 0.3, 0.006);
    CHECK_CLOSE(sum / 100000, 1, 0.01);
}

TEST(dropout_of_a_sample_does_not_depend_on_the_rest)
{
    Tensor *many = op_dropout(test_tensor(SHAPE(40, 37), 1, 1), 0.5, key);
    Tensor *few = op_dropout(op_narrow(test_tensor(SHAPE(40, 37), 1, 1), 0, 0, 17), 0.5, key);
    check_same_bits(op_narrow(many, 0, 0, 17), few);
}

TEST(dropout_of_keys_differ)
{
    Tensor *x = tensor_full(SHAPE(16, 64), 1);
    const RandomKey keys[] = {{1, 0, 0}, {1, 1, 0}, {1, 0, 1}, {UINT64_C(1) << 40 | 1, 0, 0}};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i && !test_failed(); k++) {
            Real *a = test_values(op_dropout(x, 0.5, keys[i])), *b = test_values(op_dropout(x, 0.5, keys[k]));
            int64_t same = 0;
            for (int64_t e = 0; e < 1024; e++) same += a[e] == b[e];
            CHECK(same > 400 && same < 624);
            free(a), free(b);
        }
}

TEST(dropout_with_probability_zero_changes_nothing)
{
    Tensor *x = test_tensor(SHAPE(17, 5), 1, 1);
    check_same_bits(op_dropout(x, 0, key), x);
    check_same_bits(op_dropout(x, 1e-6, key), x);
}

/* What is dropped is 0, not a product with it. */
TEST(dropout_drops_what_is_infinite)
{
    Tensor *x = leaf(SHAPE(17, 40), 1, 0), *infinite = tensor_full(SHAPE(17, 40), INFINITY);
    CHECK(tensor_copy(x, infinite));
    Tensor *y = op_dropout(x, 0.5, key);
    CHECK(backward(y, .grad = infinite));
    int64_t dropped = 0;
    for (int64_t i = 0; i < 17 * 40; i++) {
        const double value = tensor_get(y, AT(i / 40, i % 40));
        CHECK(value == 0 || value == (double)INFINITY);
        CHECK_CLOSE(tensor_get(tensor_grad(x), AT(i / 40, i % 40)), value, 0);
        dropped += value == 0;
    }
    CHECK(dropped > 200 && dropped < 480);
}

TEST(dropout_refuses_other_probabilities)
{
    Tensor *x = test_tensor(SHAPE(2, 2), 1, 1);
    CHECK(!op_dropout(x, 1, key));
    CHECK_ERROR("dropout: dropout probability 1 ");
    CHECK(!op_dropout(x, -0.1, key));
    CHECK_ERROR("dropout: dropout probability -0.1");
    CHECK(!op_dropout(x, (double)NAN, key));
    CHECK_ERROR("nan");
    CHECK(!op_dropout(x, 0.999999, key));
    CHECK_ERROR("0.999999");
    CHECK(!op_dropout(NULL, 0.5, key));
}

static int large(Tensor *results[RESULTS_MAX])
{
    Tensor *x = lanes_leaf(SHAPE(33, 4001), 1, 1);
    results[0] = op_dropout(x, 0.25, key);
    if (!backward(results[0], .grad = test_tensor(SHAPE(33, 4001), 2, 1))) return 0;
    results[1] = tensor_grad(x);
    return 2;
}

TEST(dropout_has_the_same_bits_on_all_machines)
{
    check_machines(large);
}

TEST(dropout_survives_short_memory)
{
    check_short_memory(large);
}
