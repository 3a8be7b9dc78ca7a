/* Ops: functions from tensors to a new tensor, each with its gradient. Semantics are PyTorch's unless a comment says
 * otherwise.
 *
 * All of them: the result belongs to the innermost open scope. NULL in, NULL out. NULL with an error that names the op
 * and both shapes if the arguments do not fit. Optional tensors are TENSOR_NONE when left out. Named options follow
 * the positional arguments, zero meaning the default:  op_conv2d(x, weight, bias, .stride = 2, .padding = 1).
 *
 * Dimensions count from 0; negative ones from the last. */
#ifndef WEFT_OPS_H
#define WEFT_OPS_H

#include "autograd/autograd.h"

WEFT_PUBLIC_BEGIN

/* ---- Elementwise ---- */

/* Of two tensors, whose shapes broadcast as NumPy's do: aligned at the last dimension, 1 stretches. */
Tensor *op_add(Tensor *a, Tensor *b);
Tensor *op_sub(Tensor *a, Tensor *b);
Tensor *op_mul(Tensor *a, Tensor *b);
Tensor *op_div(Tensor *a, Tensor *b);

/* Of a tensor and a number, which is rounded to Real first. */
Tensor *op_add_scalar(Tensor *x, double s);
Tensor *op_sub_scalar(Tensor *x, double s);
Tensor *op_mul_scalar(Tensor *x, double s);
Tensor *op_div_scalar(Tensor *x, double s);

/* Of one tensor. exp, log, tanh and sigmoid are the library's own, within 2 ulp: the same bits on every machine that
 * has a fused multiply-add. */
Tensor *op_neg(Tensor *x);
Tensor *op_exp(Tensor *x);
Tensor *op_log(Tensor *x);    /* natural; NaN below 0 */
Tensor *op_sqrt(Tensor *x);
Tensor *op_square(Tensor *x);
Tensor *op_abs(Tensor *x);    /* gradient 0 at 0 */
Tensor *op_tanh(Tensor *x);
Tensor *op_sigmoid(Tensor *x);
Tensor *op_relu(Tensor *x);   /* x < 0 ? 0 : x, so that NaN stays; gradient 0 at 0 and at NaN */
Tensor *op_leaky_relu(Tensor *x, double slope); /* x < 0 ? slope x : x */

/* ---- Reductions ---- */
typedef struct ReduceOptions {
    Tensor *x;
    unsigned dims; /* DIM(0) | DIM(2) reduces over dimensions 0 and 2; 0: over all */
    bool keep;     /* keep the reduced dimensions, as size 1; else they are dropped */
    char end;
} ReduceOptions;
#define DIM(i) (1u << (i)) /* i from 0 */
/* op_sum(x), op_mean(x, .dims = DIM(1), .keep = true). Over the batch the order of a sum is defined: the samples of
 * each lane (n mod 16) in order, then the 16 lanes as a tree, so no result depends on threads or layout. */
#define op_sum(...) op_sum_with((ReduceOptions){__VA_ARGS__, .end = 0})
#define op_mean(...) op_mean_with((ReduceOptions){__VA_ARGS__, .end = 0})
Tensor *op_sum_with(ReduceOptions options);
Tensor *op_mean_with(ReduceOptions options);

/* ---- Shape ---- */
Tensor *op_reshape(Tensor *x, Shape shape); /* one size may be -1: worked out; shares storage where it can */
Tensor *op_flatten(Tensor *x);              /* [N, ...] to [N, product of the rest] */
Tensor *op_transpose(Tensor *x, int a, int b); /* dimensions a and b exchanged */
/* 1 to OP_MAX_INPUTS tensors one after the other along a dimension; their other sizes are the same. */
Tensor *op_concat(Tensor *const *inputs, int count, int dimension);
/* Of one dimension only [start, start + length). */
Tensor *op_narrow(Tensor *x, int dimension, int64_t start, int64_t length);

/* ---- Products ---- */
Tensor *op_matmul(Tensor *a, Tensor *b);                     /* [M, K] x [K, P] to [M, P] */
typedef struct LinearOptions {
    Tensor *x, *weight, *bias; /* [N, F], [O, F], [O] or TENSOR_NONE */
    bool relu;                 /* relu of the result, in the same pass: bit for bit op_relu(op_linear(...)) */
    char end;
} LinearOptions;
#define op_linear(...) op_linear_with((LinearOptions){__VA_ARGS__, .end = 0})
Tensor *op_linear_with(LinearOptions options);               /* x weight' + bias, [N, O] */

