/* Every op's gradient against central differences, for plain inputs, inputs in lanes and mixes of them. */
#include "autograd/gradcheck.h"

#include <stdio.h>

#include "autograd/node.h"
#include "autograd/ops.h"
#include "tests/cases.h"
#include "tests/test.h"

/* A row is a case in the notation of tests/cases.h; where it has an N, it is checked for each of these batches. */
static const int64_t batches[] = {1, 2, 5, 16, 17};
static const char *const rows[] = {
    /* The four mixes of broadcasting: none, over the batch, within a sample, in both; either way round. */
    "add : Nx3x4x2 Nx3x4x2",
    "add : Nx3x4x2 3x1x2",
    "add : 1x3x4x2 Nx1x1x2",
    "add : N N",
    "add : Nx3 scalar",
    "add : scalar scalar",
    "sub : Nx3x4x2 Nx3x4x2",
    "sub : 4x1 Nx3x4x2",
    "sub : Nx1x2 1x5x1",
    "sub : 1 N",
    "mul : Nx3x4x2 Nx3x4x2",
    "mul : Nx3x4x2 3x1x1",
    "mul : 1x3x1x2 Nx3x4x2",
    "mul : Nx1x4 1x3x1",
    "mul : N 3x1",
    "mul : 1x4 Nx1",
    "mul : 2 3x1x1x1x1x2",
    "mul : 2x1x2x1x2x1 1x2x1x2x1x2",
    "div : Nx3x4x2 Nx3x4x2*0.5+2",
    "div : Nx3x4x2 4x2*0.5-2",
    "div : 3x1 Nx3x4*0.5+1",
    "div : scalar Nx3*0.25+1",

    "add_scalar s=1.5 : Nx3x2",
    "sub_scalar s=1.5 : Nx3x2",
    "mul_scalar s=-2.5 : Nx3x2",
    "div_scalar s=-4 : Nx3x2",

    "neg : Nx3x2",
    "exp : Nx3x2*4",
    "log : Nx3x2+1.25",
    "sqrt : Nx3x2+1.25",
    "square : Nx3x2",
    "abs : Nx3x2",
    "tanh : Nx3x2*3",
    "sigmoid : Nx3x2*4",
    "relu : Nx3x2",
    "leaky_relu slope=0.1 : Nx3x2",
    "leaky_relu slope=-0.5 : Nx3x2",
    "exp : N",
    "tanh : scalar",

    "sum : Nx3x4x2",
    "sum dims=0 : Nx3x4x2",
    "sum dims=0,2,3 keep=1 : Nx3x4x2",
    "sum dims=1,3 : Nx3x4x2",
    "sum dims=3 keep=1 : Nx3x4x2",
    "sum dims=0 : N",
    "sum : scalar",
    "mean : Nx3x4x2",
    "mean dims=0 keep=1 : Nx3x4x2",
    "mean dims=0,2 : Nx3x4x2",
    "mean dims=1,2,3 : Nx3x4x2",
    "mean dims=0 : N",

    "reshape to=Nx4x6 : Nx3x4x2",
    "reshape to=Nx24x1 : Nx3x4x2",
    "reshape to=24xN : Nx3x4x2",
    "reshape to=-1 : Nx3x4",
    "reshape to=Nx-1 : N",
    "flatten : Nx3x4x2",
    "flatten : Nx3",
    "transpose a=1 b=3 : Nx3x4x2",
    "transpose a=0 b=1 : Nx3x4",
    "transpose a=0 b=1 : Nx5",
    "transpose a=0 b=2 : Nx3x4x2",
    "transpose a=-1 b=-2 : Nx3x4",
    "concat dim=1 : Nx3x2 Nx1x2 Nx4x2",
    "concat dim=0 : Nx3x2 4x3x2 Nx3x2",
    "concat dim=-1 : Nx3x2 Nx3x5",
    "concat dim=0 : N 3 N",
    "narrow dim=1 start=1 length=2 : Nx4x3",
    "narrow dim=0 start=0 length=1 : Nx4x3",
    "narrow dim=0 start=3 length=19 : 23x4",
    "narrow dim=-1 start=2 length=1 : Nx4x3",
    "narrow dim=0 start=2 length=17 : 20",

    "matmul : Nx3 3x4",
    "matmul : 3xN Nx4",
    "matmul : 3x4 4xN",
    "matmul : 1xN Nx1",
    "matmul : 19x18 18x17",
    "linear : Nx5 4x5 4",
    "linear : Nx5 4x5 none",
    "linear relu=1 : Nx5 4x5 4",
    "linear : Nx1 1x1 1",
    "linear : Nx33 17x33 17",

    "conv2d : Nx3x6x7 4x3x3x3 4",
    "conv2d : Nx3x6x7 4x3x3x3 none",
    "conv2d relu=1 : Nx3x6x7 4x3x3x3 4",
    "conv2d : Nx1x5x4 3x1x3x3 3",
    "conv2d : Nx3x4x4 5x3x1x1 5",
    "conv2d padding=1 : Nx2x4x5 3x2x3x3 3",
    "conv2d stride=2 : Nx2x7x6 3x2x3x3 3",
    "conv2d stride=2 padding=1 relu=1 : Nx2x7x6 3x2x3x3 3",
    "conv2d dilation=2 : Nx2x7x6 3x2x3x3 3",
    "conv2d dilation=2 padding=2 stride=3 : Nx2x7x6 3x2x3x3 3",
    "conv2d groups=2 : Nx4x5x5 6x2x3x3 6",
    "conv2d groups=4 padding=1 relu=1 : Nx4x5x5 4x1x3x3 4",
    "conv2d groups=2 stride=2 dilation=2 padding=2 : Nx4x6x7 2x2x2x3 2",
    "conv2d : Nx2x5x6 3x2x2x3 3",
    "conv2d padding=2 : Nx2x3x3 2x2x5x5 2",
    "conv2d : Nx2x3x3 3x2x3x3 3",
    "conv2d statistics=1 : Nx3x6x7 4x3x3x3 4",
    /* Winograd's: tiles of each size, whole and clipped. */
    "conv2d : 17x32x6x6 32x32x3x3 32",
    "conv2d relu=1 : 2x32x6x7 32x32x3x3 32",
    "conv2d padding=1 : 3x32x5x7 36x32x3x3 36",
    "conv2d padding=1 relu=1 : 17x36x3x4 32x36x3x3 none",
    "conv2d padding=2 : 17x32x2x5 32x32x3x3 none",
    "conv2d padding=2 relu=1 : 2x32x3x5 32x32x3x3 32",
    "conv2d max_pool=2 : 17x32x6x6 32x32x3x3 32",
    "conv2d max_pool=2 padding=1 relu=1 : 2x36x5x7 32x36x3x3 none",
    "conv2d relu=1 : 17x32x8x8 32x32x3x3 32",
    "conv2d max_pool=2 relu=1 : 17x32x8x9 36x32x3x3 36",
    "conv2d padding=1 : 2x36x10x9 32x36x3x3 none",
    "conv2d max_pool=3 relu=1 : Nx2x8x7 3x2x3x3 3",

    "max_pool2d kernel=2 : Nx2x6x4",
    "max_pool2d kernel=3 stride=2 padding=1 : Nx2x6x5",
    "max_pool2d kernel=2 stride=1 : Nx2x4x5",
    "max_pool2d kernel=2 : Nx2x5x7",
    "max_pool2d kernel=2 stride=3 : Nx1x6x7",
    "avg_pool2d kernel=2 : Nx2x6x4",
    "avg_pool2d kernel=3 stride=2 padding=1 : Nx2x6x5",
    "avg_pool2d kernel=3 : Nx2x3x3",
    "avg_pool2d kernel=2 stride=1 : Nx2x4x5",
    "avg_pool2d kernel=2 stride=3 : Nx1x6x7",
    "global_avg_pool2d : Nx3x4x5",

    "batch_norm2d training=1 : Nx3x2x4 3*0.5+1 3 none none",
    "batch_norm2d training=1 : Nx3x2x4*0.5+3 3 3 ~3 ~3*0.5+1",
    "batch_norm2d training=1 eps=0.1 : Nx3x2x4 none none ~3 ~3*0.5+1",
    "batch_norm2d training=1 dropout=0.25 : Nx3x2x4 3*0.5+1 3 ~3 ~3*0.5+1",
    "batch_norm2d : Nx3x2x4 3*0.5+1 3 ~3 ~3*0.5+1",
    "batch_norm2d : Nx3x2x4 none none ~3 ~3*0.5+1",
    "batch_norm2d dropout=0.25 : Nx3x2x4 3*0.5+1 3 ~3 ~3*0.5+1",
    "batch_norm2d training=1 : 16x3x1x1 3 3 none none",
    "batch_norm2d training=1 : 17x2x1x1 2 2 none none",
    "dropout p=0.3 : Nx3x4x2",
    "dropout p=0.75 seed=2 : Nx5",
    "dropout p=0 : Nx5",
    "dropout p=0.5 : 40",

    "softmax dim=1 : Nx5*2",
    "softmax dim=0 : 17x5+0.5",
    "softmax dim=-1 : Nx3x4",
    "softmax dim=1 : Nx3x4x2",
    "log_softmax dim=1 : Nx5*2",
    "log_softmax dim=0 : 5x5",
    "log_softmax dim=2 : Nx3x4x2",
    "nll_loss : Nx10 labels:N/10",
    "nll_loss : 33x3 labels:33/3",
    "cross_entropy : Nx10*2 labels:N/10",
    "cross_entropy label_smoothing=0.2 : Nx10*2 labels:N/10",
    "cross_entropy label_smoothing=1 : Nx4 labels:N/4",
    "mse_loss : Nx3x4 Nx3x4",
    "mse_loss : Nx3x4 ~Nx3x4",
    "mse_loss : N N",
};
enum { ROW_COUNT = sizeof rows / sizeof *rows, BATCH_COUNT = sizeof batches / sizeof *batches,
       CHECKED_ELEMENTS = 100, IS_DOUBLE = sizeof(Real) == sizeof(double) };
