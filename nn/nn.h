/* Modules: layers and networks, built from ops.
 *
 * A module has a forward function, children, parameters and buffers, all with names. A network of your own is a struct
 * that begins with a Module:
 *
 *     typedef struct { Module base; Module *conv, *fc; } Net;
 *
 *     static Tensor *net_forward(Module *self, Tensor *x)
 *     {
 *         Net *net = (Net *)self;
 *         x = op_max_pool2d(nn_forward(net->conv, x), 2);
 *         return op_log_softmax(nn_forward(net->fc, op_flatten(x)), 1);
 *     }
 *
 *     static Module *net_new(void)
 *     {
 *         Net *net = nn_module(Net, net_forward);
 *         nn_child(net, conv, nn_conv2d(1, 8, 3, .relu = true));
 *         nn_child(net, fc, nn_linear(8 * 13 * 13, 10));
 *         return nn_ready(net);
 *     }
 *
 * Ownership: a module owns its children, parameters (and their gradients) and buffers; freeing the root frees all. A
 * module has one parent. Making modules needs no open scope. A constructor consumes the children that it is given even
 * when it fails, and a child that is NULL makes the parent fail: never a shorter network. */
#ifndef WEFT_NN_H
#define WEFT_NN_H

#include "autograd/ops.h"
#include "tensor/list.h"

WEFT_PUBLIC_BEGIN

typedef struct Module Module;

/* A child, parameter or buffer by its name, which the list owns. */
typedef struct NamedChild {
    char *name;
    Module *module;
} NamedChild;
typedef struct NamedModules {
    NamedChild *items;
    int64_t count, capacity;
} NamedModules;
typedef struct NamedTensor {
    char *name;
    Tensor *tensor;
    bool counter; /* holds a whole number, which files keep as I64 */
} NamedTensor;
typedef struct NamedTensors {
    NamedTensor *items;
    int64_t count, capacity;
} NamedTensors;

/* Made by nn_module, read by whoever likes; a type of your own may set destroy, all else has a function below. */
struct Module {
    const char *type;                              /* "Conv2d": the summary's row */
    Tensor *(*forward)(Module *self, Tensor *x);
    void (*destroy)(Module *self);                 /* frees what only this type knows of; NULL: nothing */
    NamedChild *children;
    int64_t child_count, child_capacity;
    NamedTensors parameters;
    NamedTensors buffers;                          /* saved with the weights, not trained: running statistics */
    Module *parent;
    bool training;                                 /* true when made */
    uint32_t draws;                                /* how often it drew random numbers: checkpoints keep it, so a layer
                                                      of your own that counts here resumes where it was */
    bool failed;                                   /* a child or parameter could not be made: nn_ready frees all */
};

/* ---- Using modules ---- */

/* Runs the module. The result belongs to the innermost scope; it is x itself where nothing is done: dropout in
 * evaluation, a Sequential without children. NULL with an error if x or the module is NULL, or the forward fails. */
Tensor *nn_forward(Module *module, Tensor *x);
/* op_max_pool2d(nn_forward(module, x), kernel), bit for bit, but in one pass where the module is a Conv2d, which then
 * never writes the larger map. Sequential does so by itself. */
Tensor *nn_forward_max_pool2d(Module *module, Tensor *x, int64_t kernel);
/* Sets training mode (dropout, batch statistics) or evaluation, for the module and all below it. NULL is fine. */
void nn_train(Module *module);
void nn_eval(Module *module);
/* Frees a root module and all it owns. NULL is fine. A module with a parent is the parent's to free: that records an
 * error and does nothing. */
void nn_free(Module *module);

/* The seed and place of every random number that modules made by this thread from here on will use: initial values and
 * dropout. The default seed is 0. The same seed and the same constructors in the same order make the same network. */
void nn_seed(uint64_t seed);

/* All parameters, or buffers, of the module and those below it, with full names ("conv1.weight"): a module's own
 * first, then its children's, in order of definition. The tensors are borrowed. Free the result with nn_named_free;
 * count is -1, with an error, if the module is NULL or memory is short. */
