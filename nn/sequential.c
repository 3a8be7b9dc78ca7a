#include <stdio.h>

#include "nn/layers.h"
#include "nn/observe.h"

enum { INDEX_TEXT = 16 };

/* Calls child i, and with it as much of its successors' work as fits its passes over memory; *i moves to the last child
 * that was called. */
static Tensor *call_fused(const Module *self, int64_t *i, Tensor *x)
{
    Module *child = self->children[*i].module;
    Module *next = *i + 1 < self->child_count ? self->children[*i + 1].module : NULL;
    if (next && nn_is_conv2d(child) && nn_is_batch_norm2d(next)) return nn_conv2d_run(child, x, next->training);
    if (next && nn_is_conv2d(child) && nn_max_pool2d_tile(next) > 0) {
        ++*i;
        return nn_forward_max_pool2d(child, x, nn_max_pool2d_tile(next));
    }
    if (next && nn_is_batch_norm2d(child) && nn_is_dropout(next)) {
        ++*i;
        return nn_batch_norm2d_run(child, x, next);
    }
    return nn_forward(child, x);
}

Tensor *nn_forward_children(Module *self, Tensor *x)
{
    if (!x) return NULL;
    if (!self) return weft_fail("nn_forward_children: the module is NULL");
    bool observed = nn_is_observed();
    for (int64_t i = 0; i < self->child_count && x; i++)
        x = observed ? nn_forward(self->children[i].module, x) : call_fused(self, &i, x);
    return x;
}

static Module *sequential_new(void)
{
    return nn_module_new("Sequential", sizeof(Module), nn_forward_children);
}

Module *nn_sequential_of(Module *const *children, int count)
{
    if (!children && count > 0) return weft_fail("nn_sequential_of: %d children are NULL", count);
    Module *sequential = sequential_new();
    for (int i = 0; i < count; i++) {
        char name[INDEX_TEXT];
        snprintf(name, sizeof name, "%d", i);
        nn_add_child(sequential, name, children[i]);
    }
    return nn_ready(sequential);
}

Module *nn_sequential_of_named(const SequentialChild *children, int count)
{
    if (!children && count > 0) return weft_fail("nn_sequential_of_named: %d children are NULL", count);
    Module *sequential = sequential_new();
    for (int i = 0; i < count; i++) nn_add_child(sequential, children[i].name, children[i].module);
    return nn_ready(sequential);
}
