/* Winograd's convolution: the weights, transformed and packed in the order in which products read them. */
#include "tensor/kernels/winograd_transform.h"
#include "tensor/parallel.h"

typedef struct Pack {
    Real *packed;
    const Real *weight;
    const ConvShape *shape;
    bool transposed;
} Pack;

/* Gathers the weights of 2 channels across, from `across` on, by 8 to a side, from `side` on: zero beyond the last. */
static void gather_weights(const Pack *p, int64_t side, int64_t across, Real *g)
{
    const int64_t in_channels = p->shape->in_channels;
    for (int lane = 0; lane < WEFT_LANES; lane++) {
        const int64_t s = side + lane % PACK, a = across + lane / PACK;
        const int64_t o = p->transposed ? a : s, c = p->transposed ? s : a;
        const bool real = o < p->shape->out_channels && c < in_channels;
        const Real *weight = p->weight + (o * in_channels + c) * TAPS;
        for (int tap = 0; tap < TAPS; tap++) g[tap * WEFT_LANES + lane] = real ? weight[tap] : 0;
    }
}

/* Packs from number `begin` on; those of a block of SIDE channels lie together. */
VINLINE void pack_of(const int tile, const Pack *p, int64_t begin, int64_t end)
{
    const int64_t side = p->transposed ? p->shape->in_channels : p->shape->out_channels;
    const int64_t count = p->transposed ? p->shape->out_channels : p->shape->in_channels;
    const int window = winograd_window(tile);
    for (int64_t channel = begin * PACK; channel < end * PACK; channel += PACK) {
        const int64_t block = channel / SIDE * SIDE, packs = winograd_packs(side - block);
        const int64_t frequency = packs * count * PACK;
        Real *u = p->packed + (block * window * window + channel - block) * count;
        for (int64_t across = 0; across < count; across += WEFT_LANES / PACK) {
            Real gathered[TAPS * WEFT_LANES] __attribute__((aligned(64)));
            gather_weights(p, channel, across, gathered);
            for (int part = 0; part < VPARTS; part++) {
                const Grid from = {at(gathered, 0, part), KERNEL_SIDE * WEFT_LANES, WEFT_LANES};
                const Grid to = {u + across * PACK + part * VWIDTH, window * frequency, frequency};
                transform(weight_line, tile, KERNEL_SIDE, window, from, to);
            }
        }
    }
}

static void pack_range(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Pack *p = context;
    FOR_TILE(p->shape, pack_of, p, begin, end);
}

void KERNEL(winograd_pack)(Real *packed, const Real *weight, const ConvShape *shape, bool transposed)
{
    const int64_t side = transposed ? shape->in_channels : shape->out_channels;
    parallel_for(conv_divide_up(side, PACK), 1, pack_range,
                 &(Pack){packed, weight, shape, transposed});
}
