#!/usr/bin/env bash
# tests/run.sh COMMAND...: runs each, which ends with a line "N passed, N failed[, N skipped]", and adds them up.
# A command that fails without having counted a failure is one itself.
passed=0 failed=0 skipped=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT
for command in "$@"; do
    echo "== $command"
    $command 2>&1 | tee "$output"
    status=${PIPESTATUS[0]}
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$output" | tail -n 1)
    read -r p f s <<< "$(tr -c '0-9\n' ' ' <<< "$line")"
    if [ "${f:-0}" = 0 ] && { [ -z "$line" ] || [ "$status" != 0 ]; }; then
        echo "FAIL $command: exit status $status, \"${line:-no counts}\""
        f=1
    fi
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0})) skipped=$((skipped + ${s:-0}))
done
echo "== all"
echo "$passed passed, $failed failed$([ $skipped = 0 ] || echo ", $skipped skipped")"
[ $failed = 0 ]
