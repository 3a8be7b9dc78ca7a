/* What epochs and runs come to. Internal. */
#ifndef WEFT_TRAINER_STATISTICS_H
#define WEFT_TRAINER_STATISTICS_H

#include "apps/trainer_run.h"

/* Of the accuracies in testing, fractions, after the last epoch of each run. */
typedef struct TrainerStatistics {
    int64_t runs;
    double mean, deviation; /* deviation: of a sample, over runs - 1; 0 for one run */
    double low, high;
} TrainerStatistics;
/* Of the runs in the session's past, of which there is one at least, each whole. */
TrainerStatistics trainer_statistics(const TrainerSession *session);

/* What the epochs took, training and testing. */
double trainer_seconds(const Metrics *metrics);

#endif
