#!/usr/bin/env bash
# --profile and --detect-anomaly.
. "$(dirname "$0")/check.sh"
. tests/small_data.sh
tiny=$BUILD/mnist_tiny cnn=$BUILD/mnist_cnn
quick="--data $data --epochs 2 --batch-size 32 --threads 1"

# ---- The profile: 2 epochs of 6 steps ----

# adds_up: the rows' seconds and shares are the total's, but for rounding; and that is what was measured.
adds_up()
{
    awk '/^profile of / { measured = $3; on = 1; next }
         /^op, layer or shape/ || !on { next }
         { match($0, /[0-9.]+ +[0-9.]+%/)
           split(substr($0, RSTART, RLENGTH), number, " ")
           if (/^total/) { total = number[1] } else { sum += number[1]; share += number[2]; rows++ } }
         function near(a, b, rounding) { return a - b <= rounding && b - a <= rounding }
         END { print measured, total, sum, share, rows
               exit !(rows > 5 && near(sum, total, 0.0006 * rows) && near(total, measured, 0.0011) &&
                      near(share, 100, 0.06 * rows)) }' "$work/out"
}
# fits: no line is wider than 80 columns.
fits() { awk 'length($0) > 80 { print; exit 1 }' "$work/out"; }

# shellcheck disable=SC2086
run 0 "$tiny" $quick --log "$work/tiny.csv" --profile
check "the rows add up to what was measured" adds_up
check "a profile fits 80 columns" fits
check "and is what the epochs took" awk -F, -v measured="$(sed -n 's/^profile of \([0-9.]*\).*/\1/p' "$work/out")" \
    'NR > 1 { sum += $7 } END { exit !(sum - measured < 0.05 * sum + 0.01 && measured - sum < 0.05 * sum + 0.01) }' \
    "$work/tiny.csv"
for layer in 1 2 3 4 5 6 7 8 9; do shows "^conv2d conv$layer +12 +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+%"; done
for layer in 1 2 3 4 5 6 7 8; do shows "^batch_norm2d bn$layer +12 "; done
for row in 'max_pool2d 16x11x11' 'avg_pool2d 10x1x1' 'log_softmax 10' nll_loss loading optimizer other; do
    shows "^$row +[0-9]"
done
# conv3 takes 2 * 16 * 12 * 9 * 22 * 22 = 1,672,704 a sample, conv4 2 * 8 * 16 * 11 * 11: 54 times fewer.
shows '^conv2d conv3 .*% +[0-9.]+ +[0-9.]+$'
shows '^max_pool2d .*%$'
# shellcheck disable=SC2086
run 0 "$tiny" $quick --runs 2 --profile --quiet
shows '^conv2d conv1 +24 '
check "the rows of two runs add up" adds_up
check "--quiet shows nothing else but the last line" test "$(head -n 2 "$work/out" | grep -c profile)" = 1
# shellcheck disable=SC2086
run 0 "$tiny" $quick --save "$work/profiled.safetensors" --profile
# shellcheck disable=SC2086
run 0 "$tiny" $quick --save "$work/plain.safetensors"
check "a profile changes no weight" cmp "$work/profiled.safetensors" "$work/plain.safetensors"
# shellcheck disable=SC2086
run 0 "$tiny" $quick --checkpoint "$work/done"
# shellcheck disable=SC2086
run 0 "$tiny" $quick --checkpoint "$work/done" --resume --profile
shows '^profile: nothing ran$'
run 0 "$tiny" --data "$data" --eval --load "$work/plain.safetensors" --profile
check "the rows of a test add up" adds_up
shows '^conv2d conv9 +1 +[0-9.]+ +0\.000 '
# shellcheck disable=SC2086
run 0 "$cnn" $quick --epochs 1 --profile
check "the rows of the large network add up" adds_up
shows '^linear fc1 +6 '
# shellcheck disable=SC2086
run 0 "$BUILD/examples/resnet" $quick --epochs 1 --limit 32 --profile
shows '^batch_norm2d [a-z0-9.]*bn1 +1 '
shows '^batch_norm2d [a-z0-9.]*bn2 +1 '
check "no two rows have one name" awk '{ name = $1 " " $2 } /%/ && seen[name]++ { print; exit 1 }' "$work/out"

# ---- Anomalies ----

# shellcheck disable=SC2086
run 1 "$cnn" $quick --schedule constant --lr 999 --momentum 0.99 --detect-anomaly
says 'epoch '
says ': anomaly: '
where='(conv2d|linear|log_softmax|nll_loss) (of|after) (conv[1-4]|fc[12])'
check "an op, a layer and shapes are named" \
    grep -qE "anomaly: .*$where (made|was given) -?(NaN|inf) at \\[" "$work/err"
# shellcheck disable=SC2086
run 0 "$tiny" $quick --save "$work/watched.safetensors" --detect-anomaly
check "detection changes no weight" cmp "$work/watched.safetensors" "$work/plain.safetensors"
run 0 "$tiny" --data "$data" --eval --load "$work/plain.safetensors" --detect-anomaly

# ---- Usage ----

usage_error() { local text=$1; shift; run 2 "$tiny" "$@"; says "$text"; }
usage_error 'do not go together' --profile --detect-anomaly
usage_error '--predict and --profile do not go together' --load x --predict y --profile
usage_error '--predict and --detect-anomaly do not go together' --load x --predict y --detect-anomaly
finish
