#!/usr/bin/env bash
# The Makefile: all tests are run, each variant has a folder of its own, and what has changed is compiled again.
. "$(dirname "$0")/check.sh"
# Another make, not a part of the one that runs this test.
make() { env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s "$@"; }
# What make would do, with the variables on the command line of the one that runs this test.
case $MAKEFLAGS in
*'-- '*) variables="-- ${MAKEFLAGS#*-- }" ;;
*) variables= ;;
esac
plan() { env -u MFLAGS -u MAKELEVEL MAKEFLAGS="$variables" make -sn "$@" 2> "$work/err"; }

# ---- All tests are run ----

plan test > "$work/plan"
for test in "$BUILD/tests/unit" ${DOUBLE:+"$DOUBLE/tests/unit"} tests/test_*.sh; do
    check "make test runs $test" grep -qE "run.sh.* $test( |\$)" "$work/plan"
done
check "make test asks first whether the harness tells of failures" grep -q '^tests/harness.sh' "$work/plan"
# linked FOLDER VARIABLE...: how the unit tests are linked there.
linked() { plan -W "$1/libweft.a" BUILD="$1" "${@:2}" "$1/tests/unit" | grep -e "-o $1/tests/unit"; }
linked "$BUILD" > "$work/linked"
for source in tests/test_*.c; do
    check "the unit tests have $source" grep -qF " $BUILD/obj/${source%.c}.o " "$work/linked"
done
[ -z "$DOUBLE" ] || check "and the same in double" \
    [ "$(linked "$DOUBLE" PRECISION=double | wc -w)" = "$(wc -w < "$work/linked")" ]

draws() { plan digits | grep -qx "$BUILD/tests/digits $BUILD/digits"; }
check "make digits draws into $BUILD/digits" draws

# ---- Variants ----

unset BUILD
for mode in release debug asan ubsan tsan; do
    for precision in float double; do
        for openmp in 0 1; do
            for compiler in gcc clang; do
                make -C "$work" -f "$PWD/Makefile" MODE=$mode PRECISION=$precision OPENMP=$openmp CC=$compiler \
                    print-build 2> "$work/err"
            done
        done
    done
done > "$work/folders"
check "40 variants have 40 folders" [ "$(sort -u "$work/folders" | wc -l)" = 40 ]
check "the first is build" [ "$(sed -n 3p "$work/folders")" = build ]

# ---- What has changed is compiled again ----

for source in tensor/crc tensor/kernels/sgd; do
    object=$work/build/obj/$source.o
    [ $source = tensor/crc ] || object=$work/build/obj/tensor/kernels/baseline/sgd.o
    compiled() { make BUILD="$work/build" "$object"; }
    again() { compiled && { make -q BUILD="$work/build" "$object" "$@" 2> "$work/err"; [ $? = 1 ]; }; }
    check "$source is compiled" compiled
    check "once" eval '! again'
    check "again when a header has changed" again -W $source.h
    check "again with other flags" again CFLAGS=-DOTHER
    check "again with other definitions" again CPPFLAGS=-DOTHER
done
check "kernels with other flags of theirs" again KERNEL_FLAGS=-O3
check "kernels with other flags of an instruction set" again ISA_baseline=-O3

# ---- What is said and fetched ----

check "make help lists every target that has a description" \
    diff <(make BUILD="$work/build" help | cut -c 21- | sort) \
    <(grep -E '^[a-z-]+:.*## ' Makefile | sed 's/.*## //' | sort)

fetches() { [ "$(plan BUILD="$work/build" "$1" | grep -o 'data/fetch.sh .*')" = "data/fetch.sh $2" ]; }
check "make data fetches MNIST" fetches data mnist
check "make fashion fetches Fashion-MNIST" fetches fashion fashion
check "make train fetches MNIST" fetches train mnist
finish
