/* The most multiply-adds that one thread does in registers, per instruction set: the ceiling that tests/bench.c holds
 * the kernels against. tests/peak.c is compiled as the kernels are, once for each of them. */
#ifndef WEFT_TESTS_PEAK_H
#define WEFT_TESTS_PEAK_H

#include <stdint.h>

#define PEAK_PASTE2(isa) peak_##isa
#define PEAK_PASTE(isa) PEAK_PASTE2(isa)
#define PEAK(isa) PEAK_PASTE(isa)

/* Does so many rounds and returns the floating-point operations in a round, two for a multiply-add. What it computed
 * goes to *sink, so that it cannot be left out. */
typedef int64_t Peak(int64_t rounds, double *sink);

Peak peak_baseline;
#ifdef WEFT_HAS_avx2
Peak peak_avx2;
#endif
#ifdef WEFT_HAS_avx512
Peak peak_avx512;
#endif

#endif
