/* The messages of ONNX (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). */
#include "nn/onnx_file.h"

#include <math.h>

#include "nn/dtype.h"
#include "nn/protobuf.h"
#include "tensor/file.h"
#include "tensor/memory.h"

/* The version of the format itself: that of 2020, with which opset 13 came. */
enum { IR_VERSION = 7 };

/* Numbers of the fields of each message. */
enum { MODEL_IR_VERSION = 1, MODEL_PRODUCER = 2, MODEL_PRODUCER_VERSION = 3, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { OPSET_VERSION = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_TYPE = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_FLOAT = 2, ATTRIBUTE_INTEGER = 3, ATTRIBUTE_INTEGERS = 8, ATTRIBUTE_TYPE = 20 };
enum { TYPE_FLOAT = 1, TYPE_INTEGER = 2, TYPE_INTEGERS = 7 };
enum { TENSOR_DIMS = 1, TENSOR_DATA_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW_DATA = 9 };
enum { DATA_FLOAT = 1, DATA_INT64 = 7 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2, VALUE_TENSOR_TYPE = 1, VALUE_ELEMENT = 1, VALUE_SHAPE = 2, SHAPE_DIM = 1 };
enum { DIM_VALUE = 1, DIM_NAME = 2 };

/* What parsers of protocol buffers read. */
static const int64_t MOST_BYTES = INT32_MAX;

/* ---- Operators ---- */

static void put_attribute(Protobuf *node, const OnnxAttribute *attribute)
{
    Protobuf message = {0};
    const Attribute *value = &attribute->value;
    const int field = attribute->list ? ATTRIBUTE_INTEGERS : ATTRIBUTE_INTEGER;
    nn_protobuf_text(&message, ATTRIBUTE_NAME, value->name);
    if (value->count == 0) nn_protobuf_float(&message, ATTRIBUTE_FLOAT, (float)value->number);
    for (int i = 0; i < value->count; i++) nn_protobuf_integer(&message, field, value->integers[i]);
    nn_protobuf_integer(&message, ATTRIBUTE_TYPE,
                        value->count == 0 ? TYPE_FLOAT : attribute->list ? TYPE_INTEGERS : TYPE_INTEGER);
    nn_protobuf_message(node, NODE_ATTRIBUTE, &message);
}

static void put_node(Protobuf *graph, const OnnxValue *value)
{
    Protobuf node = {0};
    for (int i = 0; i < value->input_count; i++)
        nn_protobuf_text(&node, NODE_INPUT, value->inputs[i] ? value->inputs[i]->name : "");
    nn_protobuf_text(&node, NODE_OUTPUT, value->name);
    nn_protobuf_text(&node, NODE_NAME, value->name);
    nn_protobuf_text(&node, NODE_TYPE, value->type);
    for (int i = 0; i < value->attribute_count; i++) put_attribute(&node, &value->attributes[i]);
    nn_protobuf_message(graph, GRAPH_NODE, &node);
}

/* ---- Constants ---- */

/* The values as float32; a double may be too large for that. */
static bool put_values(Protobuf *message, const OnnxValue *value)
{
    const int64_t count = tensor_count(value->tensor);
    Real *values = weft_alloc(count, sizeof(Real));
    bool ok = values && tensor_read(value->tensor, values, count);
    unsigned char *bytes = ok ? nn_protobuf_bytes(message, TENSOR_RAW_DATA, count * (int64_t)sizeof(float)) : NULL;
    ok = bytes != NULL;
    for (int64_t i = 0; i < count && ok; i++) {
        const float number = (float)values[i];
        ok = isfinite(number) || !isfinite(values[i]);
        if (!ok) weft_fail("onnx: %g in %s is too large for float32", (double)values[i], value->name);
        nn_protobuf_put_float(bytes + i * (int64_t)sizeof number, number);
    }
    weft_free(values);
    return ok;
}

static void put_initializer(Protobuf *graph, const OnnxValue *value)
{
    Protobuf message = {0};
    const Shape shape = value->tensor ? tensor_shape(value->tensor) : SHAPE(value->integer_count);
    for (int d = 0; d < shape.rank; d++) nn_protobuf_integer(&message, TENSOR_DIMS, shape.size[d]);
    nn_protobuf_integer(&message, TENSOR_DATA_TYPE, value->tensor ? DATA_FLOAT : DATA_INT64);
    nn_protobuf_text(&message, TENSOR_NAME, value->name);
    if (value->tensor) {
        if (!put_values(&message, value)) message.failed = true;
    } else {
        const int size = sizeof(int64_t);
        unsigned char *bytes = nn_protobuf_bytes(&message, TENSOR_RAW_DATA, value->integer_count * size);
        for (int i = 0; i < value->integer_count && bytes; i++)
            nn_dtype_put(bytes + i * size, size, (uint64_t)value->integers[i]);
    }
    nn_protobuf_message(graph, GRAPH_INITIALIZER, &message);
}

/* ---- The whole ---- */

static void put_end(Protobuf *graph, int field, OnnxEnd end)
{
    Protobuf info = {0}, type = {0}, tensor = {0}, shape = {0};
    for (int d = 0; d < end.shape.rank; d++) {
        Protobuf dim = {0};
        if (end.shape.size[d] == ONNX_BATCH) nn_protobuf_text(&dim, DIM_NAME, "N");
        else if (end.shape.size[d] != ONNX_UNKNOWN) nn_protobuf_integer(&dim, DIM_VALUE, end.shape.size[d]);
        nn_protobuf_message(&shape, SHAPE_DIM, &dim);
    }
    nn_protobuf_integer(&tensor, VALUE_ELEMENT, DATA_FLOAT);
    nn_protobuf_message(&tensor, VALUE_SHAPE, &shape);
    nn_protobuf_message(&type, VALUE_TENSOR_TYPE, &tensor);
    nn_protobuf_text(&info, VALUE_NAME, end.value->name);
    nn_protobuf_message(&info, VALUE_TYPE, &type);
    nn_protobuf_message(graph, field, &info);
}

static Protobuf model_of(const OnnxGraph *values, OnnxEnd input, OnnxEnd output)
{
    Protobuf model = {0}, graph = {0}, opset = {0};
    for (int64_t i = 0; i < values->count; i++) {
        if (values->values[i]->type) put_node(&graph, values->values[i]);
    }
    nn_protobuf_text(&graph, GRAPH_NAME, "weft");
    for (int64_t i = 0; i < values->count; i++) {
        const OnnxValue *value = values->values[i];
        if (value->tensor || value->integer_count) put_initializer(&graph, value);
    }
    put_end(&graph, GRAPH_INPUT, input);
    put_end(&graph, GRAPH_OUTPUT, output);
    nn_protobuf_integer(&model, MODEL_IR_VERSION, IR_VERSION);
    nn_protobuf_text(&model, MODEL_PRODUCER, "weft");
    nn_protobuf_text(&model, MODEL_PRODUCER_VERSION, WEFT_VERSION);
    nn_protobuf_message(&model, MODEL_GRAPH, &graph);
    nn_protobuf_integer(&opset, OPSET_VERSION, ONNX_OPSET);
    nn_protobuf_message(&model, MODEL_OPSET, &opset);
    return model;
}

bool onnx_file_write(const char *path, const OnnxGraph *graph, OnnxEnd input, OnnxEnd output)
{
    Protobuf model = model_of(graph, input, output);
    bool ok = !model.failed;
    if (ok && model.size > MOST_BYTES)
        ok = weft_fail("%s: %lld bytes are more than an ONNX file may have", path, (long long)model.size);
    FileWriter *writer = ok ? weft_file_create(path) : NULL;
    if (writer) fwrite(model.bytes, 1, (size_t)model.size, writer->stream); /* checked when the file is committed */
    ok = writer && weft_file_commit(writer);
    nn_protobuf_free(&model);
    return ok;
}
