/* A training as the command line makes it, but for the data: for what tests and fuzzes checkpoints. */
#ifndef WEFT_TEST_SESSIONS_H
#define WEFT_TEST_SESSIONS_H

#include "apps/trainer_checkpoint.h"

/* Trains on the first images of the set, which it owns, and tests on the others. */
static inline TrainerSession session_of(const TrainerApp *app, Dataset *dataset, int64_t train_count,
                                        const char *checkpoint, bool resume)
{
    TrainerSession session = {.app = app, .options = trainer_options_default(app), .first_run = 1};
    session.options.checkpoint = checkpoint;
    session.options.resume = resume;
    session.train_set = session.test_set = dataset;
    session.train_count = session.test_first = train_count;
    session.test_count = dataset_count(dataset) - train_count;
    session.display = (TrainerDisplay){.run = 1, .runs = 1, .quiet = true};
    return session;
}

static inline void session_free(TrainerSession *session)
{
    trainer_checkpoint_close(session);
    metrics_free(&session->past);
    trainer_session_free_data(session);
}

#endif
