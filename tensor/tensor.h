/* Tensor: a reference-counted array of up to six dimensions, the type that everything else works on.
 *
 * A tensor is its shape and its row-major values. How the values lie in memory is the library's business: no shape,
 * value, gradient or error depends on it, but for one: a write between an op and its backward may go unnoticed where
 * the op read a copy, and the gradient is right then. A batch is [N, ...], N first.
 *
 * Ownership. What an op or a constructor returns belongs to the innermost open scope and lives until that scope
 * closes (tensor/scope.h); with no scope open it fails and says so. tensor_retain and tensor_release keep a tensor
 * beyond its scope. Every function here accepts NULL where a tensor is expected: those that return a tensor return
 * NULL, those that return bool return false, and the first error stays on record.
 *
 * One tensor is used by one thread at a time. */
#ifndef WEFT_TENSOR_H
#define WEFT_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tensor/error.h"
#include "tensor/random.h"
#include "tensor/real.h"

WEFT_PUBLIC_BEGIN

/* A handle, always used by its pointer. */
typedef struct Tensor Tensor;

/* Sizes of the dimensions, or an index with one number for each. A scalar has rank 0. */
enum { TENSOR_MAX_RANK = 6 };
typedef struct Shape {
    int rank;
    int64_t size[TENSOR_MAX_RANK];
} Shape;

/* SHAPE(128, 1, 28, 28) is the Shape of a batch; AT(0, 0, 13, 13) an index into it; SCALAR the shape of one value and
 * the index into that. In C++, which has no such literals: const Shape shape = {4, {128, 1, 28, 28}}. */
#define SHAPE(...)                                                                                                     \
    ((Shape){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})
#define AT(...) SHAPE(__VA_ARGS__)
#define SCALAR ((Shape){0, {0}})

/* The one tensor that stands for "left out" where an argument is optional (a bias, say). NULL is never that: it
 * always means that something failed. It has no values and may be neither read nor released. */
extern Tensor *const TENSOR_NONE;

/* ---- Making tensors. Sizes are at least 1; NULL on a bad shape, with no scope open, or when memory is short. ---- */

/* Every value is 0, or the given one. */
Tensor *tensor_zeros(Shape shape);
Tensor *tensor_full(Shape shape, double value);
/* Copies tensor_count values, row-major, from an array of exactly that many. */
Tensor *tensor_from(Shape shape, const Real *values);
/* Element i (row-major) is number i of the key's sequence, uniform in [low, high) before it is rounded to Real, or
 * normal with the given mean and standard deviation: the same on every machine. */
Tensor *tensor_uniform(Shape shape, double low, double high, RandomKey key);
Tensor *tensor_normal(Shape shape, double mean, double deviation, RandomKey key);

/* ---- Shape ---- */

/* The shape of a tensor; that of a scalar for NULL. */
Shape tensor_shape(const Tensor *t);
/* The size of one dimension; negative counts from the last (-1). -1 with an error if there is no such dimension. */
int64_t tensor_size(const Tensor *t, int dimension);
/* The number of elements; 0 for NULL. */
int64_t tensor_count(const Tensor *t);
/* The number of elements of a shape, or -1 if a size is below 1, the rank out of range or the product too large. */
int64_t shape_count(Shape shape);
/* Whether rank and sizes are the same. */
bool shape_equal(Shape a, Shape b);
/* Writes "[128, 1, 28, 28]" into the buffer, cut to its size, and returns the buffer. */
enum { SHAPE_TEXT = 160 };
char *shape_text(Shape shape, char text[SHAPE_TEXT]);

/* ---- Values. All of them are row-major. ---- */

/* The value at an index. NaN with an error if the index does not fit the shape. */
double tensor_get(const Tensor *t, Shape index);
/* The only value of a tensor with one element. NaN with an error for any other. */
double tensor_item(const Tensor *t);
/* Copies all values out; `count` must be tensor_count(t): a buffer of another size is false with an error. */
bool tensor_read(const Tensor *t, Real *values, int64_t count) WEFT_CHECKED;
/* Sets one value, or all `count` of them; false with an error if the index or the count does not fit. Every write
 * counts up the version of the storage, which tensors made by tensor_detach and op_reshape may share: backward refuses
 * to use a saved value that was written since. */
