/* What the parts of the benchmark share: tests/bench.c is the program. */
#ifndef WEFT_TESTS_BENCH_H
#define WEFT_TESTS_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "apps/trainer.h"

typedef struct Effort {
    const char *data;             /* folder of MNIST; NULL, or if it is not there: random images */
    double seconds;               /* repeat at least so long, */
    int repeats;                  /* and so often */
    int64_t batch, train, test;   /* images */
    int64_t varied;               /* images of a pass whose ratio to another is wanted */
    int64_t copied;               /* values in the buffer whose copy is timed */
    double peak_seconds;          /* of one measurement of the peak, about */
} Effort;

/* Seconds that one go takes; negative if it failed. */
typedef double Go(void *context);

double bench_median(double *values, int count);

/* The median of repeats, after one that warms up; negative if one failed. */
double bench_repeat(Go *go, void *context, double seconds, int repeats);

/* One thread, then all: as many columns as there are different ones. */
int bench_thread_columns(int all, int counts[2]);

/* Prints a table's first line with the threads of each column. */
void bench_print_columns(const char *what, const int *counts, int columns);
void bench_print_row(const char *what, const double *values, int columns, int decimals);

/* The networks of apps/, as each app's main hands them to the trainer. */
enum { BENCH_NETWORKS = 2 };
const TrainerApp *bench_network(int i);

/* Prints what the machine can do. Operations a second of all threads; negative if it failed. */
double bench_machine(const Effort *effort);

/* The parts: each prints its tables. False with an error. */
typedef bool BenchPart(const Effort *effort);
BenchPart bench_layers, bench_cnn, bench_tiny, bench_latencies;

#endif
