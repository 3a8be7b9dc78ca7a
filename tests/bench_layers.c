/* The part of the benchmark that times each convolution: forward, gradient of the input, gradient of the weight. */
#include <stdio.h>
#include <string.h>

#include "apps/trainer_clock.h"
#include "autograd/node.h"
#include "tests/bench.h"

typedef struct Layer {
    char name[32];
    int64_t in, size, out, kernel; /* channels, height and width, channels, height and width */
    int64_t stride, padding;       /* stride 0: 1 */
} Layer;

static const Layer other_shapes[] = {
    {"5x5", 16, 28, 32, 5, 1, 0},
    {"5x5, padded", 32, 14, 64, 5, 1, 2},
    {"stride 2", 32, 28, 64, 3, 2, 1},
    {"padded", 32, 32, 64, 3, 1, 1},
    {"padded", 64, 16, 64, 3, 1, 1},
    {"1x1", 64, 32, 128, 1, 1, 0},
    {"1x1, stride 2", 64, 32, 128, 1, 2, 0},
    {"3 channels", 3, 32, 32, 3, 1, 1},
    {"24 channels", 24, 32, 24, 3, 1, 1},
    {"7x7, stride 2", 3, 32, 24, 7, 2, 3},
};

typedef enum Gradient { NONE, OF_INPUT, OF_WEIGHT, GRADIENTS } Gradient;

typedef struct LayerTest {
    const Layer *layer;
    Gradient gradient;
    Tensor *x, *weight, *bias;
} LayerTest;

/* Calls the op's own backward: `backward` would copy the gradient that it is given first. */
static double time_backward(Tensor *y, Tensor *input)
{
    Tensor *grad = tensor_detach(y);
    if (!grad) return -1;
    grad->is_gradient = true;
    const double start = trainer_clock();
    const bool ok = (node_op(tensor_node(y))->backward)(tensor_node(y), grad);
    const double seconds = trainer_clock() - start;
    tensor_release(input->incoming);
    input->incoming = NULL;
    return ok ? seconds : -1;
}

/* As in a training step, where the weights are new each time: packing them is part of it. */
static double time_layer(void *context)
{
    LayerTest *test = context;
    Scope scope = scope_open();
    layout_touch(test->weight);
    tensor_set_requires_grad(test->x, test->gradient == OF_INPUT);
    tensor_set_requires_grad(test->weight, test->gradient == OF_WEIGHT);
    const double start = trainer_clock();
    Tensor *y = op_conv2d(test->x, test->weight, test->bias, .stride = test->layer->stride,
                          .padding = test->layer->padding);
    double seconds = y ? trainer_clock() - start : -1;
    if (y && test->gradient != NONE) seconds = time_backward(y, test->gradient == OF_INPUT ? test->x : test->weight);
    scope_close(scope);
    return seconds;
}

static bool make_tensors(LayerTest *test, int64_t batch)
{
    const Layer *l = test->layer;
    test->x = op_to_lanes(tensor_uniform(SHAPE(batch, l->in, l->size, l->size), -1, 1, (RandomKey){.stream = 1}));
    test->weight = tensor_uniform(SHAPE(l->out, l->in, l->kernel, l->kernel), -1, 1, (RandomKey){.stream = 2});
    test->bias = tensor_zeros(SHAPE(l->out));
    return test->x && test->weight && test->bias;
}

static double operations(const Layer *l, int64_t batch)
{
    const int64_t side = (l->size + 2 * l->padding - l->kernel) / (l->stride ? l->stride : 1) + 1;
    return 2.0 * (double)(batch * l->out * side * side) * (double)(l->in * l->kernel * l->kernel);
}

static bool bench_layer(const Layer *layer, double peak, const Effort *effort)
{
    LayerTest test = {.layer = layer};
    const Scope scope = scope_open();
    bool ok = make_tensors(&test, effort->batch);
    const int64_t conversions = weft_counters().conversions;
    printf("%-17s %4d>%-3d %2d %dx%d", layer->name, (int)layer->in, (int)layer->out, (int)layer->size,
           (int)layer->kernel, (int)layer->kernel);
    for (test.gradient = NONE; ok && test.gradient < GRADIENTS; test.gradient++) {
        const double seconds = bench_repeat(time_layer, &test, effort->seconds, effort->repeats);
        ok = seconds > 0;
        const double rate = operations(layer, effort->batch) / seconds;
        printf(" %8.3f %6.1f %4.0f%%", seconds * 1e3, rate * 1e-9, 100 * rate / peak);
        fflush(stdout);
    }
    printf("\n");
    scope_close(scope);
    if (ok && weft_counters().conversions != conversions) return weft_fail("%s: a layout was converted", layer->name);
    return ok;
}

static int64_t attribute(const Node *node, const char *name)
{
    Attribute attributes[OP_MAX_ATTRIBUTES];
    const int count = node_op(node)->describe(node, attributes);
    for (int i = 0; i < count; i++) {
        if (strcmp(attributes[i].name, name) == 0) return attributes[i].integers[0];
    }
    return 0;
}

/* Benches the convolutions behind t, the first one first: each op's input 0 is what came before it. */
static bool bench_graph(const Tensor *t, const char *name, int *number, double peak, const Effort *effort)
{
    enum { INPUT, WEIGHT };
    const Node *node = tensor_node(t);
    if (!node) return true;
    const Tensor *input = node_input(node, INPUT);
    if (!bench_graph(input, name, number, peak, effort)) return false;
    if (strcmp(node_op(node)->name, "conv2d") != 0) return true;
    const Shape x = tensor_shape(input), w = tensor_shape(node_input(node, WEIGHT));
    Layer layer = {.in = x.size[1], .size = x.size[2], .out = w.size[0], .kernel = w.size[2],
                   .stride = attribute(node, "stride"), .padding = attribute(node, "padding")};
    snprintf(layer.name, sizeof layer.name, "%s conv%d", name, ++*number);
    return bench_layer(&layer, peak, effort);
}

static bool bench_network_layers(const TrainerApp *app, double peak, const Effort *effort)
{
    int number = 0;
    Module *model = app->model(app->dropout);
    const Scope scope = scope_open();
    const Tensor *y = nn_forward(model, tensor_zeros(SHAPE(2, 1, 28, 28)));
    const bool ok = y && bench_graph(y, app->name, &number, peak, effort);
    scope_close(scope);
    nn_free(model);
    return ok;
}

bool bench_layers(const Effort *effort)
{
    if (!weft_isa()) return false;
    printf("Weft %s, %s, %s, %d threads, batch %d\n", WEFT_VERSION, weft_isa(), WEFT_PRECISION, weft_threads(),
           (int)effort->batch);
    const double peak = bench_machine(effort);
    if (peak < 0) return false;
    printf("\n%-33s %-21s %-21s %s\n", "", " forward", " input gradient", " weight gradient");
    printf("%-33s", "convolution       channels  map");
    for (int i = 0; i < GRADIENTS; i++) printf(" %8s %6s %5s", "ms", "GFLOPS", "peak");
    printf("\n");
    for (int i = 0; i < BENCH_NETWORKS; i++) {
        if (!bench_network_layers(bench_network(i), peak, effort)) return false;
    }
    for (size_t i = 0; i < sizeof other_shapes / sizeof other_shapes[0]; i++) {
        if (!bench_layer(&other_shapes[i], peak, effort)) return false;
    }
    return true;
}
