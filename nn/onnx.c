/* From a module to a graph of ONNX: two runs are recorded, compared and written op by op. */
#include "nn/onnx.h"

#include <stdlib.h>
#include <string.h>

#include "autograd/node.h"
#include "nn/modes.h"
#include "nn/observe.h"
#include "nn/onnx_file.h"
#include "tensor/memory.h"

/* The batches of the two runs. Up to 16 cost the same, and these have different halves, quarters and remainders. */
enum { RUNS = 2 };
static const int64_t BATCHES[RUNS] = {5, 16};

/* Where a tensor comes from: the index of a result, or one of these. */
enum { PLACE_CONSTANT = -2, PLACE_INPUT = -1 };
/* Enough for the type of an operator and a number. */
enum { NAME_TEXT = 64 };

/* One run of the module. */
typedef struct Trace {
    Tensor *input, *output;
    Tensor **results; /* of ops, as far as they depend on the input and the output on them; oldest first */
    int64_t count, capacity;
} Trace;

typedef struct Exporter {
    const OnnxExport *options;
    Trace runs[RUNS];
    NamedTensors parameters, buffers;
    OnnxGraph graph;
    OnnxValue *input;
    OnnxValue **values; /* of the results */
} Exporter;

/* ---- Recording ---- */

static bool push(Trace *trace, Tensor *t)
{
    if (!t->node || t->visited) return true;
    if (!weft_grow(&trace->results, &trace->capacity, trace->count + 1, sizeof *trace->results)) return false;
    trace->results[trace->count++] = t;
    t->visited = true;
    return true;
}

static bool push_all(Trace *trace)
{
    bool ok = push(trace, trace->output);
    for (int64_t i = 0; i < trace->count && ok; i++) {
        const Node *node = trace->results[i]->node;
        for (int k = 0; k < node->input_count && ok; k++) ok = push(trace, node->inputs[k].tensor);
    }
    return ok;
}

static int by_age(const void *a, const void *b)
{
    int64_t x = (*(Tensor *const *)a)->node->created, y = (*(Tensor *const *)b)->node->created;
    return x < y ? -1 : x > y;
}

/* Keeps the results that depend on the input: all others are constants. */
static void keep_dependent(Trace *trace)
{
    for (int64_t i = 0; i < trace->count; i++) trace->results[i]->visited = false;
    if (trace->count > 0) qsort(trace->results, (size_t)trace->count, sizeof *trace->results, by_age);
    trace->input->visited = true;
    for (int64_t i = 0; i < trace->count; i++) {
        const Node *node = trace->results[i]->node;
        for (int k = 0; k < node->input_count; k++) trace->results[i]->visited |= node->inputs[k].tensor->visited;
    }
    int64_t kept = 0;
    for (int64_t i = 0; i < trace->count; i++) {
        Tensor *result = trace->results[i];
        if (result->visited) trace->results[kept++] = result;
        result->visited = false;
    }
    trace->count = kept;
    trace->input->visited = false;
}

/* Runs the module on random values, others in each run: what does not pass through recorded ops shows as a constant
 * that differs. */
static bool run(Trace *trace, Module *module, Shape shape, int64_t batch)
{
    shape.size[0] = batch;
    trace->input = tensor_uniform(shape, 0, 1, (RandomKey){.stream = (uint32_t)batch});
    if (!trace->input || !tensor_set_requires_grad(trace->input, true)) return false;
    trace->output = nn_forward(module, trace->input);
    if (!trace->output) return weft_fail("onnx: %s's forward failed", module->type);
    bool ok = push_all(trace);
    keep_dependent(trace);
    return ok;
}

static bool run_twice(Exporter *exporter)
{
    Module *module = exporter->options->module;
    Modes modes = {0};
    if (!nn_evaluation_begin(&modes, module, true)) return false;
    Observer *observer = nn_observe(NULL);
    bool ok = true;
    for (int i = 0; i < RUNS && ok; i++) ok = run(&exporter->runs[i], module, exporter->options->input, BATCHES[i]);
    nn_observe(observer);
    nn_evaluation_end(&modes, module);
    return ok;
}

/* ---- What both runs agree on ---- */

/* Sizes that differ are -1. False with an error if the ranks differ. */
static bool common_shape(Shape *shape, const Tensor *a, const Tensor *b)
{
    *shape = a->shape;
    for (int d = 0; d < a->shape.rank; d++) {
        if (a->shape.size[d] != b->shape.size[d]) shape->size[d] = ONNX_BATCH;
    }
    char text[RUNS][SHAPE_TEXT];
    if (a->shape.rank == b->shape.rank) return true;
    return weft_fail("onnx: %s becomes %s in a larger batch", shape_text(a->shape, text[0]),
                     shape_text(b->shape, text[1]));
}

