/* Reading a dropout mask (tensor/kernels/dropout.h). For kernels. */
#ifndef WEFT_KERNELS_MASK_H
#define WEFT_KERNELS_MASK_H

#include "tensor/kernels/dropout.h"
#include "tensor/kernels/vector.h"

/* The mask's words for one vector of a group: `mask` points at the group's, `part` counts the group's vectors. */
VINLINE U mask_word(const Real *mask, int64_t element, int part)
{
    return (U)vload(mask + (element / DROPOUT_MASK_BITS * VPARTS + part) * VWIDTH);
}

/* value * scale where this element is kept, else 0. `word` is the element's. */
VINLINE V mask_apply(U word, int64_t element, V value, Real scale)
{
    const LaneBits bit = (LaneBits)1 << (DROPOUT_MASK_BITS - 1 - element % DROPOUT_MASK_BITS);
    return (V)((U)(value * scale) & (U)((word & bit) != 0));
}

#endif