NamedTensors nn_named_parameters(const Module *module);
NamedTensors nn_named_buffers(const Module *module);
void nn_named_free(NamedTensors *named);
/* The module itself, named "", and all below it with full names, in the same order. The modules are borrowed. Free the
 * result with nn_named_modules_free; count is -1, with an error, if the module is NULL or memory is short. */
NamedModules nn_named_modules(Module *module);
void nn_named_modules_free(NamedModules *named);
/* Appends all parameters to a list, as optimizers take it. False with an error, the list as it was, if the module or
 * the list is NULL or memory is short. */
bool nn_parameters(const Module *module, TensorList *list) WEFT_CHECKED;
/* The number of values in all parameters; 0 for NULL. */
int64_t nn_parameter_count(const Module *module);

/* ---- Layers ----
 *
 * Each is a new root, to be given to a parent or freed; NULL with an error if an option is out of range or memory is
 * short. Shapes that do not fit show when it is run. What a layer computes is what the op of its name does
 * (autograd/ops.h). Parameters are initialised as PyTorch does: uniform within 1 / sqrt(inputs of one output). */

/* nn_conv2d(in, out, kernel, .padding = 1): [N, C, H, W] to [N, O, H', W']. Parameters weight [O, C / groups, K, K] and
 * bias [O]. */
typedef struct Conv2dLayer {
    int64_t in_channels, out_channels, kernel;
    int64_t stride, padding, dilation, groups; /* 0: 1, 0, 1, 1 */
    bool no_bias;
    bool relu; /* relu of the result, in the same pass */
    char end;
} Conv2dLayer;
#define nn_conv2d(...) nn_conv2d_with((Conv2dLayer){__VA_ARGS__, .end = 0})
Module *nn_conv2d_with(Conv2dLayer options);

/* nn_linear(in, out): [N, F] to [N, O]. Parameters weight [O, F] and bias [O]. */
typedef struct LinearLayer {
    int64_t in_features, out_features;
    bool no_bias;
    bool relu;
    char end;
} LinearLayer;
#define nn_linear(...) nn_linear_with((LinearLayer){__VA_ARGS__, .end = 0})
Module *nn_linear_with(LinearLayer options);

/* nn_batch_norm2d(channels): by the batch's own statistics in training, by the running ones in evaluation. Parameters
 * weight, bias [C]; buffers running_mean, running_var [C], num_batches_tracked (a counter). */
typedef struct BatchNorm2dLayer {
    int64_t channels;
    double momentum, eps; /* 0: 0.1, 1e-5 */
    bool no_affine;       /* no weight and bias */
    char end;
} BatchNorm2dLayer;
#define nn_batch_norm2d(...) nn_batch_norm2d_with((BatchNorm2dLayer){__VA_ARGS__, .end = 0})
Module *nn_batch_norm2d_with(BatchNorm2dLayer options);

/* Drops in training mode only, 0 <= p < 1. Takes the next stream of the thread's seed; the key's epoch is the number
 * of training forwards so far. */
Module *nn_dropout(double p);

/* op_relu, op_flatten and op_log_softmax as layers; a negative dimension counts from the last. */
Module *nn_relu(void);
Module *nn_flatten(void);
Module *nn_log_softmax(int dimension);

/* nn_max_pool2d(2), nn_avg_pool2d(3, .stride = 1): over square windows. */
typedef struct Pool2dLayer {
    int64_t kernel, stride, padding; /* stride 0: kernel */
    char end;
} Pool2dLayer;
#define nn_max_pool2d(...) nn_max_pool2d_with((Pool2dLayer){__VA_ARGS__, .end = 0})
#define nn_avg_pool2d(...) nn_avg_pool2d_with((Pool2dLayer){__VA_ARGS__, .end = 0})
Module *nn_max_pool2d_with(Pool2dLayer options);
Module *nn_avg_pool2d_with(Pool2dLayer options);

/* Runs its children in order: nn_sequential(a, b, c). They are named "0", "1", ...; nn_sequential_named takes pairs of
 * name and module:  nn_sequential_named({"conv1", nn_conv2d(1, 8, 3)}, {"bn1", nn_batch_norm2d(8)}).
 * Neighbours that can share a pass over memory (convolution and batch norm, batch norm and dropout) do; every result
 * is bit for bit that of running them one by one. */
