#!/usr/bin/env bash
# Do tests/check.sh and tests/run.sh, which tell whether tests fail, tell of failures? `make test` asks this first, and
# without them. Says nothing if all is well.
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cat > "$work/checks" << 'END'
. tests/check.sh
echo 'some text' > "$work/text"
check good true
check bad false
check good contains -F "$work/text" text
check bad contains -F "$work/text" other
check good lacks other "$work/text"
check bad lacks text "$work/text"
check bad lacks text "$work/nothing"
check good silent true
check bad silent echo text
check bad silent false
run 0 echo text
shows text
run 0 false
run 1 sh -c 'echo text >&2; exit 1'
says text
run 1 sh -c 'exit 1'
run 2 sh -c 'echo one >&2; echo two >&2; exit 2'
skip good
finish
END
# ends STATUS LINE COMMAND...: it ends with that status, and its last line is that.
ends()
{
    local expected=$1 line=$2 status
    shift 2
    "$@" > "$work/out" 2>&1
    status=$?
    [ $status = "$expected" ] && [ "$(tail -n 1 "$work/out")" = "$line" ] && return
    cat "$work/out"
    echo "harness: exit status $status, last line not \"$line\": $*"
    exit 1
}
ends 1 '8 passed, 9 failed, 1 skipped' bash "$work/checks"
[ "$(grep -c '^FAIL checks: ' "$work/out")" = 9 ] || { echo "harness: not 9 lines that say FAIL"; exit 1; }
printf '#!/bin/sh\necho "1 passed, $1 failed"; exit $1\n' > "$work/test"
chmod +x "$work/test"
ends 1 '2 passed, 1 failed' tests/run.sh "$work/test 0" "$work/test 1"
ends 0 '2 passed, 0 failed' tests/run.sh "$work/test 0" "$work/test 0"
