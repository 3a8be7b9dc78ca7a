/* One training of one network. */
#include "apps/trainer_checkpoint.h"

#include <string.h>

#include "nn/anomaly.h"
#include "nn/state.h"

/* Of a test: it changes no result beyond the last bits of the loss, and keeps what is in memory at a time small. */
enum { TEST_BATCH = 128 };
/* The step schedule divides the rate by ten after each third of the epochs. */
enum { STEP_PARTS = 3 };

/* ---- Data ---- */

bool trainer_session_load_data(TrainerSession *session)
{
    const TrainerOptions *options = &session->options;
    bool held_out = options->validate > 0;
    if (held_out || !options->eval) {
        session->train_set = dataset_mnist(options->data, true);
        if (session->train_set == NULL) return false;
        session->train_count = dataset_count(session->train_set) - options->validate;
        if (session->train_count < 1) {
            return weft_fail("--validate %lld leaves none of %lld training images", (long long)options->validate,
                             (long long)dataset_count(session->train_set));
        }
    }
    session->test_set = held_out ? session->train_set : dataset_mnist(options->data, false);
    if (session->test_set == NULL) return false;
    session->test_first = held_out ? session->train_count : 0;
    session->test_count = dataset_count(session->test_set) - session->test_first;
    if (options->limit > 0 && options->limit < session->train_count) session->train_count = options->limit;
    return true;
}

void trainer_session_free_data(TrainerSession *session)
{
    if (session->test_set != session->train_set) dataset_free(session->test_set);
    dataset_free(session->train_set);
    session->train_set = session->test_set = NULL;
}

/* ---- What a run needs ---- */

Module *trainer_model(const TrainerSession *session, uint64_t seed)
{
    nn_seed(seed);
    Module *model = session->app->model(session->options.dropout);
    if (model == NULL) return weft_fail("the network could not be made");
    if (session->options.load == NULL || nn_load(model, session->options.load)) return model;
    trainer_checkpoint_explain(session->options.load);
    nn_free(model);
    return NULL;
}

bool trainer_has_dropout(const Module *model)
{
    if (strcmp(model->type, "Dropout") == 0) return true;
    for (int64_t i = 0; i < model->child_count; i++) {
        if (trainer_has_dropout(model->children[i].module)) return true;
    }
    return false;
}

bool trainer_cycles_momentum(const TrainerSession *session)
{
    const TrainerOptions *options = &session->options;
    return options->schedule == SCHEDULE_ONE_CYCLE && session->app->cycle_momentum &&
           !trainer_options_given(options, "momentum");
}

static Schedule make_schedule(const TrainerSession *session, int64_t epoch_steps)
{
    const TrainerOptions *options = &session->options;
    int64_t part = (options->epochs + STEP_PARTS - 1) / STEP_PARTS;
    return (Schedule){.kind = options->schedule,
                      .lr = options->lr,
                      .step_size = part * epoch_steps,
                      .total_steps = options->epochs * epoch_steps,
                      .cycle_momentum = trainer_cycles_momentum(session)};
}

static Optimizer *make_optimizer(const Module *model, const TrainerOptions *options)
{
    TensorList parameters = {0};
    Optimizer *optimizer = NULL;
    if (nn_parameters(model, &parameters)) {
        optimizer = optimizer_sgd(&parameters, options->lr, .momentum = options->momentum,
                                  .weight_decay = options->weight_decay);
    }
    tensor_list_free(&parameters);
    return optimizer;
}

static bool open_training(TrainerRun *run, const TrainerSession *session)
{
    const TrainerOptions *options = &session->options;
    run->train = loader_new(session->train_set, options->batch_size, .shuffle = !options->no_shuffle, .seed = run->seed,
                            .augmentation = trainer_options_augmentation(options),
                            .mean = MNIST_MEAN, .deviation = MNIST_DEVIATION, .count = session->train_count);
    if (run->train == NULL) return false;
    run->schedule = make_schedule(session, loader_batches(run->train));
    run->optimizer = make_optimizer(run->model, options);
    return run->optimizer != NULL && schedule_check(&run->schedule);
}

bool trainer_run_open(TrainerRun *run, const TrainerSession *session, uint64_t seed)
{
    *run = (TrainerRun){.seed = seed, .model = trainer_model(session, seed)};
    if (run->model == NULL) return false;
    run->test = loader_new(session->test_set, TEST_BATCH, .mean = MNIST_MEAN, .deviation = MNIST_DEVIATION,
                           .first = session->test_first, .count = session->test_count);
    if (run->test == NULL || (!session->options.eval && !open_training(run, session))) return false;
    if (!session->options.detect_anomaly) return true;
    return run->detects = nn_detect_anomaly(run->model);
}

void trainer_run_close(TrainerRun *run)
{
    if (run->detects) (void)!nn_detect_anomaly(NULL); /* turning it off cannot fail */
    metrics_free(&run->metrics);
    optimizer_free(run->optimizer);
    loader_free(run->train);
    loader_free(run->test);
    nn_free(run->model);
    *run = (TrainerRun){0};
}

/* ---- Passes ---- */

static Criterion *criterion_of(const TrainerSession *session)
{
    return session->app->criterion ? session->app->criterion : op_nll_loss;
}

static bool train_pass(TrainerRun *run, TrainerSession *session, PassMetrics *result)
{
    session->display.testing = false;
    const bool profile = session->options.profile;
    if (profile && !trainer_profile_start(&session->profile, run->model)) return false;
    bool ok = trainer_train(result, run->model, run->train, criterion_of(session), run->optimizer, &run->schedule,
                            &run->step, session->progress, session,
                            .label_smoothing = session->options.label_smoothing);
    if (profile) trainer_profile_stop(&session->profile);
    return ok;
}

bool trainer_run_test(TrainerRun *run, TrainerSession *session, PassMetrics *result)
{
    session->display.testing = true;
    const bool profile = session->options.profile && run->optimizer == NULL;
    if (profile && !trainer_profile_start(&session->profile, run->model)) return false;
    bool ok = trainer_test(result, run->model, run->test, criterion_of(session), session->progress, session);
    if (profile) trainer_profile_stop(&session->profile);
    return ok;
}

static bool run_epoch(TrainerRun *run, TrainerSession *session, int64_t number)
{
    EpochMetrics epoch = {.epoch = number};
    session->display.epoch = number;
    if (!train_pass(run, session, &epoch.train)) return false;
    epoch.lr = optimizer_lr(run->optimizer);
    if (!trainer_run_test(run, session, &epoch.test) || !metrics_add(&run->metrics, &epoch)) return false;
    if (!trainer_checkpoint_write(run, session)) return false;
    if (session->options.checkpoint) {
        session->checkpoint.run = session->display.run;
        session->checkpoint.epoch = number;
    }
    if (!trainer_log_row(&session->log, run->seed, &epoch)) return false;
    trainer_display_epoch(&session->display, &epoch);
    return true;
}

bool trainer_run_train(TrainerRun *run, TrainerSession *session)
{
    for (int64_t epoch = run->metrics.count + 1; epoch <= session->options.epochs; epoch++) {
        if (!run_epoch(run, session, epoch)) return false;
    }
    session->display.epoch = 0;
    return true;
}
