/* The engine: what is recorded, how gradients accumulate, what backward refuses, what it frees. */
#include "autograd/autograd.h"

#include <pthread.h>

#include "autograd/node.h"
#include "autograd/ops.h"
#include "tensor/memory.h"
#include "tests/test.h"

/* A tensor of rank 1 that wants a gradient. */
static Tensor *leaf(int64_t count, uint32_t stream)
{
    Tensor *t = test_tensor(SHAPE(count), stream, 1);
    tensor_set_requires_grad(t, true);
    return t;
}

static double grad_at(const Tensor *t, int64_t i)
{
    return tensor_grad(t) ? tensor_get(tensor_grad(t), AT(i)) : (double)NAN;
}

TEST(backward_of_an_expression)
{
    Tensor *x = leaf(5, 1), *y = leaf(5, 2);
    /* z = sum(x y + x^2): dz/dx = y + 2 x, dz/dy = x */
    Tensor *z = op_sum(op_add(op_mul(x, y), op_square(x)));
    CHECK(tensor_requires_grad(z));
    CHECK(backward(z));
    for (int64_t i = 0; i < 5; i++) {
        double a = tensor_get(x, AT(i)), b = tensor_get(y, AT(i));
        CHECK_CLOSE(grad_at(x, i), b + 2 * a, 1e-6);
        CHECK_CLOSE(grad_at(y, i), a, 1e-6);
    }
    CHECK(!tensor_requires_grad(tensor_grad(x)));
}

TEST(one_tensor_in_both_places)
{
    Tensor *x = leaf(3, 1);
    CHECK(backward(op_sum(op_mul(x, x))));
    for (int64_t i = 0; i < 3; i++) CHECK_CLOSE(grad_at(x, i), 2 * tensor_get(x, AT(i)), 1e-6);
}

TEST(paths_through_a_diamond_add_up)
{
    Tensor *x = leaf(3, 1), *middle = op_mul_scalar(x, 2);
    Tensor *left = op_mul_scalar(middle, 3), *right = op_mul_scalar(middle, 5);
    CHECK(backward(op_sum(op_sub(op_add(left, right), middle))));
    for (int64_t i = 0; i < 3; i++) CHECK_CLOSE(grad_at(x, i), 2 * (3 + 5 - 1), 1e-6);
}

TEST(gradients_accumulate_until_cleared)
{
    Tensor *x = leaf(4, 1);
    for (int i = 1; i <= 3; i++) {
        CHECK(backward(op_sum(op_mul_scalar(x, 2))));
        CHECK_CLOSE(grad_at(x, 3), 2 * i, 0);
    }
    tensor_clear_grad(x);
    CHECK(!tensor_grad(x));
    CHECK(backward(op_sum(op_mul_scalar(x, 2))));
    CHECK_CLOSE(grad_at(x, 3), 2, 0);
}

/* A gradient that a user holds on to must not change under them when more is accumulated. */
TEST(a_retained_gradient_is_not_written)
{
    Tensor *x = leaf(4, 1);
    CHECK(backward(op_sum(x)));
    Tensor *held = tensor_retain(tensor_grad(x));
    CHECK(backward(op_sum(x)));
    CHECK_CLOSE(tensor_get(held, AT(2)), 1, 0);
    CHECK_CLOSE(grad_at(x, 2), 2, 0);
    tensor_release(held);
}

/* Two leaves that the same gradient flows to must not share what accumulates. */
TEST(gradients_of_two_leaves_are_apart)
{
    Tensor *x = leaf(4, 1), *y = leaf(4, 2);
    CHECK(backward(op_sum(op_add(x, y))));
    CHECK(backward(op_sum(x)));
    CHECK_CLOSE(grad_at(x, 0), 2, 0);
    CHECK_CLOSE(grad_at(y, 0), 1, 0);
    CHECK(tensor_set(tensor_grad(x), AT(0), 7));
    CHECK_CLOSE(grad_at(y, 0), 1, 0);
}

TEST(a_gradient_on_two_paths_is_shared_by_none)
{
    Tensor *x = leaf(4, 1), *y = leaf(4, 2);
    CHECK(backward(op_sum(op_add(op_add(x, y), x))));
    CHECK_CLOSE(grad_at(x, 0), 2, 0);
    CHECK_CLOSE(grad_at(y, 0), 1, 0);
}

