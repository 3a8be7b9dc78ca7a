/* A module's state in a file, with more beside it: weight files and checkpoints are made of this. Internal. */
#ifndef WEFT_STATE_FILE_H
#define WEFT_STATE_FILE_H

#include "nn/safetensors.h"

/* All parameters, then all buffers, freed with nn_named_free. False with an error if memory is short. */
bool nn_state_collect(const Module *module, NamedTensors *state) WEFT_CHECKED;
/* The number of values in all of them. */
int64_t nn_state_values(const NamedTensors *state);
/* The most bytes that the values of a file may have which is to hold so many: a few tensors too many are read, so that
 * a message can name them; a file of more is refused before it costs memory. */
int64_t nn_state_most_bytes(int64_t values);
/* Writes a new file of these tensors. False with an error, the earlier file as it was. */
bool nn_state_write(const char *path, const NamedTensors *state, const SafetensorsMetadata *metadata) WEFT_CHECKED;
/* Reads values into all of these tensors: everything is read and found right, no name too many or too few, before the
 * first value is written. */
bool nn_state_read(const Safetensors *file, const NamedTensors *state) WEFT_CHECKED;

#endif
