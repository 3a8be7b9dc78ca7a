#include "nn/state.h"

#include <math.h>
#include <string.h>

#include "nn/state_file.h"
#include "tensor/memory.h"

static const double MOST_COUNTED = 0x1p63;
enum { MOST_TOO_MANY = 1 << 26 };

bool nn_state_collect(const Module *module, NamedTensors *state)
{
    *state = nn_named_parameters(module);
    NamedTensors buffers = nn_named_buffers(module);
    bool ok = state->count >= 0 && buffers.count >= 0 &&
              weft_grow(&state->items, &state->capacity, state->count + buffers.count, sizeof(NamedTensor));
    if (ok && buffers.count) {
        memcpy(state->items + state->count, buffers.items, (size_t)buffers.count * sizeof(NamedTensor));
        state->count += buffers.count;
        buffers.count = 0; /* the names have moved */
    }
    nn_named_free(&buffers);
    if (!ok) nn_named_free(state);
    return ok;
}

int64_t nn_state_values(const NamedTensors *state)
{
    int64_t count = 0;
    for (int64_t i = 0; i < state->count; i++) count += tensor_count(state->items[i].tensor);
    return count;
}

int64_t nn_state_most_bytes(int64_t values)
{
    return values * DTYPE_LARGEST + MOST_TOO_MANY;
}

static bool is_count(double value)
{
    return value >= 0 && value < MOST_COUNTED && value == floor(value);
}

/* Records what is wrong with a counter's value; false. */
static bool fail_count(const char *path, const NamedTensor *named, double value)
{
    char name[SAFETENSORS_NAME_TEXT];
    return weft_fail("%s: tensor \"%s\" is to hold a whole number, not %g", path,
                     safetensors_name_text(named->name, name), value);
}

/* ---- Saving ---- */

bool nn_state_write(const char *path, const NamedTensors *state, const SafetensorsMetadata *metadata)
{
    for (int64_t i = 0; i < state->count; i++) {
        const NamedTensor *named = &state->items[i];
        if (named->counter && !is_count(tensor_item(named->tensor)))
            return fail_count(path ? path : "(NULL)", named, tensor_item(named->tensor));
    }
    return safetensors_write(path, state, metadata);
}

bool nn_save(const Module *module, const char *path)
{
    NamedTensors state;
    if (!nn_state_collect(module, &state)) return false;
    bool ok = nn_state_write(path, &state, &(SafetensorsMetadata){0});
    nn_named_free(&state);
    return ok;
}

/* ---- Loading ---- */

/* Whether the file's tensor fits: the shape, and numbers where numbers, counts where counts are wanted. */
static bool check_entry(const Safetensors *file, const NamedTensor *named, SafetensorsEntry *entry)
{
    char name[SAFETENSORS_NAME_TEXT], wanted[SHAPE_TEXT], found[SHAPE_TEXT];
    safetensors_name_text(named->name, name);
    shape_text(tensor_shape(named->tensor), wanted);
    const char *dtype = named->counter ? DTYPE_COUNTER : DTYPE_REAL;
    if (!entry) return weft_fail("%s: has no tensor \"%s\", in the model %s %s", file->path, name, dtype, wanted);
    entry->used = true;
    bool fits = named->counter || !entry->dtype->integer;
    if (fits && shape_equal(entry->shape, tensor_shape(named->tensor))) return true;
    return weft_fail("%s: tensor \"%s\" is %s %s, in the model %s %s", file->path, name, entry->dtype->name,
                     shape_text(entry->shape, found), dtype, wanted);
}

static bool check_names(const Safetensors *file, const NamedTensors *state)
{
    for (int64_t i = 0; i < state->count; i++) {
        if (!check_entry(file, &state->items[i], safetensors_find(file, state->items[i].name))) return false;
    }
    for (int64_t i = 0; i < file->count; i++) {
        const SafetensorsEntry *entry = &file->entries[i];
        if (entry->used) continue;
        char name[SAFETENSORS_NAME_TEXT], found[SHAPE_TEXT];
        return weft_fail("%s: tensor \"%s\", %s %s, is none of the model's", file->path,
                         safetensors_name_text(entry->name, name), entry->dtype->name, shape_text(entry->shape, found));
    }
    return true;
}

static bool read_values(const Safetensors *file, const NamedTensors *state, Real *values)
{
    for (int64_t i = 0; i < state->count; i++) {
        const NamedTensor *named = &state->items[i];
        if (!safetensors_read(file, safetensors_find(file, named->name), values)) return false;
        if (named->counter && !is_count(values[0])) return fail_count(file->path, named, values[0]);
        values += tensor_count(named->tensor);
    }
    return true;
}

bool nn_state_read(const Safetensors *file, const NamedTensors *state)
{
    if (!check_names(file, state)) return false;
    Real *values = weft_alloc(nn_state_values(state), sizeof(Real)), *next = values;
    bool ok = values && read_values(file, state, values);
    for (int64_t i = 0; i < state->count && ok; i++) {
        int64_t size = tensor_count(state->items[i].tensor);
        ok = tensor_write(state->items[i].tensor, next, size);
        next += size;
    }
    weft_free(values);
    return ok;
}

bool nn_load(Module *module, const char *path)
{
    NamedTensors state;
    Safetensors file;
    if (!nn_state_collect(module, &state)) return false;
    bool ok = safetensors_open(&file, path, nn_state_most_bytes(nn_state_values(&state)));
    if (ok) {
        ok = nn_state_read(&file, &state);
        safetensors_close(&file);
    }
    nn_named_free(&state);
    return ok;
}
