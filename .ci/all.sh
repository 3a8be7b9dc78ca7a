# What .ci/run --all adds, sourced by it: other processors and another libc, and the slow checkers.
# shellcheck shell=bash

# All unit tests but those of gradients by differences and of memory that runs out: these take many steps each, and what
# they find does not depend on the machine. Each may take an hour.
patient="--timeout 3600 $(printf '%s ' tests/test_*.c | sed -E 's/tests.test_(gradcheck[a-z_]*|faults)\.c//g')"

# ---- Races. clang's OpenMP runtime tells ThreadSanitizer of its barriers, through Archer; gcc's does not ----

archer=$(find /usr/lib/llvm-*/lib -name libarcher.so 2> "$work/err" | sort -V | tail -n 1)
export TSAN_OPTIONS="ignore_noninstrumented_modules=1 allocator_may_return_null=1"
PARTS=$patient ISA=baseline RUN="env OMP_TOOL_LIBRARIES=$archer OMP_NUM_THREADS=3" unit CC=clang MODE=tsan
unset TSAN_OPTIONS

# ---- Everything at -O0, kernels too: each lane's fused multiply-add stands alone then ----

PARTS=$patient unit BUILD=build/O0 CFLAGS=-O0 KERNEL_FLAGS=-O0

# ---- Other machines. Linked statically they need no libraries of their own ----

unit CC=musl-gcc OPENMP=0
unit CC=i686-linux-gnu-gcc OPENMP=0 LDFLAGS=-static # outside the promise of the same bits
PARTS=$patient RUN=qemu-aarch64 unit CC=aarch64-linux-gnu-gcc OPENMP=0 LDFLAGS=-static
counted tests/test_bits.sh "qemu-aarch64 $(build_folder CC=aarch64-linux-gnu-gcc OPENMP=0 LDFLAGS=-static)"
PARTS=$patient RUN="qemu-s390x -cpu max" unit CC=s390x-linux-gnu-gcc OPENMP=0 LDFLAGS=-static # big-endian

# ---- What AddressSanitizer cannot see: values never set, and the AVX2 kernels. There is no AVX-512 in valgrind ----

memcheck()
{
    valgrind --quiet --error-exitcode=9 --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all "$@"
}
valgrind_step()
{
    memcheck "$(build_folder OPENMP=0)/$1" --data data/mnist --quiet --limit 16 --batch-size 16 --epochs 1 \
        --validate 16 --save "$work/$1.valgrind"
}
for app in mnist_tiny mnist_cnn; do check "$app: a step under valgrind" valgrind_step $app; done
# The pool is off there: a freed block of its size is not to be read.
cat > "$work/freed.c" <<'END'
#include "tensor/memory.h"
int main(void)
{
    char *block = weft_alloc_zeroed(1, 100000);
    weft_free(block);
    return *(volatile char *)block;
}
END
check "a program that reads freed memory builds" gcc -I. "$work/freed.c" "$(build_folder OPENMP=0)/libweft.a" -lm \
    -o "$work/freed"
caught() { memcheck "$work/freed" 2>&1 | grep "Invalid read"; }
check "valgrind catches it" caught

# ---- The tests reach the lines, and notice mistakes ----

counted make coverage

check "make test notices every mistake that is made on purpose" make mutate
