/* Multiply-adds in registers and nothing else: compiled once for each instruction set, see tests/peak.h. */
#include "tensor/kernels/vector.h"
#include "tests/peak.h"

/* Independent chains: more than a latency of 4 to 5 cycles times 2 a cycle, and with the two factors no more than the
 * registers hold, which are 32 or 16. */
#if defined(__AVX512F__) || defined(__aarch64__)
enum { CHAINS = 16 };
#else
enum { CHAINS = 12 };
#endif

Peak PEAK(WEFT_ISA_NAME);

int64_t PEAK(WEFT_ISA_NAME)(int64_t rounds, double *sink)
{
    /* Each chain tends to 1: neither to infinity nor to denormals, which some machines are slow at. */
    const volatile Real factor = (Real)0.75;
    const V a = vset(factor), b = vset(1 - factor);
    V chains[CHAINS];
    VUNROLL
    for (int i = 0; i < CHAINS; i++)
        chains[i] = vset((Real)i);
    for (int64_t round = 0; round < rounds; round++) {
        VUNROLL
        for (int i = 0; i < CHAINS; i++)
            chains[i] = vfma(chains[i], a, b);
    }
    V sum = chains[0];
    VUNROLL
    for (int i = 1; i < CHAINS; i++)
        sum += chains[i];
    *sink = (double)sum[0];
    return 2 * CHAINS * VWIDTH;
}