/* A reshape hands on the storage of the gradient that it is given. */
TEST(a_gradient_that_was_reshaped_is_shared_by_none)
{
    Tensor *x = leaf(4, 1), *y = test_tensor(SHAPE(2, 2), 2, 1);
    tensor_set_requires_grad(y, true);
    Tensor *square = op_square(op_mul_scalar(x, 2)), *sum = op_add(x, op_reshape(y, SHAPE(4)));
    CHECK(backward(op_sum(op_add(sum, square))));
    for (int64_t i = 0; i < 4; i++) {
        CHECK_CLOSE(grad_at(x, i), 1 + 8 * tensor_get(x, AT(i)), 1e-6);
        CHECK_CLOSE(tensor_get(tensor_grad(y), AT(i / 2, i % 2)), 1, 0);
    }
}

TEST(backward_takes_the_roots_gradient)
{
    Tensor *x = leaf(4, 1), *y = op_mul_scalar(x, 3);
    Tensor *grad = tensor_from(SHAPE(4), (Real[]){1, 0, -2, 5}), *seen = tensor_detach(grad);
    CHECK(backward(y, .grad = grad));
    CHECK_CLOSE(grad_at(x, 2), -6, 0);
    CHECK_CLOSE(tensor_get(grad, AT(2)), -2, 0);
    CHECK(layout_spare_is_right(grad) && layout_spare_is_right(seen));
    CHECK(!backward(op_mul_scalar(x, 3), .grad = tensor_zeros(SHAPE(5))));
    CHECK_ERROR("backward: gradient [5] of a tensor of [4]");
    CHECK(!backward(op_mul_scalar(x, 3)));
    CHECK_ERROR("one element");
    CHECK_CLOSE(grad_at(x, 2), -6, 0);
}

TEST(backward_from_a_leaf_is_the_seed)
{
    Tensor *x = tensor_full(SCALAR, 3);
    tensor_set_requires_grad(x, true);
    CHECK(backward(x));
    CHECK_CLOSE(tensor_item(tensor_grad(x)), 1, 0);
    CHECK(backward(x, .grad = tensor_full(SCALAR, 4)));
    CHECK_CLOSE(tensor_item(tensor_grad(x)), 5, 0);
}

TEST(backward_refuses_null_and_constants)
{
    CHECK(!backward(NULL));
    CHECK(!weft_error());
    CHECK(!backward(op_sum(test_tensor(SHAPE(3), 1, 1))));
    CHECK_ERROR("does not require a gradient");
}

TEST(the_graph_is_used_once_unless_kept)
{
    Tensor *x = leaf(3, 1), *y = op_sum(op_square(x));
    CHECK(backward(y, .keep_graph = true));
    CHECK(backward(y));
    CHECK_CLOSE(grad_at(x, 1), 4 * tensor_get(x, AT(1)), 1e-6);
    CHECK(!backward(y));
    CHECK_ERROR("keep_graph");
    CHECK_CLOSE(grad_at(x, 1), 4 * tensor_get(x, AT(1)), 1e-6);
}

/* A part of the graph that two roots share is used up by the first. */
TEST(a_shared_part_is_used_up_too)
{
    Tensor *x = leaf(3, 1), *shared = op_square(x);
    CHECK(backward(op_sum(shared)));
    CHECK(!backward(op_mean(shared)));
    CHECK_ERROR("keep_graph");
    CHECK_CLOSE(grad_at(x, 1), 2 * tensor_get(x, AT(1)), 1e-6);
}

TEST(a_write_to_a_saved_value_is_refused)
{
    Tensor *x = leaf(3, 1), *y = leaf(3, 2);
    Tensor *product = op_sum(op_mul(x, y));
    CHECK(tensor_set(y, AT(0), 9));
    CHECK(!backward(product));
    CHECK_ERROR("written");
    CHECK(!tensor_grad(x) && !tensor_grad(y));
    product = op_sum(op_mul(x, y));
    CHECK(tensor_set(tensor_detach(x), AT(0), 9)); /* shares the storage */
    CHECK(!backward(product));
    CHECK_ERROR("written");
    Tensor *e = op_exp(x), *sum = op_sum(e);
    CHECK(tensor_set(e, AT(0), 1)); /* exp's backward reads its result */
    CHECK(!backward(sum));
    CHECK_ERROR("written");
    CHECK(!tensor_grad(x) && !tensor_grad(y));
}

/* Backward turns recording off for its ops and leaves it as it was, on or off, whether it can be or not. */
TEST(backward_leaves_recording_as_it_was)
{
    for (int on = 0; on < 2; on++) {
        Tensor *x = leaf(3, 1), *y = op_sum(op_square(x));
        autograd_record(on);
        CHECK(backward(y));
        CHECK_EQUAL(autograd_is_recording(), on);
        CHECK(!backward(y));
        CHECK_ERROR("keep_graph");
        CHECK_EQUAL(autograd_record(true), on);
    }
}

