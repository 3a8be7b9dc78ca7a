/* The part of the benchmark that trains and tests the two networks. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "apps/trainer_clock.h"
#include "autograd/autograd.h"
#include "tensor/kernels/kernels.h"
#include "tensor/memory.h"
#include "tests/bench.h"

enum { PASSES_OVER_DATA = 3, ONE_IMAGE_REPEATS = 200 };

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
    const int all = weft_threads(), columns = bench_thread_columns(all, counts);
    for (int i = columns - 1; i >= 0; i--) {
        if (!weft_set_threads(counts[i])) return false;
        const int repeats = effort->repeats == 1 ? 1 : images == 1 ? ONE_IMAGE_REPEATS : PASSES_OVER_DATA;
        const double seconds = bench_repeat(go, n, 0, repeats);
        if (seconds <= 0) return false;
        values[i] = images == 1 ? seconds * 1e3 : (double)images / seconds;
    }
    bench_print_row(what, values, columns, images == 1 ? 3 : 0);
    return weft_set_threads(all);
}

/* ---- The same training in other ways ---- */

/* A way to train: other than with the benchmark's batches, on digits as they are, with the instruction set in use. */
typedef struct Way {
    const char *what;
    int64_t batch;
    bool augment, random;
    const char *isa;
} Way;

static const Way ways[] = {
    {.what = "batch 32", .batch = 32},   {.what = "batch 64", .batch = 64},  {.what = "batch 256", .batch = 256},
    {.what = "batch 512", .batch = 512}, {.what = "augmented", .augment = true},
    {.what = "random pixels", .random = true}, {.what = "avx2", .isa = "avx2"},
};
enum { WAYS = sizeof ways / sizeof ways[0] };

static const Kernels *kernels_of(const char *isa)
{
    const Kernels *const *table = weft_kernels_all();
    while (*table && strcmp((*table)->isa, isa) != 0) table++;
    return *table;
}

static Loader *open_way(const Way *way, const TrainerApp *app, const Effort *effort)
{
    Dataset *images = way->random ? random_images(effort->varied) : open_images(effort, true);
    Loader *loader = loader_new(images, way->batch ? way->batch : effort->batch, .shuffle = true, .mean = MNIST_MEAN,
                                .deviation = MNIST_DEVIATION, .count = effort->varied,
                                .augmentation = way->augment ? app->augmentation : (Augmentation){0});
    dataset_free(images);
    return loader;
}

/* Passes in this way and in the usual one take turns: the ratio of the two is then right on a machine whose speed
 * drifts. */
static bool bench_way(const Way *way, NetworkTest *n, const TrainerApp *app, const Effort *effort)
{
    enum { TURNS = 3 };
    double seconds[TURNS], ratios[TURNS];
    const Kernels *kernels = way->isa ? kernels_of(way->isa) : NULL;
    const int turns = effort->repeats == 1 ? 1 : TURNS;
    if (way->isa && (!kernels || strcmp(weft_isa(), way->isa) == 0)) return true;
    NetworkTest other = *n;
    other.train = open_way(way, app, effort);
    bool ok = other.train != NULL;
    for (int i = -1; ok && i < turns; i++) { /* the first is to warm up */
        const double usual = time_training(n);
        weft_kernels_use(kernels);
        const double time = time_training(&other);
        weft_kernels_use(NULL);
        ok = usual > 0 && time > 0;
        if (i < 0) continue;
        seconds[i] = time;
        ratios[i] = usual / time;
    }
    loader_free(other.train);
    if (!ok) return false;
    printf("%-28s %13.0f, %.3f of the usual\n", way->what, (double)effort->varied / bench_median(seconds, turns),
           bench_median(ratios, turns));
    return fflush(stdout) == 0;
}

static bool bench_ways(const TrainerApp *app, const Effort *effort)
{
    NetworkTest n = {.model = app->model(app->dropout)};
    n.train = open_way(&(Way){0}, app, effort);
    n.optimizer = n.model ? new_optimizer(n.model, app) : NULL;
    printf("\n%s, training in other ways, images/s\n", app->name);
    bool ok = n.train && n.optimizer;
    for (int i = 0; ok && i < WAYS; i++) ok = bench_way(&ways[i], &n, app, effort);
    close_network(&n);
    return ok;
}

/* ---- The parts ---- */

static bool bench_app(const TrainerApp *app, const Effort *effort)
{
    NetworkTest n;
    int counts[2];
    const int columns = bench_thread_columns(weft_threads(), counts);
    const Scope scope = scope_open();
    bool ok = open_network(&n, app, effort);
    bench_print_columns(app->name, counts, columns);
    ok = ok && bench_row("training, images/s", time_training, &n, effort->train, effort) && print_memory(&n) &&
         bench_row("testing, images/s", time_testing, &n, effort->test, effort) &&
         bench_row("one image, ms", time_one_image, &n, 1, effort);
    close_network(&n);
    scope_close(scope);
    return ok && bench_ways(app, effort);
}

bool bench_cnn(const Effort *effort)
{
    return bench_app(bench_network(0), effort);
}

bool bench_tiny(const Effort *effort)
{
    return bench_app(bench_network(1), effort);
}

/* For tests/compare.sh: only how long one image takes. */
bool bench_latencies(const Effort *effort)
{
    for (int i = 0; i < BENCH_NETWORKS; i++) {
        const TrainerApp *app = bench_network(i);
        NetworkTest n = {.model = app->model(app->dropout)};
        const Scope scope = scope_open();
        n.image = tensor_uniform(SHAPE(1, 1, 28, 28), -1, 1, (RandomKey){.stream = 4});
        const bool made = n.model && n.image;
        const double seconds = made ? bench_repeat(time_one_image, &n, effort->seconds, ONE_IMAGE_REPEATS) : -1;
        scope_close(scope);
        nn_free(n.model);
        if (seconds < 0) return false;
        printf("%s %.4f\n", app->name, seconds * 1e3);
    }
    return true;
}
