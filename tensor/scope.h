/* Scopes: who owns a tensor that nobody named.
 *
 * Each op's result belongs to the innermost open scope of its thread. Open one around each training step and close it
 * when the step is done; model code frees nothing.
 *
 *     Scope step = scope_open();
 *     Tensor *loss = op_nll_loss(nn_forward(net, images), labels);
 *     ...
 *     scope_close(step);              every tensor made since scope_open that nobody retained is freed here */
#ifndef WEFT_SCOPE_H
#define WEFT_SCOPE_H

#include "tensor/tensor.h"

WEFT_PUBLIC_BEGIN

typedef struct Scope {
    int64_t first;  /* where the thread's stack of owned tensors stood */
    int64_t serial; /* which of the thread's scopes this is, counted from 1 */
    int depth;      /* 1 for the outermost */
} Scope;

/* Opens a scope. Cannot fail. */
Scope scope_open(void);

/* Closes the scope and every one opened after it, so that an early return heals at the outer close. Closing a scope
 * that an outer one closed already does nothing; among more than 64 that are open, though, one that is deeper is not
 * told from another that was opened at its depth since. */
void scope_close(Scope scope);

/* Closes the scope and hands t to the one outside. Returns t; NULL with an error if there is none outside, or no
 * memory. */
Tensor *scope_return(Scope scope, Tensor *t);

/* Gives the innermost scope one reference to t, which the caller owned (tensor_retain's, say). Returns t; NULL with
 * an error, the reference dropped, if no scope is open or there is no memory. */
Tensor *scope_adopt(Tensor *t);

WEFT_PUBLIC_END
#endif
