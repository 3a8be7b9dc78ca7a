#include "tensor/parallel.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "tensor/tensor.h"

#ifdef _OPENMP
#include <omp.h>
#endif

static atomic_int thread_count; /* 0: not chosen yet */

enum { MAX_THREADS = 4096 };

bool weft_has_openmp(void)
{
#ifdef _OPENMP
    return true;
#else
    return false;
#endif
}

bool weft_set_threads(int threads)
{
    if (threads < 1 || threads > MAX_THREADS)
        return weft_fail("threads: %d is not from 1 to %d", threads, MAX_THREADS);
    thread_count = weft_has_openmp() ? threads : 1;
    return true;
}

int weft_threads(void)
{
#ifdef _OPENMP
    if (!thread_count) thread_count = omp_get_max_threads();
    return thread_count;
#else
    return 1;
#endif
}

void parallel_for(int64_t count, int64_t grain, ParallelBody *body, void *context)
{
    if (count <= 0) return;
#ifdef _OPENMP
    int64_t pieces = count / (grain > 0 ? grain : 1);
    int most = weft_threads(), threads = pieces < most ? (int)pieces : most;
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        {
            int64_t thread = omp_get_thread_num(), team = omp_get_num_threads();
            int64_t share = count / team, rest = count % team;
            int64_t begin = thread * share + (thread < rest ? thread : rest);
            body(begin, begin + share + (thread < rest), (int)thread, context);
        }
        return;
    }
#else
    (void)grain;
#endif
    body(0, count, 0, context);
}
