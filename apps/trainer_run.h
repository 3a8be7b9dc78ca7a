/* One training of one network, from a seed to its last epoch. Internal. */
#ifndef WEFT_TRAINER_RUN_H
#define WEFT_TRAINER_RUN_H

#include "apps/trainer_log.h"
#include "apps/trainer_options.h"
#include "apps/trainer_profile.h"
#include "apps/trainer_progress.h"
#include "nn/state_file.h"

/* What apps/trainer_checkpoint.c knows of --checkpoint. */
typedef struct TrainerCheckpoint {
    SafetensorsMetadata training; /* what tells this training from others */
    Safetensors file;             /* what --resume read, until a run took it */
    int64_t run, epoch;           /* the last that is in the file; 0: none that this process knows of */
} TrainerCheckpoint;

/* What all runs of a program share. */
typedef struct TrainerSession {
    const TrainerApp *app;
    int argc;
    char **argv;
    TrainerOptions options;
    Dataset *train_set, *test_set; /* test_set is train_set with held-out images; train_set NULL: nothing to train */
    int64_t train_count;           /* the first images of train_set */
    int64_t test_first, test_count;
    TrainerDisplay display;
    TrainerLog log;
    TrainerCheckpoint checkpoint;
    int64_t first_run;             /* of this process, from 1 */
    Metrics past;                  /* the epochs of all runs before the present one */
    struct TrainerReport *report;  /* NULL: nobody asked for one */
    TrainerProgress *progress;     /* of every pass; its context is the session */
    Profile profile;               /* of training passes or, where nothing trains, of the test */
    bool reported;                 /* what failed has been printed */
} TrainerSession;

/* Reads the data that the options ask for. */
bool trainer_session_load_data(TrainerSession *session) WEFT_CHECKED;
void trainer_session_free_data(TrainerSession *session);

typedef struct TrainerRun {
    uint64_t seed;
    Module *model;
    Loader *test, *train;  /* train and optimizer are NULL where there is nothing to train */
    Optimizer *optimizer;
    Schedule schedule;
    int64_t step;          /* the schedule's place */
    Metrics metrics;
    bool detects;          /* anomalies */
} TrainerRun;

/* Makes the network of a seed, with the weights of --load if there are any. NULL with an error. */
Module *trainer_model(const TrainerSession *session, uint64_t seed);
/* Whether a layer of the network is for dropout, whatever its probability. */
bool trainer_has_dropout(const Module *model);
/* Makes all that a run needs. Close it even if that failed. */
bool trainer_run_open(TrainerRun *run, const TrainerSession *session, uint64_t seed) WEFT_CHECKED;
/* Whether the schedule moves the momentum too. */
bool trainer_cycles_momentum(const TrainerSession *session);
/* Trains and tests all epochs that it has not: checkpoint, log, lines and metrics. */
bool trainer_run_train(TrainerRun *run, TrainerSession *session) WEFT_CHECKED;
bool trainer_run_test(TrainerRun *run, TrainerSession *session, PassMetrics *result) WEFT_CHECKED;
void trainer_run_close(TrainerRun *run);

#endif
