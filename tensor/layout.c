#include "tensor/layout.h"

#include <string.h>

#include "tensor/kernels/kernels.h"
#include "tensor/memory.h"

/* ---- Storage ---- */

static Storage *storage_new(int64_t count)
{
    if (count > INT64_MAX - WEFT_LANES) return weft_fail("tensor: too many elements");
    int64_t padded = kernel_groups(count) * WEFT_LANES;
    Storage *storage = weft_alloc_zeroed(1, sizeof *storage);
    Real *data = storage ? weft_alloc(padded, sizeof *data) : NULL;
    if (!data) {
        weft_free(storage);
        return NULL;
    }
    *storage = (Storage){.data = data, .count = padded, .references = 1};
    weft_count_bytes(padded * (int64_t)sizeof(Real));
    return storage;
}

static void storage_release(Storage *storage)
{
    if (!storage || --storage->references > 0) return;
    while (storage->derived) {
        Derived *derived = storage->derived;
        storage->derived = derived->next;
        storage_release(derived->values); /* one deep: nothing is derived from what is derived */
        weft_free(derived);
    }
    weft_count_bytes(-storage->count * (int64_t)sizeof(Real));
    weft_free(storage->data);
    weft_free(storage);
}

void layout_touch(Tensor *t)
{
    t->storage->version++;
}

static Derived *find_derived(const Tensor *t, const void *kind)
{
    Derived *derived = t->storage->derived;
    while (derived && derived->kind != kind) derived = derived->next;
    return derived;
}

Real *layout_derived(const Tensor *t, const void *kind)
{
    const Derived *derived = find_derived(t, kind);
    bool fresh = derived && derived->version == t->storage->version && shape_equal(derived->shape, t->shape);
    return fresh ? derived->values->data : NULL;
}

Real *layout_derive(const Tensor *t, const void *kind, int64_t count)
{
    Derived *derived = find_derived(t, kind);
    if (!derived) {
        derived = weft_alloc_zeroed(1, sizeof *derived);
        if (!derived) return NULL;
        *derived = (Derived){.kind = kind, .version = -1, .next = t->storage->derived};
        t->storage->derived = derived;
    }
    if (!derived->values || derived->values->count < count) {
        Storage *values = storage_new(count);
        if (!values) return NULL;
        storage_release(derived->values);
        derived->values = values;
    }
    derived->version = t->storage->version;
    derived->shape = t->shape;
    return derived->values->data;
}

/* ---- Handles ---- */

static struct Storage none_storage = {.references = 1};
static Tensor none = {.shape = {.rank = -1}, .storage = &none_storage, .references = 1};
Tensor *const TENSOR_NONE = &none;

static Tensor *handle_new(Shape shape, Storage *storage, bool lanes)
{
    Tensor *t = storage ? weft_alloc_zeroed(1, sizeof *t) : NULL;
    if (!t) {
        storage_release(storage);
        return NULL;
    }
    *t = (Tensor){.shape = shape, .storage = storage, .references = 1, .lanes = lanes};
    weft_count_tensors(1);
    return scope_adopt(t);
}

Tensor *layout_new(Shape shape, Layout layout)
{
    int64_t count = shape_count(shape);
    if (count < 0) {
        char text[SHAPE_TEXT];
        bool sizes = shape.rank >= 0 && shape.rank <= TENSOR_MAX_RANK;
        for (int i = 0; sizes && i < shape.rank; i++) sizes = shape.size[i] >= 1;
        if (sizes) return weft_fail("tensor: %s has more elements than can be counted", shape_text(shape, text));
        return weft_fail("tensor: %s is not a shape: up to %d sizes of at least 1", shape_text(shape, text),
                         TENSOR_MAX_RANK);
    }
    if (!weft_isa()) return NULL;
    bool lanes = layout == LAYOUT_LANES && shape.rank >= 2;
    if (lanes) {
        int64_t elements = count / shape.size[0];
        int64_t groups = kernel_groups(shape.size[0]);
        if (elements > INT64_MAX / WEFT_LANES / groups) return weft_fail("tensor: too many elements");
        count = groups * elements * WEFT_LANES;
    }
    return handle_new(shape, storage_new(count), lanes);
}

Tensor *layout_new_like(const Tensor *like, Shape shape)
{
    Tensor *t = like ? layout_new(shape, like->lanes ? LAYOUT_LANES : LAYOUT_PLAIN) : NULL;
    if (t) t->is_gradient = like->is_gradient;
    return t;
}

Tensor *layout_share(const Tensor *t, Shape shape)
{
    if (!t) return NULL;
    t->storage->references++;
    Tensor *shared = handle_new(shape, t->storage, t->lanes);
    if (shared) shared->is_gradient = t->is_gradient;
    return shared;
}