static bool same_values(const Tensor *a, const Tensor *b)
{
    const int64_t count = tensor_count(a);
    if (a == b) return true;
    if (!shape_equal(a->shape, b->shape)) return false;
    Real *values = weft_alloc(count, RUNS * sizeof(Real));
    bool same = values && tensor_read(a, values, count) && tensor_read(b, values + count, count) &&
                memcmp(values, values + count, (size_t)count * sizeof(Real)) == 0;
    weft_free(values);
    return same;
}

static bool same_attribute(const Attribute *a, const Attribute *b)
{
    return strcmp(a->name, b->name) == 0 && a->count == b->count &&
           (a->count ? memcmp(a->integers, b->integers, (size_t)a->count * sizeof *a->integers) == 0
                     : memcmp(&a->number, &b->number, sizeof a->number) == 0);
}

/* Whether the two calls are of one op with the same attributes. */
static bool check_same(const Node *a, const Node *b)
{
    Attribute attributes[RUNS][OP_MAX_ATTRIBUTES] = {0};
    if (a->op != b->op || a->input_count != b->input_count)
        return weft_fail("onnx: %s is called where %s is in a larger batch", a->op->name, b->op->name);
    if (!a->op->describe) return true;
    const int count = a->op->describe(a, attributes[0]), other_count = b->op->describe(b, attributes[1]);
    bool same = count == other_count;
    int i = 0;
    while (same && i < count && same_attribute(&attributes[0][i], &attributes[1][i])) i++;
    if (same && i == count) return true;
    return weft_fail("onnx: %s: %s depends on the size of the batch", a->op->name,
                     same ? attributes[0][i].name : "what it is");
}

/* ---- Constants ---- */

/* The name in weight files, unless something else in the file is called so: names made here have a slash. */
static const char *name_of(const Exporter *exporter, const Tensor *t)
{
    const char *name = nn_tensor_name(&exporter->parameters, t);
    if (!name) name = nn_tensor_name(&exporter->buffers, t);
    bool taken = name && (strchr(name, '/') || strcmp(name, exporter->options->input_name) == 0 ||
                          strcmp(name, exporter->options->output_name) == 0);
    return taken ? NULL : name;
}

/* What the tensor is a copy of, in another layout. */
static Tensor *original(Tensor *t)
{
    while (node_is_conversion(t->node)) t = t->node->inputs[0].tensor;
    return t;
}

static OnnxValue *constant(Exporter *exporter, const Op *op, Tensor *a, Tensor *b)
{
    a = original(a);
    b = original(b);
    char text[SHAPE_TEXT];
    if (!same_values(a, b)) {
        return weft_fail("onnx: %s takes a tensor %s that differs from run to run, by no op on record: it may come "
                         "from argmax, tensor_map, tensor_detach, or be made of the batch's size",
                         op->name, shape_text(a->shape, text));
    }
    for (int64_t i = 0; i < exporter->graph.count; i++) {
        if (exporter->graph.values[i]->tensor == a) return exporter->graph.values[i];
    }
    const char *name = name_of(exporter, a);
    OnnxValue *value = onnx_tensor(&(OnnxCall){.graph = &exporter->graph}, a);
    if (value && name && !(value->name = weft_strdup(name))) return NULL;
    return value;
}

/* ---- Calls ---- */

static int64_t place_of(const Trace *trace, const Tensor *t)
{
    if (t == trace->input) return PLACE_INPUT;
    Tensor *const *found = t->node ? bsearch(&t, trace->results, (size_t)trace->count, sizeof *trace->results, by_age)
                                   : NULL;
    return found ? found - trace->results : PLACE_CONSTANT;
}

/* Input k of the call that made result i. */
static OnnxValue *input_of(Exporter *exporter, int64_t i, int k)
{
    const Trace *runs = exporter->runs;
    const Node *a = runs[0].results[i]->node, *b = runs[1].results[i]->node;
    Tensor *x = a->inputs[k].tensor, *y = b->inputs[k].tensor;
    int64_t place = place_of(&runs[0], x);
    if (place != place_of(&runs[1], y) || (x == TENSOR_NONE) != (y == TENSOR_NONE))
        return weft_fail("onnx: %s takes another tensor in a larger batch", a->op->name);
    if (place == PLACE_INPUT) return exporter->input;
    return place == PLACE_CONSTANT ? constant(exporter, a->op, x, y) : exporter->values[place];
}

static OnnxValue *value_of(Exporter *exporter, int64_t i)
{
    const Tensor *a = exporter->runs[0].results[i], *b = exporter->runs[1].results[i];
    const Op *op = a->node->op;
    OnnxCall call = {.graph = &exporter->graph, .node = a->node, .input_count = a->node->input_count};
    if (!check_same(a->node, b->node) || !common_shape(&call.shape, a, b)) return NULL;
    for (int k = 0; k < call.input_count; k++) {
        if (a->node->inputs[k].tensor == TENSOR_NONE && b->node->inputs[k].tensor == TENSOR_NONE) continue;
        if (!(call.inputs[k] = input_of(exporter, i, k))) return NULL;
    }
    if (node_is_conversion(a->node)) return call.inputs[0];
    if (!op->onnx)
        return weft_fail("onnx: %s cannot be written: the op has no onnx function (autograd/onnx.h)", op->name);
    OnnxValue *value = op->onnx(&call);
    if (value && !exporter->graph.failed) return value;
    return weft_fail("onnx: %s: its onnx function failed", op->name);
}

