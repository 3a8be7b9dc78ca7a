/* Nothing shows in which layout a tensor is, how many threads ran or which instruction set: every op's values and
 * gradients have the same bits. Rows are in the notation of tests/cases.h. */
#include <stdio.h>

#include "autograd/node.h"
#include "autograd/ops.h"
#include "tensor/kernels/kernels.h"
#include "tensor/memory.h"
#include "tests/cases.h"
#include "tests/test.h"

static const int64_t batches[] = {1, 15, 16, 17, 33};
enum { BATCH_COUNT = sizeof batches / sizeof *batches };

/* What an op gave: its result and the gradients of its inputs, row-major. */
typedef struct Outcome {
    Real *values[CASE_INPUTS + 1];
    int64_t counts[CASE_INPUTS + 1];
} Outcome;

static void outcome_free(Outcome *outcome)
{
    for (int i = 0; i <= CASE_INPUTS; i++) free(outcome->values[i]);
}

static void keep_values(Outcome *outcome, int i, const Tensor *t)
{
    CHECK(t);
    CHECK(layout_spare_is_right(t));
    outcome->values[i] = test_values(t);
    outcome->counts[i] = tensor_count(t);
}

/* Runs a case, the inputs in `lanes` converted to lanes first, and the gradients backwards. */
static void run(Outcome *outcome, const Case *c, unsigned lanes)
{
    *outcome = (Outcome){0};
    Tensor *inputs[CASE_INPUTS], *converted[CASE_INPUTS];
    for (int i = 0; i < c->input_count; i++) {
        inputs[i] = case_input(c, i);
        converted[i] = lanes >> i & 1 ? op_to_lanes(inputs[i]) : inputs[i];
        CHECK(converted[i]);
        tensor_keep_grad(converted[i]);
    }
    Tensor *y = case_run(c, converted);
    keep_values(outcome, 0, y);
    if (!tensor_requires_grad(y)) return;
    CHECK(backward(y, .grad = case_output_grad(tensor_shape(y))));
    for (int i = 0; i < c->input_count; i++) {
        if (!tensor_requires_grad(inputs[i])) continue;
        keep_values(outcome, i + 1, tensor_grad(inputs[i]));
        CHECK(layout_spare_is_right(tensor_grad(converted[i])));
    }
}

static void check_same(const Outcome *a, const Outcome *b)
{
    for (int i = 0; i <= CASE_INPUTS; i++) {
        CHECK_EQUAL(a->counts[i], b->counts[i]);
        if (a->counts[i]) CHECK_EQUAL_BITS(a->values[i], b->values[i], a->counts[i]);
    }
}

static void run_and_compare(const Outcome *expected, const Case *c, unsigned lanes)
{
    Scope scope = scope_open();
    Outcome outcome;
    run(&outcome, c, lanes);
    if (!test_failed()) check_same(expected, &outcome);
    outcome_free(&outcome);
    scope_close(scope);
}

static void check_layouts(const char *text, int64_t n)
{
    Case c;
    CHECK(case_parse(&c, text, n));
    Scope scope = scope_open();
    Outcome plain;
    run(&plain, &c, 0);
    unsigned mask = case_lanes(&c);
    for (unsigned lanes = mask; lanes && !test_failed(); lanes = (lanes - 1) & mask) run_and_compare(&plain, &c, lanes);
    outcome_free(&plain);
    scope_close(scope);
}

/* The same with other numbers of threads, and by each instruction set but the last, the baseline, which has no fused
 * multiply-add. */
static void check_machines(const char *text, int64_t n)
{
    static const int threads[] = {2, 3, 5};
    Case c;
    CHECK(case_parse(&c, text, n));
    Scope scope = scope_open();
    Outcome expected;
    CHECK(weft_set_threads(1));
    run(&expected, &c, case_lanes(&c));
    for (int i = 0; i < 3 && !test_failed(); i++) {
        CHECK(weft_set_threads(threads[i]));
        run_and_compare(&expected, &c, case_lanes(&c));
    }
    for (const Kernels *const *table = test_kernels(); *table && !test_failed(); table++) {
        weft_kernels_use(*table);
        run_and_compare(&expected, &c, case_lanes(&c));
    }
    weft_kernels_use(NULL);
    outcome_free(&expected);
    scope_close(scope);
}

/* What is computed of a gradient, whose spare lanes are zero, is a value, whose spare lanes repeat the last sample. */
TEST(ops_of_a_gradient_make_values)
{
    Tensor *x = op_to_lanes(test_tensor(SHAPE(5, 2, 3, 3), 1, 1)), *none = TENSOR_NONE, *one = tensor_full(SHAPE(2), 1);
    tensor_set_requires_grad(x, true);
    CHECK(backward(op_sum(op_square(x))));
    Tensor *grad = tensor_grad(x);
    Tensor *results[] = {op_conv2d(grad, test_tensor(SHAPE(4, 2, 3, 3), 2, 1), tensor_full(SHAPE(4), 1)),
                         op_batch_norm2d(grad, one, one, none, none, .training = true),
                         op_linear(op_flatten(grad), test_tensor(SHAPE(3, 18), 2, 1), tensor_full(SHAPE(3), 1)),
                         op_argmax(grad, 1)};
    for (int i = 0; i < 4; i++) CHECK(results[i] && layout_spare_is_right(results[i]));
}