/* linear reads a copy of x in lanes; that x is written is an error all the same, as no layout shows. */
TEST(a_write_to_what_was_converted_is_refused)
{
    Tensor *x = test_tensor(SHAPE(3, 2), 1, 1), *weight = test_tensor(SHAPE(4, 2), 2, 1);
    tensor_set_requires_grad(x, true);
    tensor_set_requires_grad(weight, true);
    Tensor *sum = op_sum(op_linear(x, weight, TENSOR_NONE));
    CHECK(tensor_set(x, AT(0, 0), 9));
    CHECK(!backward(sum));
    CHECK_ERROR("input 0 of linear was written");
}

/* Of a constant, what linear read is the copy alone, so that the gradient is that of the values before. */
TEST(a_write_to_a_constant_that_was_converted_is_not_seen)
{
    Tensor *x = test_tensor(SHAPE(3, 2), 1, 1), *weight = test_tensor(SHAPE(1, 2), 2, 1);
    tensor_set_requires_grad(weight, true);
    const double expected = tensor_get(x, AT(0, 1)) + tensor_get(x, AT(1, 1)) + tensor_get(x, AT(2, 1));
    Tensor *sum = op_sum(op_linear(x, weight, TENSOR_NONE));
    CHECK(tensor_set(x, AT(0, 1), 9));
    CHECK(backward(sum));
    CHECK_CLOSE(tensor_get(tensor_grad(weight), AT(0, 1)), expected, 1e-6);
}

/* The reason is the same when it is asked again: what was refused has used up nothing. */
TEST(a_refused_backward_is_refused_for_the_same_reason)
{
    Tensor *x = leaf(3, 1), *root = op_sum(op_exp(op_square(x)));
    CHECK(tensor_set(x, AT(0), 9));
    for (int i = 0; i < 2; i++) {
        CHECK(!backward(root));
        CHECK_ERROR("input 0 of square was written");
    }
}

TEST(a_write_that_no_backward_reads_is_fine)
{
    Tensor *x = leaf(3, 1), *y = leaf(3, 2);
    Tensor *sum = op_sum(op_add(x, y));
    CHECK(tensor_set(x, AT(0), 9));
    CHECK(backward(sum));
    CHECK_CLOSE(grad_at(x, 0), 1, 0);
}

/* All or nothing: a leaf that comes before the failure in the walk gets nothing either. */
TEST(a_failed_backward_changes_no_gradient)
{
    Tensor *x = leaf(3, 1), *y = leaf(3, 2), *z = leaf(3, 3);
    CHECK(backward(op_sum(z)));
    Tensor *inner = op_mul(x, y);
    Tensor *root = op_sum(op_add(inner, z));
    CHECK(tensor_set(x, AT(0), 9));
    CHECK(!backward(root));
    CHECK_ERROR("written");
    CHECK_CLOSE(grad_at(z, 0), 1, 0);
    CHECK(!tensor_grad(y));
    CHECK(backward(op_sum(op_mul(x, y))));
    CHECK_CLOSE(grad_at(y, 0), 9, 0);
}

TEST(nothing_is_recorded_while_off)
{
    Tensor *x = leaf(3, 1);
    WeftCounters before = weft_counters();
    CHECK(autograd_record(false));
    Tensor *y = op_mul_scalar(op_square(x), 2);
    CHECK(!tensor_node(y) && !tensor_requires_grad(y));
    CHECK(weft_counters().tensors - before.tensors <= 2);
    CHECK(!autograd_record(false));
    CHECK(!autograd_record(true));
    CHECK(autograd_is_recording());
    CHECK(tensor_node(op_square(x)));
    CHECK(!tensor_node(op_square(tensor_detach(x))));
}

TEST(detach_stops_the_gradient)
{
    Tensor *x = leaf(3, 1), *y = op_square(x);
    CHECK(backward(op_sum(op_mul(tensor_detach(y), x))));
    for (int64_t i = 0; i < 3; i++) CHECK_CLOSE(grad_at(x, i), pow(tensor_get(x, AT(i)), 2), 1e-6);
    CHECK(!tensor_requires_grad(tensor_detach(x)));
}

TEST(only_leaves_keep_gradients_unless_asked)
{
    Tensor *x = leaf(3, 1), *kept = op_mul_scalar(x, 2), *dropped = op_mul_scalar(kept, 3);
    tensor_keep_grad(kept);
    CHECK(backward(op_sum(op_square(dropped))));
    CHECK(!tensor_grad(dropped));
    for (int64_t i = 0; i < 3; i++) {
        double a = tensor_get(x, AT(i));
        CHECK_CLOSE(tensor_get(tensor_grad(kept), AT(i)), 2 * 3 * 6 * a, 1e-5);
        CHECK_CLOSE(grad_at(x, i), 72 * a, 1e-5);
    }
}

