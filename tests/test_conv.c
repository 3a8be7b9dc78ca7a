/* op_conv2d against plain loops in double, on every instruction set, and its bits over sets and threads. */
#include <stdio.h>

#include "autograd/node.h"
#include "autograd/ops.h"
#include "autograd/ops/batch_norm.h"
#include "tensor/kernels/kernels.h"
#include "tests/test.h"

typedef struct Row {
    int64_t n, c, h, w, o, kh, kw, stride, padding, dilation, groups;
    enum { PLAIN, RELU, NO_BIAS } variant;
} Row;

static const Row rows[] = {
    /* n, c, h, w, o, kh, kw, stride, padding, dilation, groups */
    {1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, PLAIN},
    {1, 1, 3, 3, 1, 3, 3, 1, 0, 1, 1, PLAIN},
    {15, 1, 7, 9, 8, 3, 3, 1, 0, 1, 1, PLAIN},
    {16, 3, 8, 7, 12, 3, 3, 1, 1, 1, 1, RELU},
    {17, 8, 6, 28, 12, 3, 3, 1, 0, 1, 1, RELU},
    {33, 5, 9, 6, 15, 3, 3, 1, 2, 1, 1, PLAIN},
    {65, 2, 5, 5, 3, 3, 3, 1, 1, 1, 1, RELU},
    {130, 3, 4, 4, 4, 3, 3, 1, 0, 1, 1, PLAIN},
    {17, 16, 3, 3, 10, 1, 1, 1, 0, 1, 1, PLAIN},
    {4, 9, 5, 5, 17, 1, 1, 2, 0, 1, 1, NO_BIAS},
    {4, 3, 12, 11, 7, 5, 5, 1, 2, 1, 1, PLAIN},
    {3, 2, 9, 10, 9, 5, 4, 1, 3, 1, 1, PLAIN},
    {3, 24, 7, 7, 24, 5, 5, 2, 2, 1, 1, RELU},
    {2, 4, 13, 12, 6, 7, 7, 3, 3, 1, 1, PLAIN},
    {5, 3, 10, 9, 5, 3, 3, 2, 1, 1, 1, PLAIN},
    {5, 3, 10, 9, 5, 3, 3, 2, 0, 1, 1, PLAIN},
    {5, 3, 11, 11, 5, 2, 2, 3, 0, 1, 1, PLAIN},
    {5, 3, 9, 12, 5, 1, 3, 4, 1, 1, 1, PLAIN},
    {5, 3, 12, 9, 5, 3, 1, 1, 1, 1, 1, PLAIN},
    /* A single row or column of taps, which are neighbours all the same */
    {5, 3, 7, 9, 5, 1, 3, 1, 0, 1, 1, PLAIN},
    {5, 3, 9, 7, 5, 3, 1, 1, 0, 1, 1, PLAIN},
    {4, 2, 12, 13, 11, 3, 3, 1, 2, 2, 1, PLAIN},
    {4, 2, 14, 13, 3, 3, 3, 2, 3, 2, 1, PLAIN},
    {4, 2, 14, 13, 3, 3, 2, 2, 1, 3, 1, PLAIN},
    {4, 2, 15, 16, 3, 3, 3, 4, 2, 6, 1, PLAIN},
    {4, 2, 10, 11, 3, 4, 4, 3, 5, 2, 1, PLAIN},
    {18, 6, 6, 7, 9, 3, 3, 1, 1, 1, 3, RELU},
    {18, 10, 6, 7, 20, 3, 3, 2, 1, 1, 2, NO_BIAS},
    {7, 12, 5, 5, 12, 3, 3, 1, 1, 1, 12, PLAIN},
    {3, 2, 2, 2, 3, 5, 5, 1, 2, 1, 1, PLAIN},
    {3, 2, 1, 1, 3, 3, 3, 1, 1, 1, 1, PLAIN},
    {3, 1, 1, 2, 2, 4, 3, 1, 4, 1, 1, PLAIN},
    {2, 2, 3, 3, 2, 1, 1, 1, 2, 1, 1, PLAIN},
    {2, 2, 3, 3, 2, 3, 3, 2, 7, 1, 1, PLAIN},
    {2, 33, 4, 31, 31, 3, 3, 1, 1, 1, 1, PLAIN},
    {2, 7, 26, 4, 14, 3, 3, 1, 0, 1, 1, PLAIN},
    /* Maps that the cache does not hold: blocks of them are gathered, but not where they are too wide */
    {17, 20, 29, 31, 24, 1, 1, 1, 0, 1, 1, RELU},
    {1, 24, 41, 43, 40, 3, 3, 2, 1, 1, 1, PLAIN},
    {3, 20, 30, 31, 20, 3, 3, 1, 1, 1, 1, PLAIN},
    {1, 40, 31, 33, 40, 2, 3, 1, 2, 1, 2, NO_BIAS},
    {1, 12, 3, 700, 12, 3, 1, 1, 1, 1, 1, PLAIN},
    {1, 20, 30, 31, 20, 3, 3, 1, 2, 2, 1, PLAIN},
    /* nor are the rows the same that each of three phases of the input's gradient takes */
    {1, 12, 41, 44, 96, 4, 4, 3, 0, 1, 1, PLAIN},
    /* More than 64 output channels; channels of a 1 x 1 kernel in groups */
    {2, 3, 5, 5, 70, 3, 3, 1, 1, 1, 1, PLAIN},
    {17, 14, 5, 5, 10, 1, 1, 1, 0, 1, 2, RELU},
    /* Winograd's: whole and partial tiles of each size, more than one block of tiles and of 64 channels, parts of the
     * batch */
    {1, 32, 6, 6, 32, 3, 3, 1, 0, 1, 1, PLAIN},
    {15, 32, 5, 8, 36, 3, 3, 1, 0, 1, 1, RELU},
    {16, 36, 9, 7, 32, 3, 3, 1, 1, 1, 1, NO_BIAS},
    {17, 32, 6, 14, 32, 3, 3, 1, 2, 1, 1, RELU},
    {2, 132, 12, 12, 68, 3, 3, 1, 0, 1, 1, PLAIN},
    {2, 68, 5, 5, 132, 3, 3, 1, 1, 1, 1, RELU},
    {81, 32, 6, 6, 32, 3, 3, 1, 0, 1, 1, PLAIN},
    {33, 32, 4, 4, 32, 3, 3, 1, 1, 1, 1, RELU},
    {1, 32, 1, 12, 32, 3, 3, 1, 2, 1, 1, PLAIN},
    {2, 68, 16, 16, 36, 3, 3, 1, 1, 1, 1, PLAIN},
    {33, 32, 4, 4, 68, 3, 3, 1, 1, 1, 1, PLAIN},
    /* in so wide a padding that windows overlap in it, and lie in it whole: with tiles of 4, 5 and 6 */
    {17, 32, 2, 2, 36, 3, 3, 1, 4, 1, 1, PLAIN},
    {2, 32, 6, 6, 32, 3, 3, 1, 5, 1, 1, RELU},
    {1, 36, 4, 4, 32, 3, 3, 1, 8, 1, 1, PLAIN},
    /* with tiles of 5 */
    {33, 32, 5, 5, 32, 3, 3, 1, 1, 1, 1, RELU},
    {16, 36, 7, 7, 32, 3, 3, 1, 0, 1, 1, NO_BIAS},
    {2, 32, 10, 13, 32, 3, 3, 1, 1, 1, 1, PLAIN},
    {1, 132, 7, 12, 68, 3, 3, 1, 0, 1, 1, PLAIN},
    /* with tiles of 6 */
    {33, 32, 8, 8, 32, 3, 3, 1, 0, 1, 1, RELU},
    {16, 36, 6, 6, 32, 3, 3, 1, 1, 1, 1, NO_BIAS},
    {2, 32, 11, 9, 36, 3, 3, 1, 2, 1, 1, PLAIN},
    {1, 36, 8, 8, 132, 3, 3, 1, 0, 1, 1, PLAIN},
    {1, 32, 26, 26, 32, 3, 3, 1, 0, 1, 1, RELU},
    /* not Winograd's, for one reason each: the stride, the dilation, the groups, the kernel's height, its width */
    {2, 32, 8, 9, 32, 3, 3, 2, 1, 1, 1, PLAIN},
    {2, 32, 8, 9, 32, 3, 3, 1, 2, 2, 1, RELU},
    {2, 64, 8, 9, 64, 3, 3, 1, 1, 1, 2, PLAIN},
    {2, 32, 8, 9, 32, 2, 3, 1, 1, 1, 1, PLAIN},
    {2, 32, 8, 9, 32, 3, 2, 1, 1, 1, 1, PLAIN},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

/* What a convolution computes: the result, and the gradients of input, weight and bias. */
enum { RESULT, INPUT_GRAD, WEIGHT_GRAD, BIAS_GRAD, PARTS };
enum { INPUT_STREAM = 1, WEIGHT_STREAM, BIAS_STREAM, GRAD_STREAM };

typedef struct Values {
    int64_t count[PARTS];
    Real *part[PARTS];
} Values;

static int64_t outputs(int64_t in, int64_t kernel, const Row *r)
{
    return (in + 2 * r->padding - r->dilation * (kernel - 1) - 1) / r->stride + 1;
}

static Shape weight_shape(const Row *r)
{
    return SHAPE(r->o, r->c / r->groups, r->kh, r->kw);
}

static void values_free(Values *values)
{
    for (int i = 0; i < PARTS; i++) free(values->part[i]);
}

/* The op under test, forward and backward. The parts are NULL, and the test failed, if it fails. */
static Values run(const Row *r)
{
    Values values = {0};
    Tensor *x = test_tensor(SHAPE(r->n, r->c, r->h, r->w), INPUT_STREAM, 1);
    Tensor *weight = test_tensor(weight_shape(r), WEIGHT_STREAM, 1);
    Tensor *bias = r->variant == NO_BIAS ? TENSOR_NONE : test_tensor(SHAPE(r->o), BIAS_STREAM, 1);
    Tensor *leaves[] = {x, weight, bias};
    const int inputs = r->variant == NO_BIAS ? 2 : 3;
    for (int i = 0; i < inputs; i++) tensor_set_requires_grad(leaves[i], true);
    Tensor *y = op_conv2d(x, weight, bias, .stride = r->stride, .padding = r->padding, .dilation = r->dilation,
                          .groups = r->groups, .relu = r->variant == RELU);
    Tensor *grad = test_tensor(tensor_shape(y), GRAD_STREAM, 1);
    if (!test_check(backward(y, .grad = grad), __FILE__, __LINE__, "backward")) return values;
    const Tensor *parts[PARTS] = {y, tensor_grad(x), tensor_grad(weight), inputs == 3 ? tensor_grad(bias) : NULL};
    for (int i = 0; i < PARTS; i++) {
        if (!parts[i]) continue;
        test_check(layout_spare_is_right(parts[i]), __FILE__, __LINE__, "spare lanes are as they must be");
        values.part[i] = test_values(parts[i]);
        values.count[i] = tensor_count(parts[i]);
    }
    return values;
}

typedef struct Reference {
    double *part[PARTS];
} Reference;

/* Calls `visit` with the index of output, input, weight and output channel of every product of the convolution. */
typedef void Visit(int64_t y, int64_t x, int64_t w, int64_t o, void *context);

static void each_product(const Row *r, Visit *visit, void *context)
{
    const int64_t oh = outputs(r->h, r->kh, r), ow = outputs(r->w, r->kw, r), per_group = r->c / r->groups;
    for (int64_t n = 0; n < r->n; n++)
        for (int64_t o = 0; o < r->o; o++)
            for (int64_t i = 0; i < oh * ow; i++)
                for (int64_t k = 0; k < per_group * r->kh * r->kw; k++) {
                    const int64_t c = o / (r->o / r->groups) * per_group + k / (r->kh * r->kw);
                    const int64_t h = i / ow * r->stride + k / r->kw % r->kh * r->dilation - r->padding;
                    const int64_t w = i % ow * r->stride + k % r->kw * r->dilation - r->padding;
                    if (h < 0 || h >= r->h || w < 0 || w >= r->w) continue;
                    visit((n * r->o + o) * oh * ow + i, ((n * r->c + c) * r->h + h) * r->w + w,
                          o * per_group * r->kh * r->kw + k, o, context);
                }
}

static void add_result(int64_t y, int64_t x, int64_t w, int64_t o, void *context)
{
    (void)o;
    Reference *reference = context;
    reference->part[RESULT][y] += test_number(INPUT_STREAM, x) * test_number(WEIGHT_STREAM, w);
}

static void add_grads(int64_t y, int64_t x, int64_t w, int64_t o, void *context)
{
    (void)o;
    Reference *reference = context;
    const double grad = reference->part[RESULT][y];
    reference->part[INPUT_GRAD][x] += grad * test_number(WEIGHT_STREAM, w);
    reference->part[WEIGHT_GRAD][w] += grad * test_number(INPUT_STREAM, x);
}

static void check_part(const Values *values, int part, const double *expected)
{
    double largest = 0;
    for (int64_t i = 0; i < values->count[part]; i++) largest = fmax(largest, fabs(expected[i]));
    const double tolerance = largest * (sizeof(Real) == sizeof(float) ? 2e-5 : 4e-14);
    for (int64_t i = 0; i < values->count[part]; i++)
        CHECK_CLOSE((double)values->part[part][i], expected[i], tolerance);
}

/* Checks the result, then turns it into the gradient before relu, in place, and checks what follows from that. */
static void check_values(const Row *r, const Values *values)
{
    Reference reference;
    for (int i = 0; i < PARTS; i++) reference.part[i] = calloc((size_t)values->count[i] + 1, sizeof(double));
    const int64_t area = outputs(r->h, r->kh, r) * outputs(r->w, r->kw, r);
    double *y = reference.part[RESULT];
    each_product(r, add_result, &reference);
    for (int64_t i = 0; i < values->count[RESULT]; i++) {
        if (r->variant != NO_BIAS) y[i] += test_number(BIAS_STREAM, i / area % r->o);
        if (r->variant == RELU && y[i] < 0) y[i] = 0;
    }
    check_part(values, RESULT, y);
    for (int64_t i = 0; i < values->count[RESULT]; i++) {
        y[i] = r->variant == RELU && y[i] <= 0 ? 0 : test_number(GRAD_STREAM, i);
        if (r->variant != NO_BIAS) reference.part[BIAS_GRAD][i / area % r->o] += y[i];
    }
    each_product(r, add_grads, &reference);
    for (int i = INPUT_GRAD; i < PARTS; i++) check_part(values, i, reference.part[i]);
    for (int i = 0; i < PARTS; i++) free(reference.part[i]);
}

static void check_same(const Values *a, const Values *b)
{
    for (int i = 0; i < PARTS; i++)
        if (a->count[i] > 0) CHECK_EQUAL_BITS(a->part[i], b->part[i], a->count[i]);
}

/* Right on every table; the same bits on all that multiply and add in one step, for any number of threads. */
static void test_row(void)
{
    const Row *r = &rows[test_index()];
    Values first = {0};
    for (const Kernels *const *table = weft_kernels_all(); *table && !test_failed(); table++) {
        weft_kernels_use(*table);
        Values values = run(r);
        if (!test_failed()) check_values(r, &values);
        if (first.part[RESULT] && strcmp((*table)->isa, "baseline") != 0) check_same(&first, &values);
        if (first.part[RESULT]) values_free(&values);
        else first = values;
    }
    weft_kernels_use(weft_kernels_all()[0]);
    static const int threads[] = {1, 2, 3, 5};
    for (size_t i = 0; i < sizeof threads / sizeof threads[0] && !test_failed(); i++) {
        CHECK(weft_set_threads(threads[i]));
        Values values = run(r);
        check_same(&first, &values);
        values_free(&values);
    }
    weft_kernels_use(NULL);
    values_free(&first);
}

__attribute__((constructor)) static void register_rows(void)
{
    static Test tests[ROWS];
    static char names[ROWS][96];
    for (int i = 0; i < ROWS; i++) {
        const Row *r = &rows[i];
        snprintf(names[i], sizeof names[i], "conv2d_%dx%dx%dx%d_to_%d_%dx%d_s%d_p%d_d%d_g%d", (int)r->n, (int)r->c,
                 (int)r->h, (int)r->w, (int)r->o, (int)r->kh, (int)r->kw, (int)r->stride, (int)r->padding,
                 (int)r->dilation, (int)r->groups);
        tests[i] = (Test){names[i], __FILE__, test_row, i, NULL};
        test_register(&tests[i]);
    }
}

/* Each number of channels that registers hold together, by each number of outputs, for taps that are one, rows of two
 * and rows of three. */
TEST(conv2d_of_every_number_of_channels_and_outputs)
{
    enum { MOST_KERNEL = 3, MOST_CHANNELS = 8, MOST_OUTPUTS = 9 };
    for (const Kernels *const *table = weft_kernels_all(); *table; table++) {
        weft_kernels_use(*table);
        for (int64_t i = 0; i < MOST_KERNEL * MOST_CHANNELS * MOST_OUTPUTS && !test_failed(); i++) {
            const int64_t kernel = 1 + i % MOST_KERNEL, channels = 1 + i / MOST_KERNEL % MOST_CHANNELS;
            const int64_t width = i / MOST_KERNEL / MOST_CHANNELS + kernel;
            const Row r = {1, channels, kernel, width, channels, kernel, kernel, 1, 0, 1, 1, PLAIN};
            const Scope scope = scope_open();
            Values values = run(&r);
            if (!test_failed()) check_values(&r, &values);
            values_free(&values);
            scope_close(scope);
        }
    }
    weft_kernels_use(NULL);
}

/* ---- Winograd's tiles ---- */

enum { WIDE = 32, HALF = WIDE / 2 };

static int tile_of(int64_t height, int64_t width)
{
    return winograd_tile(&(ConvShape){.height = {.out = height}, .width = {.out = width}});
}

TEST(conv2d_chooses_the_tile_with_the_fewest_products)
{
    CHECK_EQUAL(tile_of(8, 8), 4);
    CHECK_EQUAL(tile_of(10, 10), 5);
    CHECK_EQUAL(tile_of(24, 24), 6);
    CHECK_EQUAL(tile_of(16, 16), 4);
    CHECK_EQUAL(tile_of(5, 7), 5);
    CHECK_EQUAL(tile_of(3, 6), 6);
    CHECK_EQUAL(tile_of(1, 1), 4);
}

/* A block of a single tile would be slow: 25 tiles, say, are not 24 and 1. */
TEST(conv2d_works_on_no_single_tile_of_several)
{
    for (int64_t side = 1; side <= 64; side++) {
        for (int64_t channels = WIDE; channels <= 16 * WIDE; channels *= 2) {
            const ConvShape shape = {.height = {.out = side}, .width = {.out = side}};
            const int64_t tiles = winograd_tiles(&shape);
            const Parts blocks = winograd_blocks(&shape, channels);
            CHECK_EQUAL(conv_part_begin(blocks, blocks.count), tiles);
            CHECK(tiles == 1 || blocks.least > 1);
        }
    }
}

/* Nor does the gradient of the weights, whose blocks go through several groups of a part of the batch. */
TEST(conv2d_weight_grads_work_on_no_single_tile_of_several)
{
    for (int64_t side = 1; side <= 32; side++) {
        for (int64_t groups = 1; groups <= 9; groups++) {
            const ConvShape shape = {.groups = groups, .in_channels = WIDE, .out_channels = WIDE + 36 * (groups % 4),
                                     .height = {.out = side}, .width = {.out = side}};
            const int64_t parts = winograd_parts(&shape);
            CHECK_EQUAL(winograd_part_begin(&shape, parts), groups * winograd_tiles(&shape));
            for (int64_t part = 0; part < parts; part++) {
                const int64_t first = winograd_part_begin(&shape, part);
                const int64_t tiles = winograd_part_begin(&shape, part + 1) - first;
                const Parts blocks = winograd_outer_blocks(&shape, part);
                CHECK_EQUAL(conv_part_begin(blocks, blocks.count), tiles);
                CHECK(tiles == 1 || blocks.least > 1);
            }
        }
    }
}

/* The convolution of WIDE channels; or that of each half, too few for Winograd's algorithm, added up. */
static Tensor *in_halves(Tensor *x, Tensor *weight, int64_t padding, bool halves)
{
    if (!halves) return op_conv2d(x, weight, TENSOR_NONE, .padding = padding);
    Tensor *first = op_conv2d(op_narrow(x, 1, 0, HALF), op_narrow(weight, 1, 0, HALF), TENSOR_NONE,
                              .padding = padding);
    return op_add(first, op_conv2d(op_narrow(x, 1, HALF, HALF), op_narrow(weight, 1, HALF, HALF), TENSOR_NONE,
                                   .padding = padding));
}

/* The error of the result and of each gradient, relative to the largest value, must be rounding. */
static void check_against_halves(int64_t n, int64_t h, int64_t w, int64_t padding)
{
    enum { TENSORS = 3 };
    Tensor *results[2][TENSORS];
    const Scope scope = scope_open();
    for (int halves = 0; halves < 2; halves++) {
        Tensor *x = test_tensor(SHAPE(n, WIDE, h, w), INPUT_STREAM, 1);
        Tensor *weight = test_tensor(SHAPE(WIDE, WIDE, 3, 3), WEIGHT_STREAM, 1);
        tensor_set_requires_grad(x, true);
        tensor_set_requires_grad(weight, true);
        Tensor *y = in_halves(x, weight, padding, halves);
        CHECK(backward(y, .grad = test_tensor(tensor_shape(y), GRAD_STREAM, 1)));
        results[halves][0] = y;
        results[halves][1] = tensor_grad(x);
        results[halves][2] = tensor_grad(weight);
    }
    for (int i = 0; i < TENSORS; i++) {
        Real *mine = test_values(results[0][i]), *theirs = test_values(results[1][i]);
        double largest = 0, error = 0;
        for (int64_t k = 0; k < tensor_count(results[0][i]); k++) {
            largest = fmax(largest, fabs((double)theirs[k]));
            error = fmax(error, fabs((double)mine[k] - (double)theirs[k]));
        }
        CHECK_CLOSE(error / largest, 0, sizeof(Real) == sizeof(float) ? 2e-5 : 4e-14);
        free(mine);
        free(theirs);
    }
    scope_close(scope);
}

TEST(conv2d_is_the_direct_sum_on_maps_of_every_size)
{
    static const int64_t samples[] = {1, 15, 16, 17, 33};
    int tiles[WINOGRAD_LARGEST + 1] = {0}, row = 0;
    for (int64_t h = 1; h <= 14; h++) {
        for (int64_t padding = 0; padding <= 2; padding++, row++) {
            const int64_t w = row % 2 ? h : 1 + row * 5 % 14;
            if (h + 2 * padding < 3 || w + 2 * padding < 3) continue;
            tiles[tile_of(h + 2 * padding - 2, w + 2 * padding - 2)]++;
            check_against_halves(samples[row % 5], h, w, padding);
            if (test_failed()) return;
        }
    }
    check_against_halves(17, 24, 24, 1);
    check_against_halves(2, 24, 24, 0);
    /* Five tiles a map: the weights' gradient works on some of one group's together with some of the next one's. */
    check_against_halves(65, 5, 25, 1);
    CHECK(tiles[4] > 5 && tiles[5] > 5 && tiles[6] > 5);
}

/* One weight on maps of different tiles is packed for each. */
TEST(conv2d_packs_for_each_tile)
{
    Tensor *weight = test_tensor(SHAPE(WIDE, WIDE, 3, 3), WEIGHT_STREAM, 1);
    for (int64_t side = 6; side <= 12; side++) {
        Tensor *x = test_tensor(SHAPE(1, WIDE, side, side), INPUT_STREAM, 1);
        Tensor *fresh = test_tensor(SHAPE(WIDE, WIDE, 3, 3), WEIGHT_STREAM, 1);
        Tensor *y = op_conv2d(x, weight, TENSOR_NONE), *expected = op_conv2d(x, fresh, TENSOR_NONE);
        CHECK(y && expected);
        CHECK_EQUAL_BITS(y->storage->data, expected->storage->data, expected->storage->count);
    }
}

TEST(conv2d_relu_fused_is_relu_after)
{
    Tensor *grads[2][3], *results[2];
    for (int fused = 0; fused < 2; fused++) {
        Tensor *x = test_tensor(SHAPE(19, 3, 6, 5), 1, 1), *weight = test_tensor(SHAPE(9, 3, 3, 3), 2, 1);
        Tensor *bias = test_tensor(SHAPE(9), 3, 1);
        Tensor *leaves[] = {x, weight, bias};
        for (int i = 0; i < 3; i++) tensor_set_requires_grad(leaves[i], true);
        Tensor *y = fused ? op_conv2d(x, weight, bias, .relu = true) : op_relu(op_conv2d(x, weight, bias));
        CHECK(backward(y, .grad = test_tensor(tensor_shape(y), 4, 1)));
        results[fused] = y;
        for (int i = 0; i < 3; i++) grads[fused][i] = tensor_grad(leaves[i]);
    }
    for (int i = -1; i < 3; i++) {
        Tensor *a = i < 0 ? results[0] : grads[0][i], *b = i < 0 ? results[1] : grads[1][i];
        Real *apart = test_values(a), *together = test_values(b);
        CHECK_EQUAL_BITS(apart, together, tensor_count(a));
        free(apart);
        free(together);
    }
}

TEST(conv2d_computes_only_the_gradients_that_are_wanted)
{
    for (int wanted = 0; wanted < 3; wanted++) {
        Tensor *leaves[] = {test_tensor(SHAPE(3, 2, 4, 4), 1, 1), test_tensor(SHAPE(4, 2, 3, 3), 2, 1),
                            test_tensor(SHAPE(4), 3, 1)};
        tensor_set_requires_grad(leaves[wanted], true);
        Tensor *y = op_conv2d(leaves[0], leaves[1], leaves[2], .relu = true);
        CHECK(backward(y, .grad = test_tensor(tensor_shape(y), 4, 1)));
        for (int i = 0; i < 3; i++) CHECK(!tensor_grad(leaves[i]) == (i != wanted));
    }
}

TEST(conv2d_packs_again_what_was_written)
{
    Tensor *x = test_tensor(SHAPE(2, 2, 3, 3), 1, 1), *weight = tensor_full(SHAPE(4, 2, 3, 3), 1);
    Tensor *first = op_conv2d(x, weight, TENSOR_NONE);
    CHECK(tensor_copy(weight, tensor_full(SHAPE(4, 2, 3, 3), 3)));
    Tensor *second = op_conv2d(x, weight, TENSOR_NONE);
    for (int64_t n = 0; n < 2; n++)
        CHECK_CLOSE(tensor_get(second, AT(n, 3, 0, 0)), 3 * tensor_get(first, AT(n, 3, 0, 0)), 1e-5);
}

TEST(conv2d_packs_for_each_shape_of_one_storage)
{
    Tensor *weight = test_tensor(SHAPE(4, 2, 3, 3), 2, 1), *x = test_tensor(SHAPE(2, 4, 3, 3), 1, 1);
    CHECK(op_conv2d(op_narrow(x, 1, 0, 2), weight, TENSOR_NONE));
    Tensor *grouped = op_conv2d(x, weight, TENSOR_NONE, .groups = 2);
    Tensor *half = op_conv2d(op_narrow(x, 1, 2, 2), op_narrow(weight, 0, 2, 2), TENSOR_NONE);
    Tensor *reshaped = op_conv2d(x, op_reshape(weight, SHAPE(2, 4, 3, 3)), TENSOR_NONE);
    Tensor *fresh = op_conv2d(x, test_tensor(SHAPE(2, 4, 3, 3), 2, 1), TENSOR_NONE);
    for (int64_t o = 0; o < 2; o++) {
        CHECK_CLOSE(tensor_get(grouped, AT(1, 2 + o, 0, 0)), tensor_get(half, AT(1, o, 0, 0)), 0);
        CHECK_CLOSE(tensor_get(reshaped, AT(1, o, 0, 0)), tensor_get(fresh, AT(1, o, 0, 0)), 0);
    }
}

/* Whole maps are one item of work for one thread, and cut for many. Each group of channels is two tiles of them. */
TEST(conv2d_keeps_the_statistics_that_batch_norm_would_compute)
{
    enum { N = 37, GROUPS_OF_16 = 3, O = 24, SIDE = 6, COUNT = GROUPS_OF_16 * O };
    const BatchNormShape maps = {N, O, SIDE * SIDE};
    GroupStatistics expected[COUNT];
    for (int threads = 1; threads <= 64; threads *= 64) {
        CHECK(weft_set_threads(threads));
        Tensor *x = test_tensor(SHAPE(N, 4, SIDE, SIDE), 1, 1), *weight = test_tensor(SHAPE(O, 2, 3, 3), 2, 1);
        Tensor *y = op_conv2d(x, weight, TENSOR_NONE, .groups = 2, .padding = 1, .relu = true, .statistics = true);
        CHECK(y && y->storage->count == COUNT * SIDE * SIDE * WEFT_LANES);
        weft_kernels()->batch_norm_statistics(expected, y->storage->data, &maps);
        CHECK_EQUAL_BITS(&expected[0].mean, layout_derived(y, &op_batch_statistics), 2 * COUNT);
    }
}

/* a * b + c as kernels do it: rounded once. */
static Real fused(Real a, Real b, Real c)
{
    return sizeof(Real) == sizeof(float) ? (Real)fmaf((float)a, (float)b, (float)c) : (Real)fma(a, b, c);
}

TEST(conv2d_adds_products_to_the_bias_in_order)
{
    enum { N = 3, C = 5, SIDE = 7, O = 11, KERNEL = 3, OUT = SIDE - KERNEL + 1 };
#if defined __x86_64__ || defined __i386__
    if (strcmp(weft_isa(), "baseline") == 0) SKIP("no fused multiply-add");
#endif
    Tensor *x = test_tensor(SHAPE(N, C, SIDE, SIDE), INPUT_STREAM, 1), *bias = test_tensor(SHAPE(O), BIAS_STREAM, 1);
    Tensor *weight = test_tensor(SHAPE(O, C, KERNEL, KERNEL), WEIGHT_STREAM, 1);
    Real *xs = test_values(x), *ws = test_values(weight), *got = test_values(op_conv2d(x, weight, bias));
    for (int64_t i = 0; i < N * O * OUT * OUT && !test_failed(); i++) {
        const int64_t n = i / (O * OUT * OUT), o = i / (OUT * OUT) % O, corner = i / OUT % OUT * SIDE + i % OUT;
        Real sum = (Real)tensor_get(bias, AT(o));
        for (int64_t k = 0; k < C * KERNEL * KERNEL; k++) {
            const int64_t c = k / (KERNEL * KERNEL), at = k / KERNEL % KERNEL * SIDE + k % KERNEL;
            sum = fused(ws[o * C * KERNEL * KERNEL + k], xs[(n * C + c) * SIDE * SIDE + corner + at], sum);
        }
        test_equal_bits(&got[i], &sum, 1, __FILE__, __LINE__, "an output and its sum in order");
    }
    free(xs), free(ws), free(got);
}

TEST(conv2d_never_multiplies_padding)
{
    Tensor *x = tensor_full(SHAPE(1, 1, 2, 2), 1), *weight = tensor_full(SHAPE(1, 1, 3, 3), 1);
    CHECK(tensor_set(weight, AT(0, 0, 0, 0), INFINITY));
    Tensor *y = op_conv2d(x, weight, TENSOR_NONE, .padding = 1);
    CHECK_CLOSE(tensor_get(y, AT(0, 0, 0, 0)), 4, 0);
    CHECK_CLOSE(tensor_get(y, AT(0, 0, 1, 1)), INFINITY, 0);
}

TEST(conv2d_relu_keeps_nan)
{
    Tensor *x = tensor_full(SHAPE(1, 1, 1, 2), -1), *weight = tensor_full(SHAPE(1, 1, 1, 1), 1);
    CHECK(tensor_set(x, AT(0, 0, 0, 1), NAN));
    tensor_set_requires_grad(x, true);
    Tensor *y = op_conv2d(x, weight, TENSOR_NONE, .relu = true);
    CHECK_CLOSE(tensor_get(y, AT(0, 0, 0, 0)), 0, 0);
    CHECK(isnan(tensor_get(y, AT(0, 0, 0, 1))));
    CHECK(backward(y, .grad = tensor_full(SHAPE(1, 1, 1, 2), 1)));
    CHECK_CLOSE(tensor_get(tensor_grad(x), AT(0, 0, 0, 1)), 0, 0);
    /* Winograd's */
    x = test_tensor(SHAPE(1, WIDE, 6, 6), INPUT_STREAM, 1);
    CHECK(tensor_set(x, AT(0, 3, 2, 2), NAN));
    y = op_conv2d(x, test_tensor(SHAPE(WIDE, WIDE, 3, 3), WEIGHT_STREAM, 1), TENSOR_NONE, .relu = true);
    CHECK(isnan(tensor_get(y, AT(0, 5, 1, 1))));
}

TEST(conv2d_says_what_does_not_fit)
{
    Tensor *x = tensor_zeros(SHAPE(128, 8, 26, 26)), *none = TENSOR_NONE;
    CHECK(!op_conv2d(x, tensor_zeros(SHAPE(16, 12, 3, 3)), none));
    CHECK_ERROR("conv2d: input [128, 8, 26, 26] has 8 channels, weight [16, 12, 3, 3] takes 12");
    CHECK(!op_conv2d(tensor_zeros(SHAPE(8, 26, 26)), tensor_zeros(SHAPE(16, 8, 3, 3)), none));
    CHECK_ERROR("conv2d: input [8, 26, 26]");
    CHECK(!op_conv2d(x, tensor_zeros(SHAPE(16, 8, 3)), none));
    CHECK_ERROR("conv2d: weight [16, 8, 3]");
    Tensor *weight = tensor_zeros(SHAPE(16, 8, 3, 3));
    CHECK(!op_conv2d(x, weight, tensor_zeros(SHAPE(15))));
    CHECK_ERROR("conv2d: bias [15], weight [16, 8, 3, 3] wants [16]");
    CHECK(!op_conv2d(x, weight, tensor_zeros(SHAPE(16, 1))));
    CHECK_ERROR("conv2d: bias [16, 1], weight");
    CHECK(!op_conv2d(x, tensor_zeros(SHAPE(16, 2, 3, 3)), none, .groups = 3));
    CHECK_ERROR("3 groups");
    CHECK(!op_conv2d(x, tensor_zeros(SHAPE(15, 4, 3, 3)), none, .groups = 2));
    CHECK_ERROR("2 groups do not divide the channels of input [128, 8, 26, 26] and weight [15, 4, 3, 3]");
    CHECK(!op_conv2d(x, tensor_zeros(SHAPE(16, 8, 27, 3)), none));
    CHECK_ERROR("conv2d: input [128, 8, 26, 26] with padding 0 is smaller than weight [16, 8, 27, 3]");
    CHECK(!op_conv2d(x, weight, none, .stride = -1));
    CHECK_ERROR("stride -1");
    CHECK(!op_conv2d(x, weight, none, .padding = -1));
    CHECK_ERROR("padding -1");
    CHECK(!op_conv2d(x, weight, none, .dilation = INT64_MAX));
    CHECK_ERROR("dilation 9223372036854775807");
    CHECK(!op_conv2d(x, weight, none, .dilation = -1));
    CHECK_ERROR("dilation -1");
    CHECK(!op_conv2d(x, weight, none, .padding = INT64_MAX));
    CHECK_ERROR("padding 9223372036854775807");
    CHECK(!op_conv2d(x, weight, none, .stride = INT64_MAX));
    CHECK_ERROR("stride 9223372036854775807");
    CHECK(!op_conv2d(x, weight, none, .padding = 1 << 30));
    CHECK_ERROR("2147483672");
    CHECK(!op_conv2d(tensor_zeros(SHAPE(1, 1, 1, 1)), tensor_zeros(SHAPE(1, 1, 2, 2)), none, .padding = 1 << 30));
    CHECK_ERROR("conv2d: a result of 2147483648 by 2147483648 is too large");
    CHECK(!op_conv2d(tensor_zeros(SHAPE(1, 1, 1, 1)), tensor_zeros(SHAPE(256, 1, 2, 2)), none, .padding = 1 << 26));
    CHECK_ERROR("tensor: too many elements");
    Tensor *wide = tensor_zeros(SHAPE(1, WIDE, 4, 4)), *wide_weight = tensor_zeros(SHAPE(WIDE, WIDE, 3, 3));
    CHECK(!op_conv2d(wide, wide_weight, none, .padding = 1 << 30, .max_pool = 2));
    CHECK_ERROR("conv2d: a result of 2147483650 by 2147483650 is too large");
    CHECK(!op_conv2d(NULL, weight, none) && !op_conv2d(x, NULL, none) && !op_conv2d(x, weight, NULL));
}

TEST(conv2d_strides_beyond_the_map)
{
    Tensor *x = test_tensor(SHAPE(1, 1, 3, 3), 1, 1), *weight = test_tensor(SHAPE(1, 1, 2, 2), 2, 1);
    tensor_set_requires_grad(x, true);
    Tensor *y = op_conv2d(x, weight, TENSOR_NONE, .stride = 1 << 30);
    CHECK(backward(y));
    CHECK_CLOSE(tensor_get(tensor_grad(x), AT(0, 0, 1, 1)), tensor_get(weight, AT(0, 0, 1, 1)), 0);
    CHECK_CLOSE(tensor_get(tensor_grad(x), AT(0, 0, 2, 2)), 0, 0);
}

TEST(conv2d_describes_itself)
{
    Tensor *x = tensor_zeros(SHAPE(1, 4, 5, 5)), *weight = tensor_zeros(SHAPE(2, 2, 3, 3));
    tensor_set_requires_grad(weight, true);
    Tensor *y = op_conv2d(x, weight, TENSOR_NONE, .stride = 2, .padding = 3, .dilation = 4, .groups = 2, .relu = true);
    const Node *node = tensor_node(y);
    CHECK(node);
    Attribute attributes[OP_MAX_ATTRIBUTES];
    CHECK_EQUAL(node_op(node)->describe(node, attributes), 6);
    static const struct {
        const char *name;
        int64_t value;
    } expected[] = {{"stride", 2}, {"padding", 3}, {"dilation", 4}, {"groups", 2}, {"relu", 1}, {"max_pool", 0}};
    for (int i = 0; i < 6; i++) {
        CHECK_TEXT(attributes[i].name, expected[i].name);
        CHECK_EQUAL(attributes[i].integers[0], expected[i].value);
    }
}
