/* The elementwise ops of one tensor. Internal.
 *
 * ELEMENTWISE_OPS is the one list: the kernels of every instruction set, the ops with their attributes and their
 * gradients follow from it. A new op is a row here and a line in autograd/ops.h. A row is
 *
 *     ROW(K, name, number, reads, onnx, y, dx)
 *
 * number  ALONE, or NUMBER(name) for an op that also takes a number, which both expressions know as s
 * reads   what dx reads besides the gradient: INPUT (x), OUTPUT (y) or NOTHING
 * onnx    its operator in ONNX: SAME, of x; WITH, of x and the number; TWICE, of x and x; ALPHA, of x, the number being
 *         its attribute alpha
 * y       the result, of vectors x and s
 * dx      the input's gradient, of the result's gradient g, of x or y as `reads` says, and of s */
#ifndef WEFT_KERNEL_ELEMENTWISE_H
#define WEFT_KERNEL_ELEMENTWISE_H

#include <stdint.h>

#include "tensor/real.h"

/* Comparisons are such that a NaN stays one. */
#define ELEMENTWISE_OPS(ROW, K)                                                                                        \
    ROW(K, add_scalar, NUMBER(s), NOTHING, WITH(Add), x + s, g)                                                        \
    ROW(K, sub_scalar, NUMBER(s), NOTHING, WITH(Sub), x - s, g)                                                        \
    ROW(K, mul_scalar, NUMBER(s), NOTHING, WITH(Mul), x * s, g * s)                                                    \
    ROW(K, div_scalar, NUMBER(s), NOTHING, WITH(Div), x / s, g / s)                                                    \
    ROW(K, neg, ALONE, NOTHING, SAME(Neg), -x, -g)                                                                     \
    ROW(K, exp, ALONE, OUTPUT, SAME(Exp), vexp(x), g * y)                                                              \
    ROW(K, log, ALONE, INPUT, SAME(Log), vlog(x), g / x)                                                               \
    ROW(K, sqrt, ALONE, OUTPUT, SAME(Sqrt), vsqrt(x), g / (y + y))                                                     \
    ROW(K, square, ALONE, INPUT, TWICE(Mul), x * x, g * (x + x))                                                       \
    ROW(K, abs, ALONE, INPUT, SAME(Abs), (V)((U)x & ~SIGN_BIT), vselect(x > ZERO, g, vselect(x < ZERO, -g, ZERO)))     \
    ROW(K, tanh, ALONE, OUTPUT, SAME(Tanh), vtanh(x), g * (ONE - y * y))                                               \
    ROW(K, sigmoid, ALONE, OUTPUT, SAME(Sigmoid), vsigmoid(x), g * (y * (ONE - y)))                                    \
    ROW(K, relu, ALONE, OUTPUT, SAME(Relu), vselect(x < ZERO, ZERO, x), vselect(y > ZERO, g, ZERO))                    \
    ROW(K, leaky_relu, NUMBER(slope), INPUT, ALPHA(LeakyRelu), vselect(x < ZERO, s * x, x),                            \
        vselect(x > ZERO, g, s * g))

/* y = f(x), and dx from the gradient and what the row reads; `read` is not looked at where that is nothing. count is a
 * multiple of 16. y may be x. */
typedef void ElementwiseForward(Real *y, const Real *x, Real s, int64_t count);
typedef void ElementwiseBackward(Real *dx, const Real *grad, const Real *read, Real s, int64_t count);

#define ELEMENTWISE_ROW_KERNELS(K, name, number, reads, onnx, y, dx)                                                   \
    K(name##_forward, (Real *, const Real *, Real, int64_t))                                                           \
    K(name##_backward, (Real *, const Real *, const Real *, Real, int64_t))
#define ELEMENTWISE_KERNELS(K) ELEMENTWISE_OPS(ELEMENTWISE_ROW_KERNELS, K)

#endif