TEST(kept_gradients_add_up_too)
{
    Tensor *x = leaf(3, 1), *kept = op_mul_scalar(x, 2), *y = op_sum(op_mul_scalar(kept, 3));
    tensor_keep_grad(kept);
    for (int i = 1; i <= 2; i++) {
        CHECK(backward(y, .keep_graph = true));
        CHECK_CLOSE(tensor_get(tensor_grad(kept), AT(2)), 3 * i, 0);
        CHECK_CLOSE(grad_at(x, 2), 6 * i, 0);
    }
}

TEST(a_constant_gets_no_gradient)
{
    Tensor *x = leaf(3, 1), *constant = test_tensor(SHAPE(3), 2, 1);
    CHECK(backward(op_sum(op_mul(x, constant))));
    CHECK(!tensor_grad(constant));
    CHECK_CLOSE(grad_at(x, 1), tensor_get(constant, AT(1)), 1e-6);
}

TEST(gradients_outlive_the_scope)
{
    Tensor *x = leaf(3, 1);
    WeftCounters before = weft_counters();
    Scope scope = scope_open();
    CHECK(backward(op_sum(op_square(x))));
    scope_close(scope);
    CHECK_EQUAL(weft_counters().tensors, before.tensors + 1);
    CHECK_CLOSE(grad_at(x, 1), 2 * tensor_get(x, AT(1)), 1e-6);
}

/* A result keeps alive what it was made of, though the scope of that is closed. */
TEST(the_graph_keeps_its_inputs)
{
    Tensor *x = leaf(3, 1);
    Scope scope = scope_open();
    Tensor *middle = op_square(x);
    Tensor *y = scope_return(scope, op_sum(op_square(middle)));
    CHECK(backward(y));
    for (int64_t i = 0; i < 3; i++) CHECK_CLOSE(grad_at(x, i), 4 * pow(tensor_get(x, AT(i)), 3), 1e-6);
}

/* Deep enough to overflow the stack if anything recursed. */
enum { CHAIN = 100000 };

static Tensor *chain(Tensor *x)
{
    for (int i = 0; x && i < CHAIN; i++) {
        Scope scope = scope_open();
        x = scope_return(scope, op_add_scalar(x, 1));
    }
    return x;
}

TEST(a_long_chain_is_differentiated)
{
    Tensor *x = leaf(1, 1), *end = chain(x);
    CHECK(end);
    CHECK(backward(end, .grad = tensor_full(SHAPE(1), 3)));
    CHECK_CLOSE(grad_at(x, 0), 3, 0);
}

TEST(a_long_chain_is_freed)
{
    Tensor *x = leaf(1, 1);
    WeftCounters before = weft_counters();
    Scope scope = scope_open();
    Tensor *end = tensor_retain(chain(x));
    scope_close(scope);
    CHECK(end);
    CHECK_EQUAL(weft_counters().tensors, before.tensors + CHAIN);
    tensor_release(end);
    CHECK_EQUAL(weft_counters().tensors, before.tensors);
    CHECK_EQUAL(weft_counters().bytes, before.bytes);
}

/* ---- Null flows ---- */

TEST(null_flows_and_the_first_error_stays)
{
    Tensor *bad = op_add(test_tensor(SHAPE(3), 1, 1), test_tensor(SHAPE(4), 2, 1));
    CHECK(!bad);
    Tensor *x = leaf(3, 1);
    Tensor *end = op_sum(op_mul(op_relu(op_add(x, bad)), x));
    CHECK(!end);
    CHECK(!backward(end));
    CHECK(strstr(weft_error(), "[3]"));
    CHECK_ERROR("[4]");
}

/* ---- Ops of one's own ---- */

typedef struct Scaled {
    double factor;
    int64_t times;
} Scaled;

static bool scaled_backward(const Node *node, Tensor *grad)
{
    const Scaled *scaled = node_attributes(node);
    Tensor *saved = node_saved(node, 0);
    return node_add_grad(node, 0, op_mul(op_mul_scalar(grad, scaled->factor), saved));
}

static int scaled_describe(const Node *node, Attribute *attributes)
{
    const Scaled *scaled = node_attributes(node);
    attributes[0] = (Attribute){.name = "factor", .number = scaled->factor};
    attributes[1] = (Attribute){.name = "times", .count = 1, .integers = {scaled->times}};
    return 2;
}