static const char *const small[] = {
    "add : Nx3x4x2 Nx3x4x2",
    "add : Nx3x4x2 3x1x2",
    "add : 1x3x4x2 Nx1x1x2",
    "add : Nx1x4 1x3x1",
    "add : N Nx1",
    "sub : 4x1 Nx3x4x2",
    "sub : scalar Nx3",
    "sub : 1x5 1x5",
    "mul : Nx3x4x2 3x1x1",
    "mul : 1x3x1x2 Nx3x4x2",
    "mul : 16x3 1x3",
    "mul : 2x1x2x1x2x1 1x2x1x2x1x2",
    "mul : Nx1 NxN",
    "div : Nx3x4x2 Nx3x4x2*0.5+2",
    "div : 3x1 Nx3x4*0.5+1",
    "div : 1x4x1 N*0.25+1",
    "add_scalar s=1.5 : Nx3x2",
    "sub_scalar s=1.5 : Nx3x2",
    "mul_scalar s=-2.5 : Nx3x2",
    "div_scalar s=-3 : Nx3x2",
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
    "exp : N",
    "tanh : scalar",
    "sum : Nx3x4x2",
    "sum dims=0 : Nx3x4x2",
    "sum dims=0,2,3 keep=1 : Nx3x4x2",
    "sum dims=1,3 : Nx3x4x2",
    "sum dims=2 keep=1 : Nx3x4x2",
    "sum dims=1 : Nx3",
    "sum : N",
    "sum : scalar",
    "mean : Nx3x7",
    "mean dims=0 keep=1 : Nx3x4x2",
    "mean dims=0,2 : Nx3x4x2",
    "mean dims=1,2,3 : Nx3x4x2",
    "reshape to=Nx4x6 : Nx3x4x2",
    "reshape to=24xN : Nx3x4x2",
    "reshape to=-1 : Nx3x4",
    "reshape to=N : Nx1x1",
    "reshape to=NxNx3 : NxNx3x1",
    "reshape to=Nx1 : N",
    "flatten : Nx3x4x2",
    "transpose a=1 b=3 : Nx3x4x2",
    "transpose a=0 b=2 : Nx3x4x2",
    "transpose a=1 b=1 : Nx3",
    "concat dim=1 : Nx3x2 Nx1x2 Nx4x2",
    "concat dim=0 : Nx3x2 4x3x2 Nx3x2",
    "concat dim=-1 : Nx3x2 Nx3x5",
    "concat dim=0 : N 3 N",
    "narrow dim=1 start=1 length=2 : Nx4x3",
    "narrow dim=0 start=0 length=1 : Nx4x3",
    "narrow dim=0 start=3 length=19 : 23x4",
    "narrow dim=-1 start=2 length=1 : Nx4x3",
    "narrow dim=0 start=2 length=17 : 20",
    "softmax dim=1 : Nx5*2",
    "softmax dim=0 : Nx5*2",
    "softmax dim=0 : N",
    "softmax dim=2 : Nx3x4x2",
    "log_softmax dim=1 : Nx5*2",
    "log_softmax dim=0 : Nx3x2",
    "log_softmax dim=-1 : Nx3x4x2",
    "argmax dim=0 : Nx3x4",
    "argmax dim=1 : Nx3x4",
    "argmax dim=2 : Nx3x4",
    "argmax dim=0 : N",
    "matmul : Nx3 3x4",
    "matmul : 3xN NxN",
    "linear relu=1 : Nx5 9x5 9",
    "linear : Nx9 4x9 none",
    "max_pool2d kernel=2 : Nx2x6x4",
    "max_pool2d kernel=3 stride=2 padding=1 : Nx2x6x5",
    "avg_pool2d kernel=3 : Nx2x3x3",
    "avg_pool2d kernel=2 stride=1 : Nx2x4x5",
    "global_avg_pool2d : Nx3x4x5",
    "batch_norm2d training=1 dropout=0.25 : Nx3x2x4 3*0.5+1 3 ~3 ~3*0.5+1",
    "batch_norm2d : Nx3x2x4 3*0.5+1 3 ~3 ~3*0.5+1",
    "dropout p=0.3 : Nx3x4x2",
    "nll_loss : Nx10 labels:N/10",
    "cross_entropy label_smoothing=0.2 : Nx10*2 labels:N/10",
    "mse_loss : Nx3x4 Nx3x4",
};

