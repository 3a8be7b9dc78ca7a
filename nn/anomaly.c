#include "nn/anomaly.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autograd/observe.h"
#include "nn/observe.h"
#include "tensor/layout.h"

/* More inputs than FEW_INPUTS are not all listed. */
enum { WHERE_TEXT = 2 * LAYER_TEXT, VALUE_TEXT = SHAPE_TEXT + 16, FEW_INPUTS = 4, INPUTS_TEXT = 256 };

typedef struct Detector {
    OpObserver base;
    NamedTensors parameters;
    OpObserver *before; /* who watched until then */
} Detector;

static _Thread_local Detector detector;

/* ---- Looking ---- */

static bool is_finite(const Tensor *t)
{
    const int64_t count = t->lanes ? t->storage->count : tensor_count(t);
    const Real *values = t->storage->data;
    bool finite = true;
    for (int64_t i = 0; i < count; i++) finite &= values[i] - values[i] == 0;
    return finite;
}

/* "NaN at [0, 2]": the first value that is not finite, row by row. */
static char *value_text(const Tensor *t, char text[VALUE_TEXT])
{
    Shape index = {.rank = t->shape.rank};
    double value = tensor_get(t, index);
    while (isfinite(value)) {
        int i = index.rank - 1;
        while (i > 0 && index.size[i] + 1 == t->shape.size[i]) index.size[i--] = 0;
        index.size[i]++;
        value = tensor_get(t, index);
    }
    char place[SHAPE_TEXT];
    snprintf(text, VALUE_TEXT, "%s at %s", isnan(value) ? "NaN" : value > 0 ? "inf" : "-inf", shape_text(index, place));
    return text;
}

/* ---- Saying ---- */

/* "conv2d of conv1"; an op without parameters is "relu after conv1", if the graph tells. */
static char *op_text(const Detector *self, const OpCall *call, char text[WHERE_TEXT])
{
    char layer[LAYER_TEXT];
    const char *relation = "of";
    nn_layer_name(&self->parameters, call->inputs, call->input_count, layer);
    const Node *node = tensor_node(call->inputs[0]);
    for (; !*layer && node; node = tensor_node(node_input(node, 0))) {
        Tensor *inputs[OP_MAX_INPUTS];
        for (int i = 0; i < node_input_count(node); i++) inputs[i] = node_input(node, i);
        nn_layer_name(&self->parameters, inputs, node_input_count(node), layer);
        relation = "after";
    }
    snprintf(text, WHERE_TEXT, "%s%s%s%s%s", call->op->name, *layer ? " " : "", *layer ? relation : "",
             *layer ? " " : "", layer);
    return text;
}

/* "[64, 8, 26, 26], [12, 8, 3, 3], [12]" */
static char *inputs_text(const OpCall *call, char text[INPUTS_TEXT])
{
    char shape[SHAPE_TEXT];
    text[0] = '\0';
    for (int i = 0; i < call->input_count && i < FEW_INPUTS; i++) {
        if (call->inputs[i] == TENSOR_NONE) continue;
        const size_t used = strlen(text);
        snprintf(text + used, INPUTS_TEXT - used, "%s%s", used ? ", " : "", shape_text(call->inputs[i]->shape, shape));
    }
    return text;
}

/* "input 1, conv1.weight [8, 1, 3, 3]" */
static char *input_text(const Detector *self, const OpCall *call, int i, char text[INPUTS_TEXT])
{
    char shape[SHAPE_TEXT];
    const char *name = nn_tensor_name(&self->parameters, call->inputs[i]);
    snprintf(text, INPUTS_TEXT, "input %d, %s%s%s", i, name ? name : "", name ? " " : "",
             shape_text(call->inputs[i]->shape, shape));
    return text;
}

/* ---- Watching ---- */

static bool made(OpObserver *observer, const OpCall *call)
{
    if (is_finite(call->result)) return true;
    const Detector *self = (const Detector *)observer;
    char op[WHERE_TEXT], value[VALUE_TEXT], result[SHAPE_TEXT], inputs[INPUTS_TEXT];
    for (int i = 0; i < call->input_count; i++) {
        if (call->inputs[i] == TENSOR_NONE || is_finite(call->inputs[i])) continue;
        return weft_fail("anomaly: %s was given %s of its %s, which no op made", op_text(self, call, op),
                         value_text(call->inputs[i], value), input_text(self, call, i, inputs));
    }
    return weft_fail("anomaly: %s made %s of its result %s, of finite inputs %s", op_text(self, call, op),
                     value_text(call->result, value), shape_text(call->result->shape, result),
                     inputs_text(call, inputs));
}

static bool went_back(OpObserver *observer, const OpCall *call, const Tensor *grad)
{
    const Detector *self = (const Detector *)observer;
    char op[WHERE_TEXT], value[VALUE_TEXT], result[SHAPE_TEXT], input[INPUTS_TEXT];
    if (!is_finite(grad))
        return weft_fail("anomaly: the backward of %s was given %s of the gradient of its result %s, which no op made",
                         op_text(self, call, op), value_text(grad, value), shape_text(grad->shape, result));
    for (int i = 0; i < call->input_count; i++) {
        const Tensor *made_grad = call->inputs[i]->incoming;
        if (call->inputs[i] == TENSOR_NONE || !made_grad || is_finite(made_grad)) continue;
        return weft_fail("anomaly: the backward of %s made %s of the gradient of its %s, of a finite gradient of its "
                         "result %s", op_text(self, call, op), value_text(made_grad, value),
                         input_text(self, call, i, input), shape_text(grad->shape, result));
    }
    return true;
}

bool nn_detect_anomaly(const Module *module)
{
    if (detector.base.made) {
        autograd_observe(detector.before);
        nn_named_free(&detector.parameters);
        detector = (Detector){0};
    }
    if (!module) return true;
    NamedTensors parameters = nn_named_parameters(module);
    if (parameters.count < 0) return false;
    detector = (Detector){{.made = made, .went_back = went_back}, parameters, autograd_observe(&detector.base)};
    return true;
}
