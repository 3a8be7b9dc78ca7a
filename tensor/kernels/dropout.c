/* Dropout: a bit for each element, 8 of them from one block of random numbers; applying it is one and. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/mask.h"
#include "tensor/kernels/philox.h"
#include "tensor/parallel.h"

/* Words of a mask that are worth a thread of their own. */
enum { MASK_GRAIN = 32 };

typedef struct MakeMask {
    Real *mask;
    int64_t samples, words, blocks; /* words of a sample's mask, blocks of its random numbers */
    LaneInt threshold;
    RandomKey key;
} MakeMask;

/* Shifts the bits of the 8 elements of one block into the word, the first element's highest. */
VINLINE U shift_in_block(U word, const uint32_t block[4][WEFT_LANES], int part, LaneInt threshold)
{
    VUNROLL
    for (int w = 0; w < 4; w++) {
        const U numbers = philox_lanes(block[w] + part * VWIDTH);
        word = (word << 1) - (U)((I)(numbers & 0xFFFF) >= threshold);
        word = (word << 1) - (U)((I)(numbers >> DROPOUT_NUMBER_BITS) >= threshold);
    }
    return word;
}

static void make_mask_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const MakeMask *m = context;
    const int64_t word_blocks = DROPOUT_MASK_BITS / DROPOUT_BLOCK_NUMBERS;
    for (int64_t i = begin; i < end; i++) {
        uint64_t first[WEFT_LANES] __attribute__((aligned(64)));
        for (int lane = 0; lane < WEFT_LANES; lane++) {
            const int64_t n = i / m->words * WEFT_LANES + lane;
            first[lane] = (uint64_t)((n < m->samples ? n : m->samples - 1) * m->blocks);
        }
        U words[VPARTS] = {0};
        for (int64_t b = 0; b < word_blocks; b++) {
            uint32_t block[4][WEFT_LANES] __attribute__((aligned(64)));
            philox_group(m->key, first, (uint64_t)(i % m->words * word_blocks + b), block);
            for (int p = 0; p < VPARTS; p++)
                words[p] = shift_in_block(words[p], (const uint32_t(*)[WEFT_LANES])block, p, m->threshold);
        }
        for (int p = 0; p < VPARTS; p++) vstore(m->mask + (i * VPARTS + p) * VWIDTH, (V)words[p]);
    }
}

void KERNEL(dropout_mask)(Real *mask, int64_t samples, int64_t elements, int64_t threshold, RandomKey key)
{
    const int64_t words = dropout_mask_words(elements);
    parallel_for(kernel_groups(samples) * words, MASK_GRAIN, make_mask_range,
                 &(MakeMask){mask, samples, words, (elements + DROPOUT_BLOCK_NUMBERS - 1) / DROPOUT_BLOCK_NUMBERS,
                             (LaneInt)threshold, key});
}

typedef struct Apply {
    Real *out;
    const Real *in, *mask;
    int64_t elements, words;
    Real scale;
} Apply;

static void apply_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Apply *a = context;
    for (int64_t i = begin; i < end; i++) {
        const int64_t group = i / a->words, first = i % a->words * DROPOUT_MASK_BITS;
        const int64_t rest = a->elements - first, count = rest < DROPOUT_MASK_BITS ? rest : DROPOUT_MASK_BITS;
        const int64_t offset = (group * a->elements + first) * WEFT_LANES;
        for (int p = 0; p < VPARTS; p++) {
            const Real *in = a->in + offset + p * VWIDTH;
            Real *out = a->out + offset + p * VWIDTH;
            const U word = mask_word(a->mask + group * a->words * WEFT_LANES, first, p);
            for (int64_t k = 0; k < count; k++)
                vstore(out + k * WEFT_LANES, mask_apply(word, k, vload(in + k * WEFT_LANES), a->scale));
        }
    }
}

void KERNEL(dropout)(Real *out, const Real *in, const Real *mask, int64_t groups, int64_t elements, Real scale)
{
    const int64_t words = dropout_mask_words(elements);
    parallel_for(groups * words, MASK_GRAIN, apply_range, &(Apply){out, in, mask, elements, words, scale});
}
