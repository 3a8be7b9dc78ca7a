/* Winograd's transforms along one line, for each size of tile. For kernels.
 *
 * They follow Toom and Cook: polynomials are multiplied at as many points as the window has inputs, of which one is
 * infinity. With the other points p, N(x) = the product of all (x - p), and N_p(x) = N(x) / (x - p),
 *
 *     row of p:    (1, p, p^2, ...) in A,  the coefficients of N_p in B',  (1, p, p^2) / N_p(p) in G,
 *     of infinity: (0, ..., 0, 1) in A,    the coefficients of N in B',    (0, 0, 1) in G.
 *
 * The points are small, so that little is lost to rounding, and opposite ones share their even and odd parts. An
 * adjoint is the transposed matrix. */
#ifndef WEFT_KERNEL_WINOGRAD_LINES_H
#define WEFT_KERNEL_WINOGRAD_LINES_H

#include "tensor/kernels/vector.h"

/* ---- 4 outputs: the points 0, 1, -1, 2, -2, infinity ---- */

/* B' d: [4  0 -5  0  1  0]
 *       [0 -4 -4  1  1  0]
 *       [0  4 -4 -1  1  0]
 *       [0 -2 -1  2  1  0]
 *       [0  2 -1 -2  1  0]
 *       [0  4  0 -5  0  1] d */
VINLINE void input_line_4(const V *d, V *v)
{
    const V two = vset(2), four = vset(4), five = vset(5);
    V a = vfma(-four, d[2], d[4]), b = vfma(-four, d[1], d[3]), c = d[4] - d[2], e = two * (d[3] - d[1]);
    v[0] = vfma(four, d[0], vfma(-five, d[2], d[4]));
    v[1] = a + b;
    v[2] = a - b;
    v[3] = c + e;
    v[4] = c - e;
    v[5] = vfma(four, d[1], vfma(-five, d[3], d[5]));
}

/* B v */
VINLINE void input_line_adjoint_4(const V *v, V *d)
{
    const V two = vset(2), four = vset(4), five = vset(5);
    V a = v[1] + v[2], b = v[1] - v[2], c = v[3] + v[4], e = two * (v[3] - v[4]);
    d[0] = four * v[0];
    d[1] = vfma(four, v[5], -vfma(four, b, e));
    d[2] = -vfma(five, v[0], vfma(four, a, c));
    d[3] = vfma(-five, v[5], b + e);
    d[4] = v[0] + (a + c);
    d[5] = v[5];
}

/* A' m: [1  1  1  1  1  0]
 *       [0  1 -1  2 -2  0]
 *       [0  1  1  4  4  0]
 *       [0  1 -1  8 -8  1] m */
VINLINE void output_line_4(const V *m, V *y)
{
    const V two = vset(2), four = vset(4), eight = vset(8);
    V a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], e = m[3] - m[4];
    y[0] = m[0] + (a + c);
    y[1] = vfma(two, e, b);
    y[2] = vfma(four, c, a);
    y[3] = vfma(eight, e, b) + m[5];
}

/* A y */
VINLINE void output_line_adjoint_4(const V *y, V *m)
{
    const V two = vset(2), four = vset(4), eight = vset(8);
    V a = y[0] + y[2], b = y[1] + y[3], c = vfma(four, y[2], y[0]), e = vfma(eight, y[3], two * y[1]);
    m[0] = y[0];
    m[1] = a + b;
    m[2] = a - b;
    m[3] = c + e;
    m[4] = c - e;
    m[5] = y[3];
}

/* G g: [1/4    0     0  ]
 *      [-1/6  -1/6  -1/6]
 *      [-1/6   1/6  -1/6]
 *      [1/24   1/12  1/6]
 *      [1/24  -1/12  1/6]
 *      [0      0     1  ] g */
VINLINE void weight_line_4(const V *g, V *u)
{
    V outer = vset((Real)1 / 6) * (g[0] + g[2]), middle = vset((Real)1 / 6) * g[1];
    V a = vfma(vset((Real)1 / 24), g[0], vset((Real)1 / 6) * g[2]), b = vset((Real)1 / 12) * g[1];
    u[0] = vset((Real)1 / 4) * g[0];
    u[1] = -outer - middle;
    u[2] = middle - outer;
    u[3] = a + b;
    u[4] = a - b;
    u[5] = g[2];
}

