/* Watching the calls of layers. Internal: the summary is made of it. */
#ifndef WEFT_OBSERVE_H
#define WEFT_OBSERVE_H

#include "nn/nn.h"

/* The first member of whatever watches. */
typedef struct Observer {
    /* A module without children turned x into y. */
    void (*called)(struct Observer *observer, const Module *module, const Tensor *x, const Tensor *y);
} Observer;

/* Lets the observer see each call in this thread from here on; NULL: nobody. Returns who did before. */
Observer *nn_observe(Observer *observer);
/* While somebody watches, every layer is called on its own. */
bool nn_is_observed(void);

#endif
