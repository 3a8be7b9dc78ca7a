/* The table of layers, shapes and parameter counts that torchsummary and torchinfo print. */
#ifndef WEFT_SUMMARY_H
#define WEFT_SUMMARY_H

#include "nn/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Runs the module once in evaluation mode on zeros of `input` (a whole batch, [1, 1, 28, 28], say) and prints a row for
 * each layer called, in order; a module with children of its own is not a row, what it calls is. The module's mode,
 * random streams and buffers are as before. False with an error if the forward fails or a write to the file does. */
bool nn_summary(Module *module, Shape input, FILE *file) WEFT_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
