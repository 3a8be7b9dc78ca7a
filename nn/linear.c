#include <math.h>

#include "nn/nn.h"

typedef struct Linear {
    Module base;
    bool relu;
    Tensor *weight, *bias;
} Linear;

static Tensor *linear_forward(Module *self, Tensor *x)
{
    const Linear *linear = (const Linear *)self;
    return op_linear(x, linear->weight, linear->bias, .relu = linear->relu);
}

Module *nn_linear_with(LinearLayer options)
{
    int64_t in = options.in_features, out = options.out_features;
    if (in < 1 || out < 1)
        return weft_fail("nn_linear: %lld features in, %lld out: each is at least 1", (long long)in, (long long)out);
    Linear *linear = nn_module(Linear, linear_forward);
    if (!linear) return NULL;
    linear->relu = options.relu;
    double bound = 1 / sqrt((double)in);
    linear->weight = nn_add_uniform(&linear->base, "weight", SHAPE(out, in), bound);
    linear->bias = options.no_bias ? TENSOR_NONE : nn_add_uniform(&linear->base, "bias", SHAPE(out), bound);
    return nn_ready(linear);
}
