#include "tests/networks.h"

#include "tests/test.h"

/* The apps themselves, so that no test speaks of a copy. */
int mnist_cnn_main(int argc, char **argv);
int mnist_tiny_main(int argc, char **argv);
#define main mnist_cnn_main
#include "apps/mnist_cnn.c"
#undef main
#define main mnist_tiny_main
#include "apps/mnist_tiny.c"
#undef main

enum { WEIGHT_STREAM = 500, CLASSES = 10 };

Module *network_cnn(double dropout)
{
    return net_new(dropout);
}

Module *network_tiny(double dropout)
{
    return tiny_new(dropout);
}

bool network_set_weights(Module *model)
{
    NamedTensors parameters = nn_named_parameters(model);
    bool ok = parameters.count > 0;
    for (int64_t i = 0; ok && i < parameters.count; i++) {
        Tensor *t = parameters.items[i].tensor;
        const char *name = parameters.items[i].name;
        Shape shape = tensor_shape(t);
        int64_t inputs = tensor_count(t) / shape.size[0];
        double scale = shape.rank == 1 ? 0.1 : 1 / sqrt((double)inputs);
        bool is_factor = strncmp(name, "bn", 2) == 0 && strstr(name, ".weight");
        ok = tensor_copy(t, test_tensor_near(shape, WEIGHT_STREAM + (uint32_t)i, scale, is_factor ? 1 : 0));
    }
    nn_named_free(&parameters);
    return ok;
}

Tensor *network_loss(Module *model, int64_t count, uint32_t image_stream, uint32_t label_stream)
{
    Tensor *images = test_tensor(SHAPE(count, 1, 28, 28), image_stream, 2), *labels = tensor_zeros(SHAPE(count));
    for (int64_t n = 0; n < count; n++)
        tensor_set(labels, AT(n), floor((test_number(label_stream, n) + 1) / 2 * CLASSES));
    return op_nll_loss(nn_forward(model, images), labels);
}
