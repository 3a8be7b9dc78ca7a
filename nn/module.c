/* Modules as a tree: making, joining and freeing them, and running one. */
#include "nn/nn.h"

#include <string.h>

#include "nn/observe.h"
#include "tensor/memory.h"

static _Thread_local Observer *observing;

Observer *nn_observe(Observer *observer)
{
    Observer *before = observing;
    observing = observer;
    return before;
}

bool nn_is_observed(void)
{
    return observing != NULL;
}

Tensor *nn_forward(Module *module, Tensor *x)
{
    if (!x) return weft_fail("nn_forward: no input"); /* unless an error is on record, which stays */
    if (!module) return weft_fail("nn_forward: the module is NULL");
    if (!module->forward) return weft_fail("nn_forward: %s has no forward function", module->type);
    Tensor *y = module->forward(module, x);
    if (y && observing && module->child_count == 0) observing->called(observing, module, x, y);
    return y;
}

static void set_training(Module *module, bool training)
{
    if (!module) return;
    module->training = training;
    for (int64_t i = 0; i < module->child_count; i++) set_training(module->children[i].module, training);
}

void nn_train(Module *module)
{
    set_training(module, true);
}

void nn_eval(Module *module)
{
    set_training(module, false);
}

/* ---- Making and freeing ---- */

Module *nn_module_new(const char *type, size_t size, Tensor *(*forward)(Module *self, Tensor *x))
{
    if (!type || size < sizeof(Module))
        return weft_fail("nn_module_new: %s of %zu bytes is no module", type ? type : "a type without name", size);
    Module *module = weft_alloc_zeroed(1, size);
    if (!module) return NULL;
    module->type = type;
    module->forward = forward;
    module->training = true;
    return module;
}

static void free_tensors(NamedTensors *list)
{
    for (int64_t i = 0; i < list->count; i++) {
        tensor_release(list->items[i].tensor);
        weft_free(list->items[i].name);
    }
    weft_free(list->items);
}

static void free_tree(Module *module)
{
    if (module->destroy) module->destroy(module);
    for (int64_t i = 0; i < module->child_count; i++) {
        free_tree(module->children[i].module);
        weft_free(module->children[i].name);
    }
    weft_free(module->children);
    free_tensors(&module->parameters);
    free_tensors(&module->buffers);
    weft_free(module);
}

void nn_free(Module *module)
{
    if (!module) return;
    if (module->parent)
        weft_fail("nn_free: this %s belongs to a %s, which frees it", module->type, module->parent->type);
    else
        free_tree(module);
}

Module *nn_module_ready(Module *module)
{
    if (!module || !module->failed) return module;
    nn_free(module);
    return NULL;
}

/* ---- Joining ---- */

/* Marks the module as failed; NULL, for the caller to return. */
static void *fail(Module *module)
{
    if (module) module->failed = true;
    return NULL;
}

static bool has_tensor(const NamedTensors *list, const char *name)
{
    for (int64_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, name) == 0) return true;
    }
    return false;
}

/* One name for one thing, whatever it is, as in PyTorch. The dot separates the names of a path. */
static bool check_name(const Module *module, const char *name)
{
    if (!module) return weft_fail("nn: the module that is to take \"%s\" is NULL", name ? name : "(NULL)");
    if (!name || !name[0] || strchr(name, '.'))
        return weft_fail("nn: %s cannot have a part named \"%s\": a name is not empty and has no dot", module->type,
                         name ? name : "(NULL)");
    bool taken = has_tensor(&module->parameters, name) || has_tensor(&module->buffers, name);
    for (int64_t i = 0; i < module->child_count && !taken; i++) taken = strcmp(module->children[i].name, name) == 0;
    if (taken) return weft_fail("nn: %s has a part named \"%s\" already", module->type, name);
    return true;
}

static bool append_child(Module *parent, const char *name, Module *child)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): check_name has refused a NULL parent */
    if (!weft_grow(&parent->children, &parent->child_capacity, parent->child_count + 1, sizeof(NamedChild)))
        return false;
    char *copy = weft_strdup(name);
    if (!copy) return false;
    parent->children[parent->child_count++] = (NamedChild){copy, child};
    child->parent = parent;
    return true;
}

Module *nn_add_child(Module *parent, const char *name, Module *child)
{
    if (!child) {
        weft_fail("nn: child \"%s\" of %s is NULL", name ? name : "(NULL)", parent ? parent->type : "a NULL module");
        return fail(parent);
    }
    if (child->parent) {
        weft_fail("nn: child \"%s\", a %s, belongs to a %s already", name ? name : "(NULL)", child->type,
                  child->parent->type);
        return fail(parent);
    }
    for (const Module *above = parent; above; above = above->parent) {
        if (above != child) continue;
        weft_fail("nn: %s cannot be a child of itself", child->type);
        return fail(parent);
    }
    if (check_name(parent, name) && append_child(parent, name, child)) return child;
    free_tree(child);
    return fail(parent);
}

/* A new tensor of zeros that no scope owns. */
static Tensor *new_zeros(Shape shape)
{
    Scope scope = scope_open();
    Tensor *t = tensor_retain(tensor_zeros(shape));
    scope_close(scope);
    return t;
}

static Tensor *add_tensor(Module *module, NamedTensors *list, const char *name, Shape shape)
{
    if (!check_name(module, name)) return fail(module);
    Tensor *t = new_zeros(shape);
    char *copy = t ? weft_strdup(name) : NULL;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): as above */
    if (copy && weft_grow(&list->items, &list->capacity, list->count + 1, sizeof(NamedTensor))) {
        list->items[list->count++] = (NamedTensor){.name = copy, .tensor = t};
        return t;
    }
    weft_free(copy);
    tensor_release(t);
    return fail(module);
}

Tensor *nn_add_parameter(Module *module, const char *name, Shape shape)
{
    Tensor *t = add_tensor(module, module ? &module->parameters : NULL, name, shape);
    if (t) tensor_set_requires_grad(t, true);
    return t;
}

Tensor *nn_add_buffer(Module *module, const char *name, Shape shape)
{
    return add_tensor(module, module ? &module->buffers : NULL, name, shape);
}

Tensor *nn_add_counter(Module *module, const char *name)
{
    Tensor *t = nn_add_buffer(module, name, SCALAR);
    if (t) module->buffers.items[module->buffers.count - 1].counter = true;
    return t;
}
