#include "autograd/gradcheck.h"

#include <math.h>

#include "autograd/node.h"
#include "tensor/memory.h"

#ifdef WEFT_DOUBLE
static const double default_tolerance = 1e-6, default_step = 1e-5, kink_share = 1e-3;
#else
static const double default_tolerance = 2e-2, default_step = 1e-2, kink_share = 0.2;
#endif

enum { MAX_REDRAWS = 20, STREAM_GRADIENT = 1, STREAM_ELEMENTS, STREAM_REDRAW };

/* The check of one input. */
typedef struct Check {
    const GradcheckOptions *options;
    int input;
    Tensor *grad;         /* of the output: random */
    int64_t *elements;    /* which are checked */
    int64_t element_count;
    double *numeric;      /* for each of those */
    Real *values;         /* of the input, all */
    int64_t value_count;
} Check;

/* The function's output, reduced to a number by the random gradient; NaN on failure. */
static double evaluate(const Check *check)
{
    Scope scope = scope_open();
    double sum = NAN;
    Tensor *output = check->options->function(check->options->inputs, check->options->context);
    int64_t count = tensor_count(output);
    Real *values = output ? weft_alloc(2 * count, sizeof *values) : NULL;
    if (values && tensor_read(output, values, count) && tensor_read(check->grad, values + count, count)) {
        sum = 0;
        for (int64_t i = 0; i < count; i++) sum += (double)values[i] * (double)values[count + i];
    }
    weft_free(values);
    scope_close(scope);
    return sum;
}

static double evaluate_at(Check *check, int64_t element, double value)
{
    Tensor *input = check->options->inputs[check->input];
    Real kept = check->values[element];
    check->values[element] = (Real)value;
    double result = NAN;
    if (tensor_write(input, check->values, check->value_count)) result = evaluate(check);
    check->values[element] = kept;
    if (!tensor_write(input, check->values, check->value_count)) return NAN;
    return result;
}

/* Central differences at every element; kinks[i] says where the one-sided ones disagree. Returns how many do, -1 on
 * failure. */
static int64_t differentiate(Check *check, double *kinks)
{
    double step_size = check->options->step > 0 ? check->options->step : default_step;
    double here = evaluate(check), largest = 0;
    for (int64_t i = 0; i < check->element_count; i++) {
        double x = (double)check->values[check->elements[i]], h = step_size * fmax(1, fabs(x));
        /* The steps that are really taken, after rounding. */
        double up = (double)(Real)(x + h), down = (double)(Real)(x - h);
        double above = evaluate_at(check, check->elements[i], up), below = evaluate_at(check, check->elements[i], down);
        check->numeric[i] = (above - below) / (up - down);
        kinks[i] = fabs((above - here) / (up - x) - (here - below) / (x - down));
        largest = fmax(largest, fabs(check->numeric[i]));
        if (weft_error()) return -1;
    }
    int64_t count = 0;
    for (int64_t i = 0; i < check->element_count; i++) {
        bool kink = kinks[i] > kink_share * largest;
        kinks[i] = kink;
        count += kink;
    }
    return count;
}

/* Moves elements that lie at a kink until none does. */
static bool settle(Check *check, int64_t *redrawn)
{
    double *kinks = weft_alloc(check->element_count, sizeof *kinks);
    int64_t count = kinks ? differentiate(check, kinks) : -1;
    RandomKey key = {.seed = check->options->seed, .stream = STREAM_REDRAW, .epoch = (uint32_t)check->input};
    for (int attempt = 0; attempt < MAX_REDRAWS && count > 0; attempt++) {
        for (int64_t i = 0; i < check->element_count; i++) {
            uint64_t place = (uint64_t)(attempt * check->element_count + i);
            if (kinks[i] != 0) check->values[check->elements[i]] += (Real)(0.1 * random_normal(key, place));
        }
        *redrawn += count;
        Tensor *input = check->options->inputs[check->input];
        count = tensor_write(input, check->values, check->value_count) ? differentiate(check, kinks) : -1;
    }
    weft_free(kinks);
    if (count > 0) weft_fail("gradcheck: input %d has %lld elements at kinks wherever they are moved", check->input,
                             (long long)count);
    return count == 0;
}

/* The gradient that backward computes, into `analytic`, one for every value of the input. */
static bool run_backward(const Check *check, Real *analytic)
{
    const GradcheckOptions *o = check->options;
    Scope scope = scope_open();
    bool was_recording = autograd_record(true);
    Tensor *output = o->function(o->inputs, o->context);
    bool ok = backward(output, .grad = check->grad);
    autograd_record(was_recording);
    Tensor *grad = tensor_grad(o->inputs[check->input]);
    if (ok && !grad && !o->expect_zero)
        ok = weft_fail("gradcheck: backward gives input %d no gradient", check->input);
    for (int64_t i = 0; i < check->value_count; i++) analytic[i] = 0;
    if (ok && grad) ok = tensor_read(grad, analytic, check->value_count);
    scope_close(scope);
    for (int i = 0; i < o->input_count; i++) tensor_clear_grad(o->inputs[i]);
    return ok;
}

static bool is_all_zero(const Real *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (values[i] != 0) return false;
    }
    return true;
}

