/* Chooses the table of kernels: the best that this CPU runs, or what WEFT_ISA names. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/error.h"
#include "tensor/kernels/kernels.h"
#include "tensor/tensor.h"

extern const Kernels weft_kernels_baseline;
#ifdef WEFT_HAS_avx2
extern const Kernels weft_kernels_avx2;
#endif
#ifdef WEFT_HAS_avx512
extern const Kernels weft_kernels_avx512;
#endif

static _Atomic(const Kernels *) chosen;
static _Thread_local const Kernels *override;

const Kernels *const *weft_kernels_all(void)
{
    static const Kernels *_Atomic tables[4];
    static atomic_bool ready;
    if (!ready) {
        int count = 0;
#ifdef WEFT_HAS_avx512
        /* Exactly the features that the Makefile compiles this table for. */
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
            tables[count++] = &weft_kernels_avx512;
#endif
#ifdef WEFT_HAS_avx2
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) tables[count++] = &weft_kernels_avx2;
#endif
        tables[count] = &weft_kernels_baseline;
        ready = true;
    }
    return (const Kernels *const *)tables;
}

/* NULL if WEFT_ISA names something that is not here. */
static const Kernels *choose(void)
{
    const Kernels *const *tables = weft_kernels_all();
    const char *wanted = getenv("WEFT_ISA");
    if (!wanted || !wanted[0]) return tables[0];
    for (int i = 0; tables[i]; i++) {
        if (strcmp(tables[i]->isa, wanted) == 0) return tables[i];
    }
    return NULL;
}

const Kernels *weft_kernels(void)
{
    if (override) return override;
    const Kernels *kernels = chosen;
    if (!kernels) {
        kernels = choose();
        if (!kernels) return &weft_kernels_baseline; /* weft_isa() has reported it: no op comes this far */
        chosen = kernels;
    }
    return kernels;
}

void weft_kernels_use(const Kernels *kernels)
{
    override = kernels;
}

const char *weft_isa(void)
{
    if (override || chosen) return weft_kernels()->isa;
    if (choose()) return weft_kernels()->isa;
    char here[64] = "";
    for (const Kernels *const *table = weft_kernels_all(); *table; table++) {
        strcat(here, " ");
        strcat(here, (*table)->isa);
    }
    return weft_fail("WEFT_ISA=%s is not among what this machine and build have:%s", getenv("WEFT_ISA"), here);
}
