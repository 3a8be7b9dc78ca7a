#include <math.h>

#include "nn/layers.h"
#include "nn/observe.h"

typedef struct Conv2d {
    Module base;
    Conv2dLayer options;
    Tensor *weight, *bias;
} Conv2d;

static Tensor *run(const Module *self, Tensor *x, bool statistics, int64_t max_pool)
{
    const Conv2d *conv = (const Conv2d *)self;
    const Conv2dLayer *o = &conv->options;
    return op_conv2d(x, conv->weight, conv->bias, .stride = o->stride, .padding = o->padding, .dilation = o->dilation,
                     .groups = o->groups, .relu = o->relu, .statistics = statistics, .max_pool = max_pool);
}

Tensor *nn_conv2d_run(Module *self, Tensor *x, bool statistics)
{
    return run(self, x, statistics, 0);
}

static Tensor *conv2d_forward(Module *self, Tensor *x)
{
    return nn_conv2d_run(self, x, false);
}

bool nn_is_conv2d(const Module *module)
{
    return module->forward == conv2d_forward;
}

Tensor *nn_forward_max_pool2d(Module *module, Tensor *x, int64_t kernel)
{
    if (module && nn_is_conv2d(module) && kernel > 0 && !nn_is_observed()) return run(module, x, false, kernel);
    return op_max_pool2d(nn_forward(module, x), kernel);
}

static bool check_options(const Conv2dLayer *o)
{
    if (o->in_channels < 1 || o->out_channels < 1 || o->kernel < 1)
        return weft_fail("nn_conv2d: %lld channels in, %lld out, kernel %lld: each is at least 1",
                         (long long)o->in_channels, (long long)o->out_channels, (long long)o->kernel);
    if (o->stride < 1 || o->padding < 0 || o->dilation < 1)
        return weft_fail("nn_conv2d: stride %lld and dilation %lld are at least 1, padding %lld at least 0",
                         (long long)o->stride, (long long)o->dilation, (long long)o->padding);
    if (o->groups < 1 || o->in_channels % o->groups || o->out_channels % o->groups)
        return weft_fail("nn_conv2d: %lld groups do not divide %lld channels in and %lld out", (long long)o->groups,
                         (long long)o->in_channels, (long long)o->out_channels);
    return true;
}

Module *nn_conv2d_with(Conv2dLayer options)
{
    Conv2dLayer *o = &options;
    if (!o->stride) o->stride = 1;
    if (!o->dilation) o->dilation = 1;
    if (!o->groups) o->groups = 1;
    if (!check_options(o)) return NULL;
    Conv2d *conv = nn_module(Conv2d, conv2d_forward);
    if (!conv) return NULL;
    conv->options = options;
    Shape weight = SHAPE(o->out_channels, o->in_channels / o->groups, o->kernel, o->kernel);
    double bound = 1 / sqrt((double)weight.size[1] * (double)o->kernel * (double)o->kernel);
    conv->weight = nn_add_uniform(&conv->base, "weight", weight, bound);
    conv->bias = o->no_bias ? TENSOR_NONE : nn_add_uniform(&conv->base, "bias", SHAPE(o->out_channels), bound);
    return nn_ready(conv);
}
