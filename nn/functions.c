/* Ops without parameters, as modules. */
#include "nn/nn.h"

static Tensor *relu_forward(Module *self, Tensor *x)
{
    (void)self;
    return op_relu(x);
}

Module *nn_relu(void)
{
    return nn_module_new("ReLU", sizeof(Module), relu_forward);
}

static Tensor *flatten_forward(Module *self, Tensor *x)
{
    (void)self;
    return op_flatten(x);
}

Module *nn_flatten(void)
{
    return nn_module_new("Flatten", sizeof(Module), flatten_forward);
}

typedef struct LogSoftmax {
    Module base;
    int dimension;
} LogSoftmax;

static Tensor *log_softmax_forward(Module *self, Tensor *x)
{
    return op_log_softmax(x, ((const LogSoftmax *)self)->dimension);
}

Module *nn_log_softmax(int dimension)
{
    LogSoftmax *module = nn_module(LogSoftmax, log_softmax_forward);
    if (!module) return NULL;
    module->dimension = dimension;
    return nn_ready(module);
}
