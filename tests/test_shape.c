/* reshape, flatten, transpose, concat, narrow. Their gradients are checked in tests/test_gradcheck.c. */
#include "autograd/node.h"
#include "autograd/ops.h"
#include "tests/test.h"

/* The index of row-major element i. */
static Shape index_of(Shape shape, int64_t i)
{
    Shape index = {.rank = shape.rank};
    for (int d = shape.rank - 1; d >= 0; i /= shape.size[d--]) index.size[d] = i % shape.size[d];
    return index;
}

/* ---- reshape ---- */

TEST(reshape_shares_storage_where_it_can)
{
    Tensor *plain = test_tensor(SHAPE(17, 4, 3), 1, 1), *lanes = op_to_lanes(plain);
    Tensor *column = op_to_lanes(tensor_zeros(SHAPE(17, 1)));
    int64_t before = weft_counters().conversions;
    CHECK(op_reshape(plain, SHAPE(3, 68))->storage == plain->storage);
    CHECK(op_reshape(lanes, SHAPE(17, -1))->storage == lanes->storage);
    CHECK(op_flatten(lanes)->storage == lanes->storage);
    CHECK(op_reshape(column, SHAPE(17))->storage == column->storage);
    tensor_set_requires_grad(column, true);
    CHECK(backward(op_reshape(column, SHAPE(17)), .grad = tensor_full(SHAPE(17), 1)));
    CHECK_EQUAL(weft_counters().conversions, before);
    Tensor *flat = op_flatten(plain);
    CHECK(tensor_set(plain, AT(16, 3, 2), 42));
    CHECK_CLOSE(tensor_get(flat, AT(16, 11)), 42, 0);
    CHECK_EQUAL(tensor_version(flat), tensor_version(plain));
    Tensor *moved = op_reshape(lanes, SHAPE(4, 51));
    CHECK(moved && moved->storage != lanes->storage);
    CHECK_CLOSE(tensor_get(moved, AT(3, 50)), tensor_get(lanes, AT(16, 3, 2)), 0);
}

static void check_reshape(Tensor *x, Shape shape, Shape expected)
{
    Tensor *y = op_reshape(x, shape);
    CHECK(y && shape_equal(tensor_shape(y), expected) && layout_spare_is_right(y));
    Real *before = test_values(x), *after = test_values(y);
    CHECK_EQUAL_BITS(before, after, tensor_count(x));
    free(before);
    free(after);
}

TEST(reshape_values)
{
    Tensor *plain = test_tensor(SHAPE(6, 4), 1, 1), *lanes = op_to_lanes(plain);
    Tensor *inputs[] = {plain, lanes};
    for (int i = 0; i < 2 && !test_failed(); i++) {
        check_reshape(inputs[i], SHAPE(6, 2, 2), SHAPE(6, 2, 2));
        check_reshape(inputs[i], SHAPE(-1, 3), SHAPE(8, 3));
        check_reshape(inputs[i], SHAPE(-1), SHAPE(24));
        check_reshape(inputs[i], SHAPE(1, 2, 3, 2, 2, -1), SHAPE(1, 2, 3, 2, 2, 1));
    }
    check_reshape(tensor_full(SHAPE(1, 1), 3), SCALAR, SCALAR);
    check_reshape(tensor_full(SCALAR, 3), SHAPE(1), SHAPE(1));
    check_reshape(op_to_lanes(test_tensor(SHAPE(5, 1), 1, 1)), SHAPE(5), SHAPE(5));
    check_reshape(test_tensor(SHAPE(5), 1, 1), SHAPE(5, 1, 1), SHAPE(5, 1, 1));
}

/* A vector's values are followed by copies of the last, for kernels that compute 16 at a time: a write through another
 * handle on the same storage must renew them. */
TEST(a_write_elsewhere_keeps_a_vectors_spare_lanes_right)
{
    Tensor *x = test_tensor(SHAPE(4, 5), 1, 1), *r = op_reshape(x, SHAPE(20));
    CHECK(r->storage == x->storage);
    CHECK(layout_spare_is_right(r));
    CHECK(tensor_set(x, AT(3, 4), 7));
    CHECK(layout_spare_is_right(r));
    CHECK_CLOSE(tensor_get(op_relu(r), AT(19)), 7, 0);
    Real values[20];
    for (int i = 0; i < 20; i++) values[i] = (Real)(i - 25);
    CHECK(tensor_write(x, values, 20));
    CHECK(layout_spare_is_right(r));
    CHECK_CLOSE(tensor_get(op_abs(r), AT(19)), 6, 0);
    CHECK(tensor_copy(x, test_tensor(SHAPE(4, 5), 2, 1)));
    CHECK(layout_spare_is_right(r));
}

