/* `make bench`: what the machine can do, what each convolution makes of it, and how fast the two networks are.
 *
 * Times are medians of repeats, but for the two ceilings, which are the best of several. A convolution's work is
 * counted as its direct sum's, two operations a multiply-add, padding included, whatever algorithm runs: Winograd's
 * may be beyond the peak. Each part runs in a process of its own, so that the peak memory of a network is that
 * network's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/trainer.h"
#include "apps/trainer_clock.h"
#include "autograd/node.h"
#include "tensor/memory.h"
#include "tensor/parallel.h"
#include "tests/peak.h"

/* ---- The networks: each app's main hands over what it would train ---- */

static TrainerApp handed_over;

static int hand_over(int argc, char **argv, const TrainerApp *app)
{
    (void)argc, (void)argv;
    handed_over = *app;
    return 0;
}

typedef int Main(int argc, char **argv);
static Main mnist_cnn_main, mnist_tiny_main;

#define trainer_main hand_over
#define main mnist_cnn_main
#include "apps/mnist_cnn.c"
#undef main
#define main mnist_tiny_main
#include "apps/mnist_tiny.c"
#undef main
#undef trainer_main

static Main *const networks[] = {mnist_cnn_main, mnist_tiny_main};
enum { NETWORKS = sizeof networks / sizeof networks[0] };

static const TrainerApp *network(int i)
{
    networks[i](0, NULL);
    return &handed_over;
}

/* ---- How much ---- */

typedef struct Effort {
    const char *data;             /* folder of MNIST; NULL, or if it is not there: random images */
    double seconds;               /* repeat at least so long, */
    int repeats;                  /* and so often */
    int64_t batch, train, test;   /* images */
    int64_t copied;               /* values in the buffer whose copy is timed */
    double peak_seconds;          /* of one measurement of the peak, about */
} Effort;

static const Effort full = {"data/mnist", 0.2, 7, 128, 6400, 10000, (int64_t)1 << 25, 0.05};
static const Effort quick = {NULL, 0, 1, 16, 64, 64, (int64_t)1 << 16, 0.0005};

enum { MOST_REPEATS = 1000, PASSES_OVER_DATA = 3, ONE_IMAGE_REPEATS = 200 };

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_size);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

/* Seconds that one go takes; negative if it failed. */
typedef double Go(void *context);

/* The median of repeats, after one that warms up; negative if one failed. */
static double repeat(Go *go, void *context, double seconds, int repeats)
{
    double times[MOST_REPEATS];
    int count = 0;
    if (go(context) < 0) return -1;
    for (double start = trainer_clock();
         count < MOST_REPEATS && (count < repeats || trainer_clock() - start < seconds); count++) {
        times[count] = go(context);
        if (times[count] < 0) return -1;
    }
    return median(times, count);
}

/* ---- What the machine can do ---- */

static Peak *peak_of_isa(void)
{
#ifdef WEFT_HAS_avx512
    if (strcmp(weft_isa(), "avx512") == 0) return peak_avx512;
#endif
#ifdef WEFT_HAS_avx2
    if (strcmp(weft_isa(), "avx2") == 0) return peak_avx2;
#endif
    return peak_baseline;
}

typedef struct Ceiling {
    int64_t rounds;     /* of multiply-adds by each thread */
    int64_t operations; /* in a round */
    Real *from, *to;
} Ceiling;

static void multiply_add(int64_t begin, int64_t end, int thread, void *context)
{
    Ceiling *c = context;
    double sink;
    for (int64_t i = begin; i < end; i++) {
        const int64_t operations = peak_of_isa()(c->rounds, &sink);
        if (thread == 0) c->operations = operations;
    }
}

static void copy(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    Ceiling *c = context;
    memcpy(c->to + begin, c->from + begin, (size_t)(end - begin) * sizeof *c->to);
}

