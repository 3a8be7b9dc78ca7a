/* Walking the graph backwards. */
#include <stdlib.h>

#include "autograd/node.h"
#include "autograd/observe.h"
#include "tensor/kernels/kernels.h"
#include "tensor/memory.h"

/* ---- Accumulating ---- */

/* Whether nothing but the one reference at hand sees these values, so that they may be changed in place. */
static bool is_exclusive(const Tensor *t)
{
    return t->references == 1 && t->storage->references == 1;
}

static void accumulate(Tensor *sum, const Tensor *addend)
{
    weft_kernels()->accumulate(sum->storage->data, addend->storage->data, sum->storage->count);
    layout_touch(sum);
}

static Tensor *copy_of(const Tensor *t)
{
    Tensor *copy = layout_new_like(t, t->shape);
    if (!copy || !tensor_copy(copy, t)) return NULL;
    return copy;
}

/* What gets the gradient of input i: what it was converted from, if it was. So gradients add up in the order of the
 * ops, whichever layout they asked for. */
static Tensor *receiver(const Node *node, int i)
{
    Tensor *input = node->inputs[i].tensor;
    while (node_is_conversion(input->node) && !input->keep_grad) input = input->node->inputs[0].tensor;
    return input;
}

bool node_add_grad(const Node *node, int i, Tensor *grad)
{
    Tensor *input = receiver(node, i);
    if (!grad) return false;
    if (!node_needs_grad(node, i)) return true;
    if (!shape_equal(grad->shape, input->shape)) {
        char a[SHAPE_TEXT], b[SHAPE_TEXT];
        return weft_fail("%s: backward gives a gradient of %s to an input of %s", node->op->name,
                         shape_text(grad->shape, a), shape_text(input->shape, b));
    }
    if (!grad->is_gradient) {
        /* Made by an op from outside through public functions: a value as yet, its spare lanes a copied sample. */
        if (!(grad = copy_of(grad))) return false;
        grad->is_gradient = true;
        layout_fill_spare(grad);
    }
    grad = (Tensor *)(input->lanes ? layout_lanes(grad) : layout_plain(grad));
    if (!grad) return false;
#ifdef WEFT_DEBUG
    if (!layout_spare_is_right(grad)) return weft_fail("%s: backward writes spare lanes", node->op->name);
#endif
    if (!input->incoming) {
        input->incoming = tensor_retain(grad);
        return true;
    }
    if (!is_exclusive(input->incoming)) {
        Tensor *copy = copy_of(input->incoming);
        if (!copy) return false;
        tensor_release(input->incoming);
        input->incoming = tensor_retain(copy);
    }
    accumulate(input->incoming, grad);
    return true;
}

/* ---- The walk ---- */

typedef struct Walk {
    Tensor **tensors; /* all that take part, once each: results of ops, youngest first, then leaves */
    int64_t count, capacity;
} Walk;

static bool push(Walk *walk, Tensor *t)
{
    if (t->visited) return true;
    if (!weft_grow(&walk->tensors, &walk->capacity, walk->count + 1, sizeof *walk->tensors)) return false;
    walk->tensors[walk->count++] = t;
    t->visited = true;
    return true;
}

static bool collect(Walk *walk, Tensor *root)
{
    if (!push(walk, root)) return false;
    for (int64_t i = 0; i < walk->count; i++) {
        const Node *node = walk->tensors[i]->node;
        for (int k = 0; node && k < node->input_count; k++) {
            if (node_needs_grad(node, k) && !push(walk, node->inputs[k].tensor)) return false;
        }
    }
    return true;
}

/* Youngest node first, leaves last. */
static int by_age(const void *a, const void *b)
{
    const Tensor *x = *(Tensor *const *)a, *y = *(Tensor *const *)b;
    int64_t age_x = x->node ? x->node->created : -1, age_y = y->node ? y->node->created : -1;
    return age_x < age_y ? 1 : age_x > age_y ? -1 : 0;
}

/* Whether input i has been written since the node was made; through conversions, since a copy of it was made. */
static bool was_written(const Node *node, int i)
{
    bool written = tensor_version(node->inputs[i].tensor) != node->inputs[i].version;
    const Node *maker = node->inputs[i].tensor->node;
    return written || (node_is_conversion(maker) && was_written(maker, 0));
}

static bool check_unchanged(const Node *node)
{
    const Op *op = node->op;
    if (node->used)
        return weft_fail("backward: the graph at %s was used up by an earlier backward; that needs .keep_graph = true",
                         op->name);
    for (int i = 0; i < node->input_count; i++) {
        if (op->reads_inputs >> i & 1 && was_written(node, i))
            return weft_fail("backward: input %d of %s was written after %s read it", i, op->name, op->name);
    }
    if (op->reads_output && tensor_version(node->output) != node->output_version)
        return weft_fail("backward: the result of %s was written after %s made it", op->name, op->name);
    return true;
}