/* G' u */
VINLINE void weight_line_adjoint_4(const V *u, V *g)
{
    V a = u[1] + u[2], b = u[2] - u[1], c = u[3] + u[4], e = u[3] - u[4];
    g[0] = vfma(vset((Real)1 / 4), u[0], vfma(vset((Real)1 / 24), c, vset(-(Real)1 / 6) * a));
    g[1] = vfma(vset((Real)1 / 12), e, vset((Real)1 / 6) * b);
    g[2] = vfma(vset((Real)1 / 6), c - a, u[5]);
}

/* ---- 5 outputs: the points 0, 1, -1, 2, -2, 1/2, infinity ---- */

/* B' d: [-2   4   5/2  -5   -1/2   1    0]
 *       [ 0   2  -2   -9/2   1/2   1    0]
 *       [ 0  -2   6   -7/2  -3/2   1    0]
 *       [ 0   1  -3/2 -2     3/2   1    0]
 *       [ 0  -1   5/2  0    -5/2   1    0]
 *       [ 0   4   0   -5     0     1    0]
 *       [ 0  -2   4    5/2  -5    -1/2  1] d
 *
 * All polynomials but that of 1/2 have the factor x - 1/2: what it makes of d is transformed as for 4 outputs. */
VINLINE void input_line_5(const V *d, V *v)
{
    const V half = vset((Real)0.5), four = vset(4), five = vset(5);
    V shifted[6];
#pragma GCC unroll 8
    for (int i = 0; i < 6; i++) shifted[i] = vfma(-half, d[i], d[i + 1]);
    input_line_4(shifted, v);
    v[6] = v[5];
    v[5] = vfma(four, d[1], vfma(-five, d[3], d[5]));
}

/* B v */
VINLINE void input_line_adjoint_5(const V *v, V *d)
{
    const V half = vset((Real)0.5), four = vset(4), five = vset(5);
    const V others[6] = {v[0], v[1], v[2], v[3], v[4], v[6]};
    V shifted[6];
    input_line_adjoint_4(others, shifted);
    d[0] = -half * shifted[0];
    d[1] = vfma(four, v[5], vfma(-half, shifted[1], shifted[0]));
    d[2] = vfma(-half, shifted[2], shifted[1]);
    d[3] = vfma(-five, v[5], vfma(-half, shifted[3], shifted[2]));
    d[4] = vfma(-half, shifted[4], shifted[3]);
    d[5] = v[5] + vfma(-half, shifted[5], shifted[4]);
    d[6] = shifted[5];
}

/* A' m: [1  1  1   1   1  1     0]
 *       [0  1 -1   2  -2  1/2   0]
 *       [0  1  1   4   4  1/4   0]
 *       [0  1 -1   8  -8  1/8   0]
 *       [0  1  1  16  16  1/16  1] m */
VINLINE void output_line_5(const V *m, V *y)
{
    V a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], e = m[3] - m[4], h = m[5];
    y[0] = (m[0] + h) + (a + c);
    y[1] = vfma(vset((Real)1 / 2), h, vfma(vset(2), e, b));
    y[2] = vfma(vset((Real)1 / 4), h, vfma(vset(4), c, a));
    y[3] = vfma(vset((Real)1 / 8), h, vfma(vset(8), e, b));
    y[4] = vfma(vset((Real)1 / 16), h, vfma(vset(16), c, a)) + m[6];
}

/* A y */
VINLINE void output_line_adjoint_5(const V *y, V *m)
{
    const V half = vset((Real)0.5), two = vset(2), four = vset(4);
    V a = y[0] + (y[2] + y[4]), b = y[1] + y[3];
    V c = vfma(four, vfma(four, y[4], y[2]), y[0]), e = two * vfma(four, y[3], y[1]);
    m[0] = y[0];
    m[1] = a + b;
    m[2] = a - b;
    m[3] = c + e;
    m[4] = c - e;
    m[5] = vfma(half, vfma(half, vfma(half, vfma(half, y[4], y[3]), y[2]), y[1]), y[0]);
    m[6] = y[4];
}

/* G g: [-1/2    0      0   ]
 *      [-1/3   -1/3   -1/3 ]
 *      [ 1/9   -1/9    1/9 ]
 *      [ 1/36   1/18   1/9 ]
 *      [-1/60   1/30  -1/15]
 *      [32/45  16/45   8/45]
 *      [ 0      0      1   ] g */
