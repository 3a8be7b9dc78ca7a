/* Modules: ownership, names, initial values, modes, random streams, and Sequential's fusing. */
#include "nn/nn.h"

#include <pthread.h>

#include "nn/observe.h"
#include "tensor/memory.h"
#include "tests/test.h"

static double value(const Tensor *t, int64_t i)
{
    Real *values = test_values(t);
    double result = values ? values[i] : NAN;
    free(values);
    return result;
}

/* ---- The tree ---- */

/* A network of one's own, with a module inside a module. */
typedef struct Inner {
    Module base;
    Module *fc;
    Tensor *scale, *seen;
} Inner;

static Tensor *inner_forward(Module *self, Tensor *x)
{
    Inner *inner = (Inner *)self;
    return op_mul(nn_forward(inner->fc, x), inner->scale);
}

static Module *inner_new(void)
{
    Inner *inner = nn_module(Inner, inner_forward);
    nn_child(inner, fc, nn_linear(3, 2));
    nn_parameter(inner, scale, SHAPE(2));
    nn_buffer(inner, seen, SHAPE(4));
    return nn_ready(inner);
}

typedef struct Net {
    Module base;
    Module *a, *b, *broken;
} Net;

static Tensor *net_forward(Module *self, Tensor *x)
{
    Net *net = (Net *)self;
    return op_add(nn_forward(net->a, x), nn_forward(net->b, x));
}

static Module *net_new(Module *b)
{
    Net *net = nn_module(Net, net_forward);
    nn_child(net, a, inner_new());
    nn_child(net, b, b);
    return nn_ready(net);
}

TEST(nn_names_in_order)
{
    static const char *const parameters[] = {"a.scale", "a.fc.weight", "a.fc.bias", "b.0.weight", "b.2.weight"};
    Module *net = net_new(nn_sequential(nn_linear(3, 2, .no_bias = true), nn_relu(), nn_linear(2, 2, .no_bias = true)));
    CHECK(net);
    CHECK_TEXT(net->type, "Net");
    NamedTensors named = nn_named_parameters(net);
    CHECK_EQUAL(named.count, 5);
    for (int i = 0; i < 5; i++) CHECK_TEXT(named.items[i].name, parameters[i]);
    for (int i = 0; i < 5; i++) CHECK(tensor_requires_grad(named.items[i].tensor));
    nn_named_free(&named);
    named = nn_named_buffers(net);
    CHECK_EQUAL(named.count, 1);
    CHECK_TEXT(named.items[0].name, "a.seen");
    CHECK(named.items[0].tensor == ((Inner *)((Net *)net)->a)->seen);
    CHECK(!tensor_requires_grad(named.items[0].tensor));
    nn_named_free(&named);
    CHECK_EQUAL(nn_parameter_count(net), 2 + 6 + 2 + 6 + 4);
    TensorList list = {0};
    CHECK(nn_parameters(net, &list));
    CHECK_EQUAL(list.count, 5);
    CHECK(list.items[0] == ((Inner *)((Net *)net)->a)->scale);
    tensor_list_free(&list);
    nn_free(net);
}

TEST(nn_own_forward_computes)
{
    Module *net = net_new(nn_linear(3, 2));
    Inner *inner = (Inner *)((Net *)net)->a;
    CHECK(tensor_write(inner->scale, (const Real[]){2, -1}, 2));
    Tensor *x = test_tensor(SHAPE(5, 3), 1, 1);
    Tensor *fc = nn_forward(inner->fc, x), *b = nn_forward(((Net *)net)->b, x), *y = nn_forward(net, x);
    CHECK(y);
    for (int64_t n = 0; n < 5; n++) {
        CHECK_CLOSE(value(y, 2 * n), 2 * value(fc, 2 * n) + value(b, 2 * n), 1e-6);
        CHECK_CLOSE(value(y, 2 * n + 1), value(b, 2 * n + 1) - value(fc, 2 * n + 1), 1e-6);
    }
    nn_free(net);
}

