/* Kernels: the only code that knows of vectors. Internal.
 *
 * Each source in this folder is compiled once for every instruction set of the machine's family, with WEFT_ISA_NAME
 * set to its name, and defines its functions as KERNEL(name). WEFT_KERNELS lists them all: the table's type, the
 * tables and the test that each ISA computes the same bits follow from that list.
 *
 * Kernels cannot fail and allocate nothing: the op has checked shapes and made room. `lanes` arguments are
 * [groups][elements][16], 64-byte aligned. They start threads through parallel_for only. */
#ifndef WEFT_KERNELS_H
#define WEFT_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/random.h"
#include "tensor/real.h"

#include "tensor/kernels/list.h"

#define WEFT_PASTE2(name, isa) weft_kernel_##name##_##isa
#define WEFT_PASTE(name, isa) WEFT_PASTE2(name, isa)
#define KERNEL(name) WEFT_PASTE(name, WEFT_ISA_NAME)

typedef struct Kernels {
    const char *isa;
#define KERNEL_MEMBER(name, arguments) void(*name) arguments;
    WEFT_KERNELS(KERNEL_MEMBER)
#undef KERNEL_MEMBER
} Kernels;

/* Inside a kernel source: the prototypes of this ISA's functions. */
#ifdef WEFT_ISA_NAME
#define KERNEL_PROTOTYPE(name, arguments) void KERNEL(name) arguments;
WEFT_KERNELS(KERNEL_PROTOTYPE)
#undef KERNEL_PROTOTYPE
#endif

/* The table in use. */
const Kernels *weft_kernels(void);
/* Tables that this machine can run, best first, NULL-terminated: for tests. */
const Kernels *const *weft_kernels_all(void);
/* Makes ops use another table of weft_kernels_all, NULL the default: for tests that compare ISAs in one process. */
void weft_kernels_use(const Kernels *kernels);

#endif
