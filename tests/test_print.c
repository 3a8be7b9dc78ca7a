/* tensor_print. Every text here is what print(array) of NumPy 1.24.2 wrote, of float32 and of float64. */
#include <stdio.h>

#include "autograd/node.h"
#include "tests/test.h"

enum { MOST_VALUES = 8, MOST_TEXT = 8000 };

typedef struct Print {
    Shape shape;
    Real values[MOST_VALUES];
    const char *text, *in_double; /* NULL where both precisions print the same */
} Print;

/* Values that grow by a step from one element to the next. */
typedef struct Ramp {
    Shape shape;
    Real first, step;
    const char *text;
} Ramp;

static const Print prints[] = {
    {{1, {3}}, {0, 1, -2},
     "[ 0.  1. -2.]\n",
     NULL},
    {{1, {3}}, {0, (Real)-0.0, 1},
     "[ 0. -0.  1.]\n",
     NULL},
    {{1, {4}}, {(Real)-10.5, (Real)0.25, 3, 100},
     "[-10.5    0.25   3.   100.  ]\n",
     NULL},
    {{1, {4}}, {(Real)0.1, (Real)0.3333333333333333, (Real)-0.6666666666666666, (Real)0.123456789},
     "[ 0.1         0.33333334 -0.6666667   0.12345679]\n",
     "[ 0.1         0.33333333 -0.66666667  0.12345679]\n"},
    {{1, {2}}, {(Real)1500000000.0, (Real)250000000.0},
     "[1.5e+09 2.5e+08]\n",
     NULL},
    {{1, {1}}, {(Real)100000000.0},
     "[1.e+08]\n",
     NULL},
    {{1, {1}}, {(Real)99999992.0},
     "[99999992.]\n",
     NULL},
    {{1, {2}}, {(Real)9e-05, (Real)0.05},
     "[9.e-05 5.e-02]\n",
     NULL},
    {{1, {2}}, {1000, 1},
     "[1000.    1.]\n",
     NULL},
    {{1, {2}}, {-1001, 1},
     "[-1.001e+03  1.000e+00]\n",
     NULL},
    {{1, {4}}, {(Real)-1e-20, (Real)3.14159274, 0, (Real)123456.789},
     "[-9.9999997e-21  3.1415927e+00  0.0000000e+00  1.2345679e+05]\n",
     "[-1.00000000e-20  3.14159274e+00  0.00000000e+00  1.23456789e+05]\n"},
    {{1, {2}}, {(Real)0.1, (Real)1.23456783e-09},
     "[1.0000000e-01 1.2345678e-09]\n",
     "[1.00000000e-01 1.23456783e-09]\n"},
    {{1, {2}}, {(Real)16777216.0, (Real)87654321.0},
     "[16777216. 87654320.]\n",
     "[16777216. 87654321.]\n"},
    {{1, {2}}, {(Real)5.684341886080802e-14, 1},
     "[5.684342e-14 1.000000e+00]\n",
     "[5.68434189e-14 1.00000000e+00]\n"},
    {{1, {4}}, {(Real)NAN, -(Real)INFINITY, 1, (Real)INFINITY},
     "[ nan -inf   1.  inf]\n",
     NULL},
    {{1, {3}}, {(Real)NAN, (Real)INFINITY, (Real)NAN},
     "[nan inf nan]\n",
     NULL},
    {{1, {3}}, {(Real)NAN, -(Real)INFINITY, (Real)-10000000000.0},
     "[    nan    -inf -1.e+10]\n",
     NULL},
    {{3, {2, 2, 2}}, {0, 1, -2, (Real)3.25, 4, 5, 6, 7},
     "[[[ 0.    1.  ]\n"
     "  [-2.    3.25]]\n"
     "\n"
     " [[ 4.    5.  ]\n"
     "  [ 6.    7.  ]]]\n",
     NULL},
    {{6, {2, 1, 1, 2, 1, 2}}, {1, 2, 3, 4, 5, 6, 7, (Real)8.5},
     "[[[[[[1.  2. ]]\n"
     "\n"
     "    [[3.  4. ]]]]]\n"
     "\n"
     "\n"
     "\n"
     "\n"
     " [[[[[5.  6. ]]\n"
     "\n"
     "    [[7.  8.5]]]]]]\n",
     NULL},
    {{0, {0}}, {2}, "2.0\n", NULL},
    {{0, {0}}, {(Real)-0.0}, "-0.0\n", NULL},
    {{0, {0}}, {(Real)0.1}, "0.1\n", NULL},
    {{0, {0}}, {(Real)0.3333333333333333}, "0.33333334\n", "0.3333333333333333\n"},
    {{0, {0}}, {(Real)0.0001}, "1e-04\n", "0.0001\n"},
    {{0, {0}}, {(Real)9e-05}, "9e-05\n", NULL},
    {{0, {0}}, {(Real)123456789.0}, "123456790.0\n", "123456789.0\n"},
    {{0, {0}}, {(Real)1e+16}, "1e+16\n", NULL},
    {{0, {0}}, {(Real)5.684341886080802e-14}, "5.684342e-14\n", "5.684341886080802e-14\n"},
    {{0, {0}}, {(Real)1.262177448353619e-29}, "1.2621775e-29\n", "1.262177448353619e-29\n"}, /* 2 ** -96 */
    {{0, {0}}, {(Real)NAN}, "nan\n", NULL},
    {{0, {0}}, {-(Real)INFINITY}, "-inf\n", NULL},
};

