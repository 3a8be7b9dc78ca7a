/* The constants of Philox4x32-10, for one block (random.c) and for 16 (kernels/philox.h). */
#ifndef WEFT_KERNELS_PHILOX_CONSTANTS_H
#define WEFT_KERNELS_PHILOX_CONSTANTS_H

#include <stdint.h>

/* The multipliers, and what the key grows by each round: the golden ratio and sqrt(3) - 1. */
#define PHILOX_M0 UINT64_C(0xD2511F53)
#define PHILOX_M1 UINT64_C(0xCD9E8D57)
#define PHILOX_W0 UINT32_C(0x9E3779B9)
#define PHILOX_W1 UINT32_C(0xBB67AE85)
enum { PHILOX_ROUNDS = 10 };

#endif
