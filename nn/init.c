/* Initial values, and the random streams that they come from. */
#include "nn/layers.h"

static _Thread_local RandomKey next;

void nn_seed(uint64_t seed)
{
    next = (RandomKey){.seed = seed};
}

RandomKey nn_next_key(void)
{
    RandomKey key = next;
    next.stream++;
    return key;
}

bool nn_fill(Tensor *t, double value)
{
    if (!t) return false;
    Scope scope = scope_open();
    bool ok = tensor_copy(t, tensor_full(tensor_shape(t), value));
    scope_close(scope);
    return ok;
}

Tensor *nn_add_uniform(Module *module, const char *name, Shape shape, double bound)
{
    RandomKey key = nn_next_key();
    Tensor *t = nn_add_parameter(module, name, shape);
    if (!t) return NULL;
    Scope scope = scope_open();
    bool ok = tensor_copy(t, tensor_uniform(shape, -bound, bound, key));
    scope_close(scope);
    if (!ok) module->failed = true;
    return ok ? t : NULL;
}
