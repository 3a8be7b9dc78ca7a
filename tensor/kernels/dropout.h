/* Kernels of dropout. Internal.
 *
 * Element e of sample n is number e mod 8 of the eight 16-bit numbers, low halves first, of the block that the key
 * and the index n * ceil(E / 8) + e / 8 name (tensor/random.h), E being the elements of one sample. It is dropped if
 * that number is below `threshold`, the probability times 2^16. Spare lanes are the last sample's.
 *
 * A mask is one bit an element, 1 where it is kept: [groups][ceil(E / 32)][16] words of a Real's size, kept in a Real
 * array. Element 32 w + k is bit 31 - k of word w. */
#ifndef WEFT_KERNEL_DROPOUT_H
#define WEFT_KERNEL_DROPOUT_H

#include <stdint.h>

#include "tensor/random.h"
#include "tensor/real.h"

enum { DROPOUT_NUMBER_BITS = 16, DROPOUT_BLOCK_NUMBERS = 8, DROPOUT_MASK_BITS = 32 };

/* Words of a mask in each lane. */
static inline int64_t dropout_mask_words(int64_t elements)
{
    return (elements + DROPOUT_MASK_BITS - 1) / DROPOUT_MASK_BITS;
}

#define DROPOUT_KERNELS(K)                                                                                             \
    K(dropout_mask, (Real * mask, int64_t samples, int64_t elements, int64_t threshold, RandomKey key))                \
    /* out = kept ? in * scale : 0, for values and for gradients */                                                    \
    K(dropout, (Real * out, const Real *in, const Real *mask, int64_t groups, int64_t elements, Real scale))

#endif
