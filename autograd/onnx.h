/* How an op is written as ONNX, the format that other engines read (nn/onnx.h writes whole modules).
 *
 * An op's `onnx` function (autograd/autograd.h) says what a call of it is in operators of ONNX, opset 13: it takes the
 * call's inputs, makes operators of them, and returns the value that is the op's result. Of the cube of x:
 *
 *     static OnnxValue *cube_onnx(const OnnxCall *call)
 *     {
 *         OnnxValue *x = call->inputs[0];
 *         return onnx_op(call, "Mul", x, onnx_op(call, "Mul", x, x));
 *     }
 *
 * and the op is {.name = "cube", .backward = cube_backward, .onnx = cube_onnx}. Everything here returns NULL once
 * something has failed, with the first error on record, so that such a function checks nothing. What it makes belongs
 * to the graph. https://onnx.ai/onnx/operators lists the operators. */
#ifndef WEFT_ONNX_OPS_H
#define WEFT_ONNX_OPS_H

#include "autograd/autograd.h"

WEFT_PUBLIC_BEGIN

/* The opset that the operators are of. */
enum { ONNX_OPSET = 13 };

/* What is being written. */
typedef struct OnnxGraph OnnxGraph;
/* A value in the graph: the graph's input, a constant, or what an operator makes. */
typedef struct OnnxValue OnnxValue;

/* A recorded call of an op, as it is to be written. */
typedef struct OnnxCall {
    OnnxGraph *graph;
    const Node *node;                  /* node_attributes, and the shapes of node_input, of a batch of one size: no size
                                        * that depends on it may be written */
    OnnxValue *inputs[OP_MAX_INPUTS];  /* NULL where it was TENSOR_NONE */
    int input_count;
    Shape shape;                       /* of the result; -1 where a size depends on the batch */
} OnnxCall;

/* The result of an operator, "Mul", say, with these inputs: onnx_op(call, "Mul", x, y). NULL among them stands for an
 * optional input that is left out. `type` and the names below are borrowed for good: string literals. */
#define onnx_op(call, type, ...)                                                                                       \
    onnx_op_of((call), (type), (OnnxValue *[]){__VA_ARGS__},                                                           \
               (int)(sizeof((OnnxValue *[]){__VA_ARGS__}) / sizeof(OnnxValue *)))
OnnxValue *onnx_op_of(const OnnxCall *call, const char *type, OnnxValue *const *inputs, int count);
/* The operator that has the inputs of the op itself, in the same order. */
OnnxValue *onnx_op_same(const OnnxCall *call, const char *type);

/* Constants: a scalar; whole numbers, 1 to TENSOR_MAX_RANK of them, as the int64 list that shapes and axes are; the
 * values of a tensor. */
OnnxValue *onnx_number(const OnnxCall *call, double value);
OnnxValue *onnx_integers(const OnnxCall *call, const int64_t *values, int count);
OnnxValue *onnx_tensor(const OnnxCall *call, Tensor *t);

/* An attribute of the operator that made the value, at most OP_MAX_ATTRIBUTES of them: a whole number, a list of 1 to
 * TENSOR_MAX_RANK whole numbers (in ONNX another type than one number, however long it is), or a real one. NULL is
 * left alone. */
void onnx_set_integer(OnnxValue *value, const char *name, int64_t number);
void onnx_set_integers(OnnxValue *value, const char *name, const int64_t *numbers, int count);
void onnx_set_number(OnnxValue *value, const char *name, double number);

WEFT_PUBLIC_END
#endif
