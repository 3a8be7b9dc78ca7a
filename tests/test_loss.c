#include "autograd/ops.h"
#include "tests/compare.h"

static const int64_t samples[] = {1, 15, 16, 17, 33, 100}, classes[] = {1, 2, 10, 17};
enum { SAMPLE_COUNT = 6, CLASS_COUNT = 4 };

static Tensor *labels_of(int64_t count, int64_t class_count)
{
    Real values[128];
    for (int64_t n = 0; n < count; n++) values[n] = (Real)((n * 7 + 3) % class_count);
    return tensor_from(SHAPE(count), values);
}

/* The loss of one sample and its gradient times `factor`. */
static double sample_loss(const Real *scores, int64_t count, int64_t label, double smoothing, double factor,
                          double *grad)
{
    double largest = -INFINITY, sum = 0, loss = 0;
    for (int64_t c = 0; c < count; c++) largest = fmax(largest, (double)scores[c]);
    for (int64_t c = 0; c < count; c++) sum += exp((double)scores[c] - largest);
    for (int64_t c = 0; c < count; c++) {
        const double target = (c == label ? 1 - smoothing : 0) + smoothing / (double)count;
        const double log_p = (double)scores[c] - largest - log(sum);
        loss -= target * log_p;
        grad[c] = (exp(log_p) - target) * factor;
    }
    return loss;
}

static void check_cross_entropy(int64_t n, int64_t count, double smoothing)
{
    Tensor *x = lanes_leaf(SHAPE(n, count), 1, 4);
    Tensor *loss = op_cross_entropy(x, labels_of(n, count), .label_smoothing = smoothing);
    CHECK(backward(op_mul_scalar(loss, -1.5)));
    Real *scores = test_values(x);
    double mean = 0, *grad = doubles(n * count);
    for (int64_t i = 0; i < n; i++)
        mean += sample_loss(scores + i * count, count, (i * 7 + 3) % count, smoothing, -1.5 / (double)n,
                            grad + i * count) / (double)n;
    CHECK_CLOSE(tensor_item(loss), mean, TOLERANCE);
    check_values(tensor_grad(x), grad, 1e-2 * TOLERANCE);
    free(scores), free(grad);
}

TEST(cross_entropy_is_its_definition)
{
    for (int n = 0; n < SAMPLE_COUNT; n++)
        for (int c = 0; c < CLASS_COUNT && !test_failed(); c++) {
            check_cross_entropy(samples[n], classes[c], 0);
            if (!test_failed()) check_cross_entropy(samples[n], classes[c], 0.1);
            if (!test_failed()) check_cross_entropy(samples[n], classes[c], 1);
        }
}

static void check_nll(int64_t n, int64_t count)
{
    Tensor *x = lanes_leaf(SHAPE(n, count), 1, 4), *loss = op_nll_loss(x, labels_of(n, count));
    CHECK(backward(op_mul_scalar(loss, 3)));
    Real *scores = test_values(x);
    double mean = 0, *grad = doubles(n * count);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = i * count + (i * 7 + 3) % count;
        mean -= (double)scores[at] / (double)n;
        grad[at] = -3 / (double)n;
    }
    CHECK_CLOSE(tensor_item(loss), mean, TOLERANCE);
    check_values(tensor_grad(x), grad, 1e-2 * TOLERANCE);
    free(scores), free(grad);
}

TEST(nll_loss_is_its_definition)
{
    for (int n = 0; n < SAMPLE_COUNT; n++)
        for (int c = 0; c < CLASS_COUNT && !test_failed(); c++) check_nll(samples[n], classes[c]);
}

TEST(cross_entropy_is_nll_of_log_softmax)
{
    Tensor *x = leaf(SHAPE(33, 10), 1, 5), *y = leaf(SHAPE(33, 10), 1, 5), *labels = labels_of(33, 10);
    Tensor *fused = op_cross_entropy(x, labels), *composed = op_nll_loss(op_log_softmax(y, 1), labels);
    CHECK_CLOSE(tensor_item(fused), tensor_item(composed), TOLERANCE);
    CHECK(backward(fused) && backward(composed));
    Real *a = test_values(tensor_grad(x)), *b = test_values(tensor_grad(y));
    for (int64_t i = 0; i < 330; i++) CHECK_CLOSE((double)a[i], (double)b[i], 1e-2 * TOLERANCE);
    free(a), free(b);
}

TEST(cross_entropy_of_large_scores_is_finite)
{
    const Real scores[4] = {10000, -10000, -10000, 10000}, labels[2] = {0, 0};
    Tensor *x = tensor_from(SHAPE(2, 2), scores);
    tensor_set_requires_grad(x, true);
    Tensor *loss = op_cross_entropy(x, tensor_from(SHAPE(2), labels));
    CHECK_CLOSE(tensor_item(loss), 10000, 1e-6);
    CHECK(backward(loss));
    const double expected[4] = {0, 0, -0.5, 0.5};
    check_values(tensor_grad(x), expected, 1e-6);
}

/* Whichever of many classes it is that is far ahead. */
TEST(cross_entropy_of_a_certain_class_is_zero)
{
    enum { CLASSES = 20 };
    Tensor *x = tensor_zeros(SHAPE(CLASSES, CLASSES)), *labels = tensor_zeros(SHAPE(CLASSES));
    for (int64_t i = 0; i < CLASSES; i++)
        CHECK(tensor_set(x, AT(i, i), 10000) && tensor_set(labels, AT(i), (double)i));
    CHECK_CLOSE(tensor_item(op_cross_entropy(x, labels)), 0, 0);
    CHECK_CLOSE(tensor_item(op_nll_loss(op_log_softmax(x, 1), labels)), 0, 0);
    CHECK_CLOSE(tensor_item(op_nll_loss(op_softmax(x, 1), labels)), -1, 0);
}