/* Seconds of the fastest of several. */
static double fastest(int64_t count, ParallelBody *body, Ceiling *c)
{
    enum { TRIES = 9 };
    double best = INFINITY;
    for (int i = 0; i < TRIES; i++) {
        const double start = trainer_clock();
        parallel_for(count, 1, body, c);
        best = fmin(best, trainer_clock() - start);
    }
    return best;
}

/* Floating-point operations a second of all threads. */
static double measure_peak(const Effort *effort)
{
    enum { TRIAL = 10000 };
    const int threads = weft_threads();
    Ceiling c = {.rounds = TRIAL};
    c.rounds = (int64_t)(TRIAL * effort->peak_seconds / fastest(threads, multiply_add, &c)) + 1;
    const double seconds = fastest(threads, multiply_add, &c);
    return (double)(threads * c.rounds * c.operations) / seconds;
}

/* Bytes read and written a second; negative if memory is short. */
static double measure_copy(const Effort *effort)
{
    Ceiling c = {.from = weft_alloc_zeroed(effort->copied, sizeof(Real)),
                 .to = weft_alloc_zeroed(effort->copied, sizeof(Real))};
    double rate = -1;
    if (c.from && c.to) rate = 2 * (double)effort->copied * sizeof(Real) / fastest(effort->copied, copy, &c);
    weft_free(c.from);
    weft_free(c.to);
    return rate;
}

/* One thread, then all: as many columns as there are different ones. */
static int thread_columns(int all, int counts[2])
{
    counts[0] = 1;
    counts[1] = all;
    return all > 1 ? 2 : 1;
}

/* Prints the table's first line with the threads of each column. */
static void print_columns(const char *what, const int *counts, int columns)
{
    printf("\n%-28s", what);
    for (int i = 0; i < columns; i++) printf(" %5d thread%s", counts[i], counts[i] == 1 ? " " : "s");
    printf("\n");
}

static void print_row(const char *what, const double *values, int columns, int decimals)
{
    printf("%-28s", what);
    for (int i = 0; i < columns; i++) printf(" %13.*f", decimals, values[i]);
    printf("\n");
    fflush(stdout);
}

/* Operations a second of all threads; negative if memory is short. */
static double bench_machine(const Effort *effort)
{
    double peak[2], bandwidth[2];
    int counts[2];
    const int columns = thread_columns(weft_threads(), counts);
    for (int i = 0; i < columns; i++) {
        if (!weft_set_threads(counts[i])) return -1;
        peak[i] = measure_peak(effort);
        bandwidth[i] = measure_copy(effort) * 1e-9;
        if (bandwidth[i] < 0) return -1;
    }
    const double billions[2] = {peak[0] * 1e-9, peak[columns - 1] * 1e-9};
    print_columns("the machine", counts, columns);
    print_row("multiply-adds, GFLOP/s", billions, columns, 1);
    print_row("copy, GB/s read and written", bandwidth, columns, 1);
    return peak[columns - 1];
}

/* ---- Convolutions ---- */

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
        const double seconds = repeat(time_layer, &test, effort->seconds, effort->repeats);
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

static bool bench_layers(const Effort *effort)
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
    for (int i = 0; i < NETWORKS; i++) {
        if (!bench_network_layers(network(i), peak, effort)) return false;
    }
    for (size_t i = 0; i < sizeof other_shapes / sizeof other_shapes[0]; i++) {
        if (!bench_layer(&other_shapes[i], peak, effort)) return false;
    }
    return true;
}

/* ---- Networks ---- */

typedef struct NetworkTest {
    Module *model;
    Optimizer *optimizer;
    Loader *train, *test;
    Tensor *image;
} NetworkTest;