/* Differences of floats only tell a wrong gradient from a right one. */
static const double tolerance = IS_DOUBLE ? 1e-6 : 0.1;

/* One row with one batch: inputs whose bit is set in `lanes` are converted to lanes first. */
typedef struct Check {
    Case row;
    unsigned lanes;
} Check;

static Tensor *run_check(Tensor *const *inputs, void *context)
{
    const Check *check = context;
    Tensor *converted[CASE_INPUTS];
    for (int i = 0; i < check->row.input_count; i++) {
        bool convert = check->lanes >> i & 1;
        converted[i] = convert ? op_to_lanes(inputs[i]) : inputs[i];
    }
    return case_run(&check->row, converted);
}

/* Every subset of the inputs in lanes. Keeps the worst error. */
static bool check_layouts(const char *text, int64_t n, double *worst)
{
    Check check;
    double error;
    if (!case_parse(&check.row, text, n)) return weft_fail("the row is malformed");
    Tensor *inputs[CASE_INPUTS];
    for (int i = 0; i < check.row.input_count; i++) inputs[i] = case_input(&check.row, i);
    unsigned mask = case_lanes(&check.row);
    check.lanes = mask;
    do {
        if (!gradcheck(run_check, &check, inputs, check.row.input_count, .elements = CHECKED_ELEMENTS,
                       .tolerance = tolerance, .worst = &error))
            return false;
        *worst = fmax(*worst, error);
        check.lanes = (check.lanes - 1) & mask;
    } while (check.lanes != mask);
    return true;
}