VINLINE void weight_line_5(const V *g, V *u)
{
    const V two = vset(2), four = vset(4);
    const V outer = g[0] + g[2], wide = vfma(four, g[2], g[0]);
    u[0] = vset(-(Real)1 / 2) * g[0];
    u[1] = vset(-(Real)1 / 3) * (outer + g[1]);
    u[2] = vset((Real)1 / 9) * (outer - g[1]);
    u[3] = vset((Real)1 / 36) * vfma(two, g[1], wide);
    u[4] = vset(-(Real)1 / 60) * vfma(-two, g[1], wide);
    u[5] = vset((Real)8 / 45) * vfma(two, g[1], vfma(four, g[0], g[2]));
    u[6] = g[2];
}

/* G' u */
VINLINE void weight_line_adjoint_5(const V *u, V *g)
{
    const V two = vset(2), four = vset(4);
    const V a = vset(-(Real)1 / 3) * u[1], b = vset((Real)1 / 9) * u[2], c = vset((Real)1 / 36) * u[3];
    const V e = vset(-(Real)1 / 60) * u[4], h = vset((Real)8 / 45) * u[5];
    g[0] = vfma(vset(-(Real)1 / 2), u[0], (a + b) + vfma(four, h, c + e));
    g[1] = (a - b) + two * ((c - e) + h);
    g[2] = (a + b) + vfma(four, c + e, h + u[6]);
}

/* ---- 6 outputs: the points 0, 1, -1, 2, -2, 1/2, -1/2, infinity ---- */

/* B' d: [-1   0   21/4   0    -21/4   0    1  0]
 *       [ 0   1    1   -17/4  -17/4   1    1  0]
 *       [ 0  -1    1    17/4  -17/4  -1    1  0]
 *       [ 0  1/2  1/4   -5/2   -5/4   2    1  0]
 *       [ 0 -1/2  1/4    5/2   -5/4  -2    1  0]
 *       [ 0   2    4    -5/2   -5    1/2   1  0]
 *       [ 0  -2    4     5/2   -5   -1/2   1  0]
 *       [ 0  -1    0    21/4    0  -21/4   0  1] d */
VINLINE void input_line_6(const V *d, V *v)
{
    const V half = vset((Real)0.5), quarter = vset((Real)0.25), two = vset(2), four = vset(4), five = vset(5);
    const V near = vset((Real)1.25), middle = vset((Real)4.25), far = vset((Real)5.25);
    V a = vfma(-middle, d[4], d[2] + d[6]), b = vfma(-middle, d[3], d[1] + d[5]);
    V c = vfma(quarter, d[2], vfma(-near, d[4], d[6])), e = vfma(quarter, d[1], vfma(-near, d[3], d[5]));
    V p = vfma(four, d[2], vfma(-five, d[4], d[6])), q = vfma(four, d[1], vfma(-five, d[3], d[5]));
    v[0] = vfma(far, d[2] - d[4], d[6] - d[0]);
    v[1] = a + b;
    v[2] = a - b;
    v[3] = vfma(two, e, c);
    v[4] = vfma(-two, e, c);
    v[5] = vfma(half, q, p);
    v[6] = vfma(-half, q, p);
    v[7] = vfma(far, d[3] - d[5], d[7] - d[1]);
}

/* B v */
VINLINE void input_line_adjoint_6(const V *v, V *d)
{
    const V half = vset((Real)0.5), quarter = vset((Real)0.25), two = vset(2), four = vset(4), five = vset(5);
    const V near = vset((Real)1.25), middle = vset((Real)4.25), far = vset((Real)5.25);
    V a = v[1] + v[2], b = v[1] - v[2], c = v[3] + v[4], e = two * (v[3] - v[4]), p = v[5] + v[6];
    V q = half * (v[5] - v[6]);
    d[0] = -v[0];
    d[1] = vfma(four, q, vfma(quarter, e, b - v[7]));
    d[2] = vfma(four, p, vfma(quarter, c, vfma(far, v[0], a)));
    d[3] = vfma(far, v[7], -vfma(five, q, vfma(near, e, middle * b)));
    d[4] = -vfma(far, v[0], vfma(five, p, vfma(near, c, middle * a)));
    d[5] = vfma(-far, v[7], b + (e + q));
    d[6] = v[0] + (a + (c + p));
    d[7] = v[7];
}

