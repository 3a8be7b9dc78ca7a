/* Errors in units in the last place, for tests. */
#ifndef WEFT_TEST_ULP_H
#define WEFT_TEST_ULP_H

#include <float.h>
#include <math.h>

/* |value - exact| in units of a number that has `digits` bits and the least exponent `least`: the spacing at exact.
 * Infinities and NaN must agree; 0 if they do, infinite if not. Overflow is judged by rounding, not by size. */
static inline double ulp_distance(double value, long double exact, double rounded, int digits, int least)
{
    if (isnan(rounded) || isinf(rounded) || isnan(value) || isinf(value))
        return value == rounded || (isnan(value) && isnan(rounded)) ? 0 : (double)INFINITY;
    int exponent;
    frexpl(exact, &exponent);
    const int unit = exponent - digits < least ? least : exponent - digits;
    return (double)ldexpl(fabsl(value - exact), -unit);
}

static inline double ulp_error(double value, long double exact)
{
    return ulp_distance(value, exact, (double)exact, DBL_MANT_DIG, DBL_MIN_EXP - DBL_MANT_DIG);
}

static inline double ulp_error_float(float value, long double exact)
{
    return ulp_distance((double)value, exact, (double)(float)exact, FLT_MANT_DIG, FLT_MIN_EXP - FLT_MANT_DIG);
}

#endif