static void run_row(void)
{
    const char *text = test_name();
    double worst = 0;
    CHECK(weft_set_threads(1)); /* thousands of small forward passes: threads would only wait for each other */
    for (int b = 0; b < (case_has_batch(text) ? BATCH_COUNT : 1); b++) {
        Scope scope = scope_open();
        CHECK(check_layouts(text, batches[b], &worst));
        scope_close(scope);
    }
    test_note("worst error %.2g", worst);
}

TEST_ROWS(rows, run_row)

/* ---- No op without a row ---- */

static bool has_row(const char *op, size_t length)
{
    for (int r = 0; r < ROW_COUNT; r++)
        if (strncmp(rows[r], op, length) == 0 && rows[r][length] == ' ') return true;
    return false;
}

/* Every function op_NAME or op_NAME_with that autograd/ops.h declares before its section "Without gradient". */
TEST(every_op_has_a_gradcheck_row)
{
    FILE *header = fopen("autograd/ops.h", "r");
    CHECK(header);
    char line[256];
    int found = 0;
    while (fgets(line, sizeof line, header) && !strstr(line, "Without gradient")) {
        if (strncmp(line, "Tensor *op_", strlen("Tensor *op_")) != 0) continue;
        char *name = line + strlen("Tensor *op_");
        size_t length = strcspn(name, "(");
        if (length > strlen("_with") && strncmp(name + length - strlen("_with"), "_with", strlen("_with")) == 0)
            length -= strlen("_with");
        name[length] = '\0';
        if (!has_row(name, length)) weft_fail("op_%s has no row in this file", name);
        found++;
    }
    fclose(header);
    CHECK(!weft_error());
    CHECK(found > 30);
}

