#include "autograd/onnx.h"

#include <string.h>

#include "autograd/onnx_graph.h"
#include "tensor/memory.h"

/* Marks the graph, so that a failure is not lost whatever the caller does with the NULL. */
static void *fail(OnnxGraph *graph)
{
    graph->failed = true;
    return NULL;
}

OnnxValue *onnx_value_new(OnnxGraph *graph)
{
    if (graph->failed) return NULL;
    if (!weft_grow(&graph->values, &graph->capacity, graph->count + 1, sizeof(OnnxValue *))) return fail(graph);
    OnnxValue *value = weft_alloc_zeroed(1, sizeof *value);
    if (!value) return fail(graph);
    value->graph = graph;
    return graph->values[graph->count++] = value;
}

void onnx_graph_free(OnnxGraph *graph)
{
    for (int64_t i = 0; i < graph->count; i++) {
        OnnxValue *value = graph->values[i];
        tensor_release(value->tensor);
        weft_free(value->inputs);
        weft_free(value->name);
        weft_free(value);
    }
    weft_free(graph->values);
    *graph = (OnnxGraph){0};
}

/* ---- Values ---- */

OnnxValue *onnx_op_of(const OnnxCall *call, const char *type, OnnxValue *const *inputs, int count)
{
    OnnxValue *value = onnx_value_new(call->graph);
    if (!value) return NULL;
    if (!type || !inputs || count < 1) {
        weft_fail("onnx: %s: an operator needs a type and inputs", node_op(call->node)->name);
        return fail(call->graph);
    }
    while (count > 1 && !inputs[count - 1]) count--;
    value->inputs = weft_alloc(count, sizeof *inputs);
    if (!value->inputs) return fail(call->graph);
    memcpy(value->inputs, inputs, (size_t)count * sizeof *inputs);
    value->input_count = count;
    value->type = type;
    return value;
}

OnnxValue *onnx_op_same(const OnnxCall *call, const char *type)
{
    return onnx_op_of(call, type, call->inputs, call->input_count);
}

OnnxValue *onnx_number(const OnnxCall *call, double value)
{
    Scope scope = scope_open();
    OnnxValue *number = onnx_tensor(call, tensor_full(SCALAR, value));
    scope_close(scope);
    return number;
}

OnnxValue *onnx_tensor(const OnnxCall *call, Tensor *t)
{
    if (!t) return fail(call->graph);
    OnnxValue *value = onnx_value_new(call->graph);
    if (value) value->tensor = tensor_retain(t);
    return value;
}

/* Whether a list of so many whole numbers can be kept. */
static bool check_list(OnnxGraph *graph, int count)
{
    if (count >= 1 && count <= TENSOR_MAX_RANK) return true;
    weft_fail("onnx: a list of %d whole numbers is not of 1 to %d", count, TENSOR_MAX_RANK);
    return fail(graph);
}

OnnxValue *onnx_integers(const OnnxCall *call, const int64_t *values, int count)
{
    OnnxValue *value = check_list(call->graph, count) ? onnx_value_new(call->graph) : NULL;
    if (!value) return NULL;
    memcpy(value->integers, values, (size_t)count * sizeof *values);
    value->integer_count = count;
    return value;
}

/* ---- Attributes ---- */

static void set(OnnxValue *value, OnnxAttribute attribute)
{
    if (value->attribute_count < OP_MAX_ATTRIBUTES) {
        value->attributes[value->attribute_count++] = attribute;
    } else {
        weft_fail("onnx: %s has more than %d attributes", value->type, OP_MAX_ATTRIBUTES);
        fail(value->graph);
    }
}

void onnx_set_integer(OnnxValue *value, const char *name, int64_t number)
{
    if (value) set(value, (OnnxAttribute){{.name = name, .count = 1, .integers = {number}}, .list = false});
}

void onnx_set_integers(OnnxValue *value, const char *name, const int64_t *numbers, int count)
{
    if (!value || !check_list(value->graph, count)) return;
    OnnxAttribute attribute = {{.name = name, .count = count}, .list = true};
    memcpy(attribute.value.integers, numbers, (size_t)count * sizeof *numbers);
    set(value, attribute);
}

void onnx_set_number(OnnxValue *value, const char *name, double number)
{
    if (value) set(value, (OnnxAttribute){{.name = name, .number = number}, .list = false});
}