static const Op scaled_op = {.name = "scaled", .backward = scaled_backward, .describe = scaled_describe};

/* x times factor times a saved tensor. */
static Tensor *op_scaled(Tensor *x, Tensor *by, double factor)
{
    bool was = autograd_record(false);
    Tensor *result = op_mul_scalar(op_mul(x, by), factor);
    autograd_record(was);
    Scaled attributes = {.factor = factor, .times = 1};
    result = op_record(&scaled_op, result, (Tensor *[]){x, TENSOR_NONE}, 2, &attributes, sizeof attributes);
    return op_save(result, by);
}

TEST(an_op_of_ones_own_is_recorded)
{
    Tensor *x = leaf(3, 1), *by = test_tensor(SHAPE(3), 2, 1);
    Tensor *y = op_scaled(x, by, 3);
    const Node *node = tensor_node(y);
    CHECK(node && node_op(node) == &scaled_op);
    CHECK_EQUAL(node_input_count(node), 2);
    CHECK(node_input(node, 0) == x && node_input(node, 1) == TENSOR_NONE);
    CHECK(node_needs_grad(node, 0) && !node_needs_grad(node, 1));
    Attribute attributes[OP_MAX_ATTRIBUTES];
    CHECK_EQUAL(node_op(node)->describe(node, attributes), 2);
    CHECK_CLOSE(attributes[0].number, 3, 0);
    CHECK(backward(op_sum(y)));
    for (int64_t i = 0; i < 3; i++) CHECK_CLOSE(grad_at(x, i), 3 * tensor_get(by, AT(i)), 1e-6);
    CHECK(!node_saved(node, 0)); /* freed as soon as it was used */
    CHECK(!tensor_node(op_scaled(by, by, 3)));
}

/* To record it once more would lose its first node; with itself as an input it would never be freed. */
TEST(an_op_takes_no_result_from_the_graph)
{
    Tensor *x = leaf(3, 1), *value = test_tensor(SHAPE(3), 2, 1);
    CHECK(!op_record(&scaled_op, op_mul_scalar(x, 2), &x, 1, NULL, 0));
    CHECK_ERROR("scaled: its result is in the graph already");
    CHECK(!op_record(&scaled_op, x, &x, 1, NULL, 0));
    CHECK_ERROR("scaled: its result is in the graph already");
    CHECK(!op_record(&scaled_op, value, (Tensor *[]){x, value}, 2, NULL, 0));
    CHECK_ERROR("scaled: its result is in the graph already");
    CHECK(op_record(&scaled_op, value, &value, 1, NULL, 0) == value); /* nothing is recorded */
}

static bool constant_backward(const Node *node, Tensor *grad)
{
    (void)grad;
    return node_add_grad(node, 0, node_saved(node, 0));
}

/* A value that backward hands on as a gradient stays a value: its spare lanes repeat the last sample. */
TEST(what_becomes_a_gradient_is_not_changed)
{
    static const Op op = {.name = "constant", .backward = constant_backward};
    Tensor *x = test_tensor(SHAPE(5, 2), 1, 1), *saved = op_to_lanes(test_tensor(SHAPE(5, 2), 2, 1));
    Tensor *seen = tensor_detach(saved);
    tensor_set_requires_grad(x, true);
    CHECK(backward(op_sum(op_save(op_record(&op, tensor_zeros(SHAPE(5, 2)), &x, 1, NULL, 0), saved))));
    CHECK_CLOSE(tensor_get(tensor_grad(x), AT(4, 1)), tensor_get(saved, AT(4, 1)), 0);
    CHECK(layout_spare_is_right(seen));
}

static bool failing_backward(const Node *node, Tensor *grad)
{
    (void)node, (void)grad;
    return weft_fail("failing: no gradient today");
}

static bool misshapen_backward(const Node *node, Tensor *grad)
{
    (void)grad;
    return node_add_grad(node, 0, tensor_zeros(SHAPE(2, 2)));
}

static bool silent_backward(const Node *node, Tensor *grad)
{
    (void)node, (void)grad;
    return false;
}

static const Op failing_op = {.name = "failing", .backward = failing_backward};
static const Op misshapen_op = {.name = "misshapen", .backward = misshapen_backward};
static const Op silent_op = {.name = "silent", .backward = silent_backward};

static Tensor *op_faulty(const Op *op, Tensor *x)
{
    return op_record(op, tensor_full(tensor_shape(x), 1), &x, 1, NULL, 0);
}