TEST(nn_modes_reach_everything_below)
{
    Module *net = net_new(nn_sequential(nn_dropout(0.5), nn_linear(3, 2)));
    const Module *deep = ((Net *)net)->b->children[0].module;
    CHECK(net->training && deep->training);
    nn_eval(net);
    CHECK(!net->training && !deep->training && !((Net *)net)->a->training);
    nn_train(((Net *)net)->b);
    CHECK(!net->training && deep->training);
    nn_train(NULL);
    nn_eval(NULL);
    nn_free(net);
}

TEST(nn_a_child_that_failed_fails_the_parent)
{
    CHECK(!net_new(nn_linear(0, 2)));
    CHECK_ERROR("nn_linear: 0 features in, 2 out");
    CHECK(!net_new(NULL));
    CHECK_ERROR("child \"b\" of Net is NULL");
    CHECK(!nn_sequential(nn_linear(3, 2), NULL, nn_relu()));
    CHECK_ERROR("child \"1\" of Sequential is NULL");
    CHECK(!nn_sequential(nn_sequential(nn_conv2d(1, 2, -1)), nn_relu()));
    CHECK_ERROR("nn_conv2d: 1 channels in, 2 out, kernel -1");
    CHECK(!nn_sequential_named({"a", nn_relu()}, {"a", nn_flatten()}));
    CHECK_ERROR("Sequential has a part named \"a\" already");
    CHECK(!nn_sequential_named({"a.b", nn_relu()}));
    CHECK_ERROR("a part named \"a.b\"");
    CHECK(!nn_sequential_named({"", nn_relu()}));
    CHECK_ERROR("a part named \"\"");
    CHECK(!nn_sequential_named({NULL, nn_relu()}));
    CHECK_ERROR("(NULL)");
}

TEST(nn_a_module_has_one_parent)
{
    Module *fc = nn_linear(3, 2), *first = nn_sequential(fc);
    CHECK(first);
    CHECK(!nn_sequential(nn_relu(), fc));
    CHECK_ERROR("child \"1\", a Linear, belongs to a Sequential already");
    CHECK(!nn_add_child(first, "self", first));
    CHECK_ERROR("Sequential cannot be a child of itself");
    CHECK(!nn_ready(first));
    Module *relu = nn_relu();
    CHECK(!nn_sequential(relu, relu));
    CHECK_ERROR("belongs to a Sequential already");
    Module *outer = nn_sequential(nn_sequential(nn_relu()));
    Module *inner = outer->children[0].module;
    CHECK(!nn_add_child(inner, "loop", outer));
    CHECK_ERROR("cannot be a child of itself");
    nn_free(inner);
    CHECK_ERROR("nn_free: this Sequential belongs to a Sequential, which frees it");
    nn_free(outer);
    nn_free(NULL);
}

static int destroyed;

static void count_destroyed(Module *self)
{
    (void)self;
    destroyed++;
}

static Module *owner(Module *child)
{
    Module *module = nn_module_new("Owner", sizeof(Module), NULL);
    module->destroy = count_destroyed;
    nn_add_child(module, "child", child);
    return nn_ready(module);
}

TEST(nn_free_frees_what_only_a_type_knows_of)
{
    nn_free(owner(owner(nn_relu())));
    CHECK_EQUAL(destroyed, 2);
    CHECK(!owner(NULL));
    CHECK_ERROR("child \"child\" of Owner is NULL");
    CHECK_EQUAL(destroyed, 3);
}

/* A part of each kind; no name is given twice, whatever the kinds. */
TEST(nn_one_name_for_one_part)
{
    static const char *const taken[] = {"p", "b", "n", "c"};
    Module *module = nn_module_new("Holder", sizeof(Module), NULL);
    CHECK(nn_add_parameter(module, "p", SCALAR) && nn_add_buffer(module, "b", SCALAR));
    CHECK(nn_add_counter(module, "n") && nn_add_child(module, "c", nn_relu()) && nn_add_child(module, "d", nn_relu()));
    for (int i = 0; i < 4; i++) {
        CHECK(!nn_add_parameter(module, taken[i], SCALAR));
        CHECK_ERROR("already");
        CHECK(!nn_add_buffer(module, taken[i], SCALAR));
        CHECK_ERROR("already");
        CHECK(!nn_add_child(module, taken[i], nn_relu()));
        CHECK_ERROR("already");
    }
    nn_free(module);
}

