/* The csv log of a training. Internal.
 *
 *     epoch,lr,train_loss,train_accuracy,test_loss,test_accuracy,train_seconds,test_seconds
 *
 * Accuracies are fractions. With several runs a column `seed` comes first. Each row goes out in one write, so that a
 * training that is killed leaves whole rows. */
#ifndef WEFT_TRAINER_LOG_H
#define WEFT_TRAINER_LOG_H

#include "apps/trainer.h"
#include "tensor/text.h"

typedef struct TrainerLog {
    const char *path; /* NULL: nobody asked for one */
    int descriptor;
    bool seeds;       /* with the column `seed` */
    bool headed;      /* the header is there */
    int64_t size;     /* bytes of whole rows */
} TrainerLog;

/* Opens the file. What was there before stays until the first row takes its place. Path NULL is fine: nothing is
 * written then. Whatever fails here, and below, is an error that names the file. */
bool trainer_log_open(TrainerLog *log, const char *path, bool seeds) WEFT_CHECKED;
/* Writes the row of an epoch. */
bool trainer_log_row(TrainerLog *log, uint64_t seed, const EpochMetrics *epoch) WEFT_CHECKED;
/* Appends the row to a text, for what follows. */
bool trainer_log_put(const TrainerLog *log, Text *rows, uint64_t seed, const EpochMetrics *epoch) WEFT_CHECKED;
/* Puts a file of these rows in place of what was there, whole or not at all: on resuming, no row is lost. */
bool trainer_log_replace(TrainerLog *log, const char *rows) WEFT_CHECKED;
/* Does nothing if no file is open. */
bool trainer_log_close(TrainerLog *log) WEFT_CHECKED;

#endif