/* ---- The check itself ---- */

static bool wrong_backward(const Node *node, Tensor *grad)
{
    return node_add_grad(node, 0, op_mul_scalar(grad, *(const double *)node_attributes(node)));
}

/* x to 2 x, with a gradient that is `slope` instead of 2. */
static Tensor *op_wrong(Tensor *const *inputs, void *slope)
{
    static const Op op = {.name = "wrong", .backward = wrong_backward};
    bool was = autograd_record(false);
    Tensor *result = op_mul_scalar(inputs[0], 2);
    autograd_record(was);
    return op_record(&op, result, inputs, 1, slope, sizeof(double));
}

TEST(gradcheck_tells_right_from_wrong)
{
    Tensor *x = test_tensor(SHAPE(3, 2), 1, 1);
    tensor_set_requires_grad(x, true);
    double slope = 2, worst = -1;
    CHECK(gradcheck(op_wrong, &slope, &x, 1, .worst = &worst));
    CHECK(worst >= 0 && worst < 1e-2);
    slope = 2.1;
    CHECK(!gradcheck(op_wrong, &slope, &x, 1));
    CHECK_ERROR("input 0, element");
    slope = 0;
    CHECK(!gradcheck(op_wrong, &slope, &x, 1));
    CHECK_ERROR("all zero");
    CHECK(!gradcheck(op_wrong, &slope, &x, 1, .expect_zero = true));
    CHECK_ERROR("input 0");
    slope = (double)NAN;
    CHECK(!gradcheck(op_wrong, &slope, &x, 1));
    CHECK_ERROR("input 0, element");
}

/* The first input and a wrong op of the second. */
static Tensor *second_is_wrong(Tensor *const *inputs, void *slope)
{
    return op_add(inputs[0], op_wrong(inputs + 1, slope));
}

/* Wrong at element 4 of 6. */
static Tensor *one_is_wrong(Tensor *const *inputs, void *slope)
{
    Tensor *x = inputs[0], *wrong = op_narrow(x, 0, 4, 1);
    return op_concat((Tensor *[]){op_narrow(x, 0, 0, 4), op_wrong(&wrong, slope), op_narrow(x, 0, 5, 1)}, 3, 0);
}

/* A NaN among right values, which come before and after it. */
TEST(gradcheck_overlooks_no_nan)
{
    double slope = (double)NAN, worst = 0;
    Tensor *x = test_tensor(SHAPE(6), 1, 1);
    tensor_set_requires_grad(x, true);
    CHECK(!gradcheck(one_is_wrong, &slope, &x, 1, .worst = &worst));
    CHECK_ERROR("input 0, element 4: backward gives nan");
    CHECK(isnan(worst));
}

TEST(gradcheck_looks_at_every_input_and_element)
{
    Tensor *x = test_tensor(SHAPE(6), 1, 1), *both[] = {x, test_tensor(SHAPE(6), 2, 1)};
    for (int i = 0; i < 2; i++) tensor_set_requires_grad(both[i], true);
    double slope = 3, worst = 1e9, analytic = 0, numeric = 0;
    CHECK(!gradcheck(second_is_wrong, &slope, both, 2));
    CHECK_ERROR("input 1, element");
    CHECK(!gradcheck(one_is_wrong, &slope, both, 1, .worst = &worst));
    CHECK(worst > 0.1 && worst < 1);
    const char *says = strstr(weft_error(), "input 0, element 4: backward gives ");
    CHECK(says);
    CHECK_EQUAL(sscanf(says, "input 0, element 4: backward gives %lf, differences give %lf", &analytic, &numeric), 2);
    CHECK_CLOSE(analytic / numeric, 1.5, 1e-2);
    weft_error_clear();
    /* Two elements, drawn by the seed: now and then that is one of them. */
    int found = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        if (gradcheck(one_is_wrong, &slope, both, 1, .elements = 2, .seed = seed)) continue;
        CHECK_ERROR("input 0, element 4: ");
        found++;
    }
    CHECK(found > 0 && found < 20);
}

