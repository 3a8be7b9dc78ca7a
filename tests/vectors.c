/* A program that checks the kernels' vectors (tensor/kernels/vector.h, math.h, philox.h) for the instruction set that
 * it was compiled for, and prints a digest of the bits that they computed. tests/test_vectors.sh builds it for each
 * instruction set, compiler and level of optimisation, and compares the digests. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tensor/kernels/math.h"
#include "tensor/kernels/philox.h"
#include "tests/ulp.h"

const char WEFT_PRECISION_SYMBOL = 0;

enum { COUNT = 1 << 16 };
static const RandomKey KEY = {.seed = 1, .stream = 2, .epoch = 3};
static int passed, failed;
static uint64_t digest = UINT64_C(0xcbf29ce484222325);
static _Alignas(64) Real input[COUNT], output[COUNT];

static void check(const char *name, bool holds)
{
    passed += holds;
    failed += !holds;
    if (!holds)
        printf("FAIL %s, vectors of %d bytes\n", name, VBYTES);
}

/* FNV-1a over the values' bits; all NaN count as one. */
static void digest_values(const Real *values, int count)
{
    for (int i = 0; i < count; i++) {
        LaneBits bits = 0;
        if (!isnan(values[i]))
            memcpy(&bits, &values[i], sizeof bits);
        digest = (digest ^ bits) * UINT64_C(0x100000001b3);
    }
}

static bool same_bits(const Real *a, const Real *b, size_t count)
{
    return memcmp(a, b, count * sizeof *a) == 0;
}

/* ---- Elementary functions ---- */

#ifdef WEFT_DOUBLE
#define ULP_ERROR ulp_error
#define FMA fma
#else
#define ULP_ERROR ulp_error_float
#define FMA fmaf
#endif

static long double exact_sigmoid(long double x)
{
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}

/* Any bits, sizes about 1, and the range where exp neither overflows nor underflows; first the edges. */
static void fill_input(void)
{
    const Real edges[] = {0, -(Real)0, 1, -1, (Real)INFINITY, -(Real)INFINITY, (Real)NAN, LEAST_NORMAL, -LEAST_NORMAL,
        LEAST_NORMAL / 4, -LEAST_NORMAL / 4, OF_REAL(EXP_LEAST), OF_REAL(EXP_MOST), (Real)0.55, -(Real)0.55, WHOLE};
    for (int i = 0; i < COUNT; i++) {
        const uint64_t random = random_bits(KEY, (uint64_t)i);
        const LaneBits bits = (LaneBits)random;
        const double uniform = random_uniform(KEY, (uint64_t)i);
        if (i % 4 == 0)
            memcpy(&input[i], &bits, sizeof bits);
        else if (i % 4 == 1)
            input[i] = (Real)(2 * uniform - 1) * OF_REAL(EXP_MOST);
        else
            input[i] = (Real)ldexp(2 * uniform - 1, (int)(random % 24) - 16);
        if (i % 4 == 3)
            input[i] += (Real)1;
    }
    memcpy(input, edges, sizeof edges);
}