TEST(nn_additions_that_are_refused)
{
    Module *module = nn_module_new("Holder", sizeof(Module), NULL);
    CHECK(nn_add_parameter(module, "w", SHAPE(2)));
    CHECK(!nn_add_buffer(module, "w", SHAPE(2)));
    CHECK_ERROR("Holder has a part named \"w\" already");
    CHECK(module->failed);
    CHECK(!nn_add_parameter(module, "huge", SHAPE(INT64_MAX, 8)));
    CHECK(weft_error());
    weft_error_clear();
    CHECK(!nn_add_parameter(NULL, "w", SHAPE(2)));
    CHECK_ERROR("NULL");
    CHECK(!nn_add_child(NULL, "fc", nn_linear(2, 2)));
    CHECK_ERROR("NULL");
    CHECK(!nn_forward(NULL, test_tensor(SHAPE(2), 1, 1)));
    CHECK_ERROR("the module is NULL");
    CHECK(!nn_forward(module, NULL));
    CHECK_ERROR("nn_forward: no input");
    CHECK(!nn_forward(module, test_tensor(SHAPE(2), 1, 1)));
    CHECK_ERROR("Holder has no forward function");
    CHECK(!nn_module_new("Small", sizeof(Module) - 1, NULL));
    CHECK_ERROR("is no module");
    CHECK_EQUAL(nn_named_parameters(NULL).count, -1);
    CHECK_ERROR("NULL");
    CHECK(!nn_ready(module));
    CHECK(!nn_ready((Module *)NULL));
    CHECK(!nn_forward_children(NULL, test_tensor(SHAPE(2), 1, 1)));
    CHECK_ERROR("the module is NULL");
    CHECK(!nn_parameters(module, NULL));
    CHECK_ERROR("the list is NULL");
    nn_named_free(NULL);
    CHECK(!nn_sequential_of(NULL, 2));
    CHECK_ERROR("2 children are NULL");
    CHECK(!nn_sequential_of_named(NULL, 2));
    CHECK_ERROR("2 children are NULL");
}

TEST(nn_layers_refuse_what_makes_no_sense)
{
    CHECK(!nn_conv2d(4, 6, 3, .groups = 4));
    CHECK_ERROR("4 groups do not divide 4 channels in and 6 out");
    CHECK(!nn_conv2d(4, 6, 3, .stride = -1));
    CHECK_ERROR("stride -1");
    CHECK(!nn_conv2d(4, 6, 3, .padding = -1));
    CHECK_ERROR("padding -1");
    CHECK(!nn_conv2d(4, 6, 3, .dilation = -1));
    CHECK_ERROR("dilation -1");
    CHECK(!nn_batch_norm2d(0));
    CHECK_ERROR("0 channels");
    CHECK(!nn_batch_norm2d(4, .eps = -1));
    CHECK_ERROR("eps -1");
    CHECK(!nn_batch_norm2d(4, .momentum = 1.5));
    CHECK_ERROR("momentum 1.5");
    CHECK(!nn_dropout(1));
    CHECK_ERROR("probability 1 is not in [0, 1)");
    CHECK(!nn_dropout(-0.1));
    CHECK_ERROR("probability -0.1 is not in [0, 1)");
    CHECK(!nn_dropout(NAN));
    CHECK_ERROR("nan");
    CHECK(!nn_max_pool2d(3, .padding = 2));
    CHECK_ERROR("MaxPool2d");
    CHECK(!nn_avg_pool2d(0));
    CHECK_ERROR("AvgPool2d");
    CHECK(!nn_max_pool2d(2, .stride = -1));
    CHECK_ERROR("stride -1");
    CHECK(!nn_max_pool2d(2, .padding = -1));
    CHECK_ERROR("padding -1");
    CHECK(!nn_linear(INT64_MAX / 2, INT64_MAX / 2));
    CHECK(weft_error());
    weft_error_clear();
}