/* Large enough for five threads; the plain ones divide unevenly. */
static const char *const large[] = {
    "add : 33x50x50 50x50",
    "mul : 33x50x51 33x1x51",
    "div : 33x50x50 33x50x50*0.5+2",
    "exp : 33x50x50",
    "log : 33x50x50+1.25",
    "tanh : 33x50x50*3",
    "sigmoid : 33x50x50*4",
    "sqrt : 33x50x50+1.25",
    "square : 7x111x112",
    "sum dims=0 : 33x50x50",
    "sum dims=0,2 : 33x50x50",
    "mean dims=1 : 33x50x50",
    "sum : 33x50x50",
    "transpose a=0 b=2 : 33x50x51",
    "transpose a=1 b=2 : 33x50x51",
    "concat dim=1 : 33x50x50 33x7x50",
    "narrow dim=2 start=3 length=41 : 33x50x50",
    "softmax dim=1 : 33x50x50*2",
    "log_softmax dim=2 : 33x50x50*2",
    "log_softmax dim=0 : 133x50",
    "argmax dim=1 : 33x50x50",
    "matmul : 133x300 300x70",
    "linear relu=1 : 133x150 70x150 70",
    "max_pool2d kernel=2 : 33x17x12x12",
    "max_pool2d kernel=3 stride=2 padding=1 : 33x17x12x12",
    "avg_pool2d kernel=3 : 33x17x12x12",
    "avg_pool2d kernel=2 stride=1 : 33x17x12x12",
    "global_avg_pool2d : 33x17x12x12",
    "batch_norm2d training=1 dropout=0.25 : 33x17x12x12 17*0.5+1 17 ~17 ~17*0.5+1",
    "batch_norm2d : 33x17x12x12 17*0.5+1 17 ~17 ~17*0.5+1",
    "dropout p=0.3 : 33x23x12x12",
    "nll_loss : 333x300 labels:333/300",
    "cross_entropy label_smoothing=0.2 : 333x300*2 labels:333/300",
    "mse_loss : 333x300 333x300",
};

static void run_row(void)
{
    const char *text = test_name();
    for (int b = 0; b < (case_has_batch(text) ? BATCH_COUNT : 1) && !test_failed(); b++) {
        check_layouts(text, batches[b]);
        if (!test_failed()) check_machines(text, batches[b]);
    }
}

TEST_ROWS(small, run_row)
TEST_ROWS(large, run_row)

/* ---- Gradients that nobody wants ---- */

/* The gradient of one input alone is what it is among those of the others, which get none. */
static void check_alone(const Case *c, int wanted, const Tensor *expected, const Tensor *grad)
{
    Tensor *inputs[CASE_INPUTS];
    for (int i = 0; i < c->input_count; i++) {
        inputs[i] = case_input(c, i);
        if (i != wanted && inputs[i] != TENSOR_NONE) tensor_set_requires_grad(inputs[i], false);
    }
    CHECK(backward(case_run(c, inputs), .grad = grad));
    for (int i = 0; i < c->input_count; i++) CHECK(!tensor_grad(inputs[i]) == (i != wanted));
    Real *a = test_values(expected), *b = test_values(tensor_grad(inputs[wanted]));
    CHECK_EQUAL_BITS(a, b, tensor_count(expected));
    free(a);
    free(b);
}

TEST(ops_compute_only_the_gradients_that_are_wanted)
{
    for (size_t r = 0; r < sizeof small / sizeof *small; r++) {
        Case c;
        CHECK(case_parse(&c, small[r], 17));
        Tensor *inputs[CASE_INPUTS];
        for (int i = 0; i < c.input_count; i++) inputs[i] = case_input(&c, i);
        Tensor *y = case_run(&c, inputs), *grad = case_output_grad(tensor_shape(y));
        if (!tensor_requires_grad(y)) continue;
        CHECK(backward(y, .grad = grad));
        for (int i = 0; i < c.input_count && !test_failed(); i++) {
            if (tensor_grad(inputs[i])) check_alone(&c, i, tensor_grad(inputs[i]), grad);
        }
    }
}

/* ---- Short memory ---- */

/* Forward and backward with allocation k failing: it is done, or there is an error and no gradient. */
static bool done_without(const Case *c, Tensor *const *inputs, Tensor *grad, int64_t k)
{
    Scope scope = scope_open();
    weft_alloc_fail_at(k);
    Tensor *y = case_run(c, inputs);
    const bool done = y && (!tensor_requires_grad(y) || backward(y, .grad = grad));
    weft_alloc_fail_at(0);
    scope_close(scope);
    if (!done) test_error("memory", __FILE__, __LINE__);
    for (int i = 0; i < c->input_count; i++) {
        test_check(done || inputs[i] == TENSOR_NONE || !tensor_grad(inputs[i]), __FILE__, __LINE__, "no gradient");
        if (inputs[i] != TENSOR_NONE) tensor_clear_grad(inputs[i]);
    }
    return done;
}

TEST(ops_survive_short_memory)
{
    int64_t failures = 0;
    for (size_t r = 0; r < sizeof small / sizeof *small && !test_failed(); r++) {
        Case c;
        CHECK(case_parse(&c, small[r], 5));
        Scope scope = scope_open();
        Tensor *inputs[CASE_INPUTS];
        for (int i = 0; i < c.input_count; i++) inputs[i] = case_input(&c, i);
        Tensor *grad = case_output_grad(tensor_shape(case_run(&c, inputs)));
        for (int64_t k = 1; !done_without(&c, inputs, grad, k) && !test_failed(); k++) failures++;
        scope_close(scope);
    }
    CHECK(failures > 1000);
}
