/* Softmax, log-softmax and argmax: a lane is a sample, so nothing is folded. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/math.h"
#include "tensor/parallel.h"

/* Values of 16 samples below which a thread costs more than it saves. */
enum { GRAIN = 128 };

typedef struct Walk {
    Real *out;
    const Real *in, *dy;
    const Slices *slices;
} Walk;

/* One slice, of VWIDTH samples: what a kernel does for one, DEFINE_SLICES does for all. */
typedef struct Slice {
    const Real *in, *dy;
    Real *out;
    int64_t size, step; /* so many values, so far apart */
} Slice;

VINLINE V largest(Slice s)
{
    V most = vload(s.in);
    for (int64_t k = 1; k < s.size; k++) most = vmax(vload(s.in + k * s.step), most);
    return most;
}

static void softmax(Slice s)
{
    const V most = largest(s);
    V sum = vset(0);
    for (int64_t k = 0; k < s.size; k++) {
        const V e = vexp(vload(s.in + k * s.step) - most);
        vstore(s.out + k * s.step, e);
        sum += e;
    }
    for (int64_t k = 0; k < s.size; k++) vstore(s.out + k * s.step, vload(s.out + k * s.step) / sum);
}

static void softmax_backward(Slice s)
{
    V sum = vset(0);
    for (int64_t k = 0; k < s.size; k++) sum += vload(s.in + k * s.step) * vload(s.dy + k * s.step);
    for (int64_t k = 0; k < s.size; k++)
        vstore(s.out + k * s.step, vload(s.in + k * s.step) * (vload(s.dy + k * s.step) - sum));
}

static void log_softmax(Slice s)
{
    const V most = largest(s);
    V sum = vset(0);
    for (int64_t k = 0; k < s.size; k++) sum += vexp(vload(s.in + k * s.step) - most);
    const V log_sum = vlog(sum);
    for (int64_t k = 0; k < s.size; k++) vstore(s.out + k * s.step, (vload(s.in + k * s.step) - most) - log_sum);
}

static void log_softmax_backward(Slice s)
{
    V sum = vset(0);
    for (int64_t k = 0; k < s.size; k++) sum += vload(s.dy + k * s.step);
    for (int64_t k = 0; k < s.size; k++)
        vstore(s.out + k * s.step, vload(s.dy + k * s.step) - vexp(vload(s.in + k * s.step)) * sum);
}

/* `out` is where the slice's one result goes. */
static void argmax(Slice s)
{
    V most = vload(s.in), index = vset(0);
    for (int64_t k = 1; k < s.size; k++) {
        const V x = vload(s.in + k * s.step);
        const I larger = (x > most) | ((x != x) & (most == most));
        most = vselect(larger, x, most);
        index = vselect(larger, vset((Real)k), index);
    }
    vstore(s.out, index);
}

/* `out_size` is how many values a slice of the result has. */
#define DEFINE_SLICES(name, out_size)                                                                                  \
    static void name##_range(int64_t begin, int64_t end, int thread, void *context)                                    \
    {                                                                                                                  \
        (void)thread;                                                                                                  \
        const Walk *w = context;                                                                                       \
        const Slices s = *w->slices;                                                                                   \
        for (int64_t i = begin; i < end; i++) {                                                                        \
            const int64_t before = i / s.inner * s.inner, within = i % s.inner;                                        \
            const int64_t in = (before * s.size + within) * WEFT_LANES;                                                \
            Real *out = w->out + (before * (out_size) + within) * WEFT_LANES;                                          \
            for (int64_t at = in; at < in + WEFT_LANES; at += VWIDTH, out += VWIDTH)                                   \
                name((Slice){w->in + at, w->dy + at, out, s.size, s.inner * WEFT_LANES});                              \
        }                                                                                                              \
    }                                                                                                                  \
    void KERNEL(name)(Real * out, const Real *in, const Real *dy, const Slices *slices)                                \
    {                                                                                                                  \
        Walk walk = {out, in, dy, slices};                                                                             \
        parallel_for(slices->groups * slices->outer * slices->inner, GRAIN / slices->size + 1, name##_range, &walk);   \
    }
DEFINE_SLICES(softmax, s.size)
DEFINE_SLICES(softmax_backward, s.size)
DEFINE_SLICES(log_softmax, s.size)
DEFINE_SLICES(log_softmax_backward, s.size)
DEFINE_SLICES(argmax, 1)
