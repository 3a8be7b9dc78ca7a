/* Watching ops as they run. Internal: the profile and the detection of anomalies are made of it. */
#ifndef WEFT_AUTOGRAD_OBSERVE_H
#define WEFT_AUTOGRAD_OBSERVE_H

#include "autograd/autograd.h"

/* One call of an op. */
typedef struct OpCall {
    const Op *op;
    const void *attributes;
    Tensor *const *inputs;
    int input_count;
    const Tensor *result;
} OpCall;

/* The first member of whatever watches. */
typedef struct OpObserver {
    /* The op has made its result. False, with an error: the op fails. */
    bool (*made)(struct OpObserver *observer, const OpCall *call);
    /* Its backward function has turned `grad`, the result's gradient, into those of the inputs, which are so far in
     * their `incoming`; inputs that were converted for it are here what they were converted from. Ops that it used are
     * not told. False, with an error: backward fails. */
    bool (*went_back)(struct OpObserver *observer, const OpCall *call, const Tensor *grad);
    /* What happened since the last event was that: see autograd_mark. NULL: of no interest. */
    void (*marked)(struct OpObserver *observer, const char *what);
} OpObserver;

/* Lets the observer see each op of this thread from here on; NULL: nobody. Returns who did before. */
OpObserver *autograd_observe(OpObserver *observer);
/* Tells who watches, if anybody, what this thread did since its last op or mark: "loading", say. */
void autograd_mark(const char *what);

#endif
