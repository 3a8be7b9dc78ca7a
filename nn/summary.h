/* The table of layers, shapes and parameter counts that torchsummary and torchinfo print. */
#ifndef WEFT_SUMMARY_H
#define WEFT_SUMMARY_H

#include "nn/nn.h"

WEFT_PUBLIC_BEGIN

/* Runs the module once in evaluation mode on zeros of `input` (a whole batch, [1, 1, 28, 28], say) and prints a row for
 * each layer called, in order: a module with children of its own is not a row, what it calls is, and what is called
 * twice is two. A row shows the layer's type and number, the shape of its result (the batch as -1), the values in its
 * parameters, their share of all, and mult-adds.
 *
 * The totals count each parameter once. Sizes are torchsummary's: of the values of one sample's input, of all rows'
 * results and as many gradients, and of the parameters, in units of 2^20 bytes. Mult-adds are torchinfo's, of what is
 * called weight or bias: for a convolution ("Conv" in its type), each value at each place of its result; for any other
 * layer, each once; of longer names ("weight_ih_l0" of a recurrent layer), each at each index of its result's dimension
 * 1. Like sizes they are those of one sample, whatever the batch.
 *
 * The module's mode, random streams and buffers are as before. False with an error if the forward fails or a write to
 * the file does. */
bool nn_summary(Module *module, Shape input, FILE *file) WEFT_CHECKED;

WEFT_PUBLIC_END
#endif
