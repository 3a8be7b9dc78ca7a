/* The confusion matrix, and the surest mistakes. */
#include "apps/report_evaluate.h"

#include <math.h>

#include "nn/modes.h"
#include "tensor/memory.h"

enum { MAX_OUTPUTS = 1024 }; /* far more than labels, which are bytes, can name */

/* ---- Counting ---- */

bool report_evaluation_start(Evaluation *evaluation, int classes)
{
    *evaluation = (Evaluation){.classes = classes};
    evaluation->confusion = weft_alloc_zeroed((int64_t)classes * classes, sizeof *evaluation->confusion);
    return evaluation->confusion != NULL;
}

void report_evaluation_free(Evaluation *evaluation)
{
    weft_free(evaluation->confusion);
    *evaluation = (Evaluation){0};
}

/* Keeps the list sorted: an image goes in front of the first that is less sure. */
static void keep_mistake(Evaluation *evaluation, const Mistake *mistake)
{
    Mistake *list = evaluation->mistakes;
    int place = evaluation->mistake_count;
    while (place > 0 && list[place - 1].probability < mistake->probability) place--;
    if (place == EVALUATION_MISTAKES) return;
    if (evaluation->mistake_count < EVALUATION_MISTAKES) evaluation->mistake_count++;
    for (int i = evaluation->mistake_count - 1; i > place; i--) list[i] = list[i - 1];
    list[place] = *mistake;
}

void report_evaluation_add(Evaluation *evaluation, const Mistake *image)
{
    evaluation->count++;
    evaluation->confusion[image->label * evaluation->classes + image->predicted]++;
    if (image->label == image->predicted) evaluation->correct++;
    else keep_mistake(evaluation, image);
}

/* ---- The pass ---- */

static bool add_batch(Evaluation *evaluation, const Batch *batch, const Tensor *best, const Tensor *probabilities)
{
    int classes = evaluation->classes;
    for (int64_t i = 0; i < batch->count; i++) {
        int label = (int)tensor_get(batch->labels, AT(i)), predicted = (int)tensor_get(best, AT(i));
        if (label >= classes) return weft_fail("report: label %d, but the network has %d outputs", label, classes);
        report_evaluation_add(evaluation, &(Mistake){.index = batch->indices[i],
                                                     .label = label,
                                                     .predicted = predicted,
                                                     .probability = tensor_get(probabilities, AT(i, predicted)),
                                                     .label_probability = tensor_get(probabilities, AT(i, label))});
    }
    return true;
}

static bool run_batch(Evaluation *evaluation, Module *model, const Batch *batch)
{
    Tensor *output = nn_forward(model, batch->images);
    Shape shape = tensor_shape(output);
    if (output == NULL) return false;
    if (shape.rank != 2 || shape.size[1] > MAX_OUTPUTS) {
        char text[SHAPE_TEXT];
        return weft_fail("report: the network's output is %s, not [N, classes]", shape_text(shape, text));
    }
    if (evaluation->classes == 0 && !report_evaluation_start(evaluation, (int)shape.size[1])) return false;
    const Tensor *best = op_argmax(output, 1), *probabilities = op_softmax(output, 1);
    return best != NULL && probabilities != NULL && add_batch(evaluation, batch, best, probabilities);
}

bool report_evaluate(Evaluation *evaluation, Module *model, Loader *loader)
{
    *evaluation = (Evaluation){0};
    Modes modes = {0};
    if (!nn_evaluation_begin(&modes, model, false)) return false;
    Batch batch;
    bool ok = true;
    while (ok && loader_next(loader, &batch)) {
        Scope scope = scope_open();
        ok = run_batch(evaluation, model, &batch);
        scope_close(scope);
    }
    nn_evaluation_end(&modes, model);
    return ok && weft_error() == NULL;
}

/* ---- Scores ---- */

static double ratio(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : NAN;
}

ClassScore report_class_score(const Evaluation *evaluation, int class_number)
{
    int classes = evaluation->classes;
    ClassScore score = {.correct = evaluation->confusion[class_number * classes + class_number]};
    for (int other = 0; other < classes; other++) {
        score.labelled += evaluation->confusion[class_number * classes + other];
        score.predicted += evaluation->confusion[other * classes + class_number];
    }
    score.precision = ratio(score.correct, score.predicted);
    score.recall = ratio(score.correct, score.labelled);
    score.f1 = ratio(2 * score.correct, score.labelled + score.predicted);
    return score;
}

ClassScore report_mean_score(const Evaluation *evaluation)
{
    ClassScore sum = {0};
    int occurring = 0;
    for (int i = 0; i < evaluation->classes; i++) {
        ClassScore score = report_class_score(evaluation, i);
        sum.labelled += score.labelled;
        sum.predicted += score.predicted;
        sum.correct += score.correct;
        if (score.labelled + score.predicted == 0) continue;
        occurring++;
        sum.precision += score.predicted > 0 ? score.precision : 0;
        sum.recall += score.labelled > 0 ? score.recall : 0;
        sum.f1 += score.f1;
    }
    sum.precision /= occurring;
    sum.recall /= occurring;
    sum.f1 /= occurring;
    return sum;
}
