/* The test harness. A test is a function that registers itself:
 *
 *     TEST(add_broadcasts)
 *     {
 *         Tensor *sum = op_add(tensor_full(SHAPE(2, 1), 1), tensor_full(SHAPE(3), 2));
 *         CHECK(sum);
 *         CHECK_EQUAL(tensor_count(sum), 6);
 *         CHECK_CLOSE(tensor_get(sum, AT(1, 2)), 3, 0);
 *     }
 *
 * Each runs in a process of its own, inside a scope that the harness opens and closes. Afterwards no tensor and no
 * block of memory may be alive, no file open and no error on record. The first failed check is printed, with the
 * message of weft_error() if there is one, and ends the test; in a helper (a function that returns void) it ends the
 * helper, and the caller asks test_failed().
 * A failure during a test that expects none is found by itself: ops return NULL and the error is on record. */
#ifndef WEFT_TEST_H
#define WEFT_TEST_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/kernels/kernels.h"
#include "tensor/scope.h"
#include "tensor/tensor.h"

typedef struct Test {
    const char *name, *file;
    void (*run)(void);
    int index; /* for many tests of one function: see test_register */
    struct Test *next;
} Test;

#define TEST(test)                                                                                                     \
    static void test_##test(void);                                                                                     \
    __attribute__((constructor)) static void register_##test(void)                                                     \
    {                                                                                                                  \
        static Test entry = {#test, __FILE__, test_##test, 0, NULL};                                                   \
        test_register(&entry);                                                                                         \
    }                                                                                                                  \
    static void test_##test(void)

/* The condition holds. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!test_check((condition) ? true : false, __FILE__, __LINE__, #condition)) return;                           \
    } while (0)
/* Two whole numbers are equal. */
#define CHECK_EQUAL(a, b)                                                                                              \
    do {                                                                                                               \
        if (!test_equal((int64_t)(a), (int64_t)(b), __FILE__, __LINE__, #a " == " #b)) return;                         \
    } while (0)
/* |a - b| <= tolerance * max(1, |b|); infinities are close to themselves alone, NaN to nothing. */
#define CHECK_CLOSE(a, b, tolerance)                                                                                   \
    do {                                                                                                               \
        if (!test_close((a), (b), (tolerance), __FILE__, __LINE__, #a " ~ " #b)) return;                               \
    } while (0)
/* Two arrays of `count` Reals are the same, bit for bit. */
#define CHECK_EQUAL_BITS(a, b, count)                                                                                  \
    do {                                                                                                               \
        if (!test_equal_bits((a), (b), (count), __FILE__, __LINE__, #a " == " #b)) return;                             \
    } while (0)
/* Two strings are equal. */
#define CHECK_TEXT(a, b)                                                                                               \
    do {                                                                                                               \
        if (!test_text((a), (b), __FILE__, __LINE__, #a " == " #b)) return;                                            \
    } while (0)
/* An error is on record and its message contains the text; clears it. */
#define CHECK_ERROR(substring)                                                                                         \
    do {                                                                                                               \
        if (!test_error((substring), __FILE__, __LINE__)) return;                                                      \
    } while (0)
/* Ends the test, which then counts as skipped. */
#define SKIP(why)                                                                                                      \
    do {                                                                                                               \
        test_skip(why);                                                                                                \
        return;                                                                                                        \
    } while (0)

/* The tables of kernels that promise the same bits as the one in use, NULL-terminated: all that multiply and add in
 * one rounding or, where WEFT_ISA asks for one that does not, that one alone. Use them with weft_kernels_use. */
const Kernels *const *test_kernels(void);
/* Says a figure of the running test, where --verbose asks for it. */
__attribute__((format(printf, 1, 2))) void test_note(const char *format, ...);
/* Whether a check of the running test has failed: for callers of helpers that check. */
bool test_failed(void);
/* The path of a file in a folder of this test's own, which is removed afterwards. Valid until
 * the fourth call from then. */
const char *test_path(const char *name);
/* Makes a file of these bytes, and reads one, at most TEST_BYTES of it: none if there is no such file. */
enum { TEST_BYTES = 16384 };
typedef struct TestBytes {
    unsigned char at[TEST_BYTES];
    size_t count;
} TestBytes;
bool test_write(const char *path, const void *bytes, size_t count);
TestBytes test_read(const char *path);
/* Reads a text of less than TEST_BYTES, valid until the next call. Fails the test, and is empty, if there is none. */
const char *test_read_text(const char *path);
/* Sends standard output and error into a file; the descriptors to give to test_put_back, which undoes that. */
void test_redirect(const char *path, int kept[2]);
void test_put_back(const int kept[2]);

/* Number i of a stream of numbers in [-1, 1): an integer hash that tests/golden/make.py shares. test_tensor is a tensor
 * of scale times them, test_tensor_near of offset plus that, rounded to float so that both precisions agree. */
double test_number(uint32_t stream, int64_t i);
Tensor *test_tensor(Shape shape, uint32_t stream, double scale);
Tensor *test_tensor_near(Shape shape, uint32_t stream, double scale, double offset);
/* A copy of all values, row-major, freed with free(); NULL, and the test failed, if that is impossible. */
Real *test_values(const Tensor *t);

/* Adds a test: TEST does so, and a constructor that makes a test of each row of a table. */
void test_register(Test *test);
/* The index of the running test. */
int test_index(void);
/* Makes a test of each row, which is its name, and has `function` run it. */
#define TEST_ROWS(rows, function)                                                                                      \
    __attribute__((constructor)) static void register_##rows(void)                                                     \
    {                                                                                                                  \
        static Test tests[sizeof rows / sizeof *rows];                                                                 \
        for (int row = 0; row < (int)(sizeof rows / sizeof *rows); row++) {                                            \
            tests[row] = (Test){rows[row], __FILE__, function, row, NULL};                                             \
            test_register(&tests[row]);                                                                                \
        }                                                                                                              \
    }
/* The name of the running test. */
const char *test_name(void);

/* Behind the macros. */
bool test_check(bool holds, const char *file, int line, const char *text);
bool test_equal(int64_t a, int64_t b, const char *file, int line, const char *text);
bool test_close(double a, double b, double tolerance, const char *file, int line, const char *text);
bool test_equal_bits(const Real *a, const Real *b, int64_t count, const char *file, int line, const char *text);
bool test_text(const char *a, const char *b, const char *file, int line, const char *text);
bool test_error(const char *substring, const char *file, int line);
void test_skip(const char *why);

#endif
