/* Elementary functions of one double, the project's own: libm's differ with the CPU and the C library, these are the
 * same bits everywhere. Internal.
 *
 * Within 2 units in the last place. Denormals, infinities and NaN give what C's <math.h> gives, errno apart. */
#ifndef WEFT_MATH_H
#define WEFT_MATH_H

/* Where weft_sin and weft_cos stop: their reduction to [-pi/4, pi/4] is accurate up to here. */
#define WEFT_SIN_LIMIT 0x1p20

double weft_exp(double x);
double weft_log(double x);
/* For |x| <= WEFT_SIN_LIMIT; NaN beyond, rather than a wrong number. The sine of -0 is +0. */
double weft_sin(double x);
double weft_cos(double x);

#endif
