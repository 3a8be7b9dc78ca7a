#!/usr/bin/env bash
# That WEFT_ISA does something: avx2 takes 1.3 to 2.2 times as long as avx512 on mnist_cnn: in processor time of one
# thread, which other programs disturb little; the medians of runs in turns.
. "$(dirname "$0")/check.sh"
. tests/small_data.sh
for isa in avx2 avx512; do
    WEFT_ISA=$isa "$BUILD/mnist_cnn" --summary > "$work/out" 2>&1 && continue
    skip "WEFT_ISA=$isa: not on this machine"
    finish
done
TIMEFORMAT=%U
# seconds ISA: adds to $work/ISA what a short training takes.
seconds()
{
    { time WEFT_ISA=$1 "$BUILD/mnist_cnn" --data "$data" --quiet --epochs 4 --threads 1 > "$work/out"; } 2>> "$work/$1"
}
median() { sort -g "$1" | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }
for _ in 1 2 3 4 5 6 7; do
    for isa in avx2 avx512; do seconds $isa; done
done
ratio=$(echo "$(median "$work/avx2") $(median "$work/avx512")" | awk '{ printf "%.2f", $1 / $2 }')
echo "avx2 takes $ratio times as long as avx512 on mnist_cnn"
check "1.3 to 2.2 times" awk -v ratio="$ratio" 'BEGIN { exit !(ratio >= 1.3 && ratio <= 2.2) }'
finish
