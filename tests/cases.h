/* A notation for "this op with these inputs", shared by the tests that hold for every op: gradients, golden values,
 * layouts. tests/golden/make.py reads the same notation.
 *
 *     conv2d stride=2 padding=1 : Nx3x5x5 4x3x3x3 4
 *
 * is the op's name, its options and, after the colon, an input for each argument:
 *
 *     2x3x4        a shape ("scalar" for rank 0; N is the batch size to be filled in), which wants a gradient
 *     2x3x4*2+0.5  ... of values 0.5 + 2 h, h a hash in [-1, 1), rounded to float so that both precisions agree
 *     ~2x3x4       ... which wants no gradient
 *     labels:N/10  N labels of 10 classes
 *     none         TENSOR_NONE */
#ifndef WEFT_CASES_H
#define WEFT_CASES_H

#include "autograd/autograd.h"

enum { CASE_TEXT = 48, CASE_OPTIONS = 8, CASE_INPUTS = 6, CASE_OUTPUT_STREAM = 100 };

typedef struct CaseInput {
    Shape shape;
    double scale, offset;
    bool wants_grad, none;
    int64_t classes; /* 0: no labels */
} CaseInput;

typedef struct Case {
    char op[CASE_TEXT];
    struct {
        char name[CASE_TEXT], value[CASE_TEXT];
    } options[CASE_OPTIONS];
    CaseInput inputs[CASE_INPUTS];
    int option_count, input_count;
} Case;

/* Reads the notation; N is put for the letter N. False if it is malformed or names no op. */
bool case_parse(Case *result, const char *text, int64_t n);
/* Whether there is a batch size to fill in. */
bool case_has_batch(const char *text);

/* Input i's values, stream i of the hash; owned by the innermost scope. */
Tensor *case_input(const Case *c, int i);
/* A bit for each input that has two layouts: bit i for input i. */
unsigned case_lanes(const Case *c);
/* Runs the op on these inputs. */
Tensor *case_run(const Case *c, Tensor *const *inputs);
/* The output's gradient: test_number of stream CASE_OUTPUT_STREAM. */
Tensor *case_output_grad(Shape shape);
/* Option values, or what they are when not given. */
double case_number(const Case *c, const char *option, double otherwise);
const char *case_option(const Case *c, const char *option);

#endif
