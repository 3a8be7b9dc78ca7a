/* Recording the graph, and what ops see of it. */
#include "autograd/autograd.h"

#include <stdatomic.h>
#include <string.h>

#include "autograd/node.h"
#include "autograd/observe.h"
#include "tensor/kernels/kernels.h"
#include "tensor/memory.h"
#include "tensor/parallel.h"

static _Thread_local bool recording_is_off;
static _Thread_local OpObserver *observing;
static atomic_llong nodes_created; /* of all threads: a graph may pass from one to another */

bool autograd_record(bool on)
{
    bool was = !recording_is_off;
    recording_is_off = !on;
    return was;
}

bool autograd_is_recording(void)
{
    return !recording_is_off;
}

OpObserver *autograd_observe(OpObserver *observer)
{
    OpObserver *before = observing;
    observing = observer;
    return before;
}

void autograd_mark(const char *what)
{
    if (observing && observing->marked) observing->marked(observing, what);
}

#ifdef WEFT_DEBUG
/* The promise that every op makes about lanes beyond the last sample. Not of ops inside a backward function, where
 * recording is off: node_add_grad sees to their results. */
static bool check_result(const Op *op, const Tensor *result)
{
    if (recording_is_off || layout_spare_is_right(result)) return true;
    return weft_fail("%s: spare lanes of its result are wrong", op->name);
}
#else
static bool check_result(const Op *op, const Tensor *result)
{
    (void)op, (void)result;
    return true;
}
#endif

static Node *node_new(const Op *op, Tensor *const *inputs, int input_count, const void *attributes, size_t size)
{
    Node *node = weft_alloc_zeroed(1, sizeof *node + (size_t)input_count * sizeof node->inputs[0]);
    void *copy = node ? weft_alloc((int64_t)size, 1) : NULL;
    if (!copy) {
        weft_free(node);
        return NULL;
    }
    if (size) memcpy(copy, attributes, size);
    node->op = op;
    node->attributes = copy;
    node->created = nodes_created++;
    node->input_count = input_count;
    for (int i = 0; i < input_count; i++) {
        node->inputs[i].tensor = tensor_retain(inputs[i]);
        node->inputs[i].version = tensor_version(inputs[i]);
        node->inputs[i].required_grad = inputs[i]->requires_grad;
    }
    return node;
}

Tensor *op_record(const Op *op, Tensor *result, Tensor *const *inputs, int input_count, const void *attributes,
                  size_t size)
{
    if (!op || !op->name || !op->backward) return weft_fail("op_record: an op needs a name and a backward function");
    if (!result || !check_result(op, result)) return NULL;
    bool needed = false, in_graph = result->requires_grad;
    for (int i = 0; i < input_count; i++) {
        if (!inputs[i]) return NULL;
        needed |= inputs[i]->requires_grad;
        in_graph |= inputs[i] == result;
    }
    if (observing && !observing->made(observing, &(OpCall){op, attributes, inputs, input_count, result})) return NULL;
    if (recording_is_off || !needed) return result;
    if (in_graph)
        return weft_fail("%s: its result is in the graph already: compute it while autograd_record is off", op->name);
    if (input_count > OP_MAX_INPUTS)
        return weft_fail("%s: %d inputs are more than %d", op->name, input_count, OP_MAX_INPUTS);
    result->node = node_new(op, inputs, input_count, attributes, size);
    if (!result->node) return NULL;
    result->node->output = result;
    result->node->output_version = tensor_version(result);
    result->requires_grad = true;
    return result;
}

_Static_assert((int)OP_MAX_SAVED == (int)NODE_MAX_SAVED, "a node has room for what an op may save");

Tensor *op_save(Tensor *result, Tensor *saved)
{
    if (!result || !saved) return NULL;
    Node *node = result->node;
    if (!node) return result;
    if (node->saved_count == OP_MAX_SAVED)
        return weft_fail("%s: saves more than %d tensors", node->op->name, OP_MAX_SAVED);
    node->saved[node->saved_count++] = tensor_retain(saved);
    return result;
}

const Op *node_op(const Node *node)
{
    return node->op;
}

int node_input_count(const Node *node)
{
    return node->input_count;
}

Tensor *node_input(const Node *node, int i)
{
    return node->inputs[i].tensor;
}

Tensor *node_output(const Node *node)
{
    return node->output;
}

Tensor *node_saved(const Node *node, int i)
{
    return i < node->saved_count ? node->saved[i] : NULL;
}

const void *node_attributes(const Node *node)
{
    return node->attributes;
}

bool node_needs_grad(const Node *node, int i)
{
    return node->inputs[i].required_grad && node->inputs[i].tensor->requires_grad;
}

const Node *tensor_node(const Tensor *t)
{
    return t ? t->node : NULL;
}

/* ---- tensor_map ---- */

enum { MAP_MAX_INPUTS = 8, MAP_GRAIN = 1024 };

typedef struct Map {
    TensorMap *f;
    const void *context;
    const Real *inputs[MAP_MAX_INPUTS];
    int input_count;
    Real *result;
} Map;

static void map_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Map *map = context;
    for (int64_t i = begin; i < end; i++) {
        Real values[MAP_MAX_INPUTS];
        for (int k = 0; k < map->input_count; k++) values[k] = map->inputs[k][i];
        map->result[i] = map->f(values, map->context);
    }
}

Tensor *tensor_map(TensorMap *f, Tensor *const *inputs, int input_count, const void *context)
{
    if (!f || !inputs || input_count < 1 || input_count > MAP_MAX_INPUTS)
        return weft_fail("tensor_map: no function, or %d inputs, not 1 to %d", input_count, MAP_MAX_INPUTS);
    bool lanes = false, is_gradient = false;
    for (int i = 0; i < input_count; i++) {
        if (!inputs[i]) return NULL;
        if (inputs[i] == TENSOR_NONE) return weft_fail("tensor_map: input %d is none", i);
        lanes |= inputs[i]->lanes;
        is_gradient |= inputs[i]->is_gradient;
        char a[SHAPE_TEXT], b[SHAPE_TEXT];
        if (!shape_equal(inputs[i]->shape, inputs[0]->shape))
            return weft_fail("tensor_map: %s and %s", shape_text(inputs[0]->shape, a), shape_text(inputs[i]->shape, b));
    }
    Tensor *result = layout_new(inputs[0]->shape, lanes ? LAYOUT_LANES : LAYOUT_PLAIN);
    if (!result) return NULL;
    Map map = {.f = f, .context = context, .input_count = input_count, .result = result->storage->data};
    for (int i = 0; i < input_count; i++) {
        const Tensor *input = lanes ? layout_lanes(inputs[i]) : inputs[i];
        if (!input) return NULL;
        map.inputs[i] = input->storage->data;
    }
    int64_t count = lanes ? result->storage->count : tensor_count(result);
    parallel_for(count, MAP_GRAIN, map_range, &map);
    result->is_gradient = is_gradient;
    layout_fill_spare(result);
    return result;
}
