#!/usr/bin/env bash
# tests/run.sh COMMAND...: runs each, which ends with a line "N passed, N failed[, N skipped]", and adds them up. As
# many run at a time as there are processors, or TEST_JOBS says; what one said is shown when it has ended.
. "$(dirname "$0")/check.sh"
# Each command in a process group of its own, so that what it started can be stopped with it.
set -m
# shellcheck disable=SC2046
trap 'exec 2> /dev/null; kill -- $(jobs -p | sed s/^/-/); rm -rf "$work"' EXIT
commands=("$@")
ended=0
# start INDEX: runs that command in the background; its status is written last.
start()
{
    mkdir "$work/$1"
    # shellcheck disable=SC2086
    { ${commands[$1]} < /dev/null > "$work/$1/said" 2>&1; echo $? > "$work/$1/status"; } &
}
# show_ended: shows and counts the commands that have ended since.
show_ended()
{
    local folder command
    for folder in "$work"/*/; do
        [ -s "$folder/status" ] || continue
        command=${commands[$(basename "$folder")]}
        ended=$((ended + 1))
        echo "== $command"
        cat "$folder/said"
        add_counts "$command" "$(cat "$folder/status")" "$folder/said"
        rm -r "$folder"
    done
}
# until_fewer_than COUNT: waits until fewer run, and shows those that end.
until_fewer_than()
{
    while [ "$(jobs -pr | wc -l)" -ge "$1" ]; do
        wait -n
        show_ended
    done
}
most=${TEST_JOBS:-$(nproc 2> /dev/null || echo 1)}
for ((next = 0; next < ${#commands[@]}; next++)); do
    until_fewer_than "$most"
    start $next
done
until_fewer_than 1
show_ended
# Whatever killed a test with all around it, or left no room to begin one.
lost=$((${#commands[@]} - ended))
[ $lost = 0 ] || echo "FAIL $lost of ${#commands[@]} have no exit status"
failed=$((failed + lost))
echo "== all"
finish
