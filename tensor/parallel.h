/* The one place where threads start. Internal. */
#ifndef WEFT_PARALLEL_H
#define WEFT_PARALLEL_H

#include <stdint.h>

/* Computes items [begin, end). `thread` is below weft_threads() and differs between calls that run at the same time:
 * it picks a part of scratch memory. Bodies cannot fail and allocate nothing. */
typedef void ParallelBody(int64_t begin, int64_t end, int thread, void *context);

/* Cuts [0, count) into one contiguous range a thread, each of at least `grain` items, and runs them. The same items
 * fall to the same thread each time, so that what a thread wrote is in its cache when it reads it. */
void parallel_for(int64_t count, int64_t grain, ParallelBody *body, void *context);

#endif
