#!/usr/bin/env bash
# The harness itself: each way to fail is told, counted, and hides no other test.
. "$(dirname "$0")/check.sh"
cat > "$work/faulty.c" <<'END'
#include "tensor/memory.h"
#include "tests/test.h"
#include <fcntl.h>
#include <unistd.h>
TEST(good) { CHECK(true); CHECK_CLOSE(100, 100.09, 1e-3); CHECK_CLOSE(INFINITY, INFINITY, 0); CHECK_TEXT("a", "a"); }
TEST(bad_condition) { CHECK(1 > 2); }
TEST(bad_number) { CHECK_EQUAL(3, 4); }
TEST(bad_close) { CHECK_CLOSE(1, 1.1, 1e-3); }
TEST(bad_tolerance) { CHECK_CLOSE(100, 100.11, 1e-3); }
TEST(bad_infinity) { CHECK_CLOSE(1, INFINITY, 1e-3); }
TEST(bad_nan) { CHECK_CLOSE(NAN, 1, 1e9); }
TEST(bad_bits) { Real a[] = {1, 2}, b[] = {1, 3}; CHECK_EQUAL_BITS(a, b, 2); }
TEST(bad_zero) { Real a[] = {0}, b[] = {-0.0f}; CHECK_EQUAL_BITS(a, b, 1); }
TEST(bad_nothing) { CHECK_EQUAL_BITS(NULL, NULL, 2); }
TEST(bad_text) { CHECK_TEXT("a", "b"); }
TEST(bad_no_error) { CHECK_ERROR("anything"); }
TEST(bad_other_error) { weft_fail("this"); CHECK_ERROR("that"); }
TEST(bad_error_left) { weft_fail("left behind"); }
TEST(bad_leak) { tensor_retain(tensor_zeros(SHAPE(3))); }
TEST(bad_block) { weft_alloc(3, 1); }
TEST(bad_file) { open("/dev/null", O_RDONLY); }
static void helper(void) { CHECK(1 > 2); }
TEST(bad_helper) { helper(); SKIP("for no reason"); }
TEST(bad_crash) { signal(SIGSEGV, SIG_DFL); raise(SIGSEGV); }
TEST(bad_exit) { _exit(3); }
TEST(bad_end) { exit(0); }
TEST(bad_hang) { for (;;) pause(); }
TEST(skipped) { SKIP("for a reason"); }
TEST(good_at_the_end) { CHECK(test_number(1, 0) != test_number(1, 1)); weft_fail("x"); CHECK_ERROR("x"); }
END
sed -i 's/#include <unistd.h>/#include <signal.h>\n&/' "$work/faulty.c"
# shellcheck disable=SC2086
check "compiles" "$CC" -D_POSIX_C_SOURCE=200809L $USER_CFLAGS -I. "$work/faulty.c" "$BUILD/obj/tests/main.o" \
    "$BUILD/obj/tests/numbers.o" "$BUILD/libweft.a" $USER_LDFLAGS -o "$work/faulty"
"$work/faulty" --timeout 1 > "$work/out"
check "exit status tells of the failures" [ $? = 1 ]
check "counts" [ "$(tail -n 1 "$work/out")" = "2 passed, 21 failed, 1 skipped" ]
for name in condition number close tolerance infinity nan bits zero nothing text no_error other_error error_left leak \
    block file helper crash exit end hang; do
    check "one line for bad_$name" [ "$(grep -c "^FAIL bad_$name: .*faulty.c" "$work/out")" = 1 ]
done
"$work/faulty" good > "$work/out"
check "success is exit status 0" [ $? = 0 ]
check "a filter selects" [ "$(cat "$work/out")" = "2 passed, 0 failed" ]
check "so does a part of a file's name" [ "$("$work/faulty" --list y.c | wc -l)" = 24 ]
check "another file's does not" [ "$("$work/faulty" --list x.c | wc -l)" = 0 ]
"$work/faulty" no_such_test > "$work/out"
check "no test is a failure" [ $? = 1 ]
"$work/faulty" --no-fork skipped good > "$work/out"
check "tests run without forking" [ "$(tail -n 1 "$work/out")" = "2 passed, 0 failed, 1 skipped" ]

# tests/run.sh adds up, and trusts neither a missing line nor an exit status that disagrees or, where a test has killed
# all around it, is not there.
script() { printf '#!/bin/sh\n%s\n' "$2" > "$work/$1"; chmod +x "$work/$1"; }
script good 'echo "3 passed, 0 failed, 1 skipped"'
script bad 'echo "1 passed, 2 failed"; exit 1'
script silent 'true'
script lying 'echo "1 passed, 0 failed"; exit 1'
script killed 'echo "1 passed, 0 failed"; kill -KILL 0'
tests/run.sh "$work/good" "$work/bad" "$work/silent" "$work/killed" "$work/lying" > "$work/out" 2> "$work/err"
check "run.sh fails when one fails" [ $? = 1 ]
check "run.sh adds up" [ "$(tail -n 1 "$work/out")" = "5 passed, 5 failed, 1 skipped" ]
check "run.sh succeeds when all do" tests/run.sh "$work/good"
says_after() { [ "$(grep -Fx -A 1 "== $1" "$work/out" | tail -n 1)" = "$2" ]; }
check "run.sh shows what one said below its name" says_after "$work/lying" "1 passed, 0 failed"
# What a test started ends with run.sh.
# The pipe ends when the last that could write to it has ended.
mkfifo "$work/held"
script sleeping 'exec 3> '"$work"'/held; echo begun >&3; sleep 100; echo "1 passed, 0 failed"'
tests/run.sh "$work/sleeping" > "$work/out" &
ends_with() { timeout 60 bash -c 'exec < "$1"; read -r _ && kill "$2" && ! read -r _' - "$work/held" "$1"; }
check "what run.sh started ends with it" ends_with $!
finish
