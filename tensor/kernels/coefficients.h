/* Constants of the elementary functions, for the vectors (kernels/math.h) and the scalars (math.c).
 *
 * Each polynomial is the minimax approximation of its function's relative error, computed with Remez's exchange at 60
 * digits and then rounded, the constant term first (Muller et al., Handbook of Floating-Point Arithmetic, chapter 10).
 * Splits of a constant in parts are Cody and Waite's (Software Manual for the Elementary Functions, 1980): all parts
 * but the last are short, so that their products with the whole numbers that occur are exact. */
#ifndef WEFT_KERNELS_COEFFICIENTS_H
#define WEFT_KERNELS_COEFFICIENTS_H

/* The constant of Real's precision. */
#ifdef WEFT_DOUBLE
#define OF_REAL(name) name##_DOUBLE
#else
#define OF_REAL(name) name##_FLOAT
#endif

/* (exp(r) - 1 - r) / r^2 for |r| <= log(2) / 2. */
static const float EXP_FLOAT[] = {0x1.fffffcp-2f, 0x1.55549p-3f, 0x1.5558f4p-5f, 0x1.123a6cp-7f, 0x1.6a2396p-10f};
static const double EXP_DOUBLE[] = {0x1.000000000000ap-1, 0x1.55555555554f9p-3, 0x1.55555555507f0p-5,
    0x1.1111111127e88p-7, 0x1.6c16c1844b084p-10, 0x1.a01a0129b25bdp-13, 0x1.a01999adc0098p-16, 0x1.71df263143557p-19,
    0x1.28adce79db43bp-22, 0x1.ad7efa348ca75p-26};

/* Beyond these, exp is zero or infinite. */
static const float EXP_LEAST_FLOAT = -105, EXP_MOST_FLOAT = 90;
static const double EXP_LEAST_DOUBLE = -746, EXP_MOST_DOUBLE = 711;

/* (log((1 + s) / (1 - s)) - 2 s) / s^3 in z = s^2, where (1 + s) / (1 - s) is from sqrt(1/2) to sqrt(2). */
static const float LOG_FLOAT[] = {0x1.55557ap-1f, 0x1.995eacp-2f, 0x1.31e486p-2f};
static const double LOG_DOUBLE[] = {0x1.5555555555593p-1, 0x1.999999997fca1p-2, 0x1.2492494201bf1p-2,
    0x1.c71c51faf131fp-3, 0x1.7466420c2c70fp-3, 0x1.39a1653dd57b2p-3, 0x1.2f08ec0802f44p-3};

/* (tanh(x) - x) / x^3 in z = x^2 for |x| <= 0.55. */
static const float TANH_FLOAT[] = {-0x1.55554cp-2f, 0x1.110d3ap-3f, -0x1.b92b7cp-5f, 0x1.595464p-6f, -0x1.9bad88p-8f};
static const double TANH_DOUBLE[] = {-0x1.555555555554fp-2, 0x1.11111111107e3p-3, -0x1.ba1ba1b98139dp-5,
    0x1.664f485a39cbap-6, -0x1.226e2f2d155ccp-7, 0x1.d6d29f4fbd395p-9, -0x1.7d9001be54e64p-10, 0x1.34851baf25faap-11,
    -0x1.e97dc83643decp-13, 0x1.5d9b2c59ed236p-14, -0x1.476dd83e90dc1p-16};

/* (sin(r) - r) / r^3 and (cos(r) - 1 + r^2 / 2) / r^4 in z = r^2 for |r| <= pi / 4. */
static const double SIN_DOUBLE[] = {-0x1.5555555555549p-3, 0x1.111111110f842p-7, -0x1.a01a019c0a2bbp-13,
    0x1.71de3570ff440p-19, -0x1.ae5e60c5b0307p-26, 0x1.5d915e55e206dp-33};
static const double COS_DOUBLE[] = {0x1.555555555554cp-5, -0x1.6c16c16c15140p-10, 0x1.a01a019cab747p-16,
    -0x1.27e4f805332c7p-22, 0x1.1ee9e88ff143ep-29, -0x1.8facd0c899352p-37};

/* 1 / log(2), and log(2) = HIGH + LOW with HIGH of 15 and 40 bits. */
static const float LOG2_E_FLOAT = 0x1.715476p+0f;
static const double LOG2_E_DOUBLE = 0x1.71547652b82fep+0;
static const float LN2_HIGH_FLOAT = 0x1.62e4p-1f, LN2_LOW_FLOAT = 0x1.7f7d1cp-20f;
static const double LN2_HIGH_DOUBLE = 0x1.62e42fefa2p-1, LN2_LOW_DOUBLE = 0x1.9ef35793c7673p-41;

/* 2 / pi, and pi / 2 = HIGH + MIDDLE + LOW with HIGH and MIDDLE of 33 bits. */
static const double TWO_OVER_PI_DOUBLE = 0x1.45f306dc9c883p-1;
static const double HALF_PI_HIGH_DOUBLE = 0x1.921fb544p+0, HALF_PI_MIDDLE_DOUBLE = 0x1.0b4611a6p-34;
static const double HALF_PI_LOW_DOUBLE = 0x1.3198a2e037073p-69;

#endif