static Module *everything(void)
{
    return net_new(nn_sequential_named({"conv", nn_conv2d(1, 2, 3)}, {"bn", nn_batch_norm2d(2)},
                                       {"drop", nn_dropout(0.5)}, {"pool", nn_max_pool2d(2)},
                                       {"average", nn_avg_pool2d(2)}, {"relu", nn_relu()},
                                       {"flatten", nn_flatten()}, {"log_softmax", nn_log_softmax(1)}));
}

TEST(nn_every_failing_allocation_is_survived)
{
    int64_t k = 1, tensors = weft_counters().tensors;
    for (;; k++) {
        weft_alloc_fail_at(k);
        Module *net = everything();
        weft_alloc_fail_at(0);
        if (net) {
            nn_free(net);
            break;
        }
        CHECK_ERROR("no room");
        CHECK_EQUAL(weft_counters().tensors, tensors);
    }
    CHECK(k > 50);
    Module *net = everything();
    TensorList list = {0};
    CHECK(tensor_list_add(&list, tensor_zeros(SCALAR)));
    for (k = 1;; k++) {
        weft_alloc_fail_at(k);
        bool ok = nn_parameters(net, &list);
        weft_alloc_fail_at(0);
        if (ok) break;
        CHECK_ERROR("no room");
        CHECK_EQUAL(list.count, 1);
    }
    CHECK(k > 5);
    CHECK_EQUAL(list.count, 8);
    tensor_list_free(&list);
    nn_free(net);
}

/* ---- Initial values ---- */

/* The values lie in (-bound, bound), fill it, and have a uniform's mean and variance. */
static void check_uniform(const Tensor *t, double bound)
{
    Real *values = test_values(t);
    int64_t count = tensor_count(t);
    double low = 0, high = 0, sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) {
        low = fmin(low, values[i]);
        high = fmax(high, values[i]);
        sum += values[i];
        squares += (double)values[i] * values[i];
    }
    free(values);
    CHECK(low >= -bound * (1 + 1e-6) && high <= bound * (1 + 1e-6) && low < -0.98 * bound && high > 0.98 * bound);
    CHECK_CLOSE(sum / (double)count / bound, 0, 0.03);
    CHECK_CLOSE(squares / (double)count / (bound * bound), 1.0 / 3, 0.02);
}

TEST(nn_initial_values_are_torchs)
{
    Module *conv = nn_conv2d(16, 64, 3, .groups = 2), *linear = nn_linear(100, 2000), *norm = nn_batch_norm2d(3);
    Module *many = nn_conv2d(4, 2000, 2, .groups = 2);
    check_uniform(conv->parameters.items[0].tensor, 1 / sqrt(8 * 9));
    check_uniform(many->parameters.items[1].tensor, 1 / sqrt(2 * 4));
    check_uniform(linear->parameters.items[0].tensor, 0.1);
    check_uniform(linear->parameters.items[1].tensor, 0.1);
    CHECK_EQUAL(tensor_size(conv->parameters.items[0].tensor, 1), 8);
    for (int64_t c = 0; c < 3; c++) {
        CHECK_CLOSE(value(norm->parameters.items[0].tensor, c), 1, 0);
        CHECK_CLOSE(value(norm->parameters.items[1].tensor, c), 0, 0);
        CHECK_CLOSE(value(norm->buffers.items[0].tensor, c), 0, 0);
        CHECK_CLOSE(value(norm->buffers.items[1].tensor, c), 1, 0);
    }
    CHECK_CLOSE(tensor_item(norm->buffers.items[2].tensor), 0, 0);
    nn_free(conv);
    nn_free(many);
    nn_free(linear);
    nn_free(norm);
}

