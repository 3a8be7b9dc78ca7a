/* The graph that ops' `onnx` functions make and nn/ writes to a file. Internal. */
#ifndef WEFT_ONNX_GRAPH_H
#define WEFT_ONNX_GRAPH_H

#include "autograd/onnx.h"

typedef struct OnnxAttribute {
    Attribute value; /* a real number if its count is 0 */
    bool list;       /* whole numbers are a list, even if there is one */
} OnnxAttribute;

/* One of: what an operator makes (type), a tensor, a list of whole numbers, the graph's input (neither). */
struct OnnxValue {
    OnnxGraph *graph;
    char *name; /* NULL: named by its place, when it is written */
    const char *type;
    OnnxValue **inputs;
    int input_count;
    OnnxAttribute attributes[OP_MAX_ATTRIBUTES];
    int attribute_count;
    Tensor *tensor; /* counted */
    int64_t integers[TENSOR_MAX_RANK];
    int integer_count;
};

/* In order of making: an operator comes after what it takes. Zero-initialised it is empty. */
struct OnnxGraph {
    OnnxValue **values;
    int64_t count, capacity;
    bool failed;
};

/* A new value, owned by the graph; NULL if the graph has failed or memory is short. */
OnnxValue *onnx_value_new(OnnxGraph *graph);
void onnx_graph_free(OnnxGraph *graph);

#endif
