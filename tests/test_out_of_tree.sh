#!/usr/bin/env bash
# A user's view: the installed headers and libweft.a, nothing of the tree. An op of one's own; the README's programs.
. "$(dirname "$0")/check.sh"
include=$(cd "$BUILD/include" && pwd)
library=$(cd "$BUILD" && pwd)/libweft.a
readme=$PWD/README.md
cp tests/out_of_tree/*.c "$work"
cd "$work" || exit 1

# shellcheck disable=SC2086
build() { silent "$CC" ${USER_CFLAGS:--std=c11} -I"$include" "$1.c" "$library" ${USER_LDFLAGS:--lm} -o "$1"; }
check "own_op.c compiles without a warning" build own_op
check "own_op.c runs" ./own_op

# Every ```c block of the README that includes <weft/weft.h> is a whole program or a whole part of one.
if [ -f "$readme" ]; then
    awk '/^ *```c$/ { on = 1; n++; next } /^ *```/ { on = 0 } on { print > ("readme" n ".c") }' "$readme"
    programs=$(grep -l '#include <weft/weft.h>' readme*.c 2> err)
    check "the README shows a program" [ -n "$programs" ]
    for program in $programs; do
        name=${program%.c}
        if grep -qE '^int main\(' "$program"; then
            check "$program compiles as shown" build "$name"
            # A program that trains needs data that a clean checkout lacks: then it says so and exits 1.
            if grep -qE 'dataset_mnist|trainer_main' "$program"; then continue; fi
            check "$program runs" "./$name"
        else
            check "$program compiles as shown" silent "$CC" $USER_CFLAGS -I"$include" -c "$program" -o "$name.o"
        fi
    done
else
    skip "the README's programs: there is no README.md"
fi
finish
