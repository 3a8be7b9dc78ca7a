/* The sections of the report's page, and what they are written from. Internal.
 *
 * What is long in coming is gathered before a file is begun. What writes returns nothing: whoever called it asks the
 * stream, and weft_error(), as images and filters take memory while they are drawn. */
#ifndef WEFT_REPORT_PAGE_H
#define WEFT_REPORT_PAGE_H

#include "apps/report_evaluate.h"
#include "apps/trainer_run.h"
#include "nn/summary_rows.h"

/* One image of each class, side by side, and below each what training saw of it in its first epochs. */
enum { SHEET_CLASSES = 16 };
typedef struct ReportSheet {
    int64_t height, width;     /* of an image */
    int columns, rows;
    int labels[SHEET_CLASSES]; /* of the columns */
    uint8_t *pixels;           /* the whole sheet, grey, ink on paper; NULL: none */
} ReportSheet;

typedef struct ReportPage {
    const TrainerSession *session;
    const TrainerRun *run;        /* the last */
    int64_t runs;                 /* how many there were, each of as many epochs; 0: nothing was trained */
    const PassMetrics *test;      /* of the network as it is */
    const char *test_name;        /* "test" or "held-out" */
    Evaluation evaluation;
    ReportSheet sheet;
    NamedTensors parameters;
    SummaryRows layers;
} ReportPage;

/* Curves of loss, accuracy and learning rate, as elements of a page or in an svg of their own. Of several runs, a faint
 * line for each, at least of the first, and their mean. */
void report_curves(FILE *file, const ReportPage *page);
void report_curves_svg(FILE *file, const ReportPage *page);

/* Gathers samples: of the training images if there are any, else of the test images. Free the pixels with weft_free,
 * even if it failed: false with an error. */
bool report_sheet_make(ReportSheet *sheet, const TrainerSession *session, const TrainerRun *run) WEFT_CHECKED;
void report_samples(FILE *file, const ReportPage *page);
void report_samples_svg(FILE *file, const ReportPage *page);
/* The surest mistakes, a figure for each; the filters of the first layer, nothing if they are no images. */
void report_mistakes(FILE *file, const ReportPage *page);
void report_filters(FILE *file, const ReportPage *page);

/* The confusion matrix, and precision, recall and F1 of each class: tables. */
void report_confusion(FILE *file, const Evaluation *evaluation);
void report_scores(FILE *file, const Evaluation *evaluation);

/* The epochs of a run, counted from 0. */
const EpochMetrics *report_epochs(const ReportPage *page, int64_t run);

/* The whole page. */
void report_page(FILE *file, const ReportPage *page);

#endif
