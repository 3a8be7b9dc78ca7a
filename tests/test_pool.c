#include "autograd/ops.h"
#include "tests/compare.h"

typedef struct Pooling {
    Shape shape;
    int64_t kernel, stride, padding;
} Pooling;

static const Pooling poolings[] = {
    {{4, {1, 1, 1, 1}}, 1, 1, 0},   {{4, {15, 1, 6, 4}}, 2, 2, 0},  {{4, {16, 3, 9, 6}}, 3, 3, 0},
    {{4, {17, 2, 5, 7}}, 2, 2, 0},  {{4, {33, 2, 7, 6}}, 3, 2, 1},  {{4, {17, 2, 6, 5}}, 3, 1, 1},
    {{4, {2, 3, 7, 8}}, 2, 3, 0},   {{4, {17, 1, 4, 4}}, 4, 4, 0},  {{4, {3, 2, 5, 5}}, 4, 1, 2},
    {{4, {17, 2, 3, 3}}, 3, 3, 0},  {{4, {2, 1, 40, 30}}, 20, 5, 10}, {{4, {5, 2, 4, 6}}, 2, 2, 1},
    /* as many windows as would tile the image */
    {{4, {17, 2, 6, 3}}, 3, 3, 1},  {{4, {3, 2, 6, 6}}, 3, 2, 0},
};
enum { POOLING_COUNT = sizeof poolings / sizeof *poolings };

static int64_t out_size(int64_t in, Pooling p)
{
    return (in + 2 * p.padding - p.kernel) / p.stride + 1;
}

/* One window of one plane: the average, or the maximum and its place; its gradient goes to dx. */
static double pool_window(Pooling p, bool max, const Real *x, double *dx, double dy, int64_t y, int64_t z)
{
    const int64_t height = p.shape.size[2], width = p.shape.size[3];
    const double area = (double)(p.kernel * p.kernel);
    double result = max ? -INFINITY : 0;
    int64_t place = -1;
    for (int64_t r = y * p.stride - p.padding; r < y * p.stride - p.padding + p.kernel; r++)
        for (int64_t c = z * p.stride - p.padding; c < z * p.stride - p.padding + p.kernel; c++) {
            if (r < 0 || r >= height || c < 0 || c >= width) continue;
            const double value = (double)x[r * width + c];
            if (!max) {
                result += value / area;
                dx[r * width + c] += dy / area;
            } else if (value > result) {
                result = value;
                place = r * width + c;
            }
        }
    if (max) dx[place] += dy;
    return result;
}

static Tensor *run(Tensor *x, Pooling p, bool max)
{
    return max ? op_max_pool2d(x, p.kernel, p.stride, p.padding) : op_avg_pool2d(x, p.kernel, p.stride, p.padding);
}

static void check_pooling(Pooling p, bool max)
{
    const int64_t height = out_size(p.shape.size[2], p), width = out_size(p.shape.size[3], p);
    const int64_t planes = p.shape.size[0] * p.shape.size[1], area = p.shape.size[2] * p.shape.size[3];
    Tensor *x = lanes_leaf(p.shape, 1, 3), *y = run(x, p, max);
    const Shape shape = SHAPE(p.shape.size[0], p.shape.size[1], height, width);
    CHECK(y && shape_equal(tensor_shape(y), shape));
    CHECK(backward(y, .grad = test_tensor(shape, 2, 1)));
    Real *in = test_values(x), *dy = test_values(test_tensor(shape, 2, 1));
    double *expected = doubles(planes * height * width), *dx = doubles(planes * area);
    for (int64_t plane = 0, i = 0; plane < planes; plane++)
        for (int64_t r = 0; r < height; r++)
            for (int64_t c = 0; c < width; c++, i++)
                expected[i] = pool_window(p, max, in + plane * area, dx + plane * area, (double)dy[i], r, c);
    check_values(y, expected, max ? 0 : TOLERANCE);
    check_values(tensor_grad(x), dx, TOLERANCE);
    free(in), free(dy), free(expected), free(dx);
}