TEST(reshape_errors)
{
    Tensor *x = tensor_zeros(SHAPE(6, 4));
    CHECK(!op_reshape(x, SHAPE(5, 5)));
    CHECK_ERROR("reshape: [6, 4] does not become [5, 5]");
    CHECK(!op_reshape(x, SHAPE(-1, -1)));
    CHECK_ERROR("reshape: [6, 4] does not become [-1, -1]");
    CHECK(!op_reshape(x, SHAPE(7, -1)));
    CHECK_ERROR("reshape: [6, 4] does not become [7, -1]");
    CHECK(!op_reshape(x, SHAPE(0, -1)));
    CHECK_ERROR("does not become [0, -1]");
    CHECK(!op_reshape(x, SHAPE(INT64_MAX, INT64_MAX, -1)));
    CHECK_ERROR("reshape:");
    CHECK(!op_reshape(x, (Shape){.rank = 7}));
    CHECK_ERROR("reshape:");
    CHECK(!op_reshape(x, (Shape){.rank = -1}));
    CHECK_ERROR("reshape:");
    CHECK(!op_reshape(TENSOR_NONE, SHAPE(1)));
    CHECK_ERROR("reshape: none");
    CHECK(!op_flatten(tensor_zeros(SCALAR)));
    CHECK_ERROR("flatten: []");
    CHECK(!op_reshape(NULL, SHAPE(1)) && !op_flatten(NULL) && !weft_error());
}

/* ---- transpose ---- */

static void check_transpose(const Tensor *x, const Tensor *y, int a, int b)
{
    CHECK(y && layout_spare_is_right(y));
    CHECK_EQUAL(tensor_size(y, a), tensor_size(x, b));
    CHECK_EQUAL(tensor_size(y, b), tensor_size(x, a));
    for (int64_t i = 0; i < tensor_count(x); i++) {
        Shape from = index_of(tensor_shape(x), i), to = from;
        to.size[a] = from.size[b];
        to.size[b] = from.size[a];
        CHECK_CLOSE(tensor_get(y, to), tensor_get(x, from), 0);
    }
}

TEST(transpose_values)
{
    Tensor *plain = test_tensor(SHAPE(17, 3, 1, 4), 1, 1), *lanes = op_to_lanes(plain);
    for (int a = 0; a < 4 && !test_failed(); a++) {
        for (int b = 0; b < 4 && !test_failed(); b++) {
            check_transpose(plain, op_transpose(plain, a, b), a, b);
            check_transpose(plain, op_transpose(lanes, a - 4, b), a, b);
        }
    }
    CHECK(!op_transpose(plain, 0, 4));
    CHECK_ERROR("transpose: [17, 3, 1, 4] has no dimension 4");
    CHECK(!op_transpose(plain, -5, 0));
    CHECK_ERROR("transpose: [17, 3, 1, 4] has no dimension -5");
    CHECK(!op_transpose(NULL, 0, 1) && !weft_error());
}

/* ---- concat and narrow ---- */

static void check_pieces(int dimension, unsigned lanes)
{
    Tensor *pieces[3];
    for (uint32_t i = 0; i < 3; i++) {
        Shape shape = SHAPE(5, 3, 2);
        shape.size[dimension] = 2 * i + 1;
        pieces[i] = test_tensor(shape, i, 1);
        if (lanes >> i & 1) pieces[i] = op_to_lanes(pieces[i]);
    }
    Tensor *whole = op_concat(pieces, 3, dimension - 3);
    CHECK(whole && layout_spare_is_right(whole));
    CHECK_EQUAL(tensor_size(whole, dimension), 1 + 3 + 5);
    int64_t start = 0;
    for (int i = 0; i < 3; i++) {
        Shape shape = tensor_shape(pieces[i]);
        Tensor *piece = op_narrow(whole, dimension, start, shape.size[dimension]);
        CHECK(piece && layout_spare_is_right(piece) && shape_equal(tensor_shape(piece), shape));
        for (int64_t k = 0; k < tensor_count(piece); k++) {
            Shape at = index_of(shape, k), in_whole = at;
            in_whole.size[dimension] += start;
            CHECK_CLOSE(tensor_get(whole, in_whole), tensor_get(pieces[i], at), 0);
            CHECK_CLOSE(tensor_get(piece, at), tensor_get(pieces[i], at), 0);
        }
        start += shape.size[dimension];
    }
}

TEST(concat_and_narrow_are_inverse)
{
    for (int dimension = 0; dimension < 3; dimension++) {
        for (unsigned lanes = 0; lanes < 8 && !test_failed(); lanes++) check_pieces(dimension, lanes);
    }
}

