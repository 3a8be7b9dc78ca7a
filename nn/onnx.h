/* Modules as ONNX files, which ONNX Runtime and other engines run without Weft. */
#ifndef WEFT_ONNX_H
#define WEFT_ONNX_H

#include "autograd/onnx.h"
#include "nn/nn.h"

WEFT_PUBLIC_BEGIN

typedef struct OnnxExport {
    Module *module;
    Shape input;                          /* of a batch, [1, 1, 28, 28], say; the size of dimension 0 does not matter */
    const char *path;
    const char *input_name, *output_name; /* what users of the file call them; NULL: "input" and "output" */
    bool dry_run;                         /* does everything but write the file: whether it could be */
    char end;
} OnnxExport;

/* Writes what the module computes in evaluation mode, for a batch of any size N:
 *
 *     nn_export_onnx(net, SHAPE(1, 1, 28, 28), "net.onnx")
 *
 * The file has one input and one output, float32 in the double build too, operators of opset 13 (ONNX_OPSET), and the
 * weights under their names in weight files. It is written under a temporary name and renamed, as nn_save does.
 *
 * The module may be any: its forward runs twice, on random batches of 5 and of 16, and what the ops recorded is
 * written. A size that differs between the two runs is the batch's; everything else that differs (a constant, an op, an
 * attribute) is an error, as is an op that has no `onnx` function: the losses over classes, dropout outside of a
 * Dropout module, an op of your own until it has one (autograd/onnx.h). A forward that chooses by the values of its
 * input, or by its size otherwise than between 5 and 16, cannot be told from one that does not.
 *
 * The module's modes, random streams and buffers are as before. False with an error, and the earlier file as it was, if
 * the forward fails, something cannot be written as ONNX, or the file cannot be written. */
#define nn_export_onnx(...) nn_export_onnx_with((OnnxExport){__VA_ARGS__, .end = 0})
bool nn_export_onnx_with(OnnxExport options) WEFT_CHECKED;

WEFT_PUBLIC_END
#endif
