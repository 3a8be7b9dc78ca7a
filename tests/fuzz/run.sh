#!/usr/bin/env bash
# tests/fuzz/run.sh SECONDS TARGET...: runs each fuzz target for so long, one after the other, from seeds that it writes
# itself and what earlier runs found worth keeping, below `corpus` beside the targets. An input that breaks one is kept
# beside it too. No input is longer than 8 KB; none may take 100 seconds, or 32 MB in one piece.
. "$(dirname "$0")/../check.sh"
seconds=$1
shift
run()
{
    "$target" -max_total_time="$seconds" -max_len=8192 -timeout=100 -malloc_limit_mb=32 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="$target-" -dict=tests/fuzz/words.dict "$corpus" > "$work/said" 2>&1 ||
        { tail -n 40 "$work/said"; return 1; }
}
for target in "$@"; do
    name=$(basename "$target") corpus=$(dirname "$target")/corpus/$(basename "$target")
    mkdir -p "$corpus"
    check "$name: seeds" env FUZZ_SEEDS="$corpus" "$target"
    check "$name" run
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/said") executions"
done
finish
