/* What a network gets right and wrong, image by image. Internal. */
#ifndef WEFT_REPORT_EVALUATE_H
#define WEFT_REPORT_EVALUATE_H

#include "data/data.h"
#include "nn/nn.h"

enum { EVALUATION_MISTAKES = 24 };

typedef struct Mistake {
    int64_t index;                         /* of the image in the data set */
    int label, predicted;
    double probability, label_probability; /* that the network gave the class it predicted, and the right one */
} Mistake;

typedef struct Evaluation {
    int classes;          /* columns of the network's output; 0 before the first batch */
    int64_t *confusion;   /* [label][predicted]: images */
    int64_t count, correct;
    Mistake mistakes[EVALUATION_MISTAKES]; /* the surest first, of equals the first image */
    int mistake_count;
} Evaluation;

/* Runs the network over the loader's images, in evaluation mode and recording nothing; modes and recording are put
 * back. Its outputs [N, classes] are scores or log-probabilities: the first maximum is the prediction, softmax the
 * probability. False with an error. Free it in either case. */
bool report_evaluate(Evaluation *evaluation, Module *model, Loader *loader) WEFT_CHECKED;
void report_evaluation_free(Evaluation *evaluation);

/* Makes room for so many classes, and counts one image: the steps of report_evaluate. */
bool report_evaluation_start(Evaluation *evaluation, int classes) WEFT_CHECKED;
void report_evaluation_add(Evaluation *evaluation, const Mistake *image);

/* Scores of one class against the rest. NaN where they are 0 / 0: the precision of a class that was never predicted,
 * the recall of one without images, F1 = 2 correct / (labelled + predicted) of one that is neither. */
typedef struct ClassScore {
    int64_t labelled, predicted, correct;
    double precision, recall, f1;
} ClassScore;
ClassScore report_class_score(const Evaluation *evaluation, int class_number);
/* Precision, recall and F1 as means over the classes that occur, a NaN taken as 0: scikit-learn's macro average. The
 * counts are sums. */
ClassScore report_mean_score(const Evaluation *evaluation);

#endif
