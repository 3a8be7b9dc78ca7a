/* Reverse-mode automatic differentiation, define-by-run.
 *
 * An op that is given a tensor that requires a gradient records a node: what it was, its inputs, what it saved.
 * backward(loss) walks the nodes in reverse order of creation and leaves d loss / d t in tensor_grad(t) of every
 * tensor that asked for it. Everything an op needs, inside the library or in a user's own file, is declared here:
 * autograd/ops/ shows it at work, the README's tutorial step by step. */
#ifndef WEFT_AUTOGRAD_H
#define WEFT_AUTOGRAD_H

#include "tensor/scope.h"
#include "tensor/tensor.h"

WEFT_PUBLIC_BEGIN

/* ---- Using it ---- */

typedef struct BackwardOptions {
    Tensor *root;         /* the tensor to differentiate; it must require a gradient */
    const Tensor *grad;   /* d loss / d root, of root's shape; NULL: root has one element and the gradient is 1 */
    bool keep_graph;      /* keep saved values, so that backward may run again over the same nodes */
    char end;
} BackwardOptions;

/* Adds d root / d t to the gradient of every leaf tensor t that requires one (and of others that called
 * tensor_keep_grad), for example backward(loss), backward(loss, .keep_graph = true).
 * False with an error, and no gradient changed, if root is NULL or needs no gradient, if a value that the graph saved
 * has been written since, if the graph was used up by an earlier backward, if an op's backward function fails, or when
 * memory is short. These last two may come in the middle, and the graph may then be used up. */
#define backward(...) backward_with((BackwardOptions){__VA_ARGS__, .end = 0})
bool backward_with(BackwardOptions options) WEFT_CHECKED;

/* Turns recording on or off for this thread, and returns what it was. While off, ops compute values and record
 * nothing:  bool was = autograd_record(false); ...; autograd_record(was); */
bool autograd_record(bool on);
/* Whether it is on, as it is in a new thread. */
bool autograd_is_recording(void);

/* ---- Making an op ---- */

/* What an op left behind for backward; it lives as long as the op's result. */
typedef struct Node Node;
struct OnnxCall;
struct OnnxValue;

/* One attribute of an op, for whoever prints, exports or profiles a graph. */
typedef struct Attribute {
    const char *name; /* "stride" */
    int count;        /* how many integers; 0: it is the number */
    int64_t integers[TENSOR_MAX_RANK];
    double number;
} Attribute;
/* What one op may have at most. */
enum { OP_MAX_ATTRIBUTES = 8, OP_MAX_INPUTS = 64, OP_MAX_SAVED = 6 };

/* What all nodes of one kind share: make it `static const`. */
typedef struct Op {
    const char *name; /* as in error messages: "conv2d" */
    /* Given the gradient of the result, adds the gradient of each input that needs one with node_add_grad.
     * Tensors that it makes belong to a scope that closes when it returns. False: it failed, error recorded. */
    bool (*backward)(const Node *node, Tensor *grad);
    /* Writes the op's attributes, at most OP_MAX_ATTRIBUTES, and returns how many. NULL: it has none. */
    int (*describe)(const Node *node, Attribute *attributes);
    uint64_t reads_inputs; /* bit i: backward reads the values of input i, so they must not be written before */
    bool reads_output;     /* backward reads the result's values: node_output */
    /* Writes a call as operators of ONNX: autograd/onnx.h. NULL: it cannot be exported. */
    struct OnnxValue *(*onnx)(const struct OnnxCall *call);
    /* How many additions and multiplications it takes, for a profile. Its backward takes as many again for each of
     * inputs 0 and 1 that needs a gradient. NULL: so few that they do not count. */
    double (*flops)(Tensor *const *inputs, const void *attributes);
} Op;

/* Finishes an op: records that `op` made `result` of these inputs, unless recording is off or no input requires a
 * gradient. `attributes`, `size` bytes, are copied (NULL, 0: none). An input may be TENSOR_NONE. The result is new and
 * outside the graph: of tensor_map or, while autograd_record is off, of other ops.
 * Returns result; NULL if that or an input is NULL; NULL with an error if the result is in the graph or is an input
 * itself, if there are more than OP_MAX_INPUTS inputs, or when memory is short. */
Tensor *op_record(const Op *op, Tensor *result, Tensor *const *inputs, int input_count, const void *attributes,
                  size_t size);
/* Keeps a tensor for backward, which finds it as node_saved(node, 0), then 1 and so on; dropped as soon as it is
 * used. Does nothing if no node was recorded. Returns result; NULL if anything is NULL, with an error if there are
 * more than OP_MAX_SAVED. */
Tensor *op_save(Tensor *result, Tensor *saved);

/* For backward functions and for walking a graph. Results are borrowed; the node is not NULL, and i counts from 0. */
const Op *node_op(const Node *node);
int node_input_count(const Node *node);
Tensor *node_input(const Node *node, int i);      /* TENSOR_NONE where that was given */
Tensor *node_output(const Node *node);            /* the result; backward may read its values if reads_output says so */
Tensor *node_saved(const Node *node, int i);      /* the i-th that op_save kept, NULL if there is none */
const void *node_attributes(const Node *node);    /* the copy that op_record made */
bool node_needs_grad(const Node *node, int i);    /* whether input i does: work for any other may be left out */
/* Adds to the gradient of input i; does nothing if it needs none. `grad` has the input's shape.
 * False with an error if grad is NULL, the shapes differ, or memory is short. */
bool node_add_grad(const Node *node, int i, Tensor *grad) WEFT_CHECKED;
/* The node that produced t; NULL if nothing was recorded, or for NULL. */
const Node *tensor_node(const Tensor *t);

/* result[i] = f(values of the inputs at i, context), for up to 8 inputs of one shape, whatever their layout: the
 * simplest way for an op of your own to compute. f must be pure; it may be called from several threads. The result is
 * outside the graph and belongs to the innermost scope. NULL if an input is, if the shapes differ, or when memory is
 * short. */
typedef Real TensorMap(const Real *values, const void *context);
Tensor *tensor_map(TensorMap *f, Tensor *const *inputs, int input_count, const void *context);

WEFT_PUBLIC_END
#endif
