#include "nn/layers.h"

typedef struct Dropout {
    Module base;
    double p;
    RandomKey key; /* of the first call */
} Dropout;

double nn_dropout_next(const Module *self, RandomKey *key)
{
    const Dropout *dropout = (const Dropout *)self;
    *key = dropout->key;
    key->epoch = self->draws;
    return self->training ? dropout->p : 0;
}

void nn_dropout_happened(Module *self)
{
    self->draws++;
}

static Tensor *dropout_forward(Module *self, Tensor *x)
{
    RandomKey key;
    double p = nn_dropout_next(self, &key);
    if (p == 0) return x;
    Tensor *y = op_dropout(x, p, key);
    if (y) nn_dropout_happened(self);
    return y;
}

bool nn_is_dropout(const Module *module)
{
    return module->forward == dropout_forward;
}

Module *nn_dropout(double p)
{
    if (!(p >= 0 && p < 1)) return weft_fail("nn_dropout: probability %g is not in [0, 1)", p);
    Dropout *dropout = nn_module(Dropout, dropout_forward);
    if (!dropout) return NULL;
    dropout->p = p;
    dropout->key = nn_next_key();
    return nn_ready(dropout);
}
