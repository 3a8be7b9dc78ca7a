#!/usr/bin/env bash
# The benchmark, as a smoke test: it runs to its end, and its tables have their rows and plausible numbers.
. "$(dirname "$0")/check.sh"
bench=$BUILD/tests/bench
check "bench --quick runs" "$bench" --quick
"$bench" --quick > "$work/out" 2> "$work/err"
check "and says nothing of errors" [ ! -s "$work/err" ]
threads=$(sed -n '1s/.* \([0-9]*\) threads.*/\1/p' "$work/out")
columns=$(( ${threads:-1} > 1 ? 2 : 1 ))

# row PATTERN NUMBERS TIMES: the table has so many such rows, whose last NUMBERS fields are positive and finite.
row()
{
    awk -v pattern="$1" -v numbers="$2" -v times="$3" '
        $0 ~ pattern {
            rows++
            for (i = NF - numbers + 1; i <= NF; i++) {
                sub(/%$/, "", $i)
                if (i < 1 || $i !~ /^[0-9]+(\.[0-9]+)?$/ || $i + 0 < ($i ~ /\./ ? 1e-9 : 0)) bad = 1
            }
        }
        END { if (rows != times) print rows + 0 " rows, not " times; exit bad || rows != times }' "$work/out" ||
        { cat "$work/out"; return 1; }
}
check "the peak" row '^multiply-adds, GFLOP/s' "$columns" 1
check "the copy" row '^copy, GB/s' "$columns" 1
layer='[0-9]+>[0-9]+ +[0-9]+ [0-9]x[0-9] '
check "four convolutions of mnist_cnn" row "^mnist_cnn conv[1-4] +$layer" 9 4
check "nine convolutions of mnist_tiny" row "^mnist_tiny conv[1-9] +$layer" 9 9
for shape in 5x5 'stride 2' padded 1x1 '3 channels' '24 channels'; do
    check "a convolution of $shape" grep -qE "^$shape.* $layer" "$work/out"
done
check "each convolution is in full" row "$layer" 9 "$(grep -cE " $layer" "$work/out")"
check "training" row '^training, images/s' "$columns" 2
check "testing" row '^testing, images/s' "$columns" 2
check "one image" row '^one image, ms' "$columns" 2
memory() { awk '/^peak memory/ && $6 == "MB," && $5 > $10 && $10 > 0 { n++ } END { exit n != 2 }' "$work/out"; }
check "the process holds more than its tensors" memory
check "page faults" [ "$(grep -cE '^page faults +[0-9]+ in [0-9]+ steps$' "$work/out")" = 2 ]
for way in 'batch 32' 'batch 64' 'batch 256' 'batch 512' augmented 'random pixels'; do
    check "training with $way" [ "$(grep -cE "^$way +[0-9]+, [0-9.]+ of the usual$" "$work/out")" = 2 ]
done
check "lines are under 100 columns" awk 'length($0) > 99 { exit 1 }' "$work/out"

latencies() { "$bench" --latency | awk '$2 > 0 { n++ } END { exit n != 2 || NR != 2 }'; }
check "bench --latency" latencies
part() { "$bench" bogus > "$work/part" 2>&1; [ $? = 2 ]; }
check "an unknown part is a usage error" part
usage() { "$bench" --bogus 2> "$work/err"; [ $? = 2 ] && grep -q '^usage' "$work/err"; }
check "another option is a usage error" usage
fails() { ! WEFT_ISA=bogus "$bench" --quick > "$work/out" 2> "$work/err" && grep -q bogus "$work/err"; }
check "failure is told" fails
finish