TEST(nn_seed_fixes_values_and_streams)
{
    nn_seed(7);
    Module *net = nn_sequential(nn_linear(3, 2), nn_dropout(0.5), nn_linear(3, 2));
    RandomKey next = nn_next_key();
    CHECK_EQUAL(next.seed, 7);
    CHECK_EQUAL(next.stream, 5);
    const Tensor *weights[] = {net->children[0].module->parameters.items[0].tensor,
                               net->children[2].module->parameters.items[0].tensor};
    for (int i = 0; i < 2; i++) { /* streams 0 and 3: children are made in the order that they are written */
        Tensor *expected = tensor_uniform(SHAPE(2, 3), -1 / sqrt(3), 1 / sqrt(3), (RandomKey){7, i ? 3 : 0, 0});
        for (int64_t j = 0; j < 6; j++) CHECK_CLOSE(value(weights[i], j), value(expected, j), 0);
    }
    CHECK(value(weights[0], 0) != value(weights[1], 0));
    Tensor *x = tensor_full(SHAPE(17, 5), 1), *expected = op_dropout(x, 0.5, (RandomKey){7, 2, 0});
    Tensor *dropped = nn_forward(net->children[1].module, x);
    for (int64_t j = 0; j < 17 * 5; j++) CHECK_CLOSE(value(dropped, j), value(expected, j), 0);
    nn_free(net);
}

/* What a thread of its own has, once another has set all of it. */
static void *look_at_own(void *context)
{
    RandomKey *key = context;
    *key = nn_next_key();
    key->seed += nn_is_observed();
    return NULL;
}

TEST(nn_seed_and_observer_are_those_of_a_thread)
{
    Observer observer = {0};
    RandomKey key = {.seed = 1};
    pthread_t thread;
    nn_seed(7);
    CHECK_EQUAL(nn_next_key().stream, 0);
    nn_observe(&observer);
    CHECK(pthread_create(&thread, NULL, look_at_own, &key) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(nn_observe(NULL) == &observer);
    CHECK(key.seed == 0 && key.stream == 0);
    CHECK_EQUAL(nn_next_key().stream, 1);
}

/* ---- Layers with a state ---- */

TEST(nn_dropout_draws_anew_each_time)
{
    nn_seed(3);
    Module *dropout = nn_dropout(0.5);
    Tensor *x = tensor_full(SHAPE(17, 5), 1);
    Tensor *first = nn_forward(dropout, x), *second = nn_forward(dropout, x);
    nn_eval(dropout);
    CHECK(nn_forward(dropout, x) == x);
    nn_train(dropout);
    Tensor *third = nn_forward(dropout, x), *outputs[] = {first, second, third};
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        Real *got = test_values(outputs[epoch]);
        Real *expected = test_values(op_dropout(x, 0.5, (RandomKey){3, 0, epoch}));
        CHECK_EQUAL_BITS(got, expected, 17 * 5);
        free(got);
        free(expected);
    }
    int64_t different = 0;
    for (int64_t i = 0; i < 17 * 5; i++) different += value(first, i) != value(second, i);
    CHECK(different > 20);
    CHECK(!nn_forward(dropout, TENSOR_NONE)); /* what fails has drawn nothing */
    CHECK_ERROR("dropout: no tensor");
    CHECK_EQUAL(dropout->draws, 3);
    nn_free(dropout);
}

TEST(nn_named_modules_are_all_in_order)
{
    Module *net = nn_sequential_named({"a", nn_sequential(nn_relu(), nn_dropout(0.5))}, {"b", nn_flatten()});
    static const char *const names[] = {"", "a", "a.0", "a.1", "b"};
    static const char *const types[] = {"Sequential", "Sequential", "ReLU", "Dropout", "Flatten"};
    NamedModules modules = nn_named_modules(net);
    CHECK_EQUAL(modules.count, 5);
    for (int i = 0; i < 5; i++) {
        CHECK_TEXT(modules.items[i].name, names[i]);
        CHECK_TEXT(modules.items[i].module->type, types[i]);
    }
    nn_named_modules_free(&modules);
    CHECK_EQUAL(modules.count, 0);
    CHECK_EQUAL(nn_named_modules(NULL).count, -1);
    CHECK_ERROR("NULL module");
    int k = 1;
    for (;; k++) {
        weft_alloc_fail_at(k);
        modules = nn_named_modules(net);
        weft_alloc_fail_at(0);
        if (modules.count >= 0) break;
        CHECK_ERROR("memory");
    }
    CHECK(k > 5);
    nn_named_modules_free(&modules);
    nn_named_modules_free(NULL);
    nn_free(net);
}

