/* Products of two matrices, all by the kernel of linear: the columns of one matrix stand for its samples, in panels
 * [ceil(columns / 16)][rows][16], the other matrix for its weights. */
#include <string.h>

#include "autograd/node.h"
#include "autograd/onnx.h"
#include "autograd/ops.h"
#include "tensor/kernels/kernels.h"
#include "tensor/memory.h"

/* A plain matrix, possibly seen transposed: element (i, j) is values[i * row_step + j * column_step]. */
typedef struct Matrix {
    const Real *values;
    int64_t rows, columns, row_step, column_step;
} Matrix;

static Matrix matrix_of(const Tensor *t)
{
    return (Matrix){t->storage->data, t->shape.size[0], t->shape.size[1], t->shape.size[1], 1};
}

static Matrix transposed(Matrix m)
{
    return (Matrix){m.values, m.columns, m.rows, m.column_step, m.row_step};
}

static int64_t panel_count(int64_t columns)
{
    return kernel_groups(columns);
}

static int64_t panel_width(int64_t columns, int64_t panel)
{
    const int64_t rest = columns - panel * WEFT_LANES;
    return rest < WEFT_LANES ? rest : WEFT_LANES;
}

/* The matrix in panels; columns beyond the last are zero. */
static void pack(Real *panels, Matrix m)
{
    memset(panels, 0, (size_t)(panel_count(m.columns) * m.rows * WEFT_LANES) * sizeof *panels);
    for (int64_t panel = 0; panel < panel_count(m.columns); panel++)
        for (int64_t i = 0; i < m.rows; i++, panels += WEFT_LANES) {
            const Real *row = m.values + i * m.row_step + panel * WEFT_LANES * m.column_step;
            for (int64_t j = 0; j < panel_width(m.columns, panel); j++) panels[j] = row[j * m.column_step];
        }
}

static void unpack(Real *values, const Real *panels, int64_t rows, int64_t columns)
{
    for (int64_t panel = 0; panel < panel_count(columns); panel++)
        for (int64_t i = 0; i < rows; i++, panels += WEFT_LANES)
            memcpy(values + i * columns + panel * WEFT_LANES, panels,
                   (size_t)panel_width(columns, panel) * sizeof *values);
}

/* The product of two plain matrices, written to a plain tensor of its shape. */
static bool multiply(Tensor *result, Matrix a, Matrix b)
{
    const int64_t panels = panel_count(b.columns);
    Real *in = weft_alloc(panels * b.rows * WEFT_LANES, sizeof *in);
    Real *out = weft_alloc(panels * a.rows * WEFT_LANES, sizeof *out);
    if (in && out) {
        const LinearShape shape = {panels, a.columns, a.rows, a.row_step, a.column_step};
        pack(in, b);
        weft_kernels()->linear(out, in, a.values, NULL, false, &shape);
        unpack(result->storage->data, out, a.rows, b.columns);
    }
    weft_free(in);
    weft_free(out);
    return in && out;
}

/* The product of a batch in lanes and a plain matrix. */
static void multiply_batch(Tensor *result, const Tensor *batch, Matrix b)
{
    const LinearShape shape = {layout_groups(batch), b.rows, b.columns, b.column_step, b.row_step};
    weft_kernels()->linear(result->storage->data, batch->storage->data, b.values, NULL, false, &shape);
    layout_fill_spare(result); /* zeros times an infinite value are no zeros */
}

/* dA = dC B', in the layout of both; dB = A' dC always on plain matrices, as it contracts the batch: so its order of
 * summation does not depend on the layout. */
static bool matmul_backward(const Node *node, Tensor *grad)
{
    Tensor *a = node_input(node, 0), *b = node_input(node, 1);
    if (node_needs_grad(node, 0)) {
        Tensor *a_grad = node_new_grad(a);
        if (!a_grad) return false;
        if (a->lanes) multiply_batch(a_grad, grad, transposed(matrix_of(b)));
        else if (!multiply(a_grad, matrix_of(grad), transposed(matrix_of(b)))) return false;
        if (!node_add_grad(node, 0, a_grad)) return false;
    }
    if (!node_needs_grad(node, 1)) return true;
    const Tensor *plain_a = layout_plain(a), *plain_grad = layout_plain(grad);
    Tensor *b_grad = node_new_grad(b);
    return plain_a && plain_grad && b_grad &&
           multiply(b_grad, transposed(matrix_of(plain_a)), matrix_of(plain_grad)) && node_add_grad(node, 1, b_grad);
}

static double matmul_flops(Tensor *const *inputs, const void *attributes)
{
    (void)attributes;
    return 2 * (double)tensor_count(inputs[0]) * (double)tensor_size(inputs[1], 1);
}

static OnnxValue *matmul_onnx(const OnnxCall *call)
{
    return onnx_op_same(call, "MatMul");
}

static const Op matmul_op = {
    .name = "matmul", .backward = matmul_backward, .flops = matmul_flops, .onnx = matmul_onnx, .reads_inputs = 3};

Tensor *op_matmul(Tensor *a, Tensor *b)
{
    char left[SHAPE_TEXT], right[SHAPE_TEXT];
    if (!a || !b) return NULL;
    if (a->shape.rank != 2 || b->shape.rank != 2 || a->shape.size[1] != b->shape.size[0])
        return weft_fail("matmul: %s and %s are not [M, K] and [K, P]", shape_text(a->shape, left),
                         shape_text(b->shape, right));
    b = op_to_plain(b);
    Tensor *c = b ? layout_new_like(a, SHAPE(a->shape.size[0], b->shape.size[1])) : NULL;
    if (!c) return NULL;
    if (a->lanes) multiply_batch(c, a, matrix_of(b));
    else if (!multiply(c, matrix_of(a), matrix_of(b))) return NULL;
    return op_record(&matmul_op, c, (Tensor *[]){a, b}, 2, NULL, 0);
}
