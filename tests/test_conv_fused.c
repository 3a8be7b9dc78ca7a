/* What a convolution does together with its neighbours is, bit for bit, what they do one after another. */
#include "autograd/node.h"
#include "autograd/ops.h"
#include "nn/nn.h"
#include "tests/test.h"

typedef struct Size {
    int64_t n, c, h, w, o;
} Size;

enum { X, WEIGHT, BIAS, SECOND_WEIGHT, SECOND_BIAS, LEAVES };
enum { RESULTS = LEAVES + 2 };

/* A small network of the leaves; what `fused` changes is the way it is written. `between` is to be kept, or NULL. */
typedef Tensor *Build(Tensor *const leaves[LEAVES], bool fused, Tensor **between);

/* Values in steps of 1/8, so that windows have more than one maximum. */
static Tensor *leaf(Shape shape, uint32_t stream, bool coarse)
{
    Tensor *t = test_tensor(shape, stream, 1);
    for (int64_t i = 0; coarse && i < tensor_count(t); i++)
        t->storage->data[i] = (Real)(rint(8 * test_number(stream, i)) / 8);
    layout_touch(t);
    tensor_set_requires_grad(t, true);
    return t;
}

/* The result, the gradient of `between`, and those of the leaves that take part. */
static void run(Build *build, Size s, bool fused, bool coarse, Tensor *results[RESULTS])
{
    Tensor *leaves[LEAVES] = {
        leaf(SHAPE(s.n, s.c, s.h, s.w), 1, coarse), leaf(SHAPE(s.o, s.c, 3, 3), 2, coarse), leaf(SHAPE(s.o), 3, coarse),
        leaf(SHAPE(32, s.o, 3, 3), 4, false), leaf(SHAPE(32), 5, false)};
    Tensor *between = NULL, *y = build(leaves, fused, &between);
    CHECK(backward(y, .grad = test_tensor(tensor_shape(y), 6, 1)));
    results[0] = y;
    results[1] = between ? tensor_grad(between) : NULL;
    for (int i = 0; i < LEAVES; i++) results[2 + i] = tensor_grad(leaves[i]);
}

static void check(Build *build, Size s, bool coarse)
{
    Tensor *apart[RESULTS], *together[RESULTS];
    run(build, s, false, coarse, apart);
    if (!test_failed()) run(build, s, true, coarse, together);
    for (int i = 0; i < RESULTS && !test_failed(); i++) {
        CHECK(!apart[i] == !together[i]);
        if (!apart[i]) continue;
        CHECK(layout_spare_is_right(together[i]));
        Real *a = test_values(apart[i]), *b = test_values(together[i]);
        CHECK_EQUAL_BITS(a, b, tensor_count(apart[i]));
        free(a);
        free(b);
    }
}

/* On every table of kernels, over the sizes. */
static void check_all(Build *build, const Size *sizes, int count)
{
    for (const Kernels *const *table = weft_kernels_all(); *table && !test_failed(); table++) {
        weft_kernels_use(*table);
        for (int i = 0; i < count && !test_failed(); i++)
            for (int coarse = 0; coarse < 2 && !test_failed(); coarse++) check(build, sizes[i], coarse);
    }
    weft_kernels_use(NULL);
}

/* Winograd's, with whole and partial tiles of each size, odd maps and more than one block of tiles; and the direct
 * algorithm's. Tiles of 5 are pooled afterwards. */
static const Size sizes[] = {{1, 32, 6, 6, 32},   {15, 32, 7, 8, 36}, {16, 32, 10, 9, 32}, {17, 36, 12, 7, 32},
                             {33, 32, 6, 11, 32}, {2, 32, 5, 5, 68},  {17, 3, 7, 6, 8},    {1, 32, 22, 22, 32},
                             {1, 32, 26, 26, 32}, {17, 32, 14, 13, 36}, {3, 32, 18, 18, 32}};
enum { SIZES = sizeof sizes / sizeof *sizes };

static Tensor *pooled(Tensor *const leaves[LEAVES], bool fused, Tensor **between)
{
    (void)between;
    if (fused) return op_conv2d(leaves[X], leaves[WEIGHT], leaves[BIAS], .max_pool = 2);
    return op_max_pool2d(op_conv2d(leaves[X], leaves[WEIGHT], leaves[BIAS]), 2);
}

TEST(conv2d_with_max_pool_is_one_after_the_other)
{
    check_all(pooled, sizes, SIZES);
}