TEST(a_failing_backward_is_reported)
{
    Tensor *x = leaf(3, 1);
    CHECK(!backward(op_sum(op_faulty(&failing_op, x))));
    CHECK_ERROR("no gradient today");
    CHECK(!backward(op_sum(op_faulty(&misshapen_op, x))));
    CHECK_ERROR("misshapen");
    CHECK(!backward(op_sum(op_faulty(&silent_op, x))));
    CHECK_ERROR("silent: backward failed");
    CHECK(!tensor_grad(x));
    CHECK(!op_record(&failing_op, tensor_zeros(SHAPE(1)), (Tensor *[]){NULL}, 1, NULL, 0));
    CHECK(!op_record(&failing_op, NULL, &x, 1, NULL, 0));
}

/* Each of as many inputs as an op may have. */
TEST(an_op_reads_any_of_its_inputs)
{
    Tensor *x = leaf(3, 1), *inputs[OP_MAX_INPUTS];
    for (int read = 0; read < OP_MAX_INPUTS; read++) {
        const Op op = {.name = "reading", .backward = scaled_backward, .reads_inputs = (uint64_t)1 << read};
        for (int i = 0; i < OP_MAX_INPUTS; i++) inputs[i] = i == read ? test_tensor(SHAPE(3), 2, 1) : x;
        Tensor *root = op_sum(op_record(&op, tensor_zeros(SHAPE(3)), inputs, OP_MAX_INPUTS, NULL, 0));
        CHECK(tensor_set(inputs[read], AT(0), 9));
        CHECK(!backward(root));
        char expected[64];
        snprintf(expected, sizeof expected, "input %d of reading was written", read);
        CHECK_ERROR(expected);
    }
}

TEST(an_op_takes_as_much_as_there_is_room_for)
{
    Tensor *x = leaf(3, 1), *inputs[OP_MAX_INPUTS + 1], *saved = test_tensor(SHAPE(3), 2, 1);
    for (int i = 0; i <= OP_MAX_INPUTS; i++) inputs[i] = x;
    Tensor *y = op_record(&scaled_op, tensor_zeros(SHAPE(3)), inputs, OP_MAX_INPUTS, NULL, 0);
    CHECK(y && node_input_count(tensor_node(y)) == OP_MAX_INPUTS);
    CHECK(!op_record(&scaled_op, tensor_zeros(SHAPE(3)), inputs, OP_MAX_INPUTS + 1, NULL, 0));
    CHECK_ERROR("scaled: 65 inputs are more than 64");
    for (int i = 0; i < OP_MAX_SAVED; i++) CHECK(op_save(y, saved) == y);
    CHECK(!op_save(y, saved));
    CHECK_ERROR("scaled: saves more than 6 tensors");
    CHECK(!op_record(&(Op){.name = "half"}, tensor_zeros(SHAPE(3)), &x, 1, NULL, 0));
    CHECK_ERROR("an op needs a name and a backward function");
    CHECK(op_concat(inputs, OP_MAX_INPUTS, 0));
}

/* ---- tensor_map, layouts ---- */

/* Gradients of one tensor add up in one order, though each of its uses may have converted it. */
TEST(gradients_add_up_in_the_order_of_the_ops_in_either_layout)
{
    enum { N = 5, F = 6, USES = 5 };
    const Tensor *values = test_tensor(SHAPE(N, F), 1, 1), *in_lanes = layout_lanes(values), *grads[2];
    for (int lanes = 0; lanes < 2; lanes++) {
        Tensor *x = tensor_detach(lanes ? in_lanes : values), *batch = tensor_detach(in_lanes);
        tensor_set_requires_grad(x, true);
        Tensor *y = op_concat((Tensor *[]){batch, x, x, x, x, x}, 1 + USES, 1);
        CHECK(backward(y, .grad = test_tensor(tensor_shape(y), 2, 1)));
        grads[lanes] = layout_plain(tensor_grad(x));
    }
    for (int64_t i = 0; i < N * F; i++) CHECK(grads[0]->storage->data[i] == grads[1]->storage->data[i]);
}

static Real weighted(const Real *values, const void *context)
{
    return values[0] + *(const Real *)context * values[1];
}