TEST(nn_batch_norm_counts_batches)
{
    Module *norm = nn_batch_norm2d(2, .momentum = 0.5);
    Tensor *count = norm->buffers.items[2].tensor, *mean = norm->buffers.items[0].tensor;
    Tensor *x = tensor_full(SHAPE(3, 2, 2, 2), 4);
    CHECK(nn_forward(norm, x) && nn_forward(norm, x));
    CHECK_CLOSE(tensor_item(count), 2, 0);
    CHECK_CLOSE(value(mean, 1), 3, 0);
    nn_eval(norm);
    CHECK(nn_forward(norm, x));
    CHECK_CLOSE(tensor_item(count), 2, 0);
    CHECK_CLOSE(value(mean, 1), 3, 0);
    nn_train(norm);
    CHECK(tensor_set(count, SCALAR, 0x1p24 - 1)); /* as loading does */
    for (int i = 0; i < 5; i++) CHECK(nn_forward(norm, x));
    CHECK_CLOSE(tensor_item(count), 0x1p24 + 4, 0);
    CHECK(tensor_set(count, SCALAR, 10));
    CHECK(nn_forward(norm, x));
    CHECK_CLOSE(tensor_item(count), 11, 0);
    for (int i = 0; i < 2; i++) { /* what is no count */
        CHECK(tensor_set(count, SCALAR, i ? -5 : (double)NAN));
        CHECK(nn_forward(norm, x));
        CHECK_CLOSE(tensor_item(count), 1, 0);
    }
    CHECK(tensor_set(count, SCALAR, 10));
    CHECK(nn_forward(norm, x));
    CHECK(!nn_forward(norm, tensor_full(SHAPE(3, 5, 2, 2), 4)));
    CHECK(weft_error());
    weft_error_clear();
    CHECK_CLOSE(tensor_item(count), 11, 0);
    nn_free(norm);
}

/* ---- Sequential ---- */

static Module *convolutions(void)
{
    nn_seed(5);
    return nn_sequential(nn_conv2d(2, 3, 3, .relu = true), nn_batch_norm2d(3), nn_dropout(0.25), nn_conv2d(3, 4, 1),
                         nn_batch_norm2d(4), nn_batch_norm2d(4), nn_dropout(0), nn_dropout(0.5), nn_max_pool2d(2));
}

static Tensor *one_by_one(Module *sequential, Tensor *x)
{
    for (int64_t i = 0; i < sequential->child_count; i++) x = nn_forward(sequential->children[i].module, x);
    return x;
}

static void check_same(const Tensor *a, const Tensor *b)
{
    Real *x = test_values(a), *y = test_values(b);
    CHECK(shape_equal(tensor_shape(a), tensor_shape(b)));
    CHECK_EQUAL_BITS(x, y, tensor_count(a));
    free(x);
    free(y);
}

/* Parameters' gradients, and buffers. */
static void check_same_module(const Module *a, const Module *b)
{
    NamedTensors lists[] = {nn_named_parameters(a), nn_named_parameters(b), nn_named_buffers(a), nn_named_buffers(b)};
    for (int64_t i = 0; i < lists[0].count; i++) {
        CHECK(tensor_grad(lists[0].items[i].tensor));
        check_same(tensor_grad(lists[0].items[i].tensor), tensor_grad(lists[1].items[i].tensor));
    }
    for (int64_t i = 0; i < lists[2].count; i++) check_same(lists[2].items[i].tensor, lists[3].items[i].tensor);
    for (int i = 0; i < 4; i++) nn_named_free(&lists[i]);
}

/* All that train, but for layers of one type. */
static void train_but(Module *module, const char *type)
{
    nn_train(module);
    for (int64_t i = 0; i < module->child_count; i++) {
        if (strcmp(module->children[i].module->type, type) == 0) nn_eval(module->children[i].module);
    }
}

static void freeze_norms(Module *module)
{
    train_but(module, "BatchNorm2d");
}

static void freeze_dropouts(Module *module)
{
    train_but(module, "Dropout");
}