static const Ramp ramps[] = {
    {{1, {1001}}, 0, (Real)0.25,
     "[  0.     0.25   0.5  ... 249.5  249.75 250.  ]\n"},
    {{2, {40, 40}}, -100, (Real)0.125,
     "[[-100.     -99.875  -99.75  ...  -95.375  -95.25   -95.125]\n"
     " [ -95.     -94.875  -94.75  ...  -90.375  -90.25   -90.125]\n"
     " [ -90.     -89.875  -89.75  ...  -85.375  -85.25   -85.125]\n"
     " ...\n"
     " [  85.      85.125   85.25  ...   89.625   89.75    89.875]\n"
     " [  90.      90.125   90.25  ...   94.625   94.75    94.875]\n"
     " [  95.      95.125   95.25  ...   99.625   99.75    99.875]]\n"},
    {{2, {6, 200}}, 0, 1,
     "[[0.000e+00 1.000e+00 2.000e+00 ... 1.970e+02 1.980e+02 1.990e+02]\n"
     " [2.000e+02 2.010e+02 2.020e+02 ... 3.970e+02 3.980e+02 3.990e+02]\n"
     " [4.000e+02 4.010e+02 4.020e+02 ... 5.970e+02 5.980e+02 5.990e+02]\n"
     " [6.000e+02 6.010e+02 6.020e+02 ... 7.970e+02 7.980e+02 7.990e+02]\n"
     " [8.000e+02 8.010e+02 8.020e+02 ... 9.970e+02 9.980e+02 9.990e+02]\n"
     " [1.000e+03 1.001e+03 1.002e+03 ... 1.197e+03 1.198e+03 1.199e+03]]\n"},
    {{1, {40}}, (Real)-7.5, 1,
     "[-7.5 -6.5 -5.5 -4.5 -3.5 -2.5 -1.5 -0.5  0.5  1.5  2.5  3.5  4.5  5.5\n"
     "  6.5  7.5  8.5  9.5 10.5 11.5 12.5 13.5 14.5 15.5 16.5 17.5 18.5 19.5\n"
     " 20.5 21.5 22.5 23.5 24.5 25.5 26.5 27.5 28.5 29.5 30.5 31.5]\n"},
    {{3, {2, 1, 40}}, (Real)0.5, (Real)0.5,
     "[[[ 0.5  1.   1.5  2.   2.5  3.   3.5  4.   4.5  5.   5.5  6.   6.5  7.\n"
     "    7.5  8.   8.5  9.   9.5 10.  10.5 11.  11.5 12.  12.5 13.  13.5 14.\n"
     "   14.5 15.  15.5 16.  16.5 17.  17.5 18.  18.5 19.  19.5 20. ]]\n"
     "\n"
     " [[20.5 21.  21.5 22.  22.5 23.  23.5 24.  24.5 25.  25.5 26.  26.5 27.\n"
     "   27.5 28.  28.5 29.  29.5 30.  30.5 31.  31.5 32.  32.5 33.  33.5 34.\n"
     "   34.5 35.  35.5 36.  36.5 37.  37.5 38.  38.5 39.  39.5 40. ]]]\n"},
    {{3, {2, 3, 400}}, 0, 0,
     "[[[0. 0. 0. ... 0. 0. 0.]\n"
     "  [0. 0. 0. ... 0. 0. 0.]\n"
     "  [0. 0. 0. ... 0. 0. 0.]]\n"
     "\n"
     " [[0. 0. 0. ... 0. 0. 0.]\n"
     "  [0. 0. 0. ... 0. 0. 0.]\n"
     "  [0. 0. 0. ... 0. 0. 0.]]]\n"},
    {{6, {2, 2, 2, 3, 2, 2}}, 1, 1,
     "[[[[[[ 1.  2.]\n"
     "     [ 3.  4.]]\n"
     "\n"
     "    [[ 5.  6.]\n"
     "     [ 7.  8.]]\n"
     "\n"
     "    [[ 9. 10.]\n"
     "     [11. 12.]]]\n"
     "\n"
     "\n"
     "   [[[13. 14.]\n"
     "     [15. 16.]]\n"
     "\n"
     "    [[17. 18.]\n"
     "     [19. 20.]]\n"
     "\n"
     "    [[21. 22.]\n"
     "     [23. 24.]]]]\n"
     "\n"
     "\n"
     "\n"
     "  [[[[25. 26.]\n"
     "     [27. 28.]]\n"
     "\n"
     "    [[29. 30.]\n"
     "     [31. 32.]]\n"
     "\n"
     "    [[33. 34.]\n"
     "     [35. 36.]]]\n"
     "\n"
     "\n"
     "   [[[37. 38.]\n"
     "     [39. 40.]]\n"
     "\n"
     "    [[41. 42.]\n"
     "     [43. 44.]]\n"
     "\n"
     "    [[45. 46.]\n"
     "     [47. 48.]]]]]\n"
     "\n"
     "\n"
     "\n"
     "\n"
     " [[[[[49. 50.]\n"
     "     [51. 52.]]\n"
     "\n"
     "    [[53. 54.]\n"
     "     [55. 56.]]\n"
     "\n"
     "    [[57. 58.]\n"
     "     [59. 60.]]]\n"
     "\n"
     "\n"
     "   [[[61. 62.]\n"
     "     [63. 64.]]\n"
     "\n"
     "    [[65. 66.]\n"
     "     [67. 68.]]\n"
     "\n"
     "    [[69. 70.]\n"
     "     [71. 72.]]]]\n"
     "\n"
     "\n"
     "\n"
     "  [[[[73. 74.]\n"
     "     [75. 76.]]\n"
     "\n"
     "    [[77. 78.]\n"
     "     [79. 80.]]\n"
     "\n"
     "    [[81. 82.]\n"
     "     [83. 84.]]]\n"
     "\n"
     "\n"
     "   [[[85. 86.]\n"
     "     [87. 88.]]\n"
     "\n"
     "    [[89. 90.]\n"
     "     [91. 92.]]\n"
     "\n"
     "    [[93. 94.]\n"
     "     [95. 96.]]]]]]\n"},
};

