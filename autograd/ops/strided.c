#include "autograd/ops/strided.h"

#include "tensor/kernels/kernels.h"

bool strided_dimension(const char *op, const Tensor *x, int *dimension)
{
    int d = *dimension < 0 ? *dimension + x->shape.rank : *dimension;
    char text[SHAPE_TEXT];
    if (d < 0 || d >= x->shape.rank)
        return weft_fail("%s: %s has no dimension %d", op, shape_text(x->shape, text), *dimension);
    *dimension = d;
    return true;
}

void strided_steps(const Tensor *t, int rank, bool lanes, int64_t steps[SPACE_MAX_RANK])
{
    int64_t step = t->lanes ? WEFT_LANES : 1;
    for (int d = rank - 1; d >= 0; d--) {
        int own = d - rank + t->shape.rank;
        int64_t size = own < 0 ? 1 : t->shape.size[own];
        steps[d] = size == 1 ? 0 : step;
        step *= size;
    }
    if (lanes) steps[rank] = t->lanes ? 1 : 0;
}

Space strided_space(const Tensor *t)
{
    Space space = {.rank = t->shape.rank};
    for (int d = 0; d < t->shape.rank; d++) space.size[d] = t->shape.size[d];
    if (t->lanes) {
        space.size[0] = layout_groups(t);
        space.size[space.rank++] = WEFT_LANES;
    }
    strided_steps(t, t->shape.rank, t->lanes, space.out);
    return space;
}

Slices strided_slices(const Tensor *x, int dimension)
{
    Slices slices = {layout_groups(x), 1, x->shape.size[dimension], 1};
    for (int d = 1; d < x->shape.rank; d++) {
        if (d < dimension) slices.outer *= x->shape.size[d];
        if (d > dimension) slices.inner *= x->shape.size[d];
    }
    return slices;
}

static void move_dimension(Space *space, int to, int from)
{
    space->size[to] = space->size[from];
    space->out[to] = space->out[from];
    space->a[to] = space->a[from];
    space->b[to] = space->b[from];
}

/* Whether walking through `outer` goes on where `inner` ended, in all three arrays. */
static bool continues(const Space *s, int outer, int inner)
{
    return s->out[outer] == s->size[inner] * s->out[inner] && s->a[outer] == s->size[inner] * s->a[inner] &&
           s->b[outer] == s->size[inner] * s->b[inner];
}

void strided_run(BroadcastKernel *kernel, Real *out, const Real *a, const Real *b, Space space)
{
    int merged = 0;
    for (int d = 0; d < space.rank; d++) {
        if (space.size[d] == 1) continue;
        if (merged > 0 && continues(&space, merged - 1, d)) {
            int64_t size = space.size[merged - 1] * space.size[d];
            move_dimension(&space, merged - 1, d);
            space.size[merged - 1] = size;
        } else {
            move_dimension(&space, merged++, d);
        }
    }
    if (merged == 0) space.size[merged++] = 1;
    space.rank = merged;
    kernel(out, a, b, &space);
}

bool strided_carries_batch(const Tensor *t, Shape result)
{
    return t->shape.rank == result.rank && result.rank > 0 && t->shape.size[0] == result.size[0];
}

static const Tensor *in_layout_of(const Tensor *t, const Tensor *out)
{
    if (!t) return NULL;
    return out->lanes && strided_carries_batch(t, out->shape) ? layout_lanes(t) : layout_plain(t);
}

Tensor *strided_broadcast(BroadcastKernel *kernel, Tensor *out, const Tensor *a, const Tensor *b)
{
    if (!out || !(a = in_layout_of(a, out)) || !(b = in_layout_of(b, out))) return NULL;
    Space space = strided_space(out);
    strided_steps(a, out->shape.rank, out->lanes, space.a);
    strided_steps(b, out->shape.rank, out->lanes, space.b);
    strided_run(kernel, out->storage->data, a->storage->data, b->storage->data, space);
    /* Gradients may have met an infinity in a spare lane, and operands that are gradients hold no last sample there. */
    if (out->is_gradient || a->is_gradient || b->is_gradient || !out->lanes) layout_fill_spare(out);
    return out;
}
