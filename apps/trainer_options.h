/* The command line of an app. Internal. */
#ifndef WEFT_TRAINER_OPTIONS_H
#define WEFT_TRAINER_OPTIONS_H

#include "apps/trainer.h"

/* One member for each row of the table in trainer_options.c. */
typedef struct TrainerOptions {
    const char *data;
    int64_t limit, validate; /* 0: all training images, no held-out ones */
    bool no_augment, no_shuffle;
    int64_t epochs, batch_size;
    double lr, momentum, weight_decay, dropout;
    ScheduleKind schedule;
    int64_t seed, runs, threads;
    const char *load, *save, *log; /* NULL: not asked for */
    bool eval, summary, quiet, help, version;
    uint64_t given;          /* bit i: row i of the table was on the command line */
} TrainerOptions;

/* What holds where the command line says nothing. */
TrainerOptions trainer_options_default(const TrainerApp *app);
/* Reads the command line over the defaults. False with an error that names the option; texts point into argv. */
bool trainer_options_parse(TrainerOptions *options, int argc, char **argv) WEFT_CHECKED;
/* Whether an option, "dropout", was on the command line. */
bool trainer_options_given(const TrainerOptions *options, const char *name);
/* Prints the list of options with these defaults. */
void trainer_options_help(FILE *file, const TrainerApp *app, const TrainerOptions *defaults);

#endif
