/* Comparing an op with loops in double that a test writes out, and with itself on other machines. */
#ifndef WEFT_COMPARE_H
#define WEFT_COMPARE_H

#include "autograd/node.h"
#include "tensor/kernels/kernels.h"
#include "tensor/memory.h"
#include "tests/test.h"

/* Rounding errors of sums of a few thousand terms of about 1. */
#define TOLERANCE (sizeof(Real) == sizeof(float) ? 3e-5 : 1e-12)

/* Every value of t is what was expected, and its spare lanes are right. */
static inline void check_values(const Tensor *t, const double *expected, double tolerance)
{
    Real *values = test_values(t);
    if (!values) return;
    for (int64_t i = 0; i < tensor_count(t) && !test_failed(); i++)
        test_close((double)values[i], expected[i], tolerance, __FILE__, __LINE__, "a value and the expected one");
    free(values);
    CHECK(layout_spare_is_right(t));
}

/* Two tensors have the same shape and bits. */
static inline void check_same_bits(const Tensor *a, const Tensor *b)
{
    CHECK(shape_equal(tensor_shape(a), tensor_shape(b)));
    Real *x = test_values(a), *y = test_values(b);
    if (x && y) test_equal_bits(x, y, tensor_count(a), __FILE__, __LINE__, "one tensor's values == the other's");
    free(x);
    free(y);
}

/* A tensor of the hash that wants a gradient. */
static inline Tensor *leaf(Shape shape, uint32_t stream, double scale)
{
    Tensor *t = test_tensor(shape, stream, scale);
    tensor_set_requires_grad(t, true);
    return t;
}

/* The same in lanes, keeping the gradient that reaches it there, spare lanes included. */
static inline Tensor *lanes_leaf(Shape shape, uint32_t stream, double scale)
{
    Tensor *t = op_to_lanes(leaf(shape, stream, scale));
    tensor_keep_grad(t);
    return t;
}

static inline double *doubles(int64_t count)
{
    return calloc((size_t)count, sizeof(double));
}

static inline double square(double x)
{
    return x * x;
}

/* Runs `function` with one thread, then with 2, 3 and 5 and on every instruction set that fuses multiply-adds. It
 * fills `results` with tensors, at most RESULTS_MAX, and returns how many: all must have the same bits each time. */
enum { RESULTS_MAX = 8 };
typedef int ResultsFunction(Tensor *results[RESULTS_MAX]);

static inline void check_again(ResultsFunction *function, Tensor *const *expected, int count)
{
    Scope scope = scope_open();
    Tensor *results[RESULTS_MAX];
    CHECK_EQUAL(function(results), count);
    for (int i = 0; i < count && !test_failed(); i++) check_same_bits(results[i], expected[i]);
    scope_close(scope);
}

static inline void check_machines(ResultsFunction *function)
{
    static const int threads[] = {2, 3, 5};
    Tensor *expected[RESULTS_MAX];
    CHECK(weft_set_threads(1));
    const int count = function(expected);
    CHECK(count > 0);
    for (size_t i = 0; i < sizeof threads / sizeof *threads && !test_failed(); i++) {
        CHECK(weft_set_threads(threads[i]));
        check_again(function, expected, count);
    }
    for (const Kernels *const *table = test_kernels(); *table && !test_failed(); table++) {
        weft_kernels_use(*table);
        check_again(function, expected, count);
    }
    weft_kernels_use(NULL);
}

/* Runs `function` with its first allocation failing, then the second, and so on until it runs through: each time all
 * results are there or an error is on record. (The harness sees to it that nothing stays alive.) */
static inline void check_short_memory(ResultsFunction *function)
{
    for (int64_t k = 1; !test_failed(); k++) {
        Scope scope = scope_open();
        Tensor *results[RESULTS_MAX];
        weft_alloc_fail_at(k);
        const int count = function(results);
        weft_alloc_fail_at(0);
        bool whole = count > 0;
        for (int i = 0; i < count; i++) whole &= results[i] != NULL;
        scope_close(scope);
        const bool failed = weft_error() != NULL;
        weft_error_clear();
        CHECK(whole != failed);
        if (whole) {
            CHECK(k > 1);
            return;
        }
    }
}

#endif
