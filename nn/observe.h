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

/* For those who watch ops (autograd/observe.h): the name of t among these, borrowed; NULL if it is none of them. */
const char *nn_tensor_name(const NamedTensors *named, const Tensor *t);
/* Writes the name of the layer whose op takes these inputs, known by its parameters: "conv1" of conv1.weight; a
 * parameter's own name if no layer has it. "" if none is a parameter. Returns the buffer, which holds of a longer name
 * the end. */
enum { LAYER_TEXT = 64 };
char *nn_layer_name(const NamedTensors *parameters, Tensor *const *inputs, int count, char text[LAYER_TEXT]);

#endif