bool tensor_set(Tensor *t, Shape index, double value);
bool tensor_write(Tensor *t, const Real *values, int64_t count) WEFT_CHECKED;
/* Copies the values of a tensor of the same shape; false with an error if the shapes differ. */
bool tensor_copy(Tensor *to, const Tensor *from) WEFT_CHECKED;
/* How many times the storage was written; 0 for NULL. */
int64_t tensor_version(const Tensor *t);

/* ---- Ownership ---- */

/* Adds a reference; returns t. Never fails. */
Tensor *tensor_retain(Tensor *t);
/* Drops a reference that tensor_retain added; the last one frees the tensor and what only it kept alive. NULL is
 * fine. */
void tensor_release(Tensor *t);

/* ---- Gradients (autograd/autograd.h computes them) ---- */

/* Whether backward is to leave a gradient here: set it for any tensor that no op produced, before the ops that use it,
 * as to those before it is a constant. The result of an op on such a tensor requires one too, and setting that to false
 * is an error. */
bool tensor_requires_grad(const Tensor *t);
bool tensor_set_requires_grad(Tensor *t, bool requires_grad);
/* Keeps the gradient of an op's result too, which backward would otherwise free as soon as it is used. */
void tensor_keep_grad(Tensor *t);
/* The gradient: borrowed, of t's shape, or NULL if there is none; what is written to it, to clip it say, is what an
 * optimizer finds. It lives until it is cleared, until the next backward that adds to it, or until t is freed. */
Tensor *tensor_grad(const Tensor *t);
/* Drops the gradient. */
void tensor_clear_grad(Tensor *t);
/* A new tensor on the same storage, outside the graph. It shares every write with t. */
Tensor *tensor_detach(const Tensor *t);

/* ---- Looking ---- */

/* Prints what print(array) of NumPy 1.24 does with its default options, and flushes the file: the fewest digits that
 * identify each Real but at most 8 decimals, in columns; all with an exponent if the largest magnitude is 1e8 or more,
 * the smallest beside 0 below 1e-4, or their ratio above 1000; lines of at most 75 columns; at most 1000 elements in
 * full, else the first and last 3 of a dimension. False if a write to the file failed. */
bool tensor_print(FILE *file, const Tensor *t);

/* ---- The process ---- */

/* What is alive at this moment in the whole process: the first three are 0 once everything is freed. Freed blocks of
 * 4 KiB and more stay with the process for the next of about their size, and are given back where memory is short. */
typedef struct WeftCounters {
    int64_t tensors;     /* handles */
    int64_t blocks;      /* of memory, whatever they hold */
    int64_t bytes;       /* held by storages that are in use */
    int64_t peak_bytes;  /* most that `bytes` ever was, since weft_counters_reset_peak */
    int64_t conversions; /* layout conversions since the start: none in a steady training step */
} WeftCounters;
WeftCounters weft_counters(void);
void weft_counters_reset_peak(void);

/* The number of threads that kernels use: by default as many as processors that this process may run on, or as
 * OMP_NUM_THREADS says, and 1 without OpenMP. No result depends on it. Not to be set while another thread runs an op.
 * False with an error if it is not from 1 to 4096. */
bool weft_set_threads(int threads);
int weft_threads(void);
/* Whether the library was built with OpenMP. */
bool weft_has_openmp(void);
/* The instruction set that the kernels use, "avx512", say: the best that the CPU has, or what the environment
 * variable WEFT_ISA names. NULL with an error if WEFT_ISA names something this machine or build does not have:
 * every op fails with the same message then. */
const char *weft_isa(void);

/* Of these headers, and of the library that comes with them. */
#define WEFT_VERSION "0.1.0"

WEFT_PUBLIC_END
#endif
