#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

#include "tensor/kernels/kernels.h"
#include "tensor/layout.h"

/* ---- Shape ---- */

int64_t shape_count(Shape shape)
{
    if (shape.rank < 0 || shape.rank > TENSOR_MAX_RANK) return -1;
    int64_t count = 1;
    for (int i = 0; i < shape.rank; i++) {
        if (shape.size[i] < 1 || count > INT64_MAX / shape.size[i]) return -1;
        count *= shape.size[i];
    }
    return count;
}

bool shape_equal(Shape a, Shape b)
{
    if (a.rank != b.rank) return false;
    for (int i = 0; i < a.rank; i++) {
        if (a.size[i] != b.size[i]) return false;
    }
    return true;
}

char *shape_text(Shape shape, char text[SHAPE_TEXT])
{
    if (shape.rank < 0) {
        snprintf(text, SHAPE_TEXT, "none");
        return text;
    }
    size_t used = 0;
    text[used++] = '[';
    for (int i = 0; i < shape.rank && i < TENSOR_MAX_RANK; i++)
        used += (size_t)snprintf(text + used, SHAPE_TEXT - used, "%s%lld", i ? ", " : "", (long long)shape.size[i]);
    snprintf(text + used, SHAPE_TEXT - used, shape.rank > TENSOR_MAX_RANK ? ", ...]" : "]");
    return text;
}

Shape tensor_shape(const Tensor *t)
{
    return t ? t->shape : SCALAR;
}

int64_t tensor_count(const Tensor *t)
{
    return t && t != TENSOR_NONE ? shape_count(t->shape) : 0;
}

int64_t tensor_size(const Tensor *t, int dimension)
{
    if (!t) return -1;
    int i = dimension < 0 ? dimension + t->shape.rank : dimension;
    if (i >= 0 && i < t->shape.rank) return t->shape.size[i];
    char text[SHAPE_TEXT];
    weft_fail("tensor_size: %s has no dimension %d", shape_text(t->shape, text), dimension);
    return -1;
}

/* ---- Making ---- */

Tensor *tensor_full(Shape shape, double value)
{
    Tensor *t = layout_new(shape, LAYOUT_PLAIN);
    if (!t) return NULL;
    for (int64_t i = 0; i < t->storage->count; i++) t->storage->data[i] = (Real)value;
    return t;
}

Tensor *tensor_zeros(Shape shape)
{
    return tensor_full(shape, 0);
}

Tensor *tensor_from(Shape shape, const Real *values)
{
    Tensor *t = layout_new(shape, LAYOUT_PLAIN);
    if (!t) return NULL;
    if (!values) return weft_fail("tensor_from: no values");
    memcpy(t->storage->data, values, (size_t)tensor_count(t) * sizeof *values);
    layout_fill_spare(t);
    return t;
}

Tensor *tensor_uniform(Shape shape, double low, double high, RandomKey key)
{
    Tensor *t = layout_new(shape, LAYOUT_PLAIN);
    for (int64_t i = 0; i < tensor_count(t); i++)
        t->storage->data[i] = (Real)(low + (high - low) * random_uniform(key, (uint64_t)i));
    if (t) layout_fill_spare(t);
    return t;
}

Tensor *tensor_normal(Shape shape, double mean, double deviation, RandomKey key)
{
    Tensor *t = layout_new(shape, LAYOUT_PLAIN);
    for (int64_t i = 0; i < tensor_count(t); i++)
        t->storage->data[i] = (Real)(mean + deviation * random_normal(key, (uint64_t)i));
    if (t) layout_fill_spare(t);
    return t;
}

/* ---- Values ---- */

/* Where the element with this row-major number lies in the storage. */
static int64_t position(const Tensor *t, int64_t i)
{
    if (!t->lanes) return i;
    int64_t elements = layout_elements(t), n = i / elements, e = i % elements;
    return (n / WEFT_LANES * elements + e) * WEFT_LANES + n % WEFT_LANES;
}

/* The row-major number of an index, -1 with an error if it does not fit. */
static int64_t row_major(const char *function, const Tensor *t, Shape index)
{
    int64_t i = 0;
    bool fits = index.rank == t->shape.rank;
    for (int d = 0; fits && d < index.rank; d++) {
        fits = index.size[d] >= 0 && index.size[d] < t->shape.size[d];
        i = i * t->shape.size[d] + index.size[d];
    }
    if (fits) return i;
    char text[SHAPE_TEXT], shape[SHAPE_TEXT];
    weft_fail("%s: index %s is outside %s", function, shape_text(index, text), shape_text(t->shape, shape));
    return -1;
}

