/* The gradients of the two whole networks against central differences, in double: batch norm in training mode, dropout
 * with the same key each time. A sample of the elements; GRADCHECK_ELEMENTS=N takes N of each parameter, =all all. */
#include <stdio.h>

#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "tests/networks.h"
#include "tests/test.h"

enum { IS_DOUBLE = sizeof(Real) == sizeof(double), MOST_PARAMETERS = OP_MAX_INPUTS, BATCH = 2,
       DIRECTIONS = 3, GRAD_STREAM = 800, DIRECTION_STREAM = 900 };
/* Small enough that none of the thousands of values at relu and max-pool crosses its edge: of one element, and along a
 * direction, where all of them move. */
static const double element_step = 1e-6, direction_step = 1e-7, tolerance = 1e-6;

typedef struct Network {
    Module *model;
    Tensor *images;
    Tensor *parameters[MOST_PARAMETERS];
    int count;
} Network;

static bool network_open(Network *network, Module *model, uint32_t image_stream)
{
    *network = (Network){.model = model, .images = test_tensor(SHAPE(BATCH, 1, 28, 28), image_stream, 2)};
    NamedTensors named = nn_named_parameters(model);
    for (int64_t i = 0; i < named.count; i++) network->parameters[network->count++] = named.items[i].tensor;
    nn_named_free(&named);
    return network_set_weights(model);
}

/* Dropout drops the same each time: its count of calls is put back. */
static Tensor *run(Tensor *const *parameters, void *context)
{
    (void)parameters;
    Network *network = context;
    for (int64_t i = 0; i < network->model->child_count; i++) network->model->children[i].module->draws = 0;
    return nn_forward(network->model, network->images);
}

static void check_elements(Network *network, int64_t elements)
{
    const char *wanted = getenv("GRADCHECK_ELEMENTS");
    if (wanted) elements = strtoll(wanted, NULL, 10); /* 0, of "all": all */
    double worst = 0;
    int64_t kinks = 0;
    CHECK(gradcheck(run, network, network->parameters, network->count, .elements = elements, .step = element_step,
                    .tolerance = tolerance, .worst = &worst, .kinks = &kinks));
    test_note("worst error %.2g; %lld elements moved away from kinks", worst, (long long)kinks);
}

TEST(gradcheck_of_mnist_tiny_element_by_element)
{
    if (!IS_DOUBLE) SKIP("differences of floats are too coarse");
    Network network;
    CHECK(network_open(&network, network_tiny(0.25), 300));
    check_elements(&network, 20);
    nn_free(network.model);
}

TEST(gradcheck_of_mnist_cnn_at_some_elements)
{
    if (!IS_DOUBLE) SKIP("differences of floats are too coarse");
    Network network;
    CHECK(network_open(&network, network_cnn(0), 300));
    check_elements(&network, 4);
    nn_free(network.model);
}

/* ---- Along directions in the space of all parameters ---- */

static Tensor *direction_of(const Network *network, int i, uint32_t direction)
{
    Shape shape = tensor_shape(network->parameters[i]);
    double inputs = (double)(shape_count(shape) / shape.size[0]);
    return test_tensor(shape, DIRECTION_STREAM + direction * MOST_PARAMETERS + (uint32_t)i, 1 / sqrt(inputs));
}

/* The result, reduced by `grad` to a number, of the parameters that lie `distance` from `start`. */
static double value_at(Network *network, Tensor *const *start, uint32_t direction, double distance, Tensor *grad)
{
    Scope scope = scope_open();
    bool ok = true;
    for (int i = 0; i < network->count; i++) {
        Tensor *moved = op_add(start[i], op_mul_scalar(direction_of(network, i, direction), distance));
        ok = tensor_copy(network->parameters[i], moved) && ok;
    }
    double value = ok ? tensor_item(op_sum(op_mul(run(NULL, network), grad))) : NAN;
    scope_close(scope);
    return value;
}

TEST(gradcheck_of_mnist_cnn_along_directions)
{
    if (!IS_DOUBLE) SKIP("differences of floats are too coarse");
    Network network;
    CHECK(network_open(&network, network_cnn(0), 300));
    Tensor *y = run(NULL, &network), *grad = test_tensor(tensor_shape(y), GRAD_STREAM, 1), *start[MOST_PARAMETERS];
    CHECK(backward(y, .grad = grad));
    autograd_record(false);
    for (int i = 0; i < network.count; i++) start[i] = op_mul_scalar(network.parameters[i], 1);
    double worst = 0;
    for (uint32_t d = 0; d < DIRECTIONS; d++) {
        double analytic = 0;
        for (int i = 0; i < network.count; i++)
            analytic += tensor_item(op_sum(op_mul(tensor_grad(network.parameters[i]), direction_of(&network, i, d))));
        const double ahead = value_at(&network, start, d, direction_step, grad);
        const double behind = value_at(&network, start, d, -direction_step, grad);
        worst = fmax(worst, fabs((ahead - behind) / (2 * direction_step) - analytic) / fabs(analytic));
    }
    CHECK_CLOSE(worst, 0, tolerance);
    test_note("worst error %.2g", worst);
    nn_free(network.model);
}