typedef struct SequentialChild {
    const char *name;
    Module *module;
} SequentialChild;
#define nn_sequential(...)                                                                                             \
    nn_sequential_of((Module *[]){__VA_ARGS__}, (int)(sizeof((Module *[]){__VA_ARGS__}) / sizeof(Module *)))
#define nn_sequential_named(...)                                                                                       \
    nn_sequential_of_named((SequentialChild[]){__VA_ARGS__},                                                           \
                           (int)(sizeof((SequentialChild[]){__VA_ARGS__}) / sizeof(SequentialChild)))
Module *nn_sequential_of(Module *const *children, int count);
Module *nn_sequential_of_named(const SequentialChild *children, int count);
/* Sequential's forward, for a module of your own that does more around it: runs the children in order. The result is as
 * nn_forward's; NULL if x is NULL, or with an error if the module is NULL or a child's forward fails. */
Tensor *nn_forward_children(Module *module, Tensor *x);

/* ---- Making modules of your own ---- */

/* A zeroed struct of type T, with that forward function: T*, or NULL with an error. T is a typedef of a struct whose
 * first member is `Module base`; any other does not compile. */
#define nn_module(T, forward) ((T *)nn_module_new(#T, sizeof(T) + NN_CHECK_BASE(T), forward))
#define NN_CHECK_BASE(T)                                                                                               \
    (0 * sizeof(struct {                                                                                               \
        _Static_assert(offsetof(T, base) == 0 && _Generic(&((T *)0)->base, Module *: 1, default: 0),                   \
                       "the first member of " #T " must be `Module base`");                                            \
        char unused;                                                                                                   \
    }))
/* Makes `expression` the child of the same name: sets net->field and gives the parent the child. */
#define nn_child(net, field, expression)                                                                               \
    do {                                                                                                               \
        Module *nn_child_made = nn_add_child((Module *)(net), #field, (expression));                                   \
        if (net) (net)->field = nn_child_made;                                                                         \
    } while (0)
/* Makes a parameter, or buffer, of that shape and the same name, all zero: sets net->field, a Tensor*. */
#define nn_parameter(net, field, shape)                                                                                \
    do {                                                                                                               \
        Tensor *nn_tensor_made = nn_add_parameter((Module *)(net), #field, (shape));                                   \
        if (net) (net)->field = nn_tensor_made;                                                                        \
    } while (0)
#define nn_buffer(net, field, shape)                                                                                   \
    do {                                                                                                               \
        Tensor *nn_tensor_made = nn_add_buffer((Module *)(net), #field, (shape));                                      \
        if (net) (net)->field = nn_tensor_made;                                                                        \
    } while (0)
/* The finished module as a Module*; NULL, with everything freed, if any part of it failed. */
#define nn_ready(net) nn_module_ready((Module *)(net))

/* What is behind the macros. `type` is borrowed for as long as the module lives; `size` is that of the struct. A module
 * whose forward is NULL can hold others and be saved, but not be run. */
Module *nn_module_new(const char *type, size_t size, Tensor *(*forward)(Module *self, Tensor *x));
Module *nn_module_ready(Module *module);

/* Everything below adds to a module and returns what it added, borrowed from the module. The name is copied. NULL with
 * an error, and the module marked as failed, if the module is NULL, the name is empty, has a dot or is taken, or memory
 * is short. */

/* Gives the parent a child, which is freed if that fails. It also fails if the child is NULL; if it has a parent
 * already, whose it then stays; and if it is the parent itself or above it. */
Module *nn_add_child(Module *parent, const char *name, Module *child);
/* A parameter or buffer of this shape, zero; write its initial values. */
Tensor *nn_add_parameter(Module *module, const char *name, Shape shape);
Tensor *nn_add_buffer(Module *module, const char *name, Shape shape);
/* A buffer that holds one whole number. */
Tensor *nn_add_counter(Module *module, const char *name);
/* A parameter filled from U(-bound, bound), the next stream of the thread's seed. */
Tensor *nn_add_uniform(Module *module, const char *name, Shape shape, double bound);
/* A fresh stream of random numbers, the next of the thread's seed. */
RandomKey nn_next_key(void);

WEFT_PUBLIC_END
#endif
