#!/usr/bin/env bash
# A user's view: the public headers and libweft.a, nothing of the tree. An op of one's own, checked and in use.
. "$(dirname "$0")/check.sh"
include=$(cd "$BUILD/include" && pwd)
library=$(cd "$BUILD" && pwd)/libweft.a
cp tests/out_of_tree/*.c "$work"
cd "$work" || exit 1

# shellcheck disable=SC2086
build() { silent "$CC" ${USER_CFLAGS:--std=c11} -I"$include" "$1.c" "$library" ${USER_LDFLAGS:--lm} -o "$1"; }
check "own_op.c compiles without a warning" build own_op
check "own_op.c runs" ./own_op
finish