/* ---- Images [N, C, H, W] ---- */
typedef struct Conv2dOptions {
    Tensor *x, *weight, *bias; /* [N, C, H, W], [O, C / groups, KH, KW], [O] or TENSOR_NONE */
    int64_t stride;            /* 0: 1. It, padding and dilation: at most 2^30 */
    int64_t padding;           /* zeros on each side */
    int64_t dilation;          /* 0: 1 */
    int64_t groups;            /* 0: 1; divides C and O */
    bool relu;                 /* relu of the result, in the same pass: bit for bit op_relu(op_conv2d(...)) */
    int64_t max_pool;          /* 0: none; else op_max_pool2d with this window follows, bit for bit, in the same pass
                                * where it can be: window 2, Winograd's algorithm with an even tile, no statistics
                                * (which are those of the result before pooling) */
    bool statistics;           /* also keep the channel statistics that op_batch_norm2d wants, while they are at hand */
    char end;
} Conv2dOptions;
/* Cross-correlation, as everywhere: [N, O, (H + 2 padding - dilation (KH - 1) - 1) / stride + 1, the same for W]. */
#define op_conv2d(...) op_conv2d_with((Conv2dOptions){__VA_ARGS__, .end = 0})
Tensor *op_conv2d_with(Conv2dOptions options);

typedef struct Pool2dOptions {
    Tensor *x;
    int64_t kernel;  /* of the square window; of max_pool at most 256 */
    int64_t stride;  /* 0: kernel */
    int64_t padding; /* at most half the kernel; max ignores it, avg counts it as zeros */
    char end;
} Pool2dOptions;
/* Windows that fit wholly (floor). The first maximum wins a tie; NaN counts as the largest, the first of several. */
#define op_max_pool2d(...) op_max_pool2d_with((Pool2dOptions){__VA_ARGS__, .end = 0})
#define op_avg_pool2d(...) op_avg_pool2d_with((Pool2dOptions){__VA_ARGS__, .end = 0})
Tensor *op_max_pool2d_with(Pool2dOptions options);
Tensor *op_avg_pool2d_with(Pool2dOptions options);
Tensor *op_global_avg_pool2d(Tensor *x); /* the mean over H and W, [N, C, 1, 1] */

typedef struct BatchNorm2dOptions {
    Tensor *x, *weight, *bias;           /* [N, C, H, W], [C], [C]; weight and bias may both be TENSOR_NONE: 1 and 0 */
    Tensor *running_mean, *running_var;  /* [C]; written in training; may both be TENSOR_NONE in training */
    bool training;                       /* normalise by the batch's own statistics, which needs N H W > 1 */
    double momentum;                     /* share of the batch in the running values, up to 1; 0: 0.1 */
    double eps;                          /* added to the variance, above 0; 0: 1e-5 */
    double dropout;                      /* probability of dropout after it, in the same pass, with `key`: bit for bit
                                          * op_dropout(op_batch_norm2d(...), dropout, key) */
    RandomKey key;
    char end;
} BatchNorm2dOptions;
/* Ioffe & Szegedy 2015. Normalises by the biased variance; the running one takes the unbiased. The variance is summed
 * around the mean (per group of 16 samples, then combined as in Chan, Golub & LeVeque 1983), never as
 * E[x^2] - E[x]^2. */
#define op_batch_norm2d(...) op_batch_norm2d_with((BatchNorm2dOptions){__VA_ARGS__, .end = 0})
Tensor *op_batch_norm2d_with(BatchNorm2dOptions options);

/* Zeroes each element with probability p (rounded to a multiple of 2^-16) and scales the rest by 1 / (1 - p), both
 * fixed by the key: the same key drops the same elements. 0 <= p < 1, once rounded. Modules keep a key that moves on
 * (nn/nn.h). */
Tensor *op_dropout(Tensor *x, double p, RandomKey key);

/* ---- Classification ---- */
/* Along one dimension: e^x over its sum, and the logarithm of that; computed from x less its maximum, so that large
 * values do not overflow. */
Tensor *op_softmax(Tensor *x, int dimension);
Tensor *op_log_softmax(Tensor *x, int dimension);

/* Mean over the batch of the negative log-probability of the right class. log_probabilities [N, C]; labels [N], whole
 * numbers from 0 to C - 1, which is checked, without a gradient; returns a scalar. */
Tensor *op_nll_loss(Tensor *log_probabilities, Tensor *labels);
/* op_cross_entropy(logits, labels) is op_nll_loss(op_log_softmax(logits, 1), labels), and with .label_smoothing = 0.1
 * PyTorch's loss of that name. A scalar. */
typedef struct CrossEntropyOptions {
    Tensor *logits, *labels; /* [N, C], [N] */
    double label_smoothing;  /* share of the target spread evenly over all classes, 0 to 1 */
    char end;
} CrossEntropyOptions;
#define op_cross_entropy(...) op_cross_entropy_with((CrossEntropyOptions){__VA_ARGS__, .end = 0})
Tensor *op_cross_entropy_with(CrossEntropyOptions options);
Tensor *op_mse_loss(Tensor *x, Tensor *target); /* mean of (x - target)^2 over all elements of one shape, a scalar */

/* ---- Without gradient ---- */
/* The index of the first maximum, as a Real, which a float is up to 2^24; the dimension is dropped. */
Tensor *op_argmax(Tensor *x, int dimension);
/* How many rows of scores [N, C] have their first maximum at the label. -1 with an error. */
int64_t op_count_correct(Tensor *scores, Tensor *labels);

WEFT_PUBLIC_END
#endif