/* A NaN is the worst of all. */
static bool is_worse(double error, double than)
{
    return !isnan(than) && !(error <= than);
}

static bool compare(const Check *check, const Real *analytic)
{
    const GradcheckOptions *o = check->options;
    double largest = 0, worst = 0;
    int64_t worst_at = 0;
    for (int64_t i = 0; i < check->element_count; i++) {
        double a = (double)analytic[check->elements[i]], error = fabs(a - check->numeric[i]);
        largest = fmax(largest, fabs(a));
        if (is_worse(error, worst)) {
            worst = error;
            worst_at = i;
        }
    }
    if (!o->expect_zero && is_all_zero(analytic, check->value_count))
        return weft_fail("gradcheck: the gradient of input %d is all zero", check->input);
    double error = largest > 0 ? worst / largest : worst;
    if (o->worst && is_worse(error, *o->worst)) *o->worst = error;
    if (error <= (o->tolerance > 0 ? o->tolerance : default_tolerance)) return true;
    return weft_fail("gradcheck: input %d, element %lld: backward gives %.9g, differences give %.9g (error %.2g)",
                     check->input, (long long)check->elements[worst_at],
                     (double)analytic[check->elements[worst_at]], check->numeric[worst_at], error);
}

static void choose_elements(Check *check)
{
    RandomKey key = {.seed = check->options->seed, .stream = STREAM_ELEMENTS, .epoch = (uint32_t)check->input};
    for (int64_t i = 0; i < check->element_count; i++) {
        bool all = check->element_count == check->value_count;
        check->elements[i] = all ? i : (int64_t)random_below(key, (uint64_t)i, (uint64_t)check->value_count);
    }
}

static bool check_input(const GradcheckOptions *options, int input, Tensor *grad, int64_t *kinks)
{
    Tensor *t = options->inputs[input];
    Check check = {.options = options, .input = input, .grad = grad, .value_count = tensor_count(t)};
    bool some = options->elements > 0 && options->elements < check.value_count;
    check.element_count = some ? options->elements : check.value_count;
    check.elements = weft_alloc(check.element_count, sizeof *check.elements);
    check.numeric = weft_alloc(check.element_count, sizeof *check.numeric);
    check.values = weft_alloc(check.value_count, sizeof *check.values);
    Real *kept = weft_alloc(check.value_count, sizeof *kept), *analytic = weft_alloc(check.value_count, sizeof *kept);
    bool ok = check.elements && check.numeric && check.values && kept && analytic &&
              tensor_read(t, check.values, check.value_count) && tensor_read(t, kept, check.value_count);
    if (ok) choose_elements(&check);
    if (ok) {
        bool was_recording = autograd_record(false);
        ok = settle(&check, kinks);
        autograd_record(was_recording);
        ok = ok && run_backward(&check, analytic) && compare(&check, analytic);
        ok = tensor_write(t, kept, check.value_count) && ok;
    }
    weft_free(check.elements);
    weft_free(check.numeric);
    weft_free(check.values);
    weft_free(kept);
    weft_free(analytic);
    return ok;
}

static void take_grads(Tensor *const *inputs, int count, Tensor *grads[OP_MAX_INPUTS])
{
    for (int i = 0; i < count; i++) {
        grads[i] = inputs[i]->grad;
        inputs[i]->grad = NULL;
    }
}

/* The last first: a tensor that is several inputs had its gradient taken as the first of them. */
static void put_grads_back(Tensor *const *inputs, int count, Tensor *const grads[OP_MAX_INPUTS])
{
    while (count-- > 0) {
        tensor_clear_grad(inputs[count]);
        inputs[count]->grad = grads[count];
    }
}

static bool check_options(const GradcheckOptions *o)
{
    bool any = false;
    if (!o->function || !o->inputs || o->input_count < 1 || o->input_count > OP_MAX_INPUTS)
        return weft_fail("gradcheck: needs a function and 1 to %d inputs", OP_MAX_INPUTS);
    for (int i = 0; i < o->input_count; i++) {
        if (!o->inputs[i]) return false;
        any |= o->inputs[i]->requires_grad;
    }
    if (!any) return weft_fail("gradcheck: no input requires a gradient");
    return true;
}

bool gradcheck_with(GradcheckOptions options)
{
    int64_t kinks = 0;
    bool ok = true;
    Tensor *grads[OP_MAX_INPUTS];
    if (options.worst) *options.worst = 0;
    if (!check_options(&options)) return false;
    take_grads(options.inputs, options.input_count, grads);
    Scope scope = scope_open();
    Tensor *output = options.function(options.inputs, options.context);
    RandomKey key = {.seed = options.seed, .stream = STREAM_GRADIENT};
    Tensor *grad = output ? tensor_normal(output->shape, 0, 1, key) : NULL;
    for (int i = 0; ok && i < options.input_count; i++) {
        if (options.inputs[i]->requires_grad) ok = grad && check_input(&options, i, grad, &kinks);
    }
    scope_close(scope);
    put_grads_back(options.inputs, options.input_count, grads);
    if (options.kinks) *options.kinks = kinks;
    return ok;
}
