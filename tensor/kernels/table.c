/* This instruction set's table of kernels. */
#include "tensor/kernels/kernels.h"

#define QUOTE2(name) #name
#define QUOTE(name) QUOTE2(name)
#define TABLE2(isa) weft_kernels_##isa
#define TABLE(isa) TABLE2(isa)
#define ENTRY(name, arguments) .name = KERNEL(name),

extern const Kernels TABLE(WEFT_ISA_NAME);
const Kernels TABLE(WEFT_ISA_NAME) = {.isa = QUOTE(WEFT_ISA_NAME), WEFT_KERNELS(ENTRY)};
