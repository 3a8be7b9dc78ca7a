/* From plain values to lanes and back, in blocks that stay in the first-level cache. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vector.h"
#include "tensor/parallel.h"

/* Elements of a sample that are moved together: 16 rows of this many values stay in the first-level cache. */
enum { BLOCK = 64 };

/* Blocks, and vectors, that are worth starting a thread for. */
enum { MOVE_GRAIN = 8, SUM_GRAIN = 1024 };

typedef struct Move {
    Real *lanes, *plain;
    int64_t samples, elements, blocks;
    bool zero_spare;
} Move;

static void block_to_lanes(const Move *m, int64_t group, int64_t first, int64_t last)
{
    Real *lanes = m->lanes + group * m->elements * WEFT_LANES;
    for (int64_t lane = 0; lane < WEFT_LANES; lane++) {
        int64_t n = group * WEFT_LANES + lane;
        bool spare = n >= m->samples;
        const Real *sample = m->plain + (spare ? m->samples - 1 : n) * m->elements;
        for (int64_t e = first; e < last; e++) lanes[e * WEFT_LANES + lane] = spare && m->zero_spare ? 0 : sample[e];
    }
}

static void block_to_plain(const Move *m, int64_t group, int64_t first, int64_t last)
{
    const Real *lanes = m->lanes + group * m->elements * WEFT_LANES;
    for (int64_t lane = 0; lane < WEFT_LANES && group * WEFT_LANES + lane < m->samples; lane++) {
        Real *sample = m->plain + (group * WEFT_LANES + lane) * m->elements;
        for (int64_t e = first; e < last; e++) sample[e] = lanes[e * WEFT_LANES + lane];
    }
}

typedef void MoveBlock(const Move *m, int64_t group, int64_t first, int64_t last);

static void move_blocks(int64_t begin, int64_t end, const Move *m, MoveBlock *move)
{
    for (int64_t i = begin; i < end; i++) {
        int64_t first = i % m->blocks * BLOCK, last = first + BLOCK;
        move(m, i / m->blocks, first, last < m->elements ? last : m->elements);
    }
}

static void to_lanes_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    move_blocks(begin, end, context, block_to_lanes);
}

static void to_plain_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    move_blocks(begin, end, context, block_to_plain);
}

static void run_move(Move *m, ParallelBody *body)
{
    m->blocks = (m->elements + BLOCK - 1) / BLOCK;
    parallel_for(kernel_groups(m->samples) * m->blocks, MOVE_GRAIN, body, m);
}

void KERNEL(to_lanes)(Real *lanes, const Real *plain, int64_t samples, int64_t elements, bool zero_spare)
{
    run_move(&(Move){.lanes = lanes, .plain = (Real *)plain, .samples = samples, .elements = elements,
                     .zero_spare = zero_spare}, to_lanes_range);
}

void KERNEL(to_plain)(Real *plain, const Real *lanes, int64_t samples, int64_t elements)
{
    run_move(&(Move){.lanes = (Real *)lanes, .plain = plain, .samples = samples, .elements = elements},
             to_plain_range);
}

typedef struct Sum {
    Real *sum;
    const Real *addend;
} Sum;

static void accumulate_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Sum *s = context;
    for (int64_t i = begin * VWIDTH; i < end * VWIDTH; i += VWIDTH)
        vstore(s->sum + i, vload(s->sum + i) + vload(s->addend + i));
}

void KERNEL(accumulate)(Real *sum, const Real *addend, int64_t count)
{
    parallel_for(count / VWIDTH, SUM_GRAIN, accumulate_range, &(Sum){sum, addend});
}
