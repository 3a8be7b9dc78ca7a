/* Two ops from outside the tree, from the installed headers alone: one computes element by element with tensor_map,
 * the other reads and writes rows. Both are checked and used in a model that learns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/weft.h>

/* ---- swish(x) = x sigmoid(slope x): an elementwise op with an attribute ---- */

/* values: x and sigmoid(slope x) */
static Real swish(const Real *values, const void *context)
{
    (void)context;
    return values[0] * values[1];
}

/* values: x, sigmoid(slope x), the gradient of the result */
static Real swish_gradient(const Real *values, const void *context)
{
    const Real slope = (Real) * (const double *)context, x = values[0], s = values[1], gradient = values[2];
    return gradient * (s + slope * x * s * (1 - s));
}

static bool swish_backward(const Node *node, Tensor *grad)
{
    Tensor *inputs[] = {node_input(node, 0), node_saved(node, 0), grad};
    return node_add_grad(node, 0, tensor_map(swish_gradient, inputs, 3, node_attributes(node)));
}

static int swish_describe(const Node *node, Attribute *attributes)
{
    attributes[0] = (Attribute){.name = "slope", .number = *(const double *)node_attributes(node)};
    return 1;
}

static Tensor *op_swish(Tensor *x, double slope)
{
    static const Op op = {
        .name = "swish", .backward = swish_backward, .describe = swish_describe, .reads_inputs = 1};
    Tensor *s = op_sigmoid(op_mul_scalar(tensor_detach(x), slope));
    Tensor *result = tensor_map(swish, (Tensor *[]){x, s}, 2, NULL);
    return op_save(op_record(&op, result, &x, 1, &slope, sizeof slope), s);
}

/* ---- cumulative sum along the last dimension: rows read and written ---- */

/* Sums forwards, or backwards for the gradient, whose rows run the other way. */
static Tensor *sum_rows(Tensor *x, bool forwards)
{
    int64_t count = tensor_count(x), length = tensor_size(x, -1);
    Real *values = malloc((size_t)count * sizeof *values);
    if (!values || !tensor_read(x, values, count)) {
        free(values);
        return weft_fail("cumsum: no memory or no input");
    }
    for (int64_t row = 0; row < count; row += length) {
        for (int64_t i = 1; i < length; i++) {
            if (forwards) values[row + i] += values[row + i - 1];
            else values[row + length - 1 - i] += values[row + length - i];
        }
    }
    Tensor *sums = tensor_from(tensor_shape(x), values);
    free(values);
    return sums;
}

static bool cumsum_backward(const Node *node, Tensor *grad)
{
    return node_add_grad(node, 0, sum_rows(grad, false));
}

static Tensor *op_cumsum(Tensor *x)
{
    static const Op op = {.name = "cumsum", .backward = cumsum_backward};
    return x ? op_record(&op, sum_rows(x, true), &x, 1, NULL, 0) : NULL;
}

/* ---- Checks ---- */

static Tensor *both(Tensor *const *inputs, void *context)
{
    (void)context;
    return op_cumsum(op_swish(inputs[0], 1.5));
}

/* A batch in the library's own layout goes in when a convolution made it. */
static Tensor *after_convolution(Tensor *const *inputs, void *context)
{
    (void)context;
    return op_cumsum(op_swish(op_conv2d(inputs[0], inputs[1], TENSOR_NONE), 0.5));
}

static bool check_gradients(void)
{
    const double tolerance = sizeof(Real) == sizeof(double) ? 1e-6 : 0.1;
    const RandomKey key = {.seed = 1};
    Tensor *x = tensor_uniform(SHAPE(17, 2, 5, 4), -1, 1, key);
    Tensor *inputs[] = {x, tensor_uniform(SHAPE(3, 2, 3, 3), -1, 1, key)};
    return tensor_set_requires_grad(x, true) && tensor_set_requires_grad(inputs[1], true) &&
           gradcheck(both, NULL, &x, 1, .elements = 100, .tolerance = tolerance) &&
           gradcheck(after_convolution, NULL, inputs, 2, .elements = 100, .tolerance = tolerance);
}

static bool check_description(void)
{
    Tensor *x = tensor_full(SHAPE(2), 1);
    if (!tensor_set_requires_grad(x, true)) return false;
    const Node *node = tensor_node(op_swish(x, 1.25));
    Attribute attributes[OP_MAX_ATTRIBUTES];
    return node && strcmp(node_op(node)->name, "swish") == 0 && node_op(node)->describe(node, attributes) == 1 &&
           strcmp(attributes[0].name, "slope") == 0 && attributes[0].number > 1.2 && attributes[0].number < 1.3;
}

typedef struct Net {
    Module base;
    Module *conv, *fc;
} Net;

static Tensor *net_forward(Module *self, Tensor *x)
{
    Net *net = (Net *)self;
    x = op_cumsum(op_swish(nn_forward(net->conv, x), 1.5));
    return op_log_softmax(nn_forward(net->fc, op_flatten(x)), 1);
}

static Module *net_new(void)
{
    Net *net = nn_module(Net, net_forward);
    nn_child(net, conv, nn_conv2d(1, 4, 3));
    nn_child(net, fc, nn_linear(4 * 4 * 4, 10));
    return nn_ready(net);
}

/* The loss of a fixed batch after so many steps, NaN on failure. */
static double train(Module *net, Optimizer *sgd, int steps)
{
    const RandomKey key = {.seed = 2};
    double last = 0;
    for (int step = 0; step < steps; step++) {
        Scope scope = scope_open();
        Tensor *images = tensor_uniform(SHAPE(20, 1, 6, 6), -1, 1, key), *labels = tensor_zeros(SHAPE(20));
        for (int64_t i = 0; i < 20; i++) tensor_set(labels, AT(i), (double)(i % 10));
        Tensor *loss = op_nll_loss(nn_forward(net, images), labels);
        last = tensor_item(loss);
        bool ok = backward(loss) && optimizer_step(sgd);
        scope_close(scope);
        if (!ok) return tensor_item(NULL);
    }
    return last;
}

static bool check_model(void)
{
    Module *net = net_new();
    TensorList parameters = {0};
    bool ok = nn_parameters(net, &parameters);
    Optimizer *sgd = optimizer_sgd(&parameters, 0.05, .momentum = 0.9);
    double first = train(net, sgd, 1), last = train(net, sgd, 100);
    optimizer_free(sgd);
    tensor_list_free(&parameters);
    nn_free(net);
    return ok && first > 2 && last < 0.5 * first;
}

int main(void)
{
    Scope scope = scope_open();
    bool ok = check_gradients() && check_description() && check_model();
    scope_close(scope);
    if (!ok) fprintf(stderr, "own_op: %s\n", weft_error() ? weft_error() : "a check failed");
    return !ok || weft_counters().tensors != 0;
}
