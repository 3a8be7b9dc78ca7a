/* The project's own scalar functions, against long double libm. The vectors' are checked by tests/test_vectors.sh,
 * once for each instruction set. */
#include "tests/test.h"

#include <float.h>

#include "tensor/math.h"
#include "tensor/random.h"
#include "tests/ulp.h"

enum { SAMPLES = 300000 };
/* A little more than the largest errors found, so that a lost term is noticed. The promise is 2. */
static const double WORST_EXP = 0.9, WORST_LOG = 0.9, WORST_SIN = 1.1;
static const RandomKey KEY = {.seed = 1, .stream = 2, .epoch = 3};

static double random_between(uint64_t i, double low, double high)
{
    return low + (high - low) * random_uniform(KEY, i);
}

/* Every size from 2^-40 to 2^20, both signs. */
static double random_sized(uint64_t i)
{
    const int exponent = (int)random_below(KEY, 3 * i, 61) - 40;
    return ldexp(random_between(3 * i + 1, 0.5, 1), exponent) * (random_below(KEY, 3 * i + 2, 2) ? 1 : -1);
}

static double from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

TEST(math_exp_is_within_2_ulp)
{
    for (uint64_t i = 0; i < SAMPLES; i++) {
        const double x = i % 2 ? random_between(i, -750, 712) : random_sized(i);
        CHECK(ulp_error(weft_exp(x), expl(x)) <= WORST_EXP);
    }
}

TEST(math_log_is_within_2_ulp)
{
    for (uint64_t i = 0; i < SAMPLES; i++) {
        double x = fabs(from_bits(random_bits(KEY, i)));
        if (i % 3 == 1)
            x = 1 + random_sized(i) * 0x1p-21;
        else if (i % 3 == 2)
            x *= DBL_MIN;
        CHECK(ulp_error(weft_log(x), logl(x)) <= WORST_LOG);
    }
}

/* Also right next to multiples of pi / 2, where the reduction loses most. */
static double angle(uint64_t i)
{
    if (i % 3)
        return i % 3 == 1 ? random_sized(i) : random_between(i, -WEFT_SIN_LIMIT, WEFT_SIN_LIMIT);
    const double multiple = (double)((int64_t)random_below(KEY, i, 1335088) - 667544);
    return (double)(multiple * (acosl(-1.0L) / 2));
}

TEST(math_sin_is_within_2_ulp)
{
    for (uint64_t i = 0; i < SAMPLES; i++)
        CHECK(ulp_error(weft_sin(angle(i)), sinl(angle(i))) <= WORST_SIN);
}

TEST(math_cos_is_within_2_ulp)
{
    for (uint64_t i = 0; i < SAMPLES; i++)
        CHECK(ulp_error(weft_cos(angle(i)), cosl(angle(i))) <= WORST_SIN);
}

TEST(math_edges)
{
    const double inf = (double)INFINITY, nan = (double)NAN;
    CHECK(weft_exp(0) == 1 && weft_exp(-0.0) == 1 && weft_exp(-inf) == 0 && weft_exp(inf) == inf);
    CHECK(weft_exp(709.79) == inf && weft_exp(1e300) == inf && weft_exp(-745.2) == 0 && weft_exp(-1e300) == 0);
    CHECK(weft_exp(-745.1) == DBL_TRUE_MIN && isnan(weft_exp(nan)));
    CHECK(weft_log(1) == 0 && weft_log(0) == -inf && weft_log(-0.0) == -inf && weft_log(inf) == inf);
    CHECK(isnan(weft_log(-1)) && isnan(weft_log(-inf)) && isnan(weft_log(nan)));
    CHECK(ulp_error(weft_log(DBL_TRUE_MIN), logl(DBL_TRUE_MIN)) <= WORST_LOG);
    CHECK(weft_sin(0) == 0 && weft_cos(0) == 1 && weft_sin(DBL_TRUE_MIN) == DBL_TRUE_MIN);
    CHECK(!isnan(weft_sin(WEFT_SIN_LIMIT)) && isnan(weft_sin(nextafter(WEFT_SIN_LIMIT, inf))));
    CHECK(isnan(weft_cos(-1e300)) && isnan(weft_sin(inf)) && isnan(weft_cos(-inf)) && isnan(weft_sin(nan)));
}
