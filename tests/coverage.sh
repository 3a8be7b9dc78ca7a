#!/usr/bin/env bash
# `make coverage`: the share of each folder's lines that the unit tests run, by gcov, and which lines they do not. Fails
# where it is below 95%. A kernel's line counts as run whichever instruction set ran it.
. "$(dirname "$0")/check.sh"
unset BUILD MODE CC # of the make that calls this
enough=95
folder=$(make -s MODE=coverage print-build)
make -j"$(nproc)" MODE=coverage unit > "$work/build" 2>&1 || { tail -n 20 "$work/build"; exit 1; }
find "$folder" -name '*.gcda' -delete
# Threads would wait for each other to count the same lines; nor are counts atomic (the Makefile's
# -fprofile-update=single), which would take six times as long: where a test asks for threads, a few may be off.
counted env OMP_NUM_THREADS=1 "$folder/tests/unit" --timeout 3600

# gcov writes COUNT:LINE:TEXT: "-" is no code, "#####" code that never ran. A header is in many objects: lines are
# counted in all of them at once.
lines() { find "$folder/obj" -name '*.gcda' -exec gcov --stdout {} + 2> "$work/err"; }
lines | awk -F: -v enough=$enough -v missed="$folder/missed" '
    $2 + 0 == 0 && $3 == "Source" { file = $4; wanted = file ~ /^(tensor|autograd|nn|optim|data)\//; next }
    wanted && NF >= 3 {
        count = $1
        gsub(/ /, "", count)
        if (count == "-" || $2 + 0 == 0) next
        place = file ":" ($2 + 0)
        if (!(place in ran)) { ran[place] = 0; lines[folder(file)]++; all++ }
        if (count !~ /^[#=]/ && !ran[place]) { ran[place] = 1; done[folder(file)]++; all_done++ }
    }
    function folder(path) { return substr(path, 1, index(path, "/") - 1) }
    function row(name, done, lines) { printf "%-10s %6d of %6d lines  %6.2f%%\n", name, done, lines, 100 * done / lines}
    END {
        count = split("tensor autograd nn optim data", order, " ")
        for (i = 1; i <= count; i++) {
            name = order[i]
            row(name, done[name], lines[name])
            short += 100 * done[name] < enough * lines[name]
        }
        row("total", all_done, all)
        for (place in ran) if (!ran[place]) print place > missed
        if (short) print short " folders below " enough "%"
        exit short > 0
    }' > "$work/shown"
enough_run=$?
cat "$work/shown"
[ -f "$folder/missed" ] && sort -t: -k1,1 -k2,2n "$folder/missed" -o "$folder/missed" && echo "not run: $folder/missed"
check "every folder has $enough%" [ $enough_run = 0 ]
finish