static Dataset *random_images(int64_t count)
{
    enum { SIDE = 28, CLASSES = 10 };
    const int64_t bytes = count * SIDE * SIDE;
    const RandomKey key = {.stream = 3};
    uint8_t *images = weft_alloc(bytes, 1), *labels = weft_alloc(count, 1);
    Dataset *dataset = NULL;
    if (images && labels) {
        for (int64_t i = 0; i < bytes; i++) images[i] = (uint8_t)random_bits(key, (uint64_t)i);
        for (int64_t i = 0; i < count; i++) labels[i] = (uint8_t)(i % CLASSES);
        dataset = dataset_from(images, labels, count, 1, SIDE, SIDE, CLASSES);
    }
    weft_free(images);
    weft_free(labels);
    return dataset;
}

/* MNIST, all of which is then in memory, or as many random images as will be used. */
static Dataset *open_images(const Effort *effort, bool train)
{
    Dataset *dataset = effort->data ? dataset_mnist(effort->data, train) : NULL;
    if (dataset) return dataset;
    weft_error_clear();
    if (train && effort->data) printf("\nNo MNIST in %s (make data fetches it): random images instead\n", effort->data);
    return random_images(train ? effort->train : effort->test);
}

static Optimizer *new_optimizer(const Module *model, const TrainerApp *app)
{
    TensorList parameters = {0};
    Optimizer *optimizer = NULL;
    if (nn_parameters(model, &parameters)) {
        /* A cautious rate: on random images nothing must overflow. */
        optimizer = optimizer_sgd(&parameters, 1e-3, .momentum = app->momentum, .weight_decay = app->weight_decay);
    }
    tensor_list_free(&parameters);
    return optimizer;
}

static bool open_network(NetworkTest *n, const TrainerApp *app, const Effort *effort)
{
    Dataset *train = open_images(effort, true), *test = open_images(effort, false);
    *n = (NetworkTest){
        .model = app->model(app->dropout),
        .train = loader_new(train, effort->batch, .shuffle = true, .mean = MNIST_MEAN, .deviation = MNIST_DEVIATION,
                            .count = effort->train),
        .test = loader_new(test, effort->batch, .mean = MNIST_MEAN, .deviation = MNIST_DEVIATION,
                           .count = effort->test),
        .image = tensor_uniform(SHAPE(1, 1, 28, 28), -1, 1, (RandomKey){.stream = 4}),
    };
    n->optimizer = n->model ? new_optimizer(n->model, app) : NULL;
    dataset_free(train);
    dataset_free(test);
    return n->train && n->test && n->optimizer && n->image;
}

static void close_network(NetworkTest *n)
{
    optimizer_free(n->optimizer);
    loader_free(n->train);
    loader_free(n->test);
    nn_free(n->model);
}

static double time_training(void *context)
{
    NetworkTest *n = context;
    PassMetrics metrics;
    const bool ok = trainer_train(&metrics, n->model, n->train, op_nll_loss, n->optimizer);
    return ok ? metrics.seconds : -1;
}

static double time_testing(void *context)
{
    NetworkTest *n = context;
    PassMetrics metrics;
    return trainer_test(&metrics, n->model, n->test, op_nll_loss) ? metrics.seconds : -1;
}

static double time_one_image(void *context)
{
    NetworkTest *n = context;
    const bool was = autograd_record(false);
    nn_eval(n->model);
    const Scope scope = scope_open();
    const double start = trainer_clock();
    const Tensor *y = nn_forward(n->model, n->image);
    const double seconds = trainer_clock() - start;
    scope_close(scope);
    autograd_record(was);
    return y ? seconds : -1;
}

/* Memory and page faults of the passes so far and of one more. */
static bool print_memory(NetworkTest *n)
{
    struct rusage before, after;
    if (getrusage(RUSAGE_SELF, &before) != 0 || time_training(n) < 0 || getrusage(RUSAGE_SELF, &after) != 0)
        return false;
    const double peak = (double)after.ru_maxrss / 1024; /* Linux counts in KB */
    printf("%-28s %13.1f MB, of it tensors %.1f MB\n", "peak memory in training", peak,
           (double)weft_counters().peak_bytes / (1024 * 1024));
    printf("%-28s %13ld in %d steps\n", "page faults", after.ru_minflt - before.ru_minflt,
           (int)loader_batches(n->train));
    return true;
}