static Tensor *relu_pooled(Tensor *const leaves[LEAVES], bool fused, Tensor **between)
{
    (void)between;
    if (fused) return op_conv2d(leaves[X], leaves[WEIGHT], leaves[BIAS], .relu = true, .max_pool = 2);
    return op_max_pool2d(op_relu(op_conv2d(leaves[X], leaves[WEIGHT], leaves[BIAS])), 2);
}

TEST(conv2d_with_relu_and_max_pool_is_one_after_the_other)
{
    check_all(relu_pooled, sizes, SIZES);
}

static Tensor *without_bias(Tensor *const leaves[LEAVES], bool fused, Tensor **between)
{
    (void)between;
    if (fused) return op_conv2d(leaves[X], leaves[WEIGHT], TENSOR_NONE, .padding = 1, .relu = true, .max_pool = 2);
    return op_relu(op_max_pool2d(op_conv2d(leaves[X], leaves[WEIGHT], TENSOR_NONE, .padding = 1), 2));
}

TEST(conv2d_with_max_pool_then_relu_is_one_after_the_other)
{
    check_all(without_bias, sizes, 4);
}

static Tensor *other_windows(Tensor *const leaves[LEAVES], bool fused, Tensor **between)
{
    (void)between;
    if (fused) return op_conv2d(leaves[X], leaves[WEIGHT], leaves[BIAS], .max_pool = 3);
    return op_max_pool2d(op_conv2d(leaves[X], leaves[WEIGHT], leaves[BIAS]), 3);
}

TEST(conv2d_with_max_pool_of_another_window)
{
    check_all(other_windows, sizes, 2);
}

/* The second convolution masks the first one's gradient, and leaves the sums for its bias. */
static Tensor *relu_between(Tensor *const leaves[LEAVES], bool fused, Tensor **between)
{
    (void)between;
    Tensor *x = op_conv2d(leaves[X], leaves[WEIGHT], leaves[BIAS], .relu = fused);
    return op_conv2d(fused ? x : op_relu(x), leaves[SECOND_WEIGHT], leaves[SECOND_BIAS], .padding = 1);
}

TEST(conv2d_masks_the_gradient_of_a_relu_before_it)
{
    check_all(relu_between, sizes, SIZES);
}

/* Who keeps the gradient of the relu's result sees it as it is, not masked. */
static Tensor *kept_between(Tensor *const leaves[LEAVES], bool fused, Tensor **between)
{
    Tensor *x = op_conv2d(leaves[X], leaves[WEIGHT], leaves[BIAS], .relu = fused);
    *between = fused ? x : op_relu(x);
    tensor_keep_grad(*between);
    return op_conv2d(*between, leaves[SECOND_WEIGHT], leaves[SECOND_BIAS], .padding = 1);
}

TEST(conv2d_leaves_a_gradient_that_is_kept)
{
    check_all(kept_between, sizes, 4);
}

/* Of two that use the result one masks the gradient and one does not. */
static Tensor *used_twice(Tensor *const leaves[LEAVES], bool fused, Tensor **between)
{
    (void)between;
    Tensor *x = op_conv2d(leaves[X], leaves[WEIGHT], leaves[BIAS], .relu = fused);
    if (!fused) x = op_relu(x);
    Tensor *y = op_conv2d(x, leaves[SECOND_WEIGHT], leaves[SECOND_BIAS], .padding = 1);
    return op_mul(op_conv2d(y, leaves[SECOND_WEIGHT], TENSOR_NONE, .padding = 1), op_exp(x));
}

TEST(conv2d_masks_again_what_was_added_up)
{
    static const Size same[] = {{17, 32, 7, 6, 32}, {3, 4, 7, 6, 32}};
    check_all(used_twice, same, 2);
}

/* Ops that hand one gradient to both of their inputs: each convolution sums and masks it for itself. */
static Tensor *branch(Tensor *const leaves[LEAVES], bool fused, int64_t max_pool)
{
    if (fused) return op_conv2d(leaves[X], leaves[WEIGHT], leaves[BIAS], .relu = true, .max_pool = max_pool);
    Tensor *x = op_relu(op_conv2d(leaves[X], leaves[WEIGHT], leaves[BIAS]));
    return max_pool ? op_max_pool2d(x, max_pool) : x;
}

static Tensor *plain(Tensor *const leaves[LEAVES])
{
    return op_conv2d(leaves[X], leaves[WEIGHT], leaves[BIAS]);
}

