/* What layers offer to Sequential beside their forward: the same computation with a part of a neighbour's in the same
 * pass. Internal.
 *
 * Each nn_is_... holds for exactly this library's layer, known by its forward function, and for no module that was
 * derived from it. Arguments are never NULL. */
#ifndef WEFT_LAYERS_H
#define WEFT_LAYERS_H

#include "nn/nn.h"

bool nn_is_conv2d(const Module *module);
bool nn_is_batch_norm2d(const Module *module);
bool nn_is_dropout(const Module *module);
/* The window of a max-pooling whose windows lie side by side, without padding; 0 for any other module. */
int64_t nn_max_pool2d_tile(const Module *module);

/* The convolution; with `statistics`, its result carries the channel sums that a batch norm after it wants. */
Tensor *nn_conv2d_run(Module *conv, Tensor *x, bool statistics);
/* The batch norm, and the dropout module after it; NULL: none. */
Tensor *nn_batch_norm2d_run(Module *norm, Tensor *x, Module *dropout);

/* The probability and key of the dropout module's next call, p = 0 where it would do nothing; and that the call has
 * taken place. */
double nn_dropout_next(const Module *dropout, RandomKey *key);
void nn_dropout_happened(Module *dropout);

/* Writes one value everywhere. False with an error if t is NULL or memory is short. */
bool nn_fill(Tensor *t, double value) WEFT_CHECKED;

#endif