/* A class that is ruled out costs nothing where it is not the label. */
TEST(cross_entropy_of_a_score_of_minus_infinity)
{
    const Real scores[3] = {0, -(Real)INFINITY, 1}, labels[1] = {0};
    Tensor *x = tensor_from(SHAPE(1, 3), scores);
    tensor_set_requires_grad(x, true);
    Tensor *loss = op_cross_entropy(x, tensor_from(SHAPE(1), labels));
    CHECK_CLOSE(tensor_item(loss), log(1 + exp(1)), TOLERANCE);
    CHECK(backward(loss));
    const double share = exp(1) / (1 + exp(1)), expected[3] = {-share, 0, share};
    check_values(tensor_grad(x), expected, TOLERANCE);
}

TEST(losses_let_nan_through)
{
    Tensor *x = test_tensor(SHAPE(17, 3), 1, 1);
    CHECK(tensor_set(x, AT(16, 1), (double)NAN));
    CHECK(isnan(tensor_item(op_cross_entropy(x, labels_of(17, 3)))));
    CHECK(isnan(tensor_item(op_mse_loss(x, tensor_zeros(SHAPE(17, 3))))));
    CHECK(tensor_set(x, AT(16, 1), 0));
    CHECK(tensor_set(x, AT(16, (16 * 7 + 3) % 3), (double)NAN));
    CHECK(isnan(tensor_item(op_nll_loss(x, labels_of(17, 3)))));
}

static void check_mse(Shape shape)
{
    Tensor *x = lanes_leaf(shape, 1, 2), *target = lanes_leaf(shape, 2, 2), *loss = op_mse_loss(x, target);
    CHECK(backward(op_mul_scalar(loss, 0.5)));
    const int64_t count = tensor_count(x);
    Real *a = test_values(x), *b = test_values(target);
    double mean = 0, *da = doubles(count), *db = doubles(count);
    for (int64_t i = 0; i < count; i++) {
        const double d = (double)a[i] - (double)b[i];
        mean += d * d / (double)count;
        da[i] = d / (double)count;
        db[i] = -da[i];
    }
    CHECK_CLOSE(tensor_item(loss), mean, TOLERANCE);
    check_values(tensor_grad(x), da, 1e-2 * TOLERANCE);
    check_values(tensor_grad(target), db, 1e-2 * TOLERANCE);
    free(a), free(b), free(da), free(db);
}

TEST(mse_loss_is_its_definition)
{
    check_mse(SCALAR);
    for (int n = 0; n < SAMPLE_COUNT && !test_failed(); n++) {
        check_mse(SHAPE(samples[n]));
        if (!test_failed()) check_mse(SHAPE(samples[n], 7));
        if (!test_failed()) check_mse(SHAPE(samples[n], 2, 3, 5));
    }
}

static void check_label(double label, const char *message)
{
    Tensor *labels = labels_of(5, 10);
    CHECK(tensor_set(labels, AT(3), label));
    CHECK(!op_nll_loss(test_tensor(SHAPE(5, 10), 1, 1), labels));
    CHECK_ERROR(message);
    CHECK(!op_cross_entropy(test_tensor(SHAPE(5, 10), 1, 1), labels));
    CHECK_ERROR("of sample 3 is not a class from 0 to 9");
}

TEST(labels_that_are_no_class_are_refused)
{
    check_label(10, "nll_loss: label 10 of sample 3 is not a class from 0 to 9");
    check_label(-1, "nll_loss: label -1 of sample 3 is not a class from 0 to 9");
    check_label(2.5, "nll_loss: label 2.5 of sample 3 is not a class from 0 to 9");
    check_label((double)NAN, "nll_loss: label nan of sample 3");
    check_label(INFINITY, "nll_loss: label inf of sample 3");
}

TEST(losses_refuse_what_does_not_fit)
{
    Tensor *x = test_tensor(SHAPE(5, 10), 1, 1);
    CHECK(!op_nll_loss(x, labels_of(4, 10)));
    CHECK_ERROR("nll_loss: scores [5, 10] and labels [4] are not [N, C] and [N]");
    CHECK(!op_cross_entropy(x, labels_of(5, 10), .label_smoothing = 1.5));
    CHECK_ERROR("cross_entropy: label smoothing 1.5 is not from 0 to 1");
    CHECK(!op_cross_entropy(x, labels_of(5, 10), .label_smoothing = -0.1));
    CHECK_ERROR("cross_entropy: label smoothing -0.1");
    CHECK(!op_mse_loss(x, test_tensor(SHAPE(10, 5), 1, 1)));
    CHECK_ERROR("mse_loss: [5, 10] and [10, 5] differ");
    CHECK(!op_nll_loss(x, leaf(SHAPE(5), 1, 0)));
    CHECK_ERROR("nll_loss: labels have no gradient");
    CHECK(!op_nll_loss(NULL, x) && !op_nll_loss(x, NULL) && !op_mse_loss(NULL, x));
}

static int large(Tensor *results[RESULTS_MAX])
{
    Tensor *x = leaf(SHAPE(113, 1000), 1, 3), *labels = labels_of(113, 113);
    results[0] = op_cross_entropy(x, labels, .label_smoothing = 0.1);
    results[1] = op_nll_loss(x, labels);
    results[2] = op_mse_loss(x, test_tensor(SHAPE(113, 1000), 2, 3));
    for (int i = 0; i < 3; i++)
        if (!backward(results[i])) return 0;
    results[3] = tensor_grad(x);
    return 4;
}

TEST(losses_have_the_same_bits_on_all_machines)
{
    check_machines(large);
}

TEST(losses_survive_short_memory)
{
    check_short_memory(large);
}
