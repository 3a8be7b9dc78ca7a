/* The trainer: training and testing a classifier, and the command line that both apps share. Part of the library, so
 * that a network of your own is trained in one call.
 *
 *     int main(int argc, char **argv)
 *     {
 *         return trainer_main(argc, argv, &(TrainerApp){.name = "net", .model = net_new, .epochs = 10,
 *                                                       .batch_size = 64, .lr = 0.01, .momentum = 0.9});
 *     }
 *
 * Or in a loop of your own:
 *
 *     for (int64_t epoch = 1; epoch <= 10; epoch++) {
 *         EpochMetrics e = {.epoch = epoch, .lr = optimizer_lr(sgd)};
 *         if (!trainer_train(&e.train, net, train, op_nll_loss, sgd) || !trainer_test(&e.test, net, test, op_nll_loss)
 *             || !metrics_add(&metrics, &e))
 *             break;
 *     } */
#ifndef WEFT_TRAINER_H
#define WEFT_TRAINER_H

#include "data/data.h"
#include "nn/nn.h"
#include "optim/optim.h"

WEFT_PUBLIC_BEGIN

/* The loss of a batch, as op_nll_loss is one: of the network's output [N, C] and the labels [N], the mean over the
 * samples, one value. NULL if it fails and where the output is NULL: it is called after a forward that failed, too. */
typedef Tensor *Criterion(Tensor *output, Tensor *labels);

/* What one pass over a loader measured. */
typedef struct PassMetrics {
    double loss;     /* mean over samples */
    double accuracy; /* fraction */
    double seconds;
    int64_t samples;
} PassMetrics;

/* What one epoch was. */
typedef struct EpochMetrics {
    int64_t epoch; /* from 1 */
    double lr;     /* of its last step */
    PassMetrics train, test;
} EpochMetrics;

/* A growing list of epochs; zero-initialised it is empty. */
typedef struct Metrics {
    EpochMetrics *epochs;
    int64_t count, capacity;
} Metrics;
/* Appends a copy. False with an error, the list unchanged, when memory is short. */
bool metrics_add(Metrics *metrics, const EpochMetrics *epoch) WEFT_CHECKED;
/* Frees the array; the list is empty and usable again. */
void metrics_free(Metrics *metrics);

/* Called after each of the `steps` steps of a pass, 1 to steps, with what was measured so far; false stops the pass,
 * which then fails with "interrupted". */
typedef bool TrainerProgress(const PassMetrics *so_far, int64_t step, int64_t steps, void *context);

typedef struct TrainPass {
    Module *model;
    Loader *loader;
    Criterion *criterion;
    Optimizer *optimizer;
    const Schedule *schedule; /* NULL: the optimizer's rate stays */
    int64_t *step;            /* the schedule's place, counted up by each step; NULL: from 0 in each pass */
    TrainerProgress *progress;
    void *context;
    double label_smoothing;   /* above 0: steps follow op_cross_entropy with that, the criterion is measured only */
    char end;
} TrainPass;
/* Trains for an epoch of the loader, in training mode: trainer_train(&metrics, model, loader, op_nll_loss, sgd). An
 * epoch that was begun, by the caller or by a pass that stopped, begins anew. Accuracy counts rows of the output whose
 * first maximum is at the label, as they are before the step. False with an error if anything failed, an error was on
 * record before (then nothing is done), or the loss is not finite (parameters are then those before that step). The
 * model is left in training mode, and no gradients stay behind. */
#define trainer_train(result, ...) trainer_train_with((result), (TrainPass){__VA_ARGS__, .end = 0})
bool trainer_train_with(PassMetrics *result, TrainPass pass) WEFT_CHECKED;

/* The same without an optimizer: trainer_test(&metrics, model, loader, op_nll_loss). One pass in evaluation mode,
 * recording nothing; each module's own mode and the recording are put back. */
typedef struct TestPass {
    Module *model;
    Loader *loader;
    Criterion *criterion;
    TrainerProgress *progress;
    void *context;
    char end;
} TestPass;
#define trainer_test(result, ...) trainer_test_with((result), (TestPass){__VA_ARGS__, .end = 0})
bool trainer_test_with(PassMetrics *result, TestPass pass) WEFT_CHECKED;

/* An app: a model and its defaults, each of which an option on the command line can change. Their ranges are those of
 * the options; none has a default of its own but where it says so. */
typedef struct TrainerApp {
    const char *name;                  /* of the program: begins its messages; not NULL */
    const char *about;                 /* one line for --help; NULL: none */
    const char *data;                  /* folder of the data set; NULL: data/mnist */
    Module *(*model)(double dropout);  /* a network for images [N, 1, 28, 28] and 10 classes; its result NULL: failed */
    Criterion *criterion;              /* NULL: op_nll_loss */
    int64_t epochs, batch_size;        /* from 1 to 1,000,000 and to 65,536 */
    double lr, weight_decay;           /* from 0 to below 1,000 */
    double momentum, dropout;          /* from 0 to below 1, as the next */
    double label_smoothing;            /* of training; the criterion alone is measured */
    ScheduleKind schedule;
    bool cycle_momentum;               /* one cycle: the momentum too, unless --momentum is given */
    Augmentation augmentation;
} TrainerApp;

/* The whole command line (--help lists it), on MNIST or another data set in the same files. The one part of the library
 * that prints: results and progress to standard output, errors and remarks to standard error. Ctrl-C is handled while
 * it runs. What stays: SIGXFSZ is ignored, so that a file that becomes too large is an error, not the end; the number
 * of threads is that of --threads; no error is on record. Returns the exit status: 0 done, 1 failed with one line on
 * standard error, 2 usage, 130 interrupted. */
int trainer_main(int argc, char **argv, const TrainerApp *app);

WEFT_PUBLIC_END
#endif