/* A' m: [1  1  1   1    1   1      1    0]
 *       [0  1 -1   2   -2   1/2   -1/2  0]
 *       [0  1  1   4    4   1/4    1/4  0]
 *       [0  1 -1   8   -8   1/8   -1/8  0]
 *       [0  1  1  16   16   1/16   1/16 0]
 *       [0  1 -1  32  -32   1/32  -1/32 1] m */
VINLINE void output_line_6(const V *m, V *y)
{
    V a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], e = m[3] - m[4], p = m[5] + m[6], q = m[5] - m[6];
    y[0] = m[0] + (a + (c + p));
    y[1] = vfma(vset((Real)1 / 2), q, vfma(vset(2), e, b));
    y[2] = vfma(vset((Real)1 / 4), p, vfma(vset(4), c, a));
    y[3] = vfma(vset((Real)1 / 8), q, vfma(vset(8), e, b));
    y[4] = vfma(vset((Real)1 / 16), p, vfma(vset(16), c, a));
    y[5] = vfma(vset((Real)1 / 32), q, vfma(vset(32), e, b)) + m[7];
}

/* A y */
VINLINE void output_line_adjoint_6(const V *y, V *m)
{
    const V half = vset((Real)0.5), quarter = vset((Real)0.25), two = vset(2), four = vset(4);
    V a = y[0] + (y[2] + y[4]), b = y[1] + (y[3] + y[5]);
    V c = vfma(four, vfma(four, y[4], y[2]), y[0]), e = vfma(four, vfma(four, y[5], y[3]), y[1]);
    V p = vfma(quarter, vfma(quarter, y[4], y[2]), y[0]), q = vfma(quarter, vfma(quarter, y[5], y[3]), y[1]);
    m[0] = y[0];
    m[1] = a + b;
    m[2] = a - b;
    m[3] = vfma(two, e, c);
    m[4] = vfma(-two, e, c);
    m[5] = vfma(half, q, p);
    m[6] = vfma(-half, q, p);
    m[7] = y[5];
}

/* G g: [-1      0      0   ]
 *      [-2/9   -2/9   -2/9 ]
 *      [-2/9    2/9   -2/9 ]
 *      [ 1/90   1/45   2/45]
 *      [ 1/90  -1/45   2/45]
 *      [32/45  16/45   8/45]
 *      [32/45 -16/45   8/45]
 *      [ 0      0      1   ] g */
VINLINE void weight_line_6(const V *g, V *u)
{
    const V two = vset(2), four = vset(4);
    const V ninths = vset(-(Real)2 / 9), wide = vset((Real)1 / 90), narrow = vset((Real)8 / 45);
    const V a = g[0] + g[2], c = vfma(four, g[2], g[0]), p = vfma(four, g[0], g[2]);
    u[0] = -g[0];
    u[1] = ninths * (a + g[1]);
    u[2] = ninths * (a - g[1]);
    u[3] = wide * vfma(two, g[1], c);
    u[4] = wide * vfma(-two, g[1], c);
    u[5] = narrow * vfma(two, g[1], p);
    u[6] = narrow * vfma(-two, g[1], p);
    u[7] = g[2];
}

/* G' u */
VINLINE void weight_line_adjoint_6(const V *u, V *g)
{
    const V two = vset(2), four = vset(4);
    const V one = vset(-(Real)2 / 9), wide = vset((Real)1 / 90), narrow = vset((Real)8 / 45);
    const V a = one * (u[1] + u[2]), b = one * (u[1] - u[2]), c = wide * (u[3] + u[4]), e = wide * (u[3] - u[4]);
    const V p = narrow * (u[5] + u[6]), q = narrow * (u[5] - u[6]);
    g[0] = (a - u[0]) + vfma(four, p, c);
    g[1] = vfma(two, e + q, b);
    g[2] = (a + u[7]) + vfma(four, c, p);
}

/* ---- By the size of the tile, a constant wherever this is called from ---- */

typedef void Line(int tile, const V *from, V *to);

#define LINE_OF_TILE(name)                                                                                             \
    VINLINE void name(int tile, const V *from, V *to)                                                                  \
    {                                                                                                                  \
        if (tile == 4) name##_4(from, to);                                                                             \
        else if (tile == 5) name##_5(from, to);                                                                        \
        else name##_6(from, to);                                                                                       \
    }

LINE_OF_TILE(input_line)
LINE_OF_TILE(input_line_adjoint)
LINE_OF_TILE(output_line)
LINE_OF_TILE(output_line_adjoint)
LINE_OF_TILE(weight_line)
LINE_OF_TILE(weight_line_adjoint)

#endif
