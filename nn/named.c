/* Modules, parameters and buffers of a tree by their full names. */
#include <stdio.h>
#include <string.h>

#include "nn/nn.h"
#include "nn/observe.h"
#include "tensor/memory.h"

/* ---- Modules ---- */

/* "features.conv1", or the name alone where the prefix is empty; to be freed. */
static char *join(const char *prefix, const char *name)
{
    size_t length = strlen(prefix), room = length + strlen(name) + 2;
    char *joined = weft_alloc((int64_t)room, 1);
    if (joined) snprintf(joined, room, "%s%s%s", prefix, length ? "." : "", name);
    return joined;
}

/* Consumes the name, which is NULL if memory was short. */
static bool walk(NamedModules *result, char *name, Module *module)
{
    if (!name || !weft_grow(&result->items, &result->capacity, result->count + 1, sizeof(NamedChild))) {
        weft_free(name);
        return false;
    }
    result->items[result->count++] = (NamedChild){name, module};
    for (int64_t i = 0; i < module->child_count; i++) {
        const NamedChild *child = &module->children[i];
        if (!walk(result, join(name, child->name), child->module)) return false;
    }
    return true;
}

NamedModules nn_named_modules(Module *module)
{
    NamedModules result = {0};
    if (!module) weft_fail("nn: the modules, parameters or buffers of a NULL module are wanted");
    if (module && walk(&result, weft_strdup(""), module)) return result;
    nn_named_modules_free(&result);
    result.count = -1;
    return result;
}

void nn_named_modules_free(NamedModules *named)
{
    if (!named) return;
    for (int64_t i = 0; i < named->count; i++) weft_free(named->items[i].name);
    weft_free(named->items);
    *named = (NamedModules){0};
}

/* ---- Tensors ---- */

static const NamedTensors *parameters_of(const Module *module)
{
    return &module->parameters;
}

static const NamedTensors *buffers_of(const Module *module)
{
    return &module->buffers;
}

static bool append(NamedTensors *result, const char *module, const NamedTensor *named)
{
    if (!weft_grow(&result->items, &result->capacity, result->count + 1, sizeof(NamedTensor))) return false;
    char *name = join(module, named->name);
    if (!name) return false;
    result->items[result->count++] = (NamedTensor){name, named->tensor, named->counter};
    return true;
}

static NamedTensors collect(const Module *module, const NamedTensors *(*list)(const Module *module))
{
    NamedTensors result = {0};
    NamedModules modules = nn_named_modules((Module *)module); /* to look at */
    bool ok = modules.count >= 0;
    for (int64_t m = 0; m < modules.count && ok; m++) {
        const NamedTensors *own = list(modules.items[m].module);
        for (int64_t i = 0; i < own->count && ok; i++) ok = append(&result, modules.items[m].name, &own->items[i]);
    }
    nn_named_modules_free(&modules);
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

const char *nn_tensor_name(const NamedTensors *named, const Tensor *t)
{
    for (int64_t i = 0; i < named->count; i++) {
        if (named->items[i].tensor == t) return named->items[i].name;
    }
    return NULL;
}

char *nn_layer_name(const NamedTensors *parameters, Tensor *const *inputs, int count, char text[LAYER_TEXT])
{
    const char *name = NULL;
    for (int i = 0; i < count && !name; i++) name = nn_tensor_name(parameters, inputs[i]);
    if (!name) name = "";
    const char *dot = strrchr(name, '.');
    const size_t length = dot ? (size_t)(dot - name) : strlen(name);
    if (length >= LAYER_TEXT) name += length - (LAYER_TEXT - 1);
    snprintf(text, LAYER_TEXT, "%.*s", (int)(length < LAYER_TEXT ? length : LAYER_TEXT - 1), name);
    return text;
}
