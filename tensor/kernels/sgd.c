/* A step of SGD, one pass over the values. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vector.h"
#include "tensor/parallel.h"

/* Groups of 16 values below which a thread costs more than it saves. */
enum { GRAIN = 1024 };

typedef struct Step {
    Real *values, *velocity;
    const Real *gradient;
    const SgdUpdate *update;
} Step;

static void step(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Step *s = context;
    const SgdUpdate u = *s->update;
    for (int64_t i = begin * WEFT_LANES; i < end * WEFT_LANES; i += VWIDTH) {
        V value = vload(s->values + i), gradient = vload(s->gradient + i);
        /* A decay of zero is left out, not multiplied: an infinite weight must not make a NaN. */
        if (u.weight_decay != 0) gradient += vset(u.weight_decay) * value;
        if (s->velocity) {
            V velocity = gradient;
            if (!u.first) velocity = vset(u.momentum) * vload(s->velocity + i) + vset(u.gradient_share) * gradient;
            vstore(s->velocity + i, velocity);
            gradient = u.nesterov ? gradient + vset(u.momentum) * velocity : velocity;
        }
        vstore(s->values + i, value - vset(u.lr) * gradient);
    }
}

void KERNEL(sgd)(Real *values, Real *velocity, const Real *gradient, int64_t count, const SgdUpdate *update)
{
    Step context = {values, velocity, gradient, update};
    parallel_for(count / WEFT_LANES, GRAIN, step, &context);
}
