/* Seconds that pass at the same pace whatever the calendar does. Internal. */
#ifndef WEFT_TRAINER_CLOCK_H
#define WEFT_TRAINER_CLOCK_H

#include <time.h>

static inline double trainer_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
