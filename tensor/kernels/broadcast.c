/* Strided loops over two operands, a row of the last dimension at a time. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vector.h"
#include "tensor/parallel.h"

/* Values below which a thread costs more than it saves. */
enum { GRAIN = 16384 };

/* Vectors at any address: rows of plain tensors start anywhere. */
typedef V Anywhere __attribute__((aligned(sizeof(Real)), may_alias));

VINLINE V load(const Real *from, int64_t step)
{
    if (step == 0) return vset(*from);
    return *(const Anywhere *)from;
}

typedef void Row(Real *out, int64_t out_step, const Real *a, int64_t a_step, const Real *b, int64_t b_step,
                 int64_t count);

typedef struct Loop {
    const Space *space;
    Row *row;
    Real *out;
    const Real *a, *b;
} Loop;

/* Iterations [begin, end) of the space, row by row; the first and the last row may be cut. */
static void run(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Loop *loop = context;
    const Space *s = loop->space;
    const int last = s->rank - 1;
    int64_t index[SPACE_MAX_RANK], rest = begin, out = 0, a = 0, b = 0;
    for (int d = last; d >= 0; d--) {
        index[d] = rest % s->size[d];
        rest /= s->size[d];
        out += index[d] * s->out[d], a += index[d] * s->a[d], b += index[d] * s->b[d];
    }
    while (begin < end) {
        int64_t count = s->size[last] - index[last];
        if (count > end - begin) count = end - begin;
        loop->row(loop->out + out, s->out[last], loop->a + a, s->a[last], loop->b + b, s->b[last], count);
        begin += count;
        out -= index[last] * s->out[last], a -= index[last] * s->a[last], b -= index[last] * s->b[last];
        index[last] = 0;
        for (int d = last - 1; d >= 0; d--) {
            out += s->out[d], a += s->a[d], b += s->b[d];
            if (++index[d] < s->size[d]) break;
            index[d] = 0;
            out -= s->size[d] * s->out[d], a -= s->size[d] * s->a[d], b -= s->size[d] * s->b[d];
        }
    }
}

static void run_space(const Loop *loop)
{
    int64_t count = 1;
    for (int d = 0; d < loop->space->rank; d++) count *= loop->space->size[d];
    parallel_for(count, GRAIN, run, (void *)loop);
}

#define DEFINE_ROW(K, name, value)                                                                                     \
    VINLINE void name##_vectors(Real *out, const Real *a, int64_t a_step, const Real *b, int64_t b_step,               \
                                int64_t count)                                                                         \
    {                                                                                                                  \
        for (int64_t i = 0; i < count; i += VWIDTH) {                                                                  \
            const V x = load(a + i * a_step, a_step), y = load(b + i * b_step, b_step);                                \
            (void)y;                                                                                                   \
            *(Anywhere *)(out + i) = value;                                                                            \
        }                                                                                                              \
    }                                                                                                                  \
    static void name##_row(Real *out, int64_t out_step, const Real *a, int64_t a_step, const Real *b, int64_t b_step,  \
                           int64_t count)                                                                              \
    {                                                                                                                  \
        int64_t done = 0;                                                                                              \
        if (out_step == 1 && (a_step | 1) == 1 && (b_step | 1) == 1) { /* steps of 0 or 1 */                           \
            done = count / VWIDTH * VWIDTH;                                                                            \
            if (a_step && b_step) name##_vectors(out, a, 1, b, 1, done);                                               \
            else if (a_step) name##_vectors(out, a, 1, b, 0, done);                                                    \
            else if (b_step) name##_vectors(out, a, 0, b, 1, done);                                                    \
            else name##_vectors(out, a, 0, b, 0, done);                                                                \
        }                                                                                                              \
        for (int64_t i = done; i < count; i++) {                                                                       \
            const Real x = a[i * a_step], y = b[i * b_step];                                                           \
            (void)y;                                                                                                   \
            out[i * out_step] = value;                                                                                 \
        }                                                                                                              \
    }                                                                                                                  \
    void KERNEL(broadcast_##name)(Real * out, const Real *a, const Real *b, const Space *space)                        \
    {                                                                                                                  \
        run_space(&(Loop){space, name##_row, out, a, b});                                                              \
    }
BROADCAST_TABLE(DEFINE_ROW, )
