/* The report of a training or an evaluation: one html page that needs nothing else, and its curves and samples as svg
 * files beside it. Internal.
 *
 * FILE.html comes with FILE-curves.svg, where something was trained, and FILE-samples.svg. */
#ifndef WEFT_TRAINER_REPORT_H
#define WEFT_TRAINER_REPORT_H

#include "apps/trainer_run.h"

typedef struct TrainerReport TrainerReport;

/* Checks that all its files can be written, and leaves what is there as it is. NULL with an error. */
TrainerReport *trainer_report_open(const char *path);
/* Frees it; NULL is fine. */
void trainer_report_free(TrainerReport *report);
/* Whether one of the report's files is the file `other`; also true, with an error, when memory is short. */
bool trainer_report_is_file(const char *path, const char *other);

/* Evaluates the network of the last run once more, image by image, and writes the files, each whole or not at all. The
 * epochs of all runs are the session's past. A session without a report: nothing to do. */
bool trainer_report_write(const TrainerSession *session, const TrainerRun *run, const PassMetrics *test) WEFT_CHECKED;

#endif