/* ---- The whole ---- */

/* Names the values that have none, and gives the output its own. */
static bool name_values(Exporter *exporter, OnnxValue *output)
{
    char text[NAME_TEXT];
    for (int64_t i = 0; i < exporter->graph.count; i++) {
        OnnxValue *value = exporter->graph.values[i];
        snprintf(text, sizeof text, "%.32s/%lld", value->type ? value->type : "constant", (long long)i);
        const char *name = value == output ? exporter->options->output_name : text;
        if (!value->name && !(value->name = weft_strdup(name))) return false;
    }
    return true;
}

/* The output as an operator's own: a file cannot call its input by another name. */
static OnnxValue *output_of(Exporter *exporter)
{
    const Trace *runs = exporter->runs;
    const int64_t place = place_of(&runs[0], runs[0].output);
    if (place == PLACE_CONSTANT || place != place_of(&runs[1], runs[1].output))
        return weft_fail("onnx: the output does not depend on the input by ops on record");
    OnnxValue *output = place == PLACE_INPUT ? exporter->input : exporter->values[place];
    return output->type ? output : onnx_op(&(OnnxCall){.graph = &exporter->graph}, "Identity", output);
}

static bool write_graph(Exporter *exporter, OnnxValue *output)
{
    OnnxEnd from = {exporter->input, exporter->options->input}, to = {.value = output};
    const Tensor *a = exporter->runs[0].output, *b = exporter->runs[1].output;
    from.shape.size[0] = ONNX_BATCH;
    if (!common_shape(&to.shape, a, b)) return false;
    for (int d = 0; d < to.shape.rank; d++) {
        bool other = a->shape.size[d] != BATCHES[0] || b->shape.size[d] != BATCHES[1];
        if (to.shape.size[d] == ONNX_BATCH && other) to.shape.size[d] = ONNX_UNKNOWN;
    }
    return exporter->options->dry_run || onnx_file_write(exporter->options->path, &exporter->graph, from, to);
}

static bool write_all(Exporter *exporter)
{
    const int64_t count = exporter->runs[0].count;
    if (count != exporter->runs[1].count)
        return weft_fail("onnx: %lld ops become %lld in a larger batch", (long long)count,
                         (long long)exporter->runs[1].count);
    exporter->input = onnx_value_new(&exporter->graph);
    exporter->values = weft_alloc(count, sizeof *exporter->values);
    if (!exporter->input || !exporter->values) return false;
    if (!(exporter->input->name = weft_strdup(exporter->options->input_name))) return false;
    for (int64_t i = 0; i < count; i++) {
        if (!(exporter->values[i] = value_of(exporter, i))) return false;
    }
    OnnxValue *output = output_of(exporter);
    return output && name_values(exporter, output) && write_graph(exporter, output);
}

static bool check_options(const OnnxExport *options)
{
    char text[SHAPE_TEXT];
    if (!options->module || !options->path) return weft_fail("onnx: the module or the path is NULL");
    if (shape_count(options->input) < 1 || options->input.rank < 1)
        return weft_fail("onnx: input %s is no batch", shape_text(options->input, text));
    const char *const names[] = {options->input_name, options->output_name};
    for (int i = 0; i < 2; i++) {
        if (!*names[i] || strchr(names[i], '/'))
            return weft_fail("onnx: '%s' is no name for an input or output: it is empty or has a slash", names[i]);
    }
    return strcmp(names[0], names[1]) != 0 || weft_fail("onnx: input and output are both called '%s'", names[0]);
}

bool nn_export_onnx_with(OnnxExport options)
{
    if (!options.input_name) options.input_name = "input";
    if (!options.output_name) options.output_name = "output";
    if (!check_options(&options)) return false;
    Exporter exporter = {.options = &options, .parameters = nn_named_parameters(options.module),
                         .buffers = nn_named_buffers(options.module)};
    Scope scope = scope_open();
    bool ok = exporter.parameters.count >= 0 && exporter.buffers.count >= 0 && run_twice(&exporter) &&
              write_all(&exporter);
    scope_close(scope);
    onnx_graph_free(&exporter.graph);
    for (int i = 0; i < RUNS; i++) weft_free(exporter.runs[i].results);
    weft_free(exporter.values);
    nn_named_free(&exporter.parameters);
    nn_named_free(&exporter.buffers);
    return ok;
}
