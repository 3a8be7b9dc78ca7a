/* Ops that take each value by itself, one row of the table each. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/math.h"
#include "tensor/parallel.h"

/* Groups of 16 values below which a thread costs more than it saves. */
enum { GRAIN = 1024 };

#define ZERO vset(0)
#define ONE vset(1)

VINLINE V vsqrt(V x)
{
    V result;
    VEACH_LANE
    for (int i = 0; i < VWIDTH; i++) {
#ifdef WEFT_DOUBLE
        result[i] = __builtin_sqrt(x[i]);
#else
        result[i] = __builtin_sqrtf(x[i]);
#endif
    }
    return result;
}

typedef struct Map {
    Real *to;
    const Real *from; /* x, or the gradient */
    const Real *read; /* of a gradient: x or y */
    Real s;
} Map;

/* One loop for each direction of each row. Names that an expression leaves unused cost nothing. */
#define DEFINE_ROW(K, name, number, reads, onnx, forward, backward)                                                    \
    static void name##_forward_range(int64_t begin, int64_t end, int thread, void *context)                            \
    {                                                                                                                  \
        (void)thread;                                                                                                  \
        const Map m = *(const Map *)context;                                                                           \
        const V s = vset(m.s);                                                                                         \
        (void)s;                                                                                                       \
        for (int64_t i = begin * WEFT_LANES; i < end * WEFT_LANES; i += VWIDTH) {                                      \
            const V x = vload(m.from + i);                                                                             \
            vstore(m.to + i, forward);                                                                                 \
        }                                                                                                              \
    }                                                                                                                  \
    static void name##_backward_range(int64_t begin, int64_t end, int thread, void *context)                           \
    {                                                                                                                  \
        (void)thread;                                                                                                  \
        const Map m = *(const Map *)context;                                                                           \
        const V s = vset(m.s);                                                                                         \
        (void)s;                                                                                                       \
        for (int64_t i = begin * WEFT_LANES; i < end * WEFT_LANES; i += VWIDTH) {                                      \
            const V g = vload(m.from + i);                                                                             \
            const V x = vload(m.read + i), y = x;                                                                      \
            (void)x, (void)y;                                                                                          \
            vstore(m.to + i, backward);                                                                                \
        }                                                                                                              \
    }                                                                                                                  \
    void KERNEL(name##_forward)(Real * y, const Real *x, Real s, int64_t count)                                        \
    {                                                                                                                  \
        parallel_for(count / WEFT_LANES, GRAIN, name##_forward_range, &(Map){.to = y, .from = x, .s = s});             \
    }                                                                                                                  \
    void KERNEL(name##_backward)(Real * dx, const Real *grad, const Real *read, Real s, int64_t count)                 \
    {                                                                                                                  \
        parallel_for(count / WEFT_LANES, GRAIN, name##_backward_range, &(Map){dx, grad, read, s});                     \
    }
ELEMENTWISE_OPS(DEFINE_ROW, )
