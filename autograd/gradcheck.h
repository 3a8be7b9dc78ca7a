/* Checks an op's or a whole model's gradient against central differences. Meaningful in the double build. */
#ifndef WEFT_GRADCHECK_H
#define WEFT_GRADCHECK_H

#include "autograd/autograd.h"

WEFT_PUBLIC_BEGIN

/* The function to check: any expression of ops over the inputs, of any shape. It must compute the same each time
 * (dropout with its key fixed) and is called many times. */
typedef Tensor *GradcheckFunction(Tensor *const *inputs, void *context);

/* gradcheck(my_function, NULL, inputs, 2): the first four members in order, the rest by name. */
typedef struct GradcheckOptions {
    GradcheckFunction *function;
    void *context;
    Tensor *const *inputs; /* those that require a gradient are checked; their values and gradients are put back
                            * afterwards */
    int input_count;
    double tolerance;      /* 0: 1e-6; 2e-2 in the float build, where only coarse mistakes show */
    double step;           /* of the difference; 0: 1e-5 (float: 1e-2), relative to max(1, |value|) */
    int64_t elements;      /* check at most so many of each input, drawn by the seed; 0: all */
    uint64_t seed;         /* of the random gradient of the output, and of the draw */
    bool expect_zero;      /* an all-zero gradient is right here; otherwise it fails, as a forgotten backward would */
    double *worst;         /* receives the worst error, NULL: nobody asks */
    int64_t *kinks;        /* receives how often an element was moved since the one-sided differences disagree there
                            * (relu at 0, a tie in max-pool); NULL: nobody asks */
    char end;
} GradcheckOptions;

/* True if for every input  max|analytic - numeric| / max|analytic|  is at most the tolerance. Else false, with an error
 * that names the input, the worst element, and both numbers. The output's gradient is random and not uniform. */
#define gradcheck(...) gradcheck_with((GradcheckOptions){__VA_ARGS__, .end = 0})
bool gradcheck_with(GradcheckOptions options) WEFT_CHECKED;

WEFT_PUBLIC_END
#endif