TEST(concat_and_narrow_of_vectors_fill_spare_lanes)
{
    Tensor *vector = test_tensor(SHAPE(20), 1, 1), *pieces[] = {vector, tensor_full(SHAPE(13), 2)};
    Tensor *whole = op_concat(pieces, 2, 0), *piece = op_narrow(vector, 0, 3, 4);
    CHECK(whole && layout_spare_is_right(whole));
    CHECK_CLOSE(tensor_get(whole, AT(20)), 2, 0);
    CHECK(piece && layout_spare_is_right(piece));
    CHECK_CLOSE(tensor_get(piece, AT(3)), tensor_get(vector, AT(6)), 0);
}

TEST(narrow_gives_zero_gradient_elsewhere)
{
    Tensor *x = op_to_lanes(test_tensor(SHAPE(5, 4, 2), 1, 1));
    tensor_set_requires_grad(x, true);
    CHECK(backward(op_sum(op_narrow(x, 1, 1, 2))));
    for (int64_t k = 0; k < 4; k++)
        CHECK_CLOSE(tensor_get(tensor_grad(x), AT(4, k, 1)), k == 1 || k == 2 ? 1 : 0, 0);
    CHECK(layout_spare_is_right(tensor_grad(x)));
}

TEST(shape_ops_of_a_gradient_keep_spare_lanes_right)
{
    Tensor *x = op_to_lanes(test_tensor(SHAPE(5, 3, 2), 1, 1)), *v = test_tensor(SHAPE(5), 1, 1);
    tensor_set_requires_grad(x, true);
    tensor_set_requires_grad(v, true);
    CHECK(backward(op_sum(op_square(x))) && backward(op_sum(op_square(v))));
    Tensor *g = tensor_grad(x), *both[] = {x, g}, *vectors[] = {v, tensor_grad(v)};
    Tensor *results[] = {op_concat(both, 2, 1), op_concat(both, 2, 0), op_concat(vectors, 2, 0),
                         op_narrow(g, 1, 0, 2), op_narrow(tensor_grad(v), 0, 1, 3), op_transpose(g, 1, 2),
                         op_transpose(g, 0, 1), op_reshape(g, SHAPE(30)), op_flatten(g)};
    for (int i = 0; i < 9; i++) CHECK(results[i] && layout_spare_is_right(results[i]));
    CHECK_CLOSE(tensor_get(results[0], AT(4, 5, 1)), tensor_get(g, AT(4, 2, 1)), 0);
}

TEST(concat_errors)
{
    Tensor *a = tensor_zeros(SHAPE(2, 3)), *b = tensor_zeros(SHAPE(2, 4)), *c = tensor_zeros(SHAPE(2));
    CHECK(!op_concat((Tensor *[]){a, b}, 2, 0));
    CHECK_ERROR("concat: [2, 3] and [2, 4] differ elsewhere than in dimension 0");
    CHECK(!op_concat((Tensor *[]){a, c}, 2, 1));
    CHECK_ERROR("concat: [2, 3] and [2] differ");
    CHECK(!op_concat((Tensor *[]){a, TENSOR_NONE}, 2, 1));
    CHECK_ERROR("concat: [2, 3] and none differ");
    CHECK(!op_concat((Tensor *[]){TENSOR_NONE, a}, 2, 1));
    CHECK_ERROR("concat: none has no dimension 1");
    CHECK(!op_concat(&a, 1, 2));
    CHECK_ERROR("concat: [2, 3] has no dimension 2");
    CHECK(!op_concat(&a, 0, 0));
    CHECK_ERROR("concat: 0 inputs");
    CHECK(!op_concat(&a, OP_MAX_INPUTS + 1, 0));
    CHECK_ERROR("concat: 65 inputs");
    CHECK(!op_concat((Tensor *[]){a, NULL}, 2, 0) && !weft_error());
}

TEST(narrow_errors)
{
    Tensor *x = tensor_zeros(SHAPE(5, 3));
    CHECK(!op_narrow(x, 1, 2, 2));
    CHECK_ERROR("narrow: 2 from 2 on are not in dimension 1 of [5, 3]");
    CHECK(!op_narrow(x, 1, -1, 2));
    CHECK_ERROR("narrow: 2 from -1 on");
    CHECK(!op_narrow(x, 0, 0, 0));
    CHECK_ERROR("narrow: 0 from 0 on");
    CHECK(!op_narrow(x, 0, INT64_MAX, 1));
    CHECK_ERROR("narrow:");
    CHECK(!op_narrow(x, 2, 0, 1));
    CHECK_ERROR("narrow: [5, 3] has no dimension 2");
    CHECK(!op_narrow(NULL, 0, 0, 1) && !weft_error());
}