static Tensor *relu_and_plain(Tensor *const leaves[LEAVES], bool fused, Tensor **between)
{
    (void)between;
    Tensor *x = branch(leaves, fused, 0);
    return op_add(x, plain(leaves));
}

static Tensor *plain_and_relu(Tensor *const leaves[LEAVES], bool fused, Tensor **between)
{
    (void)between;
    Tensor *x = plain(leaves);
    return op_sub(branch(leaves, fused, 0), x);
}

static Tensor *reshaped(Tensor *const leaves[LEAVES], bool fused, Tensor **between)
{
    (void)between;
    Tensor *x = op_flatten(branch(leaves, fused, 0));
    return op_add(x, op_flatten(plain(leaves)));
}

static Tensor *both_pooled(Tensor *const leaves[LEAVES], bool fused, Tensor **between)
{
    (void)between;
    Tensor *x = branch(leaves, fused, 2);
    return op_add(x, fused ? op_conv2d(leaves[X], leaves[WEIGHT], leaves[BIAS], .max_pool = 2)
                           : op_max_pool2d(plain(leaves), 2));
}

TEST(convolutions_share_a_gradient_and_not_its_sums)
{
    static const Size two[] = {{17, 32, 7, 6, 32}, {3, 4, 7, 6, 8}};
    check_all(relu_and_plain, two, 2);
    check_all(plain_and_relu, two, 2);
    check_all(reshaped, two, 2);
    check_all(both_pooled, two, 2);
}

static Tensor *normed(Tensor *const leaves[LEAVES], bool fused, Tensor **between)
{
    (void)between;
    Tensor *x = op_conv2d(leaves[X], leaves[WEIGHT], leaves[BIAS], .relu = fused, .statistics = fused);
    if (!fused) x = op_relu(x);
    return op_batch_norm2d(x, TENSOR_NONE, TENSOR_NONE, TENSOR_NONE, TENSOR_NONE, .training = true, .dropout = 0.3);
}

TEST(batch_norm_masks_the_gradient_of_a_relu_before_it)
{
    check_all(normed, sizes, SIZES);
}

/* Whichever of image, weight and bias it is that wants a gradient. */
TEST(conv2d_with_max_pool_computes_only_the_gradients_that_are_wanted)
{
    for (int wanted = X; wanted <= BIAS; wanted++) {
        Tensor *grads[2];
        for (int fused = 0; fused < 2; fused++) {
            Tensor *leaves[LEAVES] = {test_tensor(SHAPE(17, 32, 8, 8), 1, 1), test_tensor(SHAPE(32, 32, 3, 3), 2, 1),
                                      test_tensor(SHAPE(32), 3, 1)};
            tensor_set_requires_grad(leaves[wanted], true);
            Tensor *y = branch(leaves, fused, 2);
            CHECK(backward(y, .grad = test_tensor(tensor_shape(y), 4, 1)));
            for (int i = X; i <= BIAS; i++) CHECK(!tensor_grad(leaves[i]) == (i != wanted));
            grads[fused] = tensor_grad(leaves[wanted]);
        }
        Real *apart = test_values(grads[0]), *together = test_values(grads[1]);
        CHECK_EQUAL_BITS(apart, together, tensor_count(grads[0]));
        free(apart);
        free(together);
    }
}

/* A NaN reaches the result, and lets no gradient through relu. */
TEST(conv2d_with_max_pool_keeps_nan)
{
    Tensor *x = leaf(SHAPE(2, 32, 6, 6), 1, false), *weight = leaf(SHAPE(32, 32, 3, 3), 2, false);
    CHECK(tensor_set(x, AT(1, 3, 2, 3), NAN));
    Tensor *y = op_conv2d(x, weight, TENSOR_NONE, .relu = true, .max_pool = 2);
    CHECK(isnan(tensor_get(y, AT(1, 7, 0, 0))) && isnan(tensor_get(y, AT(1, 7, 1, 1))));
    CHECK(!isnan(tensor_get(y, AT(0, 7, 0, 0))));
    CHECK(backward(y, .grad = tensor_full(SHAPE(2, 32, 2, 2), 1)));
    CHECK_CLOSE(tensor_get(tensor_grad(x), AT(1, 5, 2, 2)), 0, 0);
    CHECK(fabs(tensor_get(tensor_grad(x), AT(0, 5, 2, 2))) > 0);
}

