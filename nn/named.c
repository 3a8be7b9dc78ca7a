/* Walking the parameters and buffers of a tree by their full names. */
#include <string.h>

#include "nn/nn.h"
#include "tensor/memory.h"

/* Where the walk is: the path is that of the module, "features.conv1." */
typedef struct Walk {
    NamedTensors *result;
    const NamedTensors *(*list)(const Module *module);
    char *path;
    int64_t path_length, path_capacity;
} Walk;

static const NamedTensors *parameters_of(const Module *module)
{
    return &module->parameters;
}

static const NamedTensors *buffers_of(const Module *module)
{
    return &module->buffers;
}

static bool append(Walk *walk, const NamedTensor *named)
{
    NamedTensors *result = walk->result;
    size_t length = strlen(named->name), prefix = (size_t)walk->path_length;
    if (!weft_grow(&result->items, &result->capacity, result->count + 1, sizeof(NamedTensor))) return false;
    char *name = weft_alloc((int64_t)(prefix + length + 1), 1);
    if (!name) return false;
    if (prefix) memcpy(name, walk->path, prefix);
    memcpy(name + prefix, named->name, length + 1);
    result->items[result->count++] = (NamedTensor){name, named->tensor, named->counter};
    return true;
}

static bool walk_module(Walk *walk, const Module *module)
{
    const NamedTensors *list = walk->list(module);
    for (int64_t i = 0; i < list->count; i++) {
        if (!append(walk, &list->items[i])) return false;
    }
    int64_t length = walk->path_length;
    for (int64_t i = 0; i < module->child_count; i++) {
        const NamedChild *child = &module->children[i];
        int64_t added = (int64_t)strlen(child->name);
        if (!weft_grow(&walk->path, &walk->path_capacity, length + added + 1, 1)) return false;
        memcpy(walk->path + length, child->name, (size_t)added);
        walk->path[length + added] = '.';
        walk->path_length = length + added + 1;
        if (!walk_module(walk, child->module)) return false;
    }
    walk->path_length = length;
    return true;
}

static NamedTensors collect(const Module *module, const NamedTensors *(*list)(const Module *module))
{
    NamedTensors result = {0};
    Walk walk = {.result = &result, .list = list};
    if (!module) weft_fail("nn: parameters or buffers of a NULL module are wanted");
    bool ok = module && walk_module(&walk, module);
    weft_free(walk.path);
    if (!ok) {
        nn_named_free(&result);
        result.count = -1;
    }
    return result;
}

NamedTensors nn_named_parameters(const Module *module)
{
    return collect(module, parameters_of);
}

NamedTensors nn_named_buffers(const Module *module)
{
    return collect(module, buffers_of);
}

void nn_named_free(NamedTensors *named)
{
    if (!named) return;
    for (int64_t i = 0; i < named->count; i++) weft_free(named->items[i].name);
    weft_free(named->items);
    *named = (NamedTensors){0};
}

bool nn_parameters(const Module *module, TensorList *list)
{
    if (!list) return weft_fail("nn_parameters: the list is NULL");
    NamedTensors named = nn_named_parameters(module);
    int64_t before = list->count;
    bool ok = named.count >= 0;
    for (int64_t i = 0; i < named.count && ok; i++) ok = tensor_list_add(list, named.items[i].tensor);
    if (!ok) {
        while (list->count > before) tensor_release(list->items[--list->count]);
    }
    nn_named_free(&named);
    return ok;
}

int64_t nn_parameter_count(const Module *module)
{
    if (!module) return 0;
    int64_t count = 0;
    for (int64_t i = 0; i < module->parameters.count; i++) count += tensor_count(module->parameters.items[i].tensor);
    for (int64_t i = 0; i < module->child_count; i++) count += nn_parameter_count(module->children[i].module);
    return count;
}
