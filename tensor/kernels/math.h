/* exp, log, tanh and sigmoid of vectors, within 2 units in the last place over the whole range, in float and double.
 *
 * Every step is an exactly rounded operation in a fixed order, so that all compilers and widths give the same bits
 * (libm's differ with the CPU). Denormal arguments and results, infinities and NaN give what C's <math.h> gives. */
#ifndef WEFT_KERNELS_MATH_H
#define WEFT_KERNELS_MATH_H

#include "tensor/kernels/coefficients.h"
#include "tensor/kernels/vector.h"

#include <float.h>
#include <math.h>

/* How a Real is stored: the bits of its fraction, the bias of its exponent, its least normal value. */
#ifdef WEFT_DOUBLE
enum { FRACTION_BITS = 52, EXPONENT_BIAS = 1023 };
static const Real LEAST_NORMAL = DBL_MIN;
#else
enum { FRACTION_BITS = 23, EXPONENT_BIAS = 127 };
static const Real LEAST_NORMAL = FLT_MIN;
#endif

/* 2^FRACTION_BITS: from here to twice it a Real's spacing is 1, and its lowest bits count like an integer's. */
static const Real WHOLE = (Real)((LaneBits)1 << FRACTION_BITS);
#define WHOLE_BITS ((LaneBits)(EXPONENT_BIAS + FRACTION_BITS) << FRACTION_BITS)
#define SIGN_BIT ((LaneBits)1 << (8 * sizeof(Real) - 1))

/* The polynomial with these coefficients, the constant one first, by Horner's rule. */
#define VPOLYNOMIAL(coefficients, x) vhorner(coefficients, (int)(sizeof(coefficients) / sizeof(Real)), x)
VINLINE V vhorner(const Real *coefficients, int count, V x)
{
    V sum = vset(coefficients[count - 1]);
#pragma GCC unroll 16
    for (int i = count - 2; i >= 0; i--)
        sum = vfma(sum, x, vset(coefficients[i]));
    return sum;
}

/* exp(x). With n the whole number nearest x / log(2) and r = x - n log(2), exp(x) = 2^n exp(r) (Cody and Waite). What
 * 1 + r loses in rounding is added to the small terms (Dekker's fast two-sum). 2^n is applied in two halves, so that a
 * denormal result is rounded once and an overflow is infinite. */
VINLINE V vexp(V x)
{
    x = vmin(vset(OF_REAL(EXP_MOST)), vmax(vset(OF_REAL(EXP_LEAST)), x));
    const V shifted = vfma(x, vset(OF_REAL(LOG2_E)), vset((Real)1.5 * WHOLE));
    const V n = shifted - (Real)1.5 * WHOLE;
    V r = vfma(n, vset(-OF_REAL(LN2_HIGH)), x);
    r = vfma(n, vset(-OF_REAL(LN2_LOW)), r);
    const V one_r = r + (Real)1;
    const V lost = r - (one_r - (Real)1);
    const V e = one_r + vfma(r * r, VPOLYNOMIAL(OF_REAL(EXP), r), lost);

    /* The low bits of shifted hold n; twice the bias keeps the sum positive, and half of it is a biased exponent. */
    const U biased = (U)shifted - (WHOLE_BITS + ((LaneBits)1 << (FRACTION_BITS - 1))) + 2 * EXPONENT_BIAS;
    const U half = biased >> 1;
    return e * (V)(half << FRACTION_BITS) * (V)((biased - half) << FRACTION_BITS);
}

/* log(x). With x = 2^k (1 + f), 1 + f from sqrt(1/2) to sqrt(2), and s = f / (2 + f):
 * log(1 + f) = log((1 + s) / (1 - s)) = f - (f^2 / 2 - s (f^2 / 2 + s^2 P(s^2))), arranged so that the largest term, f,
 * is exact (Tang 1990; Muller, Elementary Functions). */
VINLINE V vlog(V x)
{
    const LaneBits fraction = ((LaneBits)1 << FRACTION_BITS) - 1;
    const V root_half = vset((Real)0.70710678118654752440);
    const I denormal = x < vset(LEAST_NORMAL);
    const V normal = vselect(denormal, x * WHOLE, x);

    /* Adding 1 - sqrt(1/2) to the bits carries into the exponent exactly when 1 + f would reach sqrt(2). */
    const U bits = (U)normal + ((U)vset(1) - (U)root_half);
    const V exponent = (V)((bits >> FRACTION_BITS) | WHOLE_BITS) - WHOLE;
    const V k = exponent - vselect(denormal, vset(EXPONENT_BIAS + FRACTION_BITS), vset(EXPONENT_BIAS));
    const V f = (V)((bits & fraction) + (U)root_half) - (Real)1;

    const V s = f / (f + (Real)2);
    const V z = s * s;
    const V half_square = (Real)0.5 * f * f;
    const V tail = vfma(s, vfma(z, VPOLYNOMIAL(OF_REAL(LOG), z), half_square), k * OF_REAL(LN2_LOW));
    V result = vfma(k, vset(OF_REAL(LN2_HIGH)), f - (half_square - tail));

    result = vselect(x == vset(0), vset(-(Real)INFINITY), result);
    result = vselect(x < vset(0), vset((Real)NAN), result);
    return vselect(x < vset((Real)INFINITY), result, x);
}

/* tanh(x): an odd polynomial for |x| < 0.55, otherwise 1 - 2 / (exp(2 |x|) + 1), with the sign of x. */
VINLINE V vtanh(V x)
{
    const V magnitude = (V)((U)x & ~SIGN_BIT);
    const V square = x * x;
    const V small = vfma(magnitude * square, VPOLYNOMIAL(OF_REAL(TANH), square), magnitude);
    const V large = (Real)1 - (Real)2 / (vexp(magnitude + magnitude) + (Real)1);
    const V result = vselect(magnitude < vset((Real)0.55), small, large);
    return (V)((U)result | ((U)x & SIGN_BIT));
}

/* 1 / (1 + exp(-x)), as exp(x) / (1 + exp(x)) for negative x, which does not overflow. What 1 + exp loses in rounding
 * would cost up to a unit in the last place; it is put back to first order. */
VINLINE V vsigmoid(V x)
{
    const I negative = x < vset(0);
    const V e = vexp((V)((U)x | SIGN_BIT));
    const V one_e = e + (Real)1;
    const V lost = e - (one_e - (Real)1);
    const V y = vselect(negative, e, vset(1)) / one_e;
    const V reciprocal = vselect(negative, (Real)1 - y, y);
    return y - y * reciprocal * lost;
}

#endif
