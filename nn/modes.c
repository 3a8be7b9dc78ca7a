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

bool nn_evaluation_begin(Modes *modes, Module *module, bool record)
{
    if (!save(modes, module)) {
        clear(modes);
        return false;
    }
    modes->recording = autograd_record(record);
    nn_eval(module);
    return true;
}

void nn_evaluation_end(Modes *modes, Module *module)
{
    autograd_record(modes->recording);
    restore(modes->training, module);
    clear(modes);
}
