/* What the fuzz targets share. A target is one file, NAME.c: it says how its reader is called and what it is to begin
 * with; `make fuzz` finds it.
 *
 *     LLVMFuzzerTestOneInput   reads the bytes and ends with fuzz_end, which dies if what the reader left is wrong
 *     fuzz_seeds               writes a few good inputs, files below `folder` */
#ifndef WEFT_FUZZ_H
#define WEFT_FUZZ_H

#define _GNU_SOURCE /* memfd_create */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tensor/tensor.h"

enum { FUZZ_PATH = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
static void fuzz_seeds(const char *folder);

/* With FUZZ_SEEDS set to a folder: writes the seeds there, and that is all. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    const char *folder = getenv("FUZZ_SEEDS");
    if (!folder) return 0;
    fuzz_seeds(folder);
    if (weft_error()) fprintf(stderr, "no seeds: %s\n", weft_error());
    exit(weft_error() ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* The path of a file in memory that holds just these bytes, valid until the next call. */
static inline const char *fuzz_file(const uint8_t *data, size_t size)
{
    static int file = -1;
    static char path[FUZZ_PATH];
    if (file < 0) {
        file = memfd_create("fuzz", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    if (file < 0 || ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != (ssize_t)size) abort();
    return path;
}

/* A failure has its error, a success has none, and nothing is left behind. */
static inline void fuzz_end(bool ok)
{
    const bool failed = weft_error() != NULL;
    weft_error_clear();
    const WeftCounters left = weft_counters();
    if (ok != failed && left.blocks == 0 && left.tensors == 0) return;
    fprintf(stderr, "%s with%s an error; %lld blocks and %lld tensors left\n", ok ? "done" : "failed",
            failed ? "" : "out", (long long)left.blocks, (long long)left.tensors);
    abort();
}

/* The path of a seed. */
static inline const char *fuzz_seed_path(const char *folder, const char *name)
{
    static char path[FUZZ_PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static inline void fuzz_seed(const char *folder, const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(fuzz_seed_path(folder, name), "wb");
    bool ok = file && fwrite(bytes, 1, size, file) == size;
    if (!file || fclose(file) != 0 || !ok) weft_fail("cannot write %s", name);
}

#endif