TEST(max_pool_is_its_definition)
{
    for (int i = 0; i < POOLING_COUNT && !test_failed(); i++) check_pooling(poolings[i], true);
}

TEST(avg_pool_is_its_definition)
{
    for (int i = 0; i < POOLING_COUNT && !test_failed(); i++) check_pooling(poolings[i], false);
}

TEST(global_avg_pool_is_the_mean_of_each_plane)
{
    Tensor *x = leaf(SHAPE(17, 3, 4, 5), 1, 1), *y = op_global_avg_pool2d(x);
    Tensor *dy = test_tensor(SHAPE(17, 3, 1, 1), 2, 1);
    CHECK(shape_equal(tensor_shape(y), SHAPE(17, 3, 1, 1)));
    CHECK(backward(y, .grad = dy));
    Real *in = test_values(x), *grad = test_values(dy);
    double expected[51] = {0}, dx[17 * 3 * 20];
    for (int64_t i = 0; i < 17 * 3 * 20; i++) {
        expected[i / 20] += (double)in[i] / 20;
        dx[i] = (double)grad[i / 20] / 20;
    }
    check_values(y, expected, TOLERANCE);
    check_values(tensor_grad(x), dx, TOLERANCE);
    free(in), free(grad);
}

TEST(max_pool_gives_a_tie_to_the_first)
{
    Tensor *x = tensor_full(SHAPE(1, 1, 4, 4), 3);
    tensor_set_requires_grad(x, true);
    CHECK(backward(op_sum(op_max_pool2d(x, 2))));
    const double two[16] = {1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0};
    check_values(tensor_grad(x), two, 0);
    tensor_clear_grad(x);
    CHECK(backward(op_sum(op_max_pool2d(x, 3, .stride = 2, .padding = 1))));
    const double three[16] = {1, 1, 0, 0, 1, 1};
    check_values(tensor_grad(x), three, 0);
}

TEST(max_pool_takes_nan_for_the_largest)
{
    const Real values[16] = {1, (Real)NAN, 5, 6, 2, 3, 7, (Real)INFINITY, (Real)NAN, 9, -1, -2, 8, (Real)NAN,
                             -3, -(Real)INFINITY};
    Tensor *x = tensor_from(SHAPE(1, 1, 4, 4), values);
    tensor_set_requires_grad(x, true);
    Tensor *y = op_max_pool2d(x, 2);
    CHECK(isnan(tensor_get(y, AT(0, 0, 0, 0))));
    CHECK_CLOSE(tensor_get(y, AT(0, 0, 0, 1)), INFINITY, 0);
    CHECK(isnan(tensor_get(y, AT(0, 0, 1, 0))));
    CHECK_CLOSE(tensor_get(y, AT(0, 0, 1, 1)), -1, 0);
    CHECK(backward(op_sum(y)));
    const double expected[16] = {0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 1};
    check_values(tensor_grad(x), expected, 0);
}

TEST(max_pool_of_the_least_is_the_least)
{
    Tensor *x = tensor_full(SHAPE(2, 1, 3, 4), -INFINITY);
    tensor_set_requires_grad(x, true);
    Tensor *y = op_max_pool2d(x, 3, .padding = 1);
    CHECK_CLOSE(tensor_get(y, AT(1, 0, 0, 0)), -INFINITY, 0);
    /* The gradient is that of each window's first value, and padding is none. */
    CHECK(backward(y, .grad = tensor_full(SHAPE(2, 1, 1, 2), 1)));
    const double expected[24] = {1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1};
    check_values(tensor_grad(x), expected, 0);
}