/* A row of the table: images a second, or milliseconds for one. All threads come first, so that the machine is as it
 * was for the layers. */
static bool bench_row(const char *what, Go *go, NetworkTest *n, int64_t images, const Effort *effort)
{
    double values[2];
    int counts[2];
    const int all = weft_threads(), columns = thread_columns(all, counts);
    for (int i = columns - 1; i >= 0; i--) {
        if (!weft_set_threads(counts[i])) return false;
        const int repeats = effort->repeats == 1 ? 1 : images == 1 ? ONE_IMAGE_REPEATS : PASSES_OVER_DATA;
        const double seconds = repeat(go, n, 0, repeats);
        if (seconds <= 0) return false;
        values[i] = images == 1 ? seconds * 1e3 : (double)images / seconds;
    }
    print_row(what, values, columns, images == 1 ? 3 : 0);
    return weft_set_threads(all);
}

static bool bench_network(const TrainerApp *app, const Effort *effort)
{
    NetworkTest n;
    int counts[2];
    const int columns = thread_columns(weft_threads(), counts);
    const Scope scope = scope_open();
    bool ok = open_network(&n, app, effort);
    print_columns(app->name, counts, columns);
    ok = ok && bench_row("training, images/s", time_training, &n, effort->train, effort) && print_memory(&n) &&
         bench_row("testing, images/s", time_testing, &n, effort->test, effort) &&
         bench_row("one image, ms", time_one_image, &n, 1, effort);
    close_network(&n);
    scope_close(scope);
    return ok;
}

static bool bench_cnn(const Effort *effort)
{
    return bench_network(network(0), effort);
}

static bool bench_tiny(const Effort *effort)
{
    return bench_network(network(1), effort);
}

/* For tests/compare.sh: only how long one image takes. */
static bool print_latencies(const Effort *effort)
{
    for (int i = 0; i < NETWORKS; i++) {
        const TrainerApp *app = network(i);
        NetworkTest n = {.model = app->model(app->dropout)};
        const Scope scope = scope_open();
        n.image = tensor_uniform(SHAPE(1, 1, 28, 28), -1, 1, (RandomKey){.stream = 4});
        const double seconds = n.model && n.image ? repeat(time_one_image, &n, effort->seconds, ONE_IMAGE_REPEATS) : -1;
        scope_close(scope);
        nn_free(n.model);
        if (seconds < 0) return false;
        printf("%s %.4f\n", app->name, seconds * 1e3);
    }
    return true;
}

/* ---- The program ---- */

typedef bool Part(const Effort *effort);

/* Runs a part in a process of its own; false if it failed, which has been told. */
static bool apart(Part *part, const Effort *effort)
{
    int status = -1;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        const bool ok = part(effort);
        if (!ok) fprintf(stderr, "bench: %s\n", weft_error() ? weft_error() : "failed");
        exit(ok && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("bench");
        return false;
    }
    if (WIFSIGNALED(status)) fprintf(stderr, "bench: ended by signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static Part *const parts[] = {bench_layers, bench_cnn, bench_tiny};
    const char *option = argc == 2 ? argv[1] : "";
    const bool is_quick = strcmp(option, "--quick") == 0, is_latency = strcmp(option, "--latency") == 0;
    if (argc > 1 && !is_quick && !is_latency) {
        fprintf(stderr, "usage: bench [--quick | --latency]\n"
                        "  --quick    a few seconds: whether all of it works, not how fast\n"
                        "  --latency  only the milliseconds of one image, a line for each network\n");
        return 2;
    }
    if (is_latency) return apart(print_latencies, &full) ? EXIT_SUCCESS : EXIT_FAILURE;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!apart(parts[i], is_quick ? &quick : &full)) return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