Tensor *tensor_retain(Tensor *t)
{
    if (t && t != TENSOR_NONE) t->references++;
    return t;
}

/* Drops one reference; what dies is pushed on the list of the dead, linked through `incoming`. */
static void drop(Tensor *t, Tensor **dead)
{
    if (!t || t == TENSOR_NONE || --t->references > 0) return;
    Tensor *incoming = t->incoming;
    t->incoming = *dead;
    *dead = t;
    drop(incoming, dead); /* one deep: a gradient has none of its own */
}

static void drop_saved(Node *node, Tensor **dead)
{
    while (node->saved_count > 0) drop(node->saved[--node->saved_count], dead);
}

static void bury(Tensor *dead)
{
    /* A worklist rather than recursion: a graph may be a chain of any length. */
    while (dead) {
        Tensor *t = dead;
        dead = t->incoming;
        drop(t->grad, &dead);
        if (t->node) {
            for (int i = 0; i < t->node->input_count; i++) drop(t->node->inputs[i].tensor, &dead);
            drop_saved(t->node, &dead);
            weft_free(t->node->attributes);
            weft_free(t->node);
        }
        storage_release(t->storage);
        weft_free(t);
        weft_count_tensors(-1);
    }
}

void tensor_release(Tensor *t)
{
    Tensor *dead = NULL;
    drop(t, &dead);
    bury(dead);
}

void node_drop_saved(Node *node)
{
    Tensor *dead = NULL;
    drop_saved(node, &dead);
    bury(dead);
}

/* ---- Layout ---- */

bool layout_is_lanes(const Tensor *t)
{
    return t->lanes || t->shape.rank == 1;
}

int64_t layout_samples(const Tensor *t)
{
    return t->shape.rank > 0 ? t->shape.size[0] : 1;
}

int64_t layout_groups(const Tensor *t)
{
    return kernel_groups(layout_samples(t));
}

int64_t layout_elements(const Tensor *t)
{
    return tensor_count(t) / layout_samples(t);
}

const Tensor *layout_lanes(const Tensor *t)
{
    if (!t || t->lanes || t->shape.rank < 2) return t;
    Tensor *lanes = layout_new(t->shape, LAYOUT_LANES);
    if (!lanes) return NULL;
    lanes->is_gradient = t->is_gradient;
    weft_kernels()->to_lanes(lanes->storage->data, t->storage->data, layout_samples(t), layout_elements(t),
                             t->is_gradient);
    weft_count_conversion();
    return lanes;
}

const Tensor *layout_plain(const Tensor *t)
{
    if (!t || !t->lanes) return t;
    Tensor *plain = layout_new(t->shape, LAYOUT_PLAIN);
    if (!plain) return NULL;
    plain->is_gradient = t->is_gradient;
    weft_kernels()->to_plain(plain->storage->data, t->storage->data, layout_samples(t), layout_elements(t));
    weft_count_conversion();
    return plain;
}

/* The values of one element of the last group: 16 lanes of which `valid` are samples. */
static Real *last_group(const Tensor *t, int64_t element, int *valid)
{
    int64_t samples = layout_samples(t), elements = layout_elements(t), group = (samples - 1) / WEFT_LANES;
    *valid = (int)(samples - group * WEFT_LANES);
    return t->storage->data + (group * elements + element) * WEFT_LANES;
}

void layout_fill_spare(Tensor *t)
{
    if (!t->lanes) {
        Real *values = t->storage->data;
        int64_t count = tensor_count(t);
        for (int64_t i = count; i < t->storage->count; i++) values[i] = t->is_gradient ? 0 : values[count - 1];
        return;
    }
    if (layout_samples(t) % WEFT_LANES == 0) return;
    for (int64_t e = 0; e < layout_elements(t); e++) {
        int valid;
        Real *lanes = last_group(t, e, &valid);
        for (int i = valid; i < WEFT_LANES; i++) lanes[i] = t->is_gradient ? 0 : lanes[valid - 1];
    }
}

bool layout_spare_is_right(const Tensor *t)
{
    if (!layout_is_lanes(t)) return true;
    for (int64_t e = 0; e < layout_elements(t); e++) {
        int valid;
        const Real *lanes = last_group(t, e, &valid);
        for (int i = valid; i < WEFT_LANES; i++) {
            Real right = t->is_gradient ? 0 : lanes[valid - 1];
            bool both_nan = right != right && lanes[i] != lanes[i];
            if (!both_nan && !(lanes[i] == right)) return false;
        }
    }
    return true;
}
