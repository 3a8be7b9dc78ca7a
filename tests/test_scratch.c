/* Convolutions stay within the memory that an op makes for them, which conv.h and winograd.h tell the size of: what is
 * written beyond it would go unnoticed where a block has room to spare. */
#include "tensor/kernels/kernels.h"
#include "tensor/memory.h"
#include "tests/test.h"

enum { GUARD = 1 << 15, MOST_BUFFERS = 8 };
static const Real GUARD_VALUE = 12345;

typedef struct Buffers {
    struct {
        Real *values;
        int64_t count;
    } of[MOST_BUFFERS];
    int count;
} Buffers;

/* Room for so many values, 0 all of them, with a guard behind. */
static Real *room(Buffers *buffers, int64_t count)
{
    Real *values = weft_alloc(count + GUARD, sizeof *values);
    for (int64_t i = 0; values && i < count + GUARD; i++) values[i] = i < count ? 0 : GUARD_VALUE;
    buffers->of[buffers->count].values = values;
    buffers->of[buffers->count++].count = count;
    test_check(values != NULL, __FILE__, __LINE__, "there is memory");
    return values;
}

static void check_guards(Buffers *buffers)
{
    for (int b = 0; b < buffers->count; b++) {
        const Real *guard = buffers->of[b].values + buffers->of[b].count;
        for (int64_t i = 0; i < GUARD && !test_failed(); i++) CHECK(guard[i] == GUARD_VALUE);
        weft_free(buffers->of[b].values);
    }
}

typedef struct Row {
    int64_t n, c, h, w, o, kernel, stride, padding, groups;
} Row;

static ConvShape shape_of(const Row *r)
{
    const ConvAxis height = {r->h, (r->h + 2 * r->padding - r->kernel) / r->stride + 1, r->kernel};
    const ConvAxis width = {r->w, (r->w + 2 * r->padding - r->kernel) / r->stride + 1, r->kernel};
    return (ConvShape){.samples = r->n, .groups = conv_divide_up(r->n, WEFT_LANES), .in_channels = r->c,
                       .out_channels = r->o, .sections = r->groups, .height = height, .width = width,
                       .stride = r->stride, .padding = r->padding, .dilation = 1};
}

static void run_direct(const ConvShape *s, const Kernels *k, Buffers *b, Real *in, Real *out, Real *weight)
{
    Real *packed = room(b, conv_packed_count(s, false)), *transposed = room(b, conv_packed_count(s, true));
    Real *scratch = room(b, conv_scratch(weft_threads()));
    Real *weight_scratch = room(b, conv_weight_scratch(s, weft_threads()));
    if (test_failed()) return;
    k->conv2d_pack(packed, weight, s, false);
    k->conv2d_pack(transposed, weight, s, true);
    k->conv2d(out, in, packed, NULL, false, NULL, scratch, s);
    k->conv2d_input_grad(in, out, transposed, scratch, s);
    k->conv2d_weight_grad(weight, in, out, weight_scratch, s);
}

static void run_winograd(const ConvShape *s, const Kernels *k, Buffers *b, Real *in, Real *out, Real *weight)
{
    const int threads = weft_threads();
    Real *packed = room(b, winograd_packed_count(s));
    Real *scratch = room(b, threads * winograd_thread_scratch(s, false));
    Real *grad_scratch = room(b, threads * winograd_thread_scratch(s, true));
    Real *weight_scratch = room(b, winograd_weight_scratch(s, threads));
    const WinogradGrad grad = {.values = out};
    if (test_failed()) return;
    k->winograd_pack(packed, weight, s);
    k->winograd(&(WinogradOut){.values = out}, in, packed, scratch, s);
    k->winograd_input_grad(&(WinogradInputGrad){.values = in}, &grad, packed, grad_scratch, s);
    k->winograd_weight_grad(weight, in, &grad, weight_scratch, s);
}

typedef void Run(const ConvShape *s, const Kernels *k, Buffers *b, Real *in, Real *out, Real *weight);

static void check_rows(const Row *rows, int count, Run *run)
{
    for (const Kernels *const *table = weft_kernels_all(); *table; table++) {
        for (int i = 0; i < 2 * count && !test_failed(); i++) {
            const ConvShape s = shape_of(&rows[i / 2]);
            Buffers buffers = {.count = 0};
            CHECK(weft_set_threads(i % 2 ? 3 : 1));
            Real *in = room(&buffers, s.groups * s.in_channels * s.height.in * s.width.in * WEFT_LANES);
            Real *out = room(&buffers, s.groups * s.out_channels * s.height.out * s.width.out * WEFT_LANES);
            const int64_t taps = s.height.kernel * s.width.kernel;
            Real *weight = room(&buffers, s.out_channels * s.in_channels / s.sections * taps);
            if (!test_failed()) run(&s, *table, &buffers, in, out, weight);
            check_guards(&buffers);
        }
    }
}

TEST(conv2d_keeps_within_its_scratch_memory)
{
    static const Row rows[] = {
        /* n, c, h, w, o, kernel, stride, padding, groups */
        {130, 31, 3, 3, 31, 3, 1, 1, 1}, {2, 33, 4, 31, 31, 3, 1, 1, 1}, {17, 20, 29, 31, 24, 1, 1, 0, 1},
        {1, 24, 41, 43, 40, 3, 2, 1, 1}, {18, 6, 6, 7, 9, 3, 1, 1, 3},   {2, 3, 5, 5, 70, 3, 1, 1, 1},
        /* whose input's gradient would gather more than there is room for, in float and in double */
        {1, 9, 36, 52, 32, 2, 2, 1, 1},  {1, 9, 21, 39, 120, 2, 3, 2, 1},
    };
    check_rows(rows, sizeof rows / sizeof *rows, run_direct);
}

TEST(winograd_keeps_within_its_scratch_memory)
{
    static const Row rows[] = {
        {2, 132, 12, 12, 68, 3, 1, 0, 1}, {33, 32, 4, 4, 68, 3, 1, 1, 1}, {2, 68, 16, 16, 36, 3, 1, 1, 1},
        {17, 36, 8, 8, 32, 3, 1, 1, 1},   {1, 32, 26, 26, 32, 3, 1, 0, 1}, {1, 68, 5, 5, 132, 3, 1, 1, 1},
    };
    check_rows(rows, sizeof rows / sizeof *rows, run_winograd);
}
