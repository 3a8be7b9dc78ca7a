/* The command line of an app. Internal. */
#ifndef WEFT_TRAINER_OPTIONS_H
#define WEFT_TRAINER_OPTIONS_H

#include "apps/trainer.h"

/* Part of argv. */
typedef struct TextList {
    char *const *items;
    int64_t count;
} TextList;

/* One member for each row of the table in trainer_options.c. */
typedef struct TrainerOptions {
    const char *data;
    int64_t limit, validate; /* 0: all training images, no held-out ones */
    Augmentation augment;
    bool no_augment, no_shuffle;
    int64_t epochs, batch_size;
    double lr, momentum, weight_decay, dropout, label_smoothing;
    ScheduleKind schedule;
    int64_t seed, runs;
    int64_t threads;
    const char *load, *save, *log, *report, *checkpoint, *export; /* NULL: not asked for */
    TextList predict;
    bool profile, detect_anomaly;
    bool resume, eval, summary, quiet, help, version;
    uint64_t given;          /* bit i: row i of the table was on the command line */
} TrainerOptions;

/* What holds where the command line says nothing. */
TrainerOptions trainer_options_default(const TrainerApp *app);
/* Whether what an app says of its training is in the options' ranges; false with an error that names the option. */
bool trainer_options_check(const TrainerOptions *defaults) WEFT_CHECKED;
/* Reads the command line over the defaults. False with an error that names the option; texts point into argv. */
bool trainer_options_parse(TrainerOptions *options, int argc, char **argv) WEFT_CHECKED;
/* Whether an option, "dropout", was on the command line. */
bool trainer_options_given(const TrainerOptions *options, const char *name);
/* What training images go through: --augment, unless --no-augment. */
Augmentation trainer_options_augmentation(const TrainerOptions *options);
/* What the images are called that are not trained on: "held-out" or "test". */
const char *trainer_options_test_name(const TrainerOptions *options);
/* Writes the name, "--lr", and value of one after another of the options that determine the result: begin with i = 0;
 * false after the last. What is off, or not given and without a default, is "off". Checkpoints keep these. */
enum { OPTION_TEXT = 128 };
bool trainer_options_result(const TrainerOptions *options, int *i, char name[OPTION_TEXT], char value[OPTION_TEXT]);
/* Prints the list of options with these defaults. */
void trainer_options_help(FILE *file, const TrainerApp *app, const TrainerOptions *defaults);

#endif
