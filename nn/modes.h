/* The modes, training or evaluation, of all modules of a tree. Internal: for what evaluates and then puts each module's
 * own mode back, a frozen child's too. */
#ifndef WEFT_MODES_H
#define WEFT_MODES_H

#include "nn/nn.h"

/* In the order of a walk; zero-initialised it is empty. */
typedef struct Modes {
    bool *training;
    int64_t count, capacity;
} Modes;

/* Of a module that is not NULL. False with an error, the list empty, when memory is short. */
bool nn_modes_save(Modes *modes, const Module *module) WEFT_CHECKED;
/* Puts the modes of the same tree back and empties the list. */
void nn_modes_restore(Modes *modes, Module *module);

#endif
