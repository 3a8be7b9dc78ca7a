/* One pass over a loader, training or testing, and the list of what epochs measured. */
#include <math.h>

#include "apps/trainer.h"
#include "apps/trainer_clock.h"
#include "autograd/observe.h"
#include "autograd/ops.h"
#include "nn/modes.h"
#include "tensor/memory.h"

/* A pass under way. Testing is a pass without an optimizer. */
typedef struct Pass {
    TrainPass given;
    int64_t step, steps;        /* from 1 */
    double loss;                /* summed over samples */
    int64_t correct, samples;
    double start;
} Pass;

static bool check_finite(const Pass *pass, double loss)
{
    return isfinite(loss) || weft_fail("the loss is %s at step %lld of %lld", isnan(loss) ? "NaN" : "infinite",
                                       (long long)pass->step, (long long)pass->steps);
}

static bool measure(Pass *pass, Tensor *output, Tensor *loss, const Batch *batch)
{
    if (loss == NULL) return false;
    if (tensor_count(loss) != 1) {
        return weft_fail("trainer: the criterion's result has %lld values, not 1", (long long)tensor_count(loss));
    }
    double value = tensor_item(loss);
    if (!check_finite(pass, value)) return false;
    int64_t correct = op_count_correct(output, batch->labels);
    if (correct < 0) return false;
    pass->loss += value * (double)batch->count;
    pass->correct += correct;
    pass->samples += batch->count;
    autograd_mark("loss and accuracy");
    return true;
}

static bool learn(const Pass *pass, Tensor *output, Tensor *labels, Tensor *loss)
{
    const TrainPass *given = &pass->given;
    if (given->label_smoothing > 0) {
        loss = op_cross_entropy(output, labels, .label_smoothing = given->label_smoothing);
        if (loss == NULL || !check_finite(pass, tensor_item(loss))) return false;
    }
    if (given->schedule != NULL && !schedule_apply(given->schedule, given->optimizer, *given->step)) return false;
    if (!backward(loss) || !optimizer_step(given->optimizer)) {
        optimizer_clear(given->optimizer);
        return false;
    }
    autograd_mark("optimizer");
    (*given->step)++;
    return true;
}

static bool run_step(Pass *pass, const Batch *batch)
{
    Scope scope = scope_open();
    Tensor *output = nn_forward(pass->given.model, batch->images);
    Tensor *loss = pass->given.criterion(output, batch->labels);
    bool ok = measure(pass, output, loss, batch) &&
              (pass->given.optimizer == NULL || learn(pass, output, batch->labels, loss));
    scope_close(scope);
    return ok;
}

static PassMetrics metrics_of(const Pass *pass)
{
    double samples = (double)pass->samples;
    return (PassMetrics){.loss = pass->loss / samples,
                         .accuracy = (double)pass->correct / samples,
                         .seconds = trainer_clock() - pass->start,
                         .samples = pass->samples};
}

static bool run_pass(PassMetrics *result, TrainPass given)
{
    Pass pass = {.given = given, .steps = loader_batches(given.loader), .start = trainer_clock()};
    Batch batch;
    if (weft_error() != NULL) return false;
    loader_set_epoch(given.loader, loader_epoch(given.loader));
    while (loader_next(given.loader, &batch)) {
        autograd_mark("loading");
        pass.step++;
        if (!run_step(&pass, &batch)) return false;
        *result = metrics_of(&pass);
        if (given.progress != NULL && !given.progress(result, pass.step, pass.steps, given.context)) {
            return weft_fail("interrupted");
        }
        autograd_mark("other");
    }
    return weft_error() == NULL;
}

bool trainer_train_with(PassMetrics *result, TrainPass pass)
{
    if (result == NULL || pass.model == NULL || pass.loader == NULL || pass.criterion == NULL ||
        pass.optimizer == NULL) {
        return weft_fail("trainer_train: result, model, loader, criterion or optimizer is NULL");
    }
    int64_t own_step = 0;
    if (pass.step == NULL) pass.step = &own_step;
    nn_train(pass.model);
    return run_pass(result, pass);
}

bool trainer_test_with(PassMetrics *result, TestPass pass)
{
    if (result == NULL || pass.model == NULL || pass.loader == NULL || pass.criterion == NULL) {
        return weft_fail("trainer_test: result, model, loader or criterion is NULL");
    }
    Modes modes = {0};
    if (!nn_evaluation_begin(&modes, pass.model, false)) return false;
    bool ok = run_pass(result, (TrainPass){.model = pass.model,
                                           .loader = pass.loader,
                                           .criterion = pass.criterion,
                                           .progress = pass.progress,
                                           .context = pass.context});
    nn_evaluation_end(&modes, pass.model);
    return ok;
}

bool metrics_add(Metrics *metrics, const EpochMetrics *epoch)
{
    if (metrics == NULL || epoch == NULL) return weft_fail("metrics_add: the list or the epoch is NULL");
    if (!weft_grow(&metrics->epochs, &metrics->capacity, metrics->count + 1, sizeof *metrics->epochs)) return false;
    metrics->epochs[metrics->count++] = *epoch;
    return true;
}

void metrics_free(Metrics *metrics)
{
    if (metrics == NULL) return;
    weft_free(metrics->epochs);
    *metrics = (Metrics){0};
}
