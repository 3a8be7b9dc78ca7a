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
#include <sys/wait.h>
#include <unistd.h>

#include "apps/trainer_clock.h"
#include "tensor/memory.h"
#include "tensor/parallel.h"
#include "tests/bench.h"
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
_Static_assert(sizeof networks / sizeof networks[0] == BENCH_NETWORKS, "as many as tests/bench.h says");

const TrainerApp *bench_network(int i)
{
    networks[i](0, NULL);
    return &handed_over;
}

/* ---- How much ---- */

static const Effort full = {"data/mnist", 0.2, 7, 128, 6400, 10000, 3200, (int64_t)1 << 25, 0.05};
static const Effort quick = {NULL, 0, 1, 16, 64, 64, 64, (int64_t)1 << 16, 0.0005};

enum { MOST_REPEATS = 1000 };

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_size);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

double bench_repeat(Go *go, void *context, double seconds, int repeats)
{
    double times[MOST_REPEATS];
    int count = 0;
    if (go(context) < 0) return -1;
    for (double start = trainer_clock();
         count < MOST_REPEATS && (count < repeats || trainer_clock() - start < seconds); count++) {
        times[count] = go(context);
        if (times[count] < 0) return -1;
    }
    return bench_median(times, count);
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

int bench_thread_columns(int all, int counts[2])
{
    counts[0] = 1;
    counts[1] = all;
    return all > 1 ? 2 : 1;
}

void bench_print_columns(const char *what, const int *counts, int columns)
{
    printf("\n%-28s", what);
    for (int i = 0; i < columns; i++) printf(" %5d thread%s", counts[i], counts[i] == 1 ? " " : "s");
    printf("\n");
}

void bench_print_row(const char *what, const double *values, int columns, int decimals)
{
    printf("%-28s", what);
    for (int i = 0; i < columns; i++) printf(" %13.*f", decimals, values[i]);
    printf("\n");
    fflush(stdout);
}

double bench_machine(const Effort *effort)
{
    double peak[2], bandwidth[2];
    int counts[2];
    const int columns = bench_thread_columns(weft_threads(), counts);
    for (int i = 0; i < columns; i++) {
        if (!weft_set_threads(counts[i])) return -1;
        peak[i] = measure_peak(effort);
        bandwidth[i] = measure_copy(effort) * 1e-9;
        if (bandwidth[i] < 0) return -1;
    }
    const double billions[2] = {peak[0] * 1e-9, peak[columns - 1] * 1e-9};
    bench_print_columns("the machine", counts, columns);
    bench_print_row("multiply-adds, GFLOP/s", billions, columns, 1);
    bench_print_row("copy, GB/s read and written", bandwidth, columns, 1);
    return peak[columns - 1];
}

/* ---- The program ---- */

/* Runs a part in a process of its own; false if it failed, which has been told. */
static bool apart(BenchPart *part, const Effort *effort)
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

static const struct {
    const char *name;
    BenchPart *run;
} parts[] = {{"layers", bench_layers}, {"mnist_cnn", bench_cnn}, {"mnist_tiny", bench_tiny}};
enum { PARTS = sizeof parts / sizeof parts[0] };

int main(int argc, char **argv)
{
    const char *option = argc == 2 ? argv[1] : "";
    const bool is_quick = strcmp(option, "--quick") == 0, is_latency = strcmp(option, "--latency") == 0;
    int chosen = 0;
    while (chosen < PARTS && strcmp(option, parts[chosen].name) != 0) chosen++;
    if (argc > 1 && !is_quick && !is_latency && chosen == PARTS) {
        fprintf(stderr, "usage: bench [--quick | --latency | layers | mnist_cnn | mnist_tiny]\n"
                        "  --quick    a few seconds: whether all of it works, not how fast\n"
                        "  --latency  only the milliseconds of one image, a line for each network\n"
                        "  a name     only that part\n");
        return 2;
    }
    if (is_latency) return apart(bench_latencies, &full) ? EXIT_SUCCESS : EXIT_FAILURE;
    for (int i = 0; i < PARTS; i++) {
        if ((chosen == PARTS || chosen == i) && !apart(parts[i].run, is_quick ? &quick : &full)) return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