TEST(gradcheck_is_as_strict_as_it_is_told)
{
    Tensor *x = test_tensor(SHAPE(6), 1, 1);
    tensor_set_requires_grad(x, true);
    double slope = IS_DOUBLE ? 2 + 1e-6 : 2 + 1e-2;
    CHECK(gradcheck(op_wrong, &slope, &x, 1));
    CHECK(!gradcheck(op_wrong, &slope, &x, 1, .tolerance = IS_DOUBLE ? 1e-7 : 1e-3));
    CHECK_ERROR("input 0, element");
}

static Tensor *squared(Tensor *const *inputs, void *context)
{
    (void)context;
    return op_square(inputs[0]);
}

/* Steps are relative to large values: one of a fixed length would drown in their rounding. */
TEST(gradcheck_of_large_values)
{
    Tensor *x = test_tensor_near(SHAPE(6), 1, 1e6, 2e6);
    tensor_set_requires_grad(x, true);
    CHECK(gradcheck(squared, NULL, &x, 1));
}

TEST(gradcheck_needs_something_to_check)
{
    Tensor *x = test_tensor(SHAPE(6), 1, 1);
    double slope = 2;
    CHECK(!gradcheck(op_wrong, &slope, &x, 1));
    CHECK_ERROR("gradcheck: no input requires a gradient");
    tensor_set_requires_grad(x, true);
    CHECK(!gradcheck(NULL, &slope, &x, 1));
    CHECK_ERROR("gradcheck: needs a function and 1 to 64 inputs");
    CHECK(!gradcheck(op_wrong, &slope, &x, OP_MAX_INPUTS + 1));
    CHECK_ERROR("gradcheck: needs a function and 1 to 64 inputs");
}

static Tensor *op_constant(Tensor *const *inputs, void *context)
{
    (void)context;
    return op_mul_scalar(inputs[0], 0);
}

TEST(gradcheck_accepts_zero_where_expected)
{
    Tensor *x = test_tensor(SHAPE(3, 2), 1, 1);
    tensor_set_requires_grad(x, true);
    CHECK(!gradcheck(op_constant, NULL, &x, 1));
    CHECK_ERROR("zero");
    CHECK(gradcheck(op_constant, NULL, &x, 1, .expect_zero = true));
}

static Tensor *product(Tensor *const *inputs, void *context)
{
    (void)context;
    return op_mul(inputs[0], inputs[1]);
}

TEST(gradcheck_puts_the_gradient_of_a_tensor_back_that_is_both_inputs)
{
    Tensor *x = test_tensor(SHAPE(3, 2), 1, 1);
    CHECK(tensor_set_requires_grad(x, true) && backward(op_sum(x)));
    CHECK(gradcheck(product, NULL, ((Tensor *[]){x, x}), 2));
    CHECK(tensor_grad(x));
    CHECK_CLOSE(tensor_get(tensor_grad(x), AT(2, 1)), 1, 0);
}

static Tensor *sum_of_relus(Tensor *const *inputs, void *context)
{
    (void)context;
    return op_add(op_relu(inputs[0]), op_relu(inputs[1]));
}

TEST(gradcheck_counts_kinks_and_puts_values_back)
{
    if (!IS_DOUBLE) SKIP("float cannot tell a kink from rounding");
    Real values[] = {-1, 0, 1, (Real)1e-9, 2, -2};
    Tensor *x[] = {tensor_from(SHAPE(6), values), tensor_from(SHAPE(6), values)};
    for (int i = 0; i < 2; i++) tensor_set_requires_grad(x[i], true);
    int64_t kinks = 0;
    CHECK(gradcheck(sum_of_relus, NULL, x, 2, .kinks = &kinks));
    CHECK(kinks >= 4); /* two in each */
    for (int i = 0; i < 2; i++) {
        Real *after = test_values(x[i]);
        CHECK_EQUAL_BITS(values, after, 6);
        CHECK(!tensor_grad(x[i]));
        free(after);
    }
}
