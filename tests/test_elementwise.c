/* Elementwise ops: values against libm and double loops, special values, broadcasting, errors. */
#include <float.h>

#include "autograd/node.h"
#include "autograd/ops.h"
#include "tests/cases.h"
#include "tests/test.h"

static const double precise = sizeof(Real) == sizeof(float) ? FLT_EPSILON : DBL_EPSILON;

/* ---- Values ---- */

static double plus(double x)
{
    return x + 1.5;
}

static double minus(double x)
{
    return x - 1.5;
}

static double times(double x)
{
    return x * -2.5;
}

static double over(double x)
{
    return x / -3;
}

static double negative(double x)
{
    return -x;
}

static double square(double x)
{
    return x * x;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double relu(double x)
{
    return x > 0 ? x : 0;
}

static double leaky_relu(double x)
{
    return x > 0 ? x : (Real)0.1 * x;
}

TEST(elementwise_values)
{
    static const struct {
        const char *text;
        double (*f)(double);
    } rows[] = {
        {"add_scalar s=1.5 : 17x3", plus}, {"sub_scalar s=1.5 : 17x3", minus},
        {"mul_scalar s=-2.5 : 17x3", times}, {"div_scalar s=-3 : 17x3", over},
        {"neg : 17x3", negative}, {"exp : 17x3*5", exp},
        {"log : 17x3+1.1", log}, {"sqrt : 17x3+1.1", sqrt},
        {"square : 17x3", square}, {"abs : 17x3", fabs},
        {"tanh : 17x3*3", tanh}, {"sigmoid : 17x3*5", sigmoid},
        {"relu : 17x3", relu}, {"leaky_relu slope=0.1 : 17x3", leaky_relu},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        Case c;
        CHECK(case_parse(&c, rows[r].text, 17));
        Tensor *x = case_input(&c, 0), *y = case_run(&c, &x);
        CHECK(y && shape_equal(tensor_shape(y), SHAPE(17, 3)));
        for (int64_t n = 0; n < 17; n++) {
            for (int64_t f = 0; f < 3; f++)
                CHECK_CLOSE(tensor_get(y, AT(n, f)), rows[r].f(tensor_get(x, AT(n, f))), 4 * precise);
        }
    }
}

/* The value at an index of what t broadcasts to. */
static double stretched(const Tensor *t, Shape index)
{
    Shape own = tensor_shape(t);
    for (int d = 0; d < own.rank; d++) own.size[d] = own.size[d] > 1 ? index.size[index.rank - own.rank + d] : 0;
    return tensor_get(t, own);
}

static void check_arithmetic(Shape a_shape, Shape b_shape, Shape shape, unsigned lanes)
{
    Tensor *a = test_tensor(a_shape, 1, 3), *b = op_add_scalar(test_tensor(b_shape, 2, 1), 2);
    if (lanes & 1) a = op_to_lanes(a);
    if (lanes & 2) b = op_to_lanes(b);
    Tensor *results[] = {op_add(a, b), op_sub(a, b), op_mul(a, b), op_div(a, b)};
    int64_t count = shape_count(shape);
    for (int i = 0; i < 4; i++) CHECK(results[i] && shape_equal(tensor_shape(results[i]), shape));
    for (int64_t i = 0; i < count; i++) {
        Shape index = {.rank = shape.rank};
        for (int64_t d = shape.rank - 1, rest = i; d >= 0; rest /= shape.size[d--])
            index.size[d] = rest % shape.size[d];
        double x = stretched(a, index), y = stretched(b, index);
        CHECK_CLOSE(tensor_get(results[0], index), x + y, precise);
        CHECK_CLOSE(tensor_get(results[1], index), x - y, precise);
        CHECK_CLOSE(tensor_get(results[2], index), x * y, precise);
        CHECK_CLOSE(tensor_get(results[3], index), x / y, precise);
    }
}

TEST(arithmetic_broadcasts)
{
    for (unsigned lanes = 0; lanes < 4 && !test_failed(); lanes++) {
        check_arithmetic(SHAPE(17, 3, 5), SHAPE(17, 3, 5), SHAPE(17, 3, 5), lanes);
        check_arithmetic(SHAPE(17, 3, 5), SHAPE(3, 1), SHAPE(17, 3, 5), lanes);
        check_arithmetic(SHAPE(1, 3, 1), SHAPE(17, 1, 5), SHAPE(17, 3, 5), lanes);
        check_arithmetic(SHAPE(1, 4), SHAPE(1, 1), SHAPE(1, 4), lanes);
        check_arithmetic(SHAPE(1, 4), SHAPE(20, 1), SHAPE(20, 4), lanes);
        check_arithmetic(SHAPE(4), SHAPE(20, 1, 1), SHAPE(20, 1, 4), lanes);
        check_arithmetic(SHAPE(20, 3), SHAPE(2, 20, 3), SHAPE(2, 20, 3), lanes);
        check_arithmetic(SCALAR, SHAPE(2, 3), SHAPE(2, 3), lanes);
        check_arithmetic(SHAPE(2, 1, 3, 1, 2, 1), SHAPE(1, 2, 1, 3, 1, 2), SHAPE(2, 2, 3, 3, 2, 2), lanes);
        check_arithmetic(SHAPE(33), SHAPE(1), SHAPE(33), lanes);
    }
}

TEST(arithmetic_of_a_batch_and_a_parameter_converts_nothing)
{
    Tensor *x = op_to_lanes(test_tensor(SHAPE(20, 3, 2, 2), 1, 1)), *w = test_tensor(SHAPE(3, 1, 1), 2, 1);
    tensor_set_requires_grad(x, true);
    tensor_set_requires_grad(w, true);
    int64_t before = weft_counters().conversions;
    CHECK(backward(op_sum(op_relu(op_add(op_mul(x, w), w)))));
    CHECK_EQUAL(weft_counters().conversions, before);
}

/* ---- Special values ---- */

static bool same_value(double a, double b)
{
    return (isnan(a) && isnan(b)) || (a == b && !signbit(a) == !signbit(b));
}

static void check_special(const char *text, double x, double y, double gradient)
{
    Case c;
    CHECK(case_parse(&c, text, 5));
    Tensor *in = tensor_full(SHAPE(5, 2), x);
    tensor_set_requires_grad(in, true);
    Tensor *lanes = op_to_lanes(in), *out = case_run(&c, &lanes);
    CHECK(out && backward(out, .grad = tensor_full(SHAPE(5, 2), 1)));
    CHECK(same_value(tensor_get(out, AT(4, 1)), y));
    CHECK(same_value(tensor_get(tensor_grad(in), AT(4, 1)), gradient));
}

TEST(elementwise_special_values)
{
    double tenth = (Real)0.1;
    check_special("relu : Nx2", NAN, NAN, 0);
    check_special("relu : Nx2", 0, 0, 0);
    check_special("relu : Nx2", -INFINITY, 0, 0);
    check_special("leaky_relu slope=0.1 : Nx2", 0, 0, tenth);
    check_special("leaky_relu slope=0.1 : Nx2", NAN, NAN, tenth);
    check_special("leaky_relu slope=0.1 : Nx2", -INFINITY, -INFINITY, tenth);
    check_special("abs : Nx2", -0.0, 0, 0);
    check_special("abs : Nx2", NAN, NAN, 0);
    check_special("abs : Nx2", -2, 2, -1);
    check_special("sqrt : Nx2", -1, NAN, NAN);
    check_special("sqrt : Nx2", 0, 0, INFINITY);
    check_special("log : Nx2", 0, -INFINITY, INFINITY);
    check_special("log : Nx2", -1, NAN, -1);
    check_special("exp : Nx2", -INFINITY, 0, 0);
    check_special("exp : Nx2", INFINITY, INFINITY, INFINITY);
    check_special("tanh : Nx2", INFINITY, 1, 0);
    check_special("sigmoid : Nx2", -INFINITY, 0, 0);
    check_special("div_scalar s=0 : Nx2", -2, -INFINITY, INFINITY);
}

/* An infinite derivative at the last sample, times the zero gradient of the lanes that repeat it, is NaN: it must not
 * stay there. */
TEST(elementwise_gradients_keep_spare_lanes_zero)
{
    const Real values[] = {4, 1, 9, 0};
    Tensor *x = op_to_lanes(tensor_from(SHAPE(4, 1), values)), *one = op_to_lanes(tensor_full(SHAPE(4, 1), 1));
    Tensor *two = tensor_full(SHAPE(1, 1), 2);
    Tensor *inputs[] = {x, one, two};
    for (int i = 0; i < 3; i++) tensor_set_requires_grad(inputs[i], true);
    Tensor *results[] = {op_sqrt(x), op_div(one, x), op_div(two, x), op_log(x), op_div(x, x)};
    for (int i = 0; i < 5; i++) {
        CHECK(results[i] && layout_spare_is_right(results[i]));
        CHECK(backward(results[i], .grad = tensor_full(SHAPE(4, 1), 1)));
        for (int k = 0; k < 3; k++) CHECK(!tensor_grad(inputs[k]) || layout_spare_is_right(tensor_grad(inputs[k])));
        tensor_clear_grad(x);
    }
    CHECK_CLOSE(tensor_get(tensor_grad(one), AT(0, 0)), 0.25, 0);
    CHECK_CLOSE(tensor_get(tensor_grad(one), AT(3, 0)), INFINITY, 0);
}

/* A gradient's spare lanes are zero, and exp(0) is neither zero nor the last sample's. */
TEST(elementwise_ops_on_a_gradient)
{
    Tensor *x = op_to_lanes(test_tensor(SHAPE(5, 3), 1, 1));
    tensor_set_requires_grad(x, true);
    CHECK(backward(op_square(x), .grad = tensor_full(SHAPE(5, 3), 1)));
    Tensor *grad = tensor_grad(x), *row = tensor_full(SHAPE(3), 1);
    Tensor *results[] = {op_exp(grad), op_add(grad, row), op_add(x, grad), op_sub(row, grad)};
    for (int i = 0; i < 4; i++) CHECK(results[i] && layout_spare_is_right(results[i]));
    CHECK_CLOSE(tensor_get(results[0], AT(4, 2)), exp(2 * tensor_get(x, AT(4, 2))), 4 * precise);
}

/* ---- What backward reads ---- */

static bool survives_write(Tensor *(*op)(Tensor *), bool write_result)
{
    Tensor *x = test_tensor(SHAPE(3, 2), 1, 1);
    tensor_set_requires_grad(x, true);
    Tensor *y = op(x);
    return tensor_set(write_result ? y : x, AT(0, 0), 1) && backward(y, .grad = tensor_full(SHAPE(3, 2), 1));
}

TEST(elementwise_notices_overwritten_values)
{
    CHECK(survives_write(op_neg, false));
    CHECK(survives_write(op_relu, false));
    CHECK(survives_write(op_square, true));
    CHECK(!survives_write(op_square, false));
    CHECK_ERROR("square");
    CHECK(!survives_write(op_exp, true));
    CHECK_ERROR("exp");
}

TEST(arithmetic_notices_overwritten_values)
{
    Tensor *a = test_tensor(SHAPE(3, 2), 1, 1), *b = tensor_full(SHAPE(2), 2), *grad = tensor_full(SHAPE(3, 2), 1);
    tensor_set_requires_grad(a, true);
    Tensor *sum = op_add(a, b), *product = op_mul(a, b), *quotient = op_div(a, b);
    CHECK(tensor_set(b, AT(0), 5));
    CHECK(backward(sum, .grad = grad));
    CHECK(!backward(product, .grad = grad));
    CHECK_ERROR("input 1 of mul");
    CHECK(!backward(quotient, .grad = grad));
    CHECK_ERROR("input 1 of div");
}

/* ---- Attributes and errors ---- */

TEST(elementwise_attributes)
{
    Tensor *x = tensor_full(SHAPE(2, 2), 1);
    tensor_set_requires_grad(x, true);
    Attribute attributes[OP_MAX_ATTRIBUTES];
    const Node *node = tensor_node(op_leaky_relu(x, 0.25));
    CHECK(node);
    CHECK_TEXT(node_op(node)->name, "leaky_relu");
    CHECK_EQUAL(node_op(node)->describe(node, attributes), 1);
    CHECK_TEXT(attributes[0].name, "slope");
    CHECK_CLOSE(attributes[0].number, 0.25, 0);
    node = tensor_node(op_mul_scalar(x, 3));
    CHECK_EQUAL(node_op(node)->describe(node, attributes), 1);
    CHECK_TEXT(attributes[0].name, "s");
    node = tensor_node(op_tanh(x));
    CHECK_EQUAL(node_op(node)->describe(node, attributes), 0);
}

TEST(elementwise_errors)
{
    Tensor *a = tensor_zeros(SHAPE(2, 3)), *b = tensor_zeros(SHAPE(4));
    CHECK(!op_add(a, b));
    CHECK_ERROR("add: [2, 3] and [4] do not broadcast");
    CHECK(!op_div(b, op_to_lanes(a)));
    CHECK_ERROR("div: [4] and [2, 3] do not broadcast");
    CHECK(!op_mul(a, TENSOR_NONE));
    CHECK_ERROR("mul: [2, 3] and none do not broadcast");
    CHECK(!op_exp(TENSOR_NONE));
    CHECK_ERROR("exp: no tensor");
    CHECK(!op_relu(NULL) && !op_add(NULL, a) && !op_sub(a, NULL) && !op_leaky_relu(NULL, 1));
    CHECK(!weft_error());
}
