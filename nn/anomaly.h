/* Finding the op that first makes a value which is not finite. */
#ifndef WEFT_ANOMALY_H
#define WEFT_ANOMALY_H

#include "nn/nn.h"

WEFT_PUBLIC_BEGIN

/* From here on every op of this thread, forward and backward, checks what it has made. The first that makes a NaN or an
 * infinity of finite values fails, and the error says which op of which layer it was, where in its result or in which
 * input's gradient, and of what shapes; likewise the first that is given one which no op made: a weight, the data.
 * Layers are known by the module's parameters, so the module must live until detection is turned off, by NULL. It costs
 * a pass over all values while it is on, nothing when it is off. False with an error when memory is short, and then it
 * is off. (As torch.autograd.set_detect_anomaly, which finds NaN in backward only.) */
bool nn_detect_anomaly(const Module *module) WEFT_CHECKED;

WEFT_PUBLIC_END
#endif
