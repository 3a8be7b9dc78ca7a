/* Weights on disk, in the safetensors format: an 8-byte little-endian length, a JSON header, raw little-endian values.
 * Names are PyTorch's ("conv1.weight", "bn1.running_mean", ...), so that torch users read and write the same files. */
#ifndef WEFT_STATE_H
#define WEFT_STATE_H

#include "nn/nn.h"

WEFT_PUBLIC_BEGIN

/* Writes all parameters and buffers: as F32 (F64 in the double build), num_batches_tracked as I64; and a checksum of
 * the whole file as metadata, which other readers pass over. The file is written under a temporary name, synced and
 * renamed: either the old file or the whole new one is there. False with an error that names the file. */
bool nn_save(const Module *module, const char *path) WEFT_CHECKED;

/* Reads a file of F64, F32, F16 or BF16 into the module; a counter may also be an integer of 8 to 64 bits. Every name
 * must be there with its shape, and no other; and a checksum, if there is one, must be that of the file. Anything that
 * does not fit is named, and then the module is unchanged. */
bool nn_load(Module *module, const char *path) WEFT_CHECKED;

WEFT_PUBLIC_END
#endif