static void check_fused(int64_t batch, void (*set_mode)(Module *module))
{
    Module *fused = convolutions(), *plain = convolutions();
    set_mode(fused);
    set_mode(plain);
    for (uint32_t step = 0; step < 3; step++) {
        Shape shape = SHAPE(batch, 2, 6, 6);
        Tensor *x = test_tensor(shape, 10 + step, 1), *x2 = test_tensor(shape, 10 + step, 1);
        tensor_set_requires_grad(x, true);
        tensor_set_requires_grad(x2, true);
        Tensor *y = nn_forward(fused, x), *y2 = one_by_one(plain, x2);
        check_same(y, y2);
        Tensor *grad = test_tensor(tensor_shape(y), 20, 1);
        CHECK(backward(y, grad) && backward(y2, grad));
        check_same(tensor_grad(x), tensor_grad(x2));
        check_same_module(fused, plain);
    }
    nn_free(fused);
    nn_free(plain);
}

/* Fused with a batch norm before it or not, a dropout set to where another is draws what that one draws next. */
TEST(nn_draws_are_where_random_layers_go_on)
{
    Tensor *x = test_tensor(SHAPE(20, 3, 2, 2), 1, 1);
    for (int fused = 0; fused < 2; fused++) {
        Module *nets[2];
        for (int i = 0; i < 2; i++) {
            nn_seed(3);
            nets[i] = nn_sequential(fused ? nn_batch_norm2d(3) : nn_relu(), nn_dropout(0.5));
            CHECK_EQUAL(nets[i]->children[1].module->draws, 0);
        }
        for (int i = 0; i < 3; i++) CHECK(nn_forward(nets[0], x));
        nn_eval(nets[0]);
        CHECK(nn_forward(nets[0], x));
        nn_train(nets[0]);
        NamedModules from = nn_named_modules(nets[0]), to = nn_named_modules(nets[1]);
        for (int i = 0; i < 3; i++) {
            CHECK_EQUAL(from.items[i].module->draws, i == 2 ? 3 : 0);
            to.items[i].module->draws = from.items[i].module->draws;
        }
        nn_named_modules_free(&from);
        nn_named_modules_free(&to);
        check_same(nn_forward(nets[1], x), nn_forward(nets[0], x));
        for (int i = 0; i < 2; i++) nn_free(nets[i]);
    }
}

TEST(nn_sequential_fused_is_bit_for_bit_the_plain_composition)
{
    check_fused(1, nn_train);
    check_fused(5, nn_train);
    check_fused(16, nn_train);
    check_fused(33, nn_train);
    check_fused(5, nn_eval);
    check_fused(17, freeze_norms);
    check_fused(17, freeze_dropouts);
}

TEST(nn_sequential_does_fuse)
{
    Module *net = nn_sequential(nn_batch_norm2d(2), nn_dropout(0.5));
    Tensor *x = test_tensor(SHAPE(4, 2, 3, 3), 1, 1);
    CHECK_TEXT(node_op(tensor_node(nn_forward(net, x)))->name, "batch_norm2d");
    CHECK_TEXT(node_op(tensor_node(one_by_one(net, x)))->name, "dropout");
    nn_free(net);
}

/* A batch norm derived from the library's: the same struct and type name, a forward of its own. */
static Tensor *(*original_forward)(Module *self, Tensor *x);
static int derived_calls;

static Tensor *derived_forward(Module *self, Tensor *x)
{
    derived_calls++;
    return op_add_scalar(original_forward(self, x), 1);
}

TEST(nn_sequential_never_bypasses_a_derived_module)
{
    Tensor *x = test_tensor(SHAPE(4, 2, 3, 3), 1, 1);
    for (int which = 0; which < 3; which++) { /* the convolution, the batch norm, the dropout */
        nn_seed(1);
        Module *net = nn_sequential(nn_conv2d(2, 2, 1), nn_batch_norm2d(2), nn_dropout(0.5));
        nn_seed(1);
        Module *same = nn_sequential(nn_conv2d(2, 2, 1), nn_batch_norm2d(2), nn_dropout(0.5));
        original_forward = net->children[which].module->forward;
        net->children[which].module->forward = same->children[which].module->forward = derived_forward;
        derived_calls = 0;
        check_same(nn_forward(net, x), one_by_one(same, x));
        CHECK_EQUAL(derived_calls, 2);
        nn_free(net);
        nn_free(same);
    }
}

