/* How a tensor's values lie in memory, and what ops inside the library may know of it. Internal.
 *
 * plain: row-major, one run of tensor_count values.
 * lanes: [ceil(N/16)][elements of one sample, row-major][16], the sample index innermost. Every per-sample op is then
 *        an ordinary scalar program, run for 16 samples at once.
 *
 * Rules (the reasons are in the README's section on layout):
 *  - Rank 0 and 1 are always plain, and padded to a multiple of 16 values: [N] is the same in both layouts, so
 *    layout_is_lanes is true of rank 1 as well, with one element a sample.
 *  - Spare lanes, those of the last group beyond N: in a forward value they repeat the last sample, in a gradient they
 *    are zero. A per-sample op preserves both without knowing; what makes lanes from something else sees to it
 *    (layout_fill_spare). The padding of a plain tensor of rank 2 and more holds anything.
 *  - Storage is 64-byte aligned and a multiple of 16 values. */
#ifndef WEFT_LAYOUT_H
#define WEFT_LAYOUT_H

#include "tensor/scope.h"
#include "tensor/tensor.h"

struct Op;

/* The ownership half of a graph's node; autograd/ knows what it means. A tensor owns the node that produced it, the
 * node holds its inputs and what it saved, and never its own output: there is no cycle. */
enum { NODE_MAX_SAVED = 6 };
typedef struct Node {
    const struct Op *op;
    struct Tensor *output; /* whose node this is: not counted */
    int64_t created;       /* order of creation */
    int64_t output_version;
    void *attributes;
    struct Tensor *saved[NODE_MAX_SAVED]; /* counted */
    int saved_count;
    int input_count;
    bool used;             /* a backward without keep_graph has dropped what was saved */
    struct NodeInput {
        struct Tensor *tensor; /* counted */
        int64_t version;       /* when it was recorded */
        bool required_grad;    /* likewise */
    } inputs[];
} Node;

/* Something computed from a storage's values and kept with them: packed weights, channel sums. */
typedef struct Derived {
    const void *kind; /* the address of the maker's own static: its name */
    int64_t version;  /* of the storage when it was computed; stale if that moved on */
    Shape shape;      /* of the tensor that it was computed for: others may share the storage */
    struct Storage *values;
    struct Derived *next;
} Derived;

typedef struct Storage {
    Real *data;
    int64_t count; /* values, padding included */
    int64_t version;
    Derived *derived;
    int references;
} Storage;

struct Tensor {
    Shape shape;
    Storage *storage;
    Tensor *grad;
    Tensor *incoming;  /* the gradient while backward is under way */
    Node *node;        /* what produced it, or NULL */
    int references;
    bool lanes;
    bool requires_grad;
    bool keep_grad;
    bool visited;      /* noted by the backward that is under way */
    bool is_gradient;  /* spare lanes are zero rather than the last sample */
};

/* Drops everything that the node saved, keeping its place in the graph. */
void node_drop_saved(Node *node);

typedef enum Layout { LAYOUT_PLAIN, LAYOUT_LANES } Layout;

/* A new tensor with room for its values, not cleared, owned by the innermost scope. Rank 0 and 1 are made plain. */
Tensor *layout_new(Shape shape, Layout layout);
/* The same layout and kind (value or gradient) as `like`, with its own shape. */
Tensor *layout_new_like(const Tensor *like, Shape shape);
/* A new handle on t's storage with another shape of as many values and, if t is in lanes, the same dimension 0. */
Tensor *layout_share(const Tensor *t, Shape shape);

/* Whether the values can be read as lanes: laid out so, or of rank 1. */
bool layout_is_lanes(const Tensor *t);
/* Groups of 16 samples, and elements of one sample; N is the size of dimension 0 (1 for rank 0). */
int64_t layout_samples(const Tensor *t);
int64_t layout_groups(const Tensor *t);
int64_t layout_elements(const Tensor *t);

/* t itself if it has that layout already, else a converted copy outside the graph, with t's kind of spare lanes.
 * Counted. Differentiable versions are op_to_lanes and op_to_plain (autograd/node.h). */
const Tensor *layout_lanes(const Tensor *t);
const Tensor *layout_plain(const Tensor *t);

/* Writes the spare lanes of t: the last sample repeated or, for a gradient, zero. The padding of a plain tensor of any
 * rank likewise, as another handle may see the storage as rank 1. */
void layout_fill_spare(Tensor *t);
/* Whether the spare lanes are as they must be; debug builds assert it after every op. */
bool layout_spare_is_right(const Tensor *t);

/* Marks a write to the values: what was derived from them is stale, and backward will notice. */
void layout_touch(Tensor *t);

/* What `kind` derived from t's present values seen in t's shape, or NULL. */
Real *layout_derived(const Tensor *t, const void *kind);
/* Room for `count` values derived from t's present values, replacing what `kind` had; NULL when memory is short. */
Real *layout_derive(const Tensor *t, const void *kind, int64_t count);

#endif