double tensor_get(const Tensor *t, Shape index)
{
    int64_t i = t ? row_major("tensor_get", t, index) : -1;
    return i < 0 ? (double)NAN : (double)t->storage->data[position(t, i)];
}

double tensor_item(const Tensor *t)
{
    if (!t) return (double)NAN;
    if (tensor_count(t) == 1) return (double)t->storage->data[0];
    char text[SHAPE_TEXT];
    weft_fail("tensor_item: %s does not have one element", shape_text(t->shape, text));
    return (double)NAN;
}

static bool right_count(const char *function, const Tensor *t, const Real *values, int64_t count)
{
    if (!t) return false;
    if (t == TENSOR_NONE || !values) return weft_fail("%s: no tensor or no values", function);
    if (count == tensor_count(t)) return true;
    char text[SHAPE_TEXT];
    return weft_fail("%s: %s has %lld values, not %lld", function, shape_text(t->shape, text),
                     (long long)tensor_count(t), (long long)count);
}

bool tensor_read(const Tensor *t, Real *values, int64_t count)
{
    if (!right_count("tensor_read", t, values, count)) return false;
    if (t->lanes) weft_kernels()->to_plain(values, t->storage->data, layout_samples(t), layout_elements(t));
    else memcpy(values, t->storage->data, (size_t)count * sizeof *values);
    return true;
}

bool tensor_set(Tensor *t, Shape index, double value)
{
    int64_t i = t ? row_major("tensor_set", t, index) : -1;
    if (i < 0) return false;
    t->storage->data[position(t, i)] = (Real)value;
    layout_fill_spare(t);
    layout_touch(t);
    return true;
}

bool tensor_write(Tensor *t, const Real *values, int64_t count)
{
    if (!right_count("tensor_write", t, values, count)) return false;
    if (t->lanes)
        weft_kernels()->to_lanes(t->storage->data, values, layout_samples(t), layout_elements(t), t->is_gradient);
    else memcpy(t->storage->data, values, (size_t)count * sizeof *values);
    layout_fill_spare(t);
    layout_touch(t);
    return true;
}

bool tensor_copy(Tensor *to, const Tensor *from)
{
    if (!to || !from) return false;
    if (to == TENSOR_NONE || from == TENSOR_NONE) return weft_fail("tensor_copy: no tensor");
    if (!shape_equal(to->shape, from->shape)) {
        char a[SHAPE_TEXT], b[SHAPE_TEXT];
        return weft_fail("tensor_copy: from %s to %s", shape_text(from->shape, a), shape_text(to->shape, b));
    }
    for (int64_t i = 0; i < tensor_count(to); i++)
        to->storage->data[position(to, i)] = from->storage->data[position(from, i)];
    layout_fill_spare(to);
    layout_touch(to);
    return true;
}

int64_t tensor_version(const Tensor *t)
{
    return t ? t->storage->version : 0;
}

/* ---- Gradients ---- */

bool tensor_requires_grad(const Tensor *t)
{
    return t && t->requires_grad;
}

bool tensor_set_requires_grad(Tensor *t, bool requires_grad)
{
    if (!t) return false;
    if (t == TENSOR_NONE) return weft_fail("tensor_set_requires_grad: no tensor");
    if (t->node && !requires_grad)
        return weft_fail("tensor_set_requires_grad: an op's result requires a gradient; see tensor_detach");
    t->requires_grad = requires_grad;
    return true;
}

void tensor_keep_grad(Tensor *t)
{
    if (t && t != TENSOR_NONE) t->keep_grad = true;
}

Tensor *tensor_grad(const Tensor *t)
{
    return t ? t->grad : NULL;
}

void tensor_clear_grad(Tensor *t)
{
    if (!t) return;
    tensor_release(t->grad);
    t->grad = NULL;
}

Tensor *tensor_detach(const Tensor *t)
{
    if (t == TENSOR_NONE) return weft_fail("tensor_detach: no tensor");
    return t ? layout_share(t, t->shape) : NULL;
}
