/* The maximum of a window, as max-pooling defines it. For kernels. */
#ifndef WEFT_KERNELS_MAXIMUM_H
#define WEFT_KERNELS_MAXIMUM_H

#include <math.h>

#include "tensor/kernels/pool.h"
#include "tensor/kernels/vector.h"

/* The largest value so far and its number in the window. */
typedef struct Maximum {
    V value;
    I place;
} Maximum;

/* Before any value; a window of nothing else than -infinity has its maximum at `first`. */
VINLINE Maximum maximum_start(LaneInt first)
{
    return (Maximum){vset(-(Real)INFINITY), (I){0} + first};
}

/* Takes one more value: the first of equal ones stays, and NaN is the largest. */
VINLINE void maximum_take(Maximum *m, V value, LaneInt place)
{
    const I better = ~(value <= m->value) & (m->value == m->value);
    m->value = vselect(better, value, m->value);
    m->place = (better & place) | (~better & m->place);
}

/* Places in memory. */
typedef PoolIndex Indices __attribute__((vector_size(VWIDTH * sizeof(PoolIndex))));

VINLINE void store_places(PoolIndex *to, I places)
{
    typedef Indices Memory __attribute__((may_alias));
    *(Memory *)to = __builtin_convertvector(places, Indices);
}

VINLINE I load_places(const PoolIndex *from)
{
    typedef Indices Memory __attribute__((may_alias));
    return __builtin_convertvector(*(const Memory *)from, I);
}

#endif
