#include "nn/modes.h"

#include "tensor/memory.h"

static bool save(Modes *modes, const Module *module)
{
    if (!weft_grow(&modes->training, &modes->capacity, modes->count + 1, sizeof(bool))) return false;
    modes->training[modes->count++] = module->training;
    for (int64_t i = 0; i < module->child_count; i++) {
        if (!save(modes, module->children[i].module)) return false;
    }
    return true;
}

static const bool *restore(const bool *training, Module *module)
{
    module->training = *training++;
    for (int64_t i = 0; i < module->child_count; i++) training = restore(training, module->children[i].module);
    return training;
}

static void clear(Modes *modes)
{
    weft_free(modes->training);
    *modes = (Modes){0};
}

bool nn_modes_save(Modes *modes, const Module *module)
{
    if (save(modes, module)) return true;
    clear(modes);
    return false;
}

void nn_modes_restore(Modes *modes, Module *module)
{
    restore(modes->training, module);
    clear(modes);
}
