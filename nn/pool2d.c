#include "nn/layers.h"

typedef struct Pool2d {
    Module base;
    Pool2dLayer options;
} Pool2d;

static Tensor *max_pool2d_forward(Module *self, Tensor *x)
{
    const Pool2dLayer *o = &((const Pool2d *)self)->options;
    return op_max_pool2d(x, o->kernel, .stride = o->stride, .padding = o->padding);
}

static Tensor *avg_pool2d_forward(Module *self, Tensor *x)
{
    const Pool2dLayer *o = &((const Pool2d *)self)->options;
    return op_avg_pool2d(x, o->kernel, .stride = o->stride, .padding = o->padding);
}

int64_t nn_max_pool2d_tile(const Module *module)
{
    const Pool2dLayer *o = &((const Pool2d *)module)->options;
    if (module->forward != max_pool2d_forward || o->padding > 0) return 0;
    return o->stride == 0 || o->stride == o->kernel ? o->kernel : 0;
}

static Module *pool2d_new(const char *type, Pool2dLayer options, Tensor *(*forward)(Module *self, Tensor *x))
{
    if (options.kernel < 1 || options.stride < 0 || options.padding < 0 || options.padding > options.kernel / 2)
        return weft_fail("nn: %s: kernel %lld and stride %lld are at least 1, padding %lld from 0 to half the kernel",
                         type, (long long)options.kernel, (long long)options.stride, (long long)options.padding);
    Pool2d *pool = (Pool2d *)nn_module_new(type, sizeof(Pool2d), forward);
    if (!pool) return NULL;
    pool->options = options;
    return nn_ready(pool);
}

Module *nn_max_pool2d_with(Pool2dLayer options)
{
    return pool2d_new("MaxPool2d", options, max_pool2d_forward);
}

Module *nn_avg_pool2d_with(Pool2dLayer options)
{
    return pool2d_new("AvgPool2d", options, avg_pool2d_forward);
}
