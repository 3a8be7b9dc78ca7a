/* The scalar elementary functions. As the vectors', in tensor/kernels/math.h, but without fused multiply-adds: those
 * are slow where the CPU has none, and nothing here needs speed. */
#include "tensor/math.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tensor/kernels/coefficients.h"

enum { FRACTION_BITS = 52, EXPONENT_BIAS = 1023 };

#define POLYNOMIAL(coefficients, x) horner(coefficients, (int)(sizeof(coefficients) / sizeof(double)), x)
static double horner(const double *coefficients, int count, double x)
{
    double sum = coefficients[count - 1];
    for (int i = count - 2; i >= 0; i--)
        sum = sum * x + coefficients[i];
    return sum;
}

double weft_exp(double x)
{
    if (!(x > EXP_LEAST_DOUBLE))
        return x == x ? 0 : x;
    if (x > EXP_MOST_DOUBLE)
        return (double)INFINITY;
    const double n = rint(x * LOG2_E_DOUBLE);
    const double r = (x - n * LN2_HIGH_DOUBLE) - n * LN2_LOW_DOUBLE;
    /* What 1 + r loses in rounding is added to the small terms. */
    const double one_r = 1 + r;
    const double lost = r - (one_r - 1);
    return ldexp(one_r + (r * r * POLYNOMIAL(EXP_DOUBLE, r) + lost), (int)n);
}

double weft_log(double x)
{
    if (!(x > 0))
        return x == 0 ? -(double)INFINITY : (double)NAN;
    if (!(x <= DBL_MAX))
        return x;
    int k;
    double f = frexp(x, &k);
    if (f < 0.70710678118654752440) {
        f *= 2;
        k--;
    }
    f -= 1;
    const double s = f / (2 + f);
    const double z = s * s;
    const double half_square = 0.5 * f * f;
    const double tail = s * (half_square + z * POLYNOMIAL(LOG_DOUBLE, z)) + k * LN2_LOW_DOUBLE;
    return k * LN2_HIGH_DOUBLE + (f - (half_square - tail));
}

/* x - n pi / 2 as high + low, with n the nearest whole number; returns n modulo 4. x is at most WEFT_SIN_LIMIT: n has
 * 20 bits, so that n times the first two parts of pi / 2 is exact (Cody and Waite). */
static int reduce(double x, double *high, double *low)
{
    const double n = rint(x * TWO_OVER_PI_DOUBLE);
    const double first = x - n * HALF_PI_HIGH_DOUBLE;
    const double middle = n * HALF_PI_MIDDLE_DOUBLE;
    const double second = first - middle;
    /* What the second subtraction lost, whichever operand is larger (Knuth's two-sum), and the last part. */
    const double back = second - first;
    const double lost = (first - (second - back)) - (middle + back);
    const double rest = lost - n * HALF_PI_LOW_DOUBLE;
    *high = second + rest;
    *low = (second - *high) + rest;
    return (int)n & 3;
}

/* sin and cos of high + low, at most pi / 4 in size, to first order in low. */
static double sin_reduced(double high, double low)
{
    const double z = high * high;
    return high + (high * z * POLYNOMIAL(SIN_DOUBLE, z) + low * (1 - 0.5 * z));
}

static double cos_reduced(double high, double low)
{
    const double z = high * high;
    const double half_square = 0.5 * z;
    const double one_less = 1 - half_square;
    return one_less + (((1 - one_less) - half_square) + (z * z * POLYNOMIAL(COS_DOUBLE, z) - high * low));
}

/* sin(x + quarters pi / 2). */
static double sin_quarters(double x, int quarters)
{
    if (!(fabs(x) <= WEFT_SIN_LIMIT))
        return (double)NAN;
    double high, low;
    quarters += reduce(x, &high, &low);
    const double size = quarters & 1 ? cos_reduced(high, low) : sin_reduced(high, low);
    return quarters & 2 ? -size : size;
}

double weft_sin(double x)
{
    return sin_quarters(x, 0);
}

double weft_cos(double x)
{
    return sin_quarters(x, 1);
}
