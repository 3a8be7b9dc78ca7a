/* Winograd's convolution: the weights, transformed and packed in the order in which products read them. */
#include "tensor/kernels/winograd_transform.h"
#include "tensor/parallel.h"

typedef struct Pack {
    Real *packed;
    const Real *weight;
    const ConvShape *shape;
} Pack;

/* Gathers the weights of 8 output channels by 2 input channels, from these on: zero beyond the last. */
static void gather_weights(const Pack *p, int64_t out_channel, int64_t in_channel, Real *g)
{
    const int64_t in_channels = p->shape->in_channels;
    for (int lane = 0; lane < WEFT_LANES; lane++) {
        const int64_t o = out_channel + lane % PACK, c = in_channel + lane / PACK;
        const bool real = o < p->shape->out_channels && c < in_channels;
        const Real *weight = p->weight + (o * in_channels + c) * TAPS;
        for (int tap = 0; tap < TAPS; tap++) g[tap * WEFT_LANES + lane] = real ? weight[tap] : 0;
    }
}

/* Fills packs of output channels, from number `begin` on. */
VINLINE void pack_of(const int tile, const Pack *p, int64_t begin, int64_t end)
{
    const WinogradPacked packed = winograd_packed(p->shape);
    const int64_t filled_up = conv_divide_up(p->shape->in_channels, PACK) * PACK;
    const int window = winograd_window(tile);
    for (int64_t o = begin * PACK; o < end * PACK; o += PACK) {
        Real *u = p->packed + o / CHANNELS * packed.block + o % CHANNELS * PACK;
        for (int64_t c = 0; c < filled_up; c += WEFT_LANES / PACK) {
            Real gathered[TAPS * WEFT_LANES] __attribute__((aligned(64)));
            gather_weights(p, o, c, gathered);
            for (int part = 0; part < VPARTS; part++) {
                const Grid from = {at(gathered, 0, part), KERNEL_SIDE * WEFT_LANES, WEFT_LANES};
                Real *to = u + c / PACK * packed.pack + c % PACK * PACK + part * VWIDTH;
                transform(weight_line, tile, KERNEL_SIDE, window, from,
                          (Grid){to, window * packed.frequency, packed.frequency});
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

void KERNEL(winograd_pack)(Real *packed, const Real *weight, const ConvShape *shape)
{
    parallel_for(conv_divide_up(shape->out_channels, PACK), 1, pack_range, &(Pack){packed, weight, shape});
}