typedef struct Counting {
    Observer observer;
    const char *types[16];
    int count;
} Counting;

static void count_call(Observer *observer, const Module *module, const Tensor *x, const Tensor *y)
{
    Counting *counting = (Counting *)observer;
    if (x && y && counting->count < 16) counting->types[counting->count++] = module->type;
}

TEST(nn_observed_layers_are_called_one_by_one)
{
    static const char *const types[] = {"Conv2d", "BatchNorm2d", "Dropout", "Conv2d", "BatchNorm2d",
                                        "BatchNorm2d", "Dropout", "Dropout", "MaxPool2d"};
    Module *watched = convolutions(), *alone = convolutions();
    Tensor *x = test_tensor(SHAPE(5, 2, 6, 6), 1, 1);
    Counting counting = {.observer = {count_call}};
    CHECK(!nn_observe(&counting.observer));
    Tensor *y = nn_forward(watched, x);
    CHECK(nn_observe(NULL) == &counting.observer);
    CHECK_EQUAL(counting.count, 9);
    for (int i = 0; i < 9; i++) CHECK_TEXT(counting.types[i], types[i]);
    check_same(y, nn_forward(alone, x));
    CHECK_EQUAL(counting.count, 9);
    nn_free(watched);
    nn_free(alone);
}

TEST(nn_smallest_layers)
{
    Module *net = nn_sequential(nn_conv2d(1, 1, 1), nn_batch_norm2d(1), nn_max_pool2d(1), nn_avg_pool2d(1),
                                nn_flatten(), nn_linear(1, 1));
    Tensor *y = nn_forward(net, test_tensor(SHAPE(2, 1, 1, 1), 1, 1));
    CHECK(y && shape_equal(tensor_shape(y), SHAPE(2, 1)));
    nn_free(net);
}

TEST(nn_sequential_of_nothing_is_the_identity)
{
    Module *net = nn_sequential_of(NULL, 0);
    Tensor *x = test_tensor(SHAPE(2, 2), 1, 1);
    CHECK(nn_forward(net, x) == x);
    nn_free(net);
}

TEST(nn_layers_are_their_ops)
{
    Tensor *x = test_tensor(SHAPE(3, 4, 6, 6), 1, 1);
    Module *conv = nn_conv2d(4, 6, 3, .stride = 2, .padding = 1, .groups = 2, .no_bias = true, .relu = true);
    Module *dilated = nn_conv2d(4, 2, 3, .dilation = 2);
    Module *linear = nn_linear(144, 5, .relu = true), *bare = nn_batch_norm2d(4, .no_affine = true);
    Module *simple[] = {nn_max_pool2d(3, .stride = 1, .padding = 1), nn_avg_pool2d(2), nn_relu(), nn_log_softmax(-3)};
    Tensor *expected[] = {op_max_pool2d(x, 3, .stride = 1, .padding = 1), op_avg_pool2d(x, 2), op_relu(x),
                          op_log_softmax(x, 1)};
    const NamedTensor *p = dilated->parameters.items, *l = linear->parameters.items;
    check_same(nn_forward(conv, x), op_conv2d(x, conv->parameters.items[0].tensor, TENSOR_NONE, .stride = 2,
                                              .padding = 1, .groups = 2, .relu = true));
    check_same(nn_forward(dilated, x), op_conv2d(x, p[0].tensor, p[1].tensor, .dilation = 2));
    Module *flatten = nn_flatten();
    check_same(nn_forward(linear, nn_forward(flatten, x)),
               op_linear(op_flatten(x), l[0].tensor, l[1].tensor, .relu = true));
    for (int i = 0; i < 4; i++) {
        check_same(nn_forward(simple[i], x), expected[i]);
        nn_free(simple[i]);
    }
    CHECK_EQUAL(bare->parameters.count, 0);
    CHECK(nn_forward(bare, x));
    Module *rest[] = {conv, dilated, linear, bare, flatten};
    for (int i = 0; i < 5; i++) nn_free(rest[i]);
}