/* What evaluation computes, recording nothing. */
TEST(conv2d_with_max_pool_needs_no_graph)
{
    Tensor *x = test_tensor(SHAPE(17, 32, 8, 8), 1, 1), *weight = leaf(SHAPE(32, 32, 3, 3), 2, false);
    Tensor *recorded = op_conv2d(x, weight, TENSOR_NONE, .relu = true, .max_pool = 2);
    autograd_record(false);
    Tensor *plain = op_conv2d(x, weight, TENSOR_NONE, .relu = true, .max_pool = 2);
    autograd_record(true);
    CHECK(recorded && plain && tensor_node(recorded) && !tensor_node(plain));
    CHECK_EQUAL_BITS(recorded->storage->data, plain->storage->data, plain->storage->count);
}

TEST(conv2d_says_which_window_is_wrong)
{
    Tensor *x = tensor_zeros(SHAPE(1, 1, 4, 4)), *weight = tensor_zeros(SHAPE(1, 1, 3, 3));
    CHECK(!op_conv2d(x, weight, TENSOR_NONE, .max_pool = -1));
    CHECK_ERROR("conv2d: max_pool -1");
    CHECK(!op_conv2d(x, weight, TENSOR_NONE, .max_pool = 3));
    CHECK_ERROR("max_pool2d: input [1, 1, 2, 2]");
}

/* Sequential and a forward of one's own give the same, whether somebody watches the layers or not. */
TEST(conv2d_and_max_pool_in_a_sequential)
{
    nn_seed(1);
    Module *net = nn_sequential(nn_conv2d(3, 32, 3, .relu = true), nn_conv2d(32, 32, 3, .relu = true),
                                nn_max_pool2d(2));
    Tensor *x = test_tensor(SHAPE(5, 3, 12, 12), 1, 1), *y = nn_forward(net, x), *step = x;
    for (int64_t i = 0; i < 2; i++) step = nn_forward(net->children[i].module, step);
    Tensor *apart = op_max_pool2d(step, 2);
    Tensor *together = nn_forward_max_pool2d(net->children[1].module, nn_forward(net->children[0].module, x), 2);
    CHECK(y && apart && together);
    CHECK_EQUAL_BITS(y->storage->data, apart->storage->data, y->storage->count);
    CHECK_EQUAL_BITS(y->storage->data, together->storage->data, y->storage->count);
    CHECK(!nn_forward_max_pool2d(NULL, x, 2));
    CHECK_ERROR("nn_forward");
    CHECK(!nn_forward_max_pool2d(net->children[0].module, x, 0));
    CHECK_ERROR("max_pool2d: kernel 0");
    nn_free(net);
}

/* A pooling whose windows overlap, or leave gaps, or have padding, is no part of the convolution before it. */
TEST(conv2d_before_a_pooling_that_is_apart)
{
    nn_seed(1);
    Module *net = nn_sequential(nn_conv2d(2, 4, 3), nn_max_pool2d(3, .padding = 1), nn_conv2d(4, 4, 2),
                                nn_max_pool2d(3, .stride = 2), nn_conv2d(4, 4, 2), nn_max_pool2d(2, .stride = 3));
    Tensor *x = test_tensor(SHAPE(5, 2, 40, 40), 1, 1), *y = nn_forward(net, x), *step = x;
    for (int64_t i = 0; i < net->child_count; i++) step = nn_forward(net->children[i].module, step);
    CHECK(y && step && shape_equal(tensor_shape(y), tensor_shape(step)));
    CHECK_EQUAL_BITS(y->storage->data, step->storage->data, y->storage->count);
    nn_free(net);
}

/* Statistics are those of what batch norm is given: of a pooled result, not of what was pooled. */
TEST(conv2d_with_statistics_and_max_pool)
{
    Tensor *x = test_tensor(SHAPE(5, 32, 8, 8), 1, 1), *weight = test_tensor(SHAPE(32, 32, 3, 3), 2, 0.1);
    Tensor *y = op_conv2d(x, weight, TENSOR_NONE, .padding = 1, .statistics = true, .max_pool = 2);
    Tensor *apart = op_max_pool2d(op_conv2d(x, weight, TENSOR_NONE, .padding = 1), 2);
    y = op_batch_norm2d(y, TENSOR_NONE, TENSOR_NONE, TENSOR_NONE, TENSOR_NONE, .training = true);
    apart = op_batch_norm2d(apart, TENSOR_NONE, TENSOR_NONE, TENSOR_NONE, TENSOR_NONE, .training = true);
    CHECK(y && apart && shape_equal(tensor_shape(y), tensor_shape(apart)));
    CHECK_EQUAL_BITS(y->storage->data, apart->storage->data, y->storage->count);
}