TEST(tensor_map_is_blind_to_layout)
{
    Real factor = 2;
    for (int64_t n = 1; n <= 33; n += 16) {
        Tensor *a = test_tensor(SHAPE(n, 3, 2), 1, 1), *b = test_tensor(SHAPE(n, 3, 2), 2, 1);
        Tensor *plain = tensor_map(weighted, (Tensor *[]){a, b}, 2, &factor);
        Tensor *mixed = tensor_map(weighted, (Tensor *[]){op_to_lanes(a), b}, 2, &factor);
        Real *p = test_values(plain), *m = test_values(mixed);
        CHECK_EQUAL_BITS(p, m, n * 6);
        CHECK(layout_spare_is_right(mixed));
        for (int64_t k = 1; k < 8; k++) { /* there is memory for the whole result, or an error */
            weft_alloc_fail_at(k);
            mixed = tensor_map(weighted, (Tensor *[]){op_to_lanes(a), b}, 2, &factor);
            weft_alloc_fail_at(0);
            if (!mixed) CHECK_ERROR("memory");
        }
        CHECK_CLOSE(tensor_get(plain, AT(n - 1, 2, 1)),
                    tensor_get(a, AT(n - 1, 2, 1)) + 2 * tensor_get(b, AT(n - 1, 2, 1)), 1e-6);
        free(p);
        free(m);
    }
    Tensor *a = test_tensor(SHAPE(3), 1, 1), *b = test_tensor(SHAPE(4), 1, 1);
    CHECK(!tensor_map(weighted, (Tensor *[]){a, b}, 2, &factor));
    CHECK_ERROR("[4]");
    CHECK(!tensor_map(weighted, (Tensor *[]){a, NULL}, 2, &factor));
    CHECK(!weft_error());
    CHECK(!tensor_map(weighted, &a, 0, &factor));
    CHECK_ERROR("inputs");
    Tensor *nine[] = {a, a, a, a, a, a, a, a, a};
    CHECK(tensor_map(weighted, nine, 8, &factor));
    CHECK(!tensor_map(weighted, nine, 9, &factor));
    CHECK_ERROR("9 inputs, not 1 to 8");
}

/* <to_lanes(x), g> = <x, to_lanes'(g)>: the gradient comes back in the leaf's layout, its spare lanes zero. */
TEST(conversions_are_each_others_adjoint)
{
    for (int64_t n = 1; n <= 33; n += 16) {
        Tensor *x = test_tensor(SHAPE(n, 3), 1, 1), *g = test_tensor(SHAPE(n, 3), 2, 1);
        tensor_set_requires_grad(x, true);
        CHECK(backward(op_to_plain(op_to_lanes(x)), .grad = op_to_lanes(g)));
        Real *expected = test_values(g), *got = test_values(tensor_grad(x));
        CHECK_EQUAL_BITS(got, expected, 3 * n);
        Tensor *lanes = tensor_detach(op_to_lanes(x));
        tensor_set_requires_grad(lanes, true);
        CHECK(backward(lanes, .grad = g));
        CHECK(layout_is_lanes(tensor_grad(lanes)) && layout_spare_is_right(tensor_grad(lanes)));
        CHECK(tensor_read(tensor_grad(lanes), got, 3 * n));
        CHECK_EQUAL_BITS(got, expected, 3 * n);
        free(expected);
        free(got);
    }
}

/* Zeros times an infinite weight are NaN, and would be summed over. */
TEST(spare_lanes_of_gradients_are_zero_whatever_the_weights_are)
{
    enum { WIDE = 32 };
    for (int i = 0; i < 4; i++) {
        const int64_t channels = i == 3 ? WIDE : 2;
        Tensor *x = i < 2 ? test_tensor(SHAPE(3, 2), 1, 1) : test_tensor(SHAPE(3, channels, 6, 6), 1, 1);
        Tensor *weight = i < 2 ? test_tensor(SHAPE(2, 2), 2, 1) : test_tensor(SHAPE(channels, channels, 3, 3), 2, 1);
        CHECK(tensor_set(weight, i < 2 ? AT(0, 1) : AT(0, 1, 1, 1), INFINITY));
        x = (Tensor *)layout_lanes(x);
        tensor_set_requires_grad(x, true);
        Tensor *y = i == 0   ? op_linear(x, weight, TENSOR_NONE)
                    : i == 1 ? op_matmul(x, weight)
                             : op_conv2d(x, weight, TENSOR_NONE, .padding = 1);
        CHECK(backward(y, .grad = test_tensor(tensor_shape(y), 3, 1)));
        CHECK(layout_spare_is_right(tensor_grad(x)));
    }
}

static Real plus_one(const Real *values, const void *context)
{
    (void)context;
    return values[0] + 1;
}

static bool map_backward(const Node *node, Tensor *grad)
{
    return node_add_grad(node, 0, tensor_map(plus_one, &grad, 1, NULL));
}

static bool op_backward(const Node *node, Tensor *grad)
{
    return node_add_grad(node, 0, op_add_scalar(grad, 1));
}