/* What tensor_print writes, in a buffer of the caller. */
static void print_into(char text[MOST_TEXT], const Tensor *t)
{
    text[0] = '\0';
    FILE *file = tmpfile();
    CHECK(file);
    bool printed = tensor_print(file, t);
    rewind(file);
    text[fread(text, 1, MOST_TEXT - 1, file)] = '\0';
    fclose(file);
    CHECK(printed);
}

/* A tensor prints this, and so does its copy in lanes. */
static void check_print(Tensor *t, const char *text)
{
    char printed[MOST_TEXT];
    print_into(printed, t);
    CHECK_TEXT(printed, text);
    print_into(printed, op_to_lanes(t));
    CHECK_TEXT(printed, text);
}

static Tensor *ramp(Shape shape, Real first, Real step)
{
    Tensor *t = tensor_zeros(shape);
    Real *values = test_values(t);
    for (int64_t i = 0; values && i < tensor_count(t); i++) values[i] = first + step * (Real)i;
    bool written = values && tensor_write(t, values, tensor_count(t));
    free(values);
    return written ? t : NULL;
}

TEST(print_forms_numbers_as_numpy)
{
    for (size_t i = 0; i < sizeof prints / sizeof *prints; i++) {
        const Print *p = &prints[i];
        bool in_double = sizeof(Real) == sizeof(double) && p->in_double;
        check_print(tensor_from(p->shape, p->values), in_double ? p->in_double : p->text);
        if (test_failed()) return;
    }
}

TEST(print_wraps_and_shortens_as_numpy)
{
    for (size_t i = 0; i < sizeof ramps / sizeof *ramps; i++) {
        check_print(ramp(ramps[i].shape, ramps[i].first, ramps[i].step), ramps[i].text);
        if (test_failed()) return;
    }
}

TEST(print_leaves_nothing_out_of_1000)
{
    char text[MOST_TEXT];
    print_into(text, ramp(SHAPE(10, 100), 0, 1));
    CHECK(!strstr(text, "..."));
    CHECK(strstr(text, " 999.]]\n"));
    int lines = 0;
    for (const char *c = text; *c; c++) lines += *c == '\n';
    CHECK_EQUAL(lines, 80);
}

TEST(print_form_depends_on_what_is_shown)
{
    char text[MOST_TEXT];
    Tensor *t = tensor_full(SHAPE(2000), 1);
    CHECK(tensor_set(t, AT(1000), 1e20));
    print_into(text, t);
    CHECK_TEXT(text, "[1. 1. 1. ... 1. 1. 1.]\n");
}

TEST(print_aligns_exponents_of_three_digits_as_numpy)
{
    if (sizeof(Real) == sizeof(float)) SKIP("floats have none");
    Tensor *two = tensor_full(SHAPE(2), 1e-5), *three = tensor_full(SHAPE(3), 3);
    CHECK(tensor_set(two, AT(1), 1e120) && tensor_set(three, AT(0), 1e-100) && tensor_set(three, AT(1), -2.5e300));
    check_print(two, "[1.e-005 1.e+120]\n");
    check_print(three, "[ 1.0e-100 -2.5e+300  3.0e+000]\n");
}

TEST(print_fails_on_a_full_disk)
{
    Tensor *t = tensor_full(SHAPE(3), 1);
    FILE *full = fopen("/dev/full", "w");
    if (!full) SKIP("no /dev/full");
    bool printed = tensor_print(full, t);
    fclose(full);
    CHECK(!printed);
    CHECK_ERROR("tensor_print: the file cannot be written");
    CHECK(!tensor_print(NULL, t));
    CHECK_ERROR("tensor_print: no file");
    CHECK(!tensor_print(stdout, TENSOR_NONE));
    CHECK_ERROR("tensor_print: no tensor");
}