/* `most` is a little more than the largest error found, so that a lost term is noticed. The promise is 2. */
#define CHECK_FUNCTION(name, function, exact, most)                                                                    \
    do {                                                                                                               \
        double worst = 0;                                                                                              \
        for (int i = 0; i < COUNT; i += VWIDTH)                                                                        \
            vstore(output + i, function(vload(input + i)));                                                            \
        for (int i = 0; i < COUNT; i++)                                                                                \
            worst = fmax(worst, ULP_ERROR(output[i], exact((long double)input[i])));                                   \
        check(name " within " #most " ulp", worst <= most);                                                            \
        digest_values(output, COUNT);                                                                                  \
    } while (0)

static void check_functions(void)
{
    fill_input();
    CHECK_FUNCTION("exp", vexp, expl, 0.9);
    CHECK_FUNCTION("log", vlog, logl, 0.9);
    CHECK_FUNCTION("tanh", vtanh, tanhl, 1.6);
    check("tanh(-0) is -0", output[1] == 0 && signbit(output[1]));
    CHECK_FUNCTION("sigmoid", vsigmoid, exact_sigmoid, 2);
}

/* ---- Vectors ---- */

static void check_fma(void)
{
    bool right = true;
    for (int i = 0; i < COUNT - 32; i += VWIDTH) {
        const Real *a = input + i, *b = a + 16, *c = b + 16;
        vstore(output + i, vfma(vload(a), vload(b), vload(c)));
        for (int lane = 0; lane < VWIDTH; lane++) {
            const Real exact = FMA(a[lane], b[lane], c[lane]);
            right &= output[i + lane] == exact || (isnan(exact) && isnan(output[i + lane]));
        }
    }
    check("vfma rounds once", right || !VFUSED);
    digest_values(output, COUNT - 32);
}

static void check_select(void)
{
    const Real nan = (Real)NAN, zero = 0;
    bool select = true, most = true, least = true;
    for (int i = 0; i < COUNT - 16; i += VWIDTH) {
        const Real *a = input + i, *b = a + 16;
        Real chosen[3];
        V vectors[3] = {vselect(vload(a) < vload(b), vload(b), vload(a)), vmax(vload(a), vload(b)),
            vmin(vload(a), vload(b))};
        for (int lane = 0; lane < VWIDTH; lane++) {
            for (int v = 0; v < 3; v++)
                chosen[v] = vectors[v][lane];
            select &= same_bits(&chosen[0], a[lane] < b[lane] ? &b[lane] : &a[lane], 1);
            most &= same_bits(&chosen[1], a[lane] > b[lane] ? &a[lane] : &b[lane], 1);
            least &= same_bits(&chosen[2], a[lane] < b[lane] ? &a[lane] : &b[lane], 1);
        }
    }
    check("vselect", select);
    check("vmax", most);
    check("vmin", least);
    check("vmax keeps a NaN on the right", isnan(vmax(vset(zero), vset(nan))[0]));
    check("vmax drops a NaN on the left", vmax(vset(nan), vset(zero))[0] == 0);
}

static Real fold_tree(const Real *x)
{
    Real sum[16];
    memcpy(sum, x, sizeof sum);
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++)
            sum[i] += sum[i + step];
    return sum[0];
}

static void check_folds(void)
{
    for (int i = 0; i < COUNT; i++)
        input[i] = (Real)(random_normal(KEY, (uint64_t)i) * ldexp(1, i % 5));
    bool one = true, sixteen = true;
    for (int i = 0; i < COUNT; i += 256) {
        V groups[16 * VPARTS], sums[VPARTS];
        Real folded[16], all[16], trees[16];
        for (int p = 0; p < 16 * VPARTS; p++)
            groups[p] = vload(input + i + p * VWIDTH);
        vfold16(groups, sums);
        memcpy(all, sums, sizeof all);
        for (int g = 0; g < 16; g++) {
            folded[g] = vfold(groups + g * VPARTS);
            trees[g] = fold_tree(input + i + 16 * g);
        }
        one &= same_bits(folded, trees, 16);
        sixteen &= same_bits(all, trees, 16);
        digest_values(all, 16);
    }
    check("vfold", one);
    check("vfold16", sixteen);
}

/* ---- Random numbers ---- */

static void check_philox(void)
{
    const RandomKey key = {.seed = UINT64_C(0xfedcba9876543210), .stream = 0xfffffff0, .epoch = 0x80000001};
    _Alignas(64) uint64_t first[16];
    _Alignas(64) uint32_t words[4][16];
    bool same = true, lanes = true;
    for (uint64_t trial = 0; trial < 100; trial++) {
        const uint64_t offset = trial * UINT64_C(0x87654321);
        for (uint64_t lane = 0; lane < 16; lane++)
            first[lane] = trial % 2 ? random_bits(KEY, lane + 16 * trial) : UINT32_MAX - 8 + lane;
        philox_group(key, first, offset, words);
        for (int lane = 0; lane < 16; lane++) {
            uint32_t block[4];
            random_block(key, first[lane] + offset, block);
            for (int w = 0; w < 4; w++)
                same &= words[w][lane] == block[w];
            const U part = philox_lanes(words[2] + lane / VWIDTH * VWIDTH);
            lanes &= part[lane % VWIDTH] == block[2];
        }
    }
    check("philox_group is random_block in every lane", same);
    check("philox_lanes", lanes);
}

int main(void)
{
    check_functions();
    check_fma();
    check_select();
    check_folds();
    check_philox();
    printf("digest %016llx\n%d passed, %d failed\n", (unsigned long long)digest, passed, failed);
    return failed != 0;
}
