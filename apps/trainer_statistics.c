#include "apps/trainer_statistics.h"

#include <math.h>

/* Welford 1962: one walk, and no difference of large sums. */
TrainerStatistics trainer_statistics(const TrainerSession *session)
{
    TrainerStatistics s = {.low = INFINITY, .high = -INFINITY};
    double squares = 0; /* of the differences from the mean */
    for (int64_t end = session->options.epochs; end <= session->past.count; end += session->options.epochs) {
        double value = session->past.epochs[end - 1].test.accuracy, difference = value - s.mean;
        s.runs++;
        s.mean += difference / (double)s.runs;
        squares += difference * (value - s.mean);
        s.low = fmin(s.low, value);
        s.high = fmax(s.high, value);
    }
    s.deviation = s.runs > 1 ? sqrt(squares / (double)(s.runs - 1)) : 0;
    return s;
}

double trainer_seconds(const Metrics *metrics)
{
    double seconds = 0;
    for (int64_t i = 0; i < metrics->count; i++)
        seconds += metrics->epochs[i].train.seconds + metrics->epochs[i].test.seconds;
    return seconds;
}
