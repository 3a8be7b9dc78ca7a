/* Kernels: the only code that knows of vectors. Internal.
 *
 * Words: a group is 16 samples, or the 16 values that they have of one element; a part is one of its VPARTS vectors;
 * a plane is one channel of one group; a map is all channels of one group (and section); a register tile is the sums
 * that an innermost loop keeps. Winograd's tile is a square of outputs.
 *
 * To read: vector.h first, then elementwise.c and batch_norm.c. Of the convolutions conv.h, conv_axis.h, conv.c and
 * conv_grad.c; then winograd.h, winograd_lines.h, _transform.h, _product.h, winograd.c, _input.c, _weight.c, _pack.c.
 *
 * Each source in this folder but dispatch.c is compiled once for every instruction set of the machine's family, with
 * WEFT_ISA_NAME set to its name, and defines its functions as KERNEL(name). WEFT_KERNELS lists them all: the table's
 * type, the tables and the test that each ISA computes the same bits follow from that list.
 *
 * Kernels cannot fail and allocate nothing: the op has checked shapes and made room. Arguments in lanes are
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

/* Groups that so many samples fill, the last of them perhaps in part. */
static inline int64_t kernel_groups(int64_t samples)
{
    return (samples + WEFT_LANES - 1) / WEFT_LANES;
}

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
/* Makes this thread's ops use another table of weft_kernels_all, NULL the default: for tests that compare ISAs. */
void weft_kernels_use(const Kernels *kernels);

#endif