/* Runs the op's backward function. What ops it uses is its own business; whoever watches learns that it has run. */
static bool run_backward(const Node *node, Tensor *grad)
{
    OpObserver *observer = autograd_observe(NULL);
    bool ok = (node->op->backward)(node, grad);
    autograd_observe(observer);
    if (!ok || !observer) return ok;
    Tensor *inputs[OP_MAX_INPUTS];
    for (int i = 0; i < node->input_count; i++) inputs[i] = receiver(node, i);
    return observer->went_back(observer, &(OpCall){node->op, node->attributes, inputs, node->input_count, node->output},
                               grad);
}

/* Turns the gradient of one op's result into those of its inputs. */
static bool step_back(Tensor *t, bool keep_graph)
{
    Node *node = t->node;
    if (!t->incoming) return true; /* nothing that the root depends on used it */
    Scope scope = scope_open();
    Tensor *grad = t->keep_grad ? t->incoming : scope_adopt(t->incoming);
    if (!t->keep_grad) t->incoming = NULL;
    bool ok = grad && run_backward(node, grad);
    if (!ok && !weft_error()) weft_fail("%s: backward failed", node->op->name);
    scope_close(scope);
    if (ok && !keep_graph) {
        node_drop_saved(node);
        node->used = true;
    }
    return ok;
}

/* Makes t->incoming what t->grad is to become. After this no failure is possible: see commit. */
static bool prepare(Tensor *t)
{
    if (!t->incoming || (is_exclusive(t->incoming) && !t->grad)) return true;
    Tensor *sum = copy_of(t->incoming);
    if (!sum) return false;
    if (t->grad) accumulate(sum, t->grad);
    tensor_release(t->incoming);
    t->incoming = tensor_retain(sum);
    return true;
}

static void commit(Tensor *t)
{
    if (!t->incoming) return;
    tensor_release(t->grad);
    t->grad = t->incoming;
    t->incoming = NULL;
}

static bool keeps_grad(const Tensor *t)
{
    return !t->node || t->keep_grad;
}

static bool walk_back(Walk *walk, bool keep_graph)
{
    if (walk->count > 1) qsort(walk->tensors, (size_t)walk->count, sizeof *walk->tensors, by_age);
    int64_t results = 0;
    for (; results < walk->count && walk->tensors[results]->node; results++) {
        if (!check_unchanged(walk->tensors[results]->node)) return false;
    }
    for (int64_t i = 0; i < results; i++) {
        if (!step_back(walk->tensors[i], keep_graph)) return false;
    }
    for (int64_t i = 0; i < walk->count; i++) {
        Tensor *t = walk->tensors[i];
        Scope scope = scope_open();
        bool ok = !keeps_grad(t) || prepare(t);
        scope_close(scope);
        if (!ok) return false;
    }
    for (int64_t i = 0; i < walk->count; i++) {
        if (keeps_grad(walk->tensors[i])) commit(walk->tensors[i]);
    }
    return true;
}

/* The gradient that the walk starts from, in the root's layout. */
static bool seed(Tensor *root, const Tensor *grad)
{
    Tensor *one = grad ? copy_of(grad) : tensor_full(root->shape, 1);
    if (!one) return false;
    one->is_gradient = true;
    layout_fill_spare(one);
    one = (Tensor *)(root->lanes ? layout_lanes(one) : layout_plain(one));
    if (!one) return false;
    root->incoming = tensor_retain(one);
    return true;
}

static bool check_root(const BackwardOptions *options)
{
    const Tensor *root = options->root;
    if (!root) return false;
    if (!root->requires_grad) return weft_fail("backward: the tensor does not require a gradient");
    char a[SHAPE_TEXT], b[SHAPE_TEXT];
    if (options->grad && !shape_equal(options->grad->shape, root->shape))
        return weft_fail("backward: gradient %s of a tensor of %s", shape_text(options->grad->shape, a),
                         shape_text(root->shape, b));
    if (!options->grad && tensor_count(root) != 1)
        return weft_fail("backward: %s has more than one element, so .grad must say its gradient",
                         shape_text(root->shape, a));
    return true;
}

bool backward_with(BackwardOptions options)
{
    if (!check_root(&options)) return false;
    bool was_recording = autograd_record(false); /* a backward function may use ops */
    Walk walk = {0};
    Scope scope = scope_open();
    bool ok = collect(&walk, options.root) && seed(options.root, options.grad);
    scope_close(scope);
    ok = ok && walk_back(&walk, options.keep_graph);
    for (int64_t i = 0; i < walk.count; i++) {
        Tensor *t = walk.tensors[i];
        t->visited = false;
        tensor_release(t->incoming);
        t->incoming = NULL;
    }
    weft_free(walk.tensors);
    autograd_record(was_recording);
    return ok;
}