static bool plain_backward(const Node *node, Tensor *grad)
{
    return node_add_grad(node, 0, op_add_scalar(tensor_detach(op_to_plain(grad)), 1));
}

/* A weight's gradient sums over the batch: a spare lane that is not zero in a gradient would be counted. The op in
 * between makes spare lanes of one out of zero, however its backward function computes. */
static void check_spare_lanes_stay_out(const Op *op, int64_t n)
{
    Tensor *x = test_tensor(SHAPE(n, 1, 1, 1), 1, 1), *g = test_tensor(SHAPE(n, 1, 1, 1), 2, 1);
    Tensor *weight = test_tensor(SHAPE(1, 1, 1, 1), 3, 1);
    tensor_set_requires_grad(weight, true);
    Tensor *y = op_conv2d(x, weight, TENSOR_NONE);
    if (op) y = op_record(op, tensor_detach(y), &y, 1, NULL, 0);
    CHECK(layout_is_lanes(y));
    CHECK(backward(y, .grad = op_to_lanes(g)));
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += tensor_get(x, AT(i, 0, 0, 0)) * (tensor_get(g, AT(i, 0, 0, 0)) + (op ? 1 : 0));
    CHECK_CLOSE(tensor_item(tensor_grad(weight)), sum, 1e-5);
}

TEST(spare_lanes_of_gradients_are_never_counted)
{
    static const Op by_map = {.name = "by_map", .backward = map_backward};
    static const Op by_op = {.name = "by_op", .backward = op_backward};
    static const Op by_plain = {.name = "by_plain", .backward = plain_backward};
    for (int64_t n = 1; n <= 33; n += 8) {
        check_spare_lanes_stay_out(NULL, n);
        check_spare_lanes_stay_out(&by_map, n);
        check_spare_lanes_stay_out(&by_op, n);
        check_spare_lanes_stay_out(&by_plain, n);
    }
}

/* What the threads of a test hand to each other; scopes are per thread, so references are retained. */
typedef struct Handover {
    Tensor *x, *y;
    bool done;
} Handover;

/* 3 x^3 + 4 x^2, through a value that three ops read. */
static void *build_graph(void *context)
{
    Handover *h = context;
    Scope scope = scope_open();
    Tensor *square = op_square(h->x), *cube = op_mul(square, h->x);
    h->y = tensor_retain(op_add(op_mul_scalar(op_add(cube, square), 3), square));
    scope_close(scope);
    return NULL;
}

static void *differentiate_sum(void *context)
{
    Handover *h = context;
    Scope scope = scope_open();
    h->done = backward(op_sum(h->y));
    tensor_release(h->y);
    scope_close(scope);
    return NULL;
}

static void in_a_thread(void *(*run)(void *), Handover *h)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, h) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

TEST(one_thread_builds_and_another_differentiates)
{
    Handover h = {.x = leaf(20, 1)};
    in_a_thread(build_graph, &h);
    CHECK(h.y);
    in_a_thread(differentiate_sum, &h);
    CHECK(h.done);
    for (int64_t i = 0; i < 20; i++) {
        double x = tensor_get(h.x, AT(i));
        CHECK_CLOSE(grad_at(h.x, i), 9 * x * x + 8 * x, 1e-5);
    }
}

/* Also where the ops before are in the graph for another input's sake, and whatever the layout. */
TEST(to_ops_before_it_requires_grad_a_tensor_is_a_constant)
{
    for (int lanes = 0; lanes < 2; lanes++) {
        Tensor *x = test_tensor(SHAPE(3, 2), 1, 1), *w = leaf(2, 2);
        if (lanes) x = op_to_lanes(x);
        Tensor *before = op_mul(x, w);
        tensor_set_requires_grad(x, true);
        CHECK(backward(op_sum(op_add(before, op_mul_scalar(x, 3)))));
        for (int64_t k = 0; k < 2; k++) {
            double sum = 0;
            for (int64_t i = 0; i < 3; i++) {
                CHECK_CLOSE(tensor_get(tensor_grad(x), AT(i, k)), 3, 0);
                sum += tensor_get(x, AT(i, k));
            }
            CHECK_CLOSE(grad_at(w, k), sum, 1e-6);
        }
    }
}

TEST(requires_grad_cannot_be_taken_from_a_result)
{
    Tensor *x = leaf(3, 1), *y = op_square(x);
    tensor_set_requires_grad(y, false);
    CHECK_ERROR("requires a gradient");
    CHECK(tensor_requires_grad(y));
    tensor_set_requires_grad(x, false);
    CHECK(!tensor_node(op_square(x)));
}