/* Rows and columns that no window reaches have no gradient, whatever was in the memory that it is in. */
TEST(pool_gradient_beyond_the_last_window_is_zero)
{
    const Shape shapes[] = {SHAPE(16, 4, 4, 5), SHAPE(16, 4, 5, 4)};
    for (int i = 0; i < 4; i++) {
        const Shape shape = shapes[i / 2];
        const Scope scope = scope_open();
        for (int k = 0; k < 8; k++) tensor_full(shape, 7);
        scope_close(scope);
        Tensor *x = lanes_leaf(shape, 1, 1), *y = i % 2 ? op_max_pool2d(x, 2) : op_avg_pool2d(x, 2);
        CHECK(backward(y, .grad = tensor_full(tensor_shape(y), 1)));
        const int last = i / 2 ? 2 : 3;
        Real *grads = test_values(op_narrow(tensor_grad(x), last, 4, 1));
        for (int64_t k = 0; grads && k < 16 * 4 * 4; k++) CHECK_CLOSE((double)grads[k], 0, 0);
        free(grads);
    }
}

TEST(pool_refuses_what_does_not_fit)
{
    Tensor *x = test_tensor(SHAPE(2, 3, 4, 5), 1, 1);
    CHECK(!op_max_pool2d(x, 5));
    CHECK_ERROR("max_pool2d: input [2, 3, 4, 5] with padding 0 is smaller than the kernel 5");
    CHECK(!op_avg_pool2d(x, 3, .stride = 2, .padding = 2));
    CHECK_ERROR("avg_pool2d: kernel 3 and stride 2 must be at least 1, padding 2 from 0 to half the kernel");
    CHECK(!op_avg_pool2d(x, 0));
    CHECK_ERROR("avg_pool2d: kernel 0");
    CHECK(!op_max_pool2d(x, INT64_MAX, .padding = INT64_MAX / 2));
    CHECK_ERROR("max_pool2d: kernel 9223372036854775807 is larger than 65536 elements");
    CHECK(!op_global_avg_pool2d(test_tensor(SHAPE(3, 4), 1, 1)));
    CHECK_ERROR("global_avg_pool2d: input [3, 4] is not [N, C, H, W]");
    CHECK(!op_max_pool2d(NULL, 2));
    CHECK(!op_max_pool2d(TENSOR_NONE, 2));
    CHECK_ERROR("input none is not [N, C, H, W]");
}

/* The place of a maximum is kept in 16 bits. */
TEST(max_pool_takes_windows_of_65536_elements)
{
    Tensor *x = tensor_zeros(SHAPE(1, 1, 256, 257));
    tensor_set_requires_grad(x, true);
    CHECK(tensor_set(x, AT(0, 0, 255, 255), 3));
    Tensor *y = op_max_pool2d(x, 256);
    CHECK_CLOSE(tensor_item(y), 3, 0);
    CHECK(backward(y));
    CHECK_CLOSE(tensor_get(tensor_grad(x), AT(0, 0, 255, 255)), 1, 0);
    CHECK(!op_max_pool2d(tensor_zeros(SHAPE(1, 1, 257, 257)), 257));
    CHECK_ERROR("max_pool2d: kernel 257 is larger than 65536 elements");
}

static int large(Tensor *results[RESULTS_MAX])
{
    Tensor *x = lanes_leaf(SHAPE(33, 5, 24, 24), 1, 1), *y[3];
    y[0] = op_max_pool2d(x, 2);
    y[1] = op_avg_pool2d(x, 3);
    y[2] = op_max_pool2d(x, 3, .stride = 2, .padding = 1);
    for (int i = 0; i < 3; i++) {
        results[i] = y[i];
        if (!backward(y[i], .grad = test_tensor(tensor_shape(y[i]), 2, 1), .keep_graph = true)) return 0;
    }
    results[3] = tensor_grad(x);
    return 4;
}

TEST(pool_has_the_same_bits_on_all_machines)
{
    check_machines(large);
}

TEST(pool_survives_short_memory)
{
    check_short_memory(large);
}
