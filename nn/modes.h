/* Evaluating a module for a while: then each module of the tree has its own mode back, training or evaluation, a frozen
 * child's too. Internal. */
#ifndef WEFT_MODES_H
#define WEFT_MODES_H

#include "nn/nn.h"

/* In the order of a walk; zero-initialised it is empty. */
typedef struct Modes {
    bool *training;
    int64_t count, capacity;
    bool recording; /* whether ops were on record */
} Modes;

/* Sets evaluation for a module that is not NULL, and whether ops are recorded. False with an error, all as it was, when
 * memory is short. */
bool nn_evaluation_begin(Modes *modes, Module *module, bool record) WEFT_CHECKED;
/* Puts both back, of the same tree, and empties the list. */
void nn_evaluation_end(Modes *modes, Module *module);

#endif
