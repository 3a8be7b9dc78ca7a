/* Writing a graph to an ONNX file. Internal; nn/onnx.h is the public face. */
#ifndef WEFT_ONNX_FILE_H
#define WEFT_ONNX_FILE_H

#include "autograd/onnx_graph.h"

/* Sizes of an input or output that depend on the batch: its own size, and another. */
enum { ONNX_BATCH = -1, ONNX_UNKNOWN = -2 };

typedef struct OnnxEnd {
    const OnnxValue *value;
    Shape shape;
} OnnxEnd;

/* Writes the graph, all of whose values have names, to a new file. False with an error, the earlier file as it was. */
bool onnx_file_write(const char *path, const OnnxGraph *graph, OnnxEnd input, OnnxEnd output) WEFT_CHECKED;

#endif
