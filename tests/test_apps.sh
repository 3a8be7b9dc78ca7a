#!/usr/bin/env bash
# The command line of both apps, on small files in MNIST's format that this script makes itself.
. "$(dirname "$0")/check.sh"
. tests/small_data.sh
tiny=$BUILD/mnist_tiny cnn=$BUILD/mnist_cnn
header=epoch,lr,train_loss,train_accuracy,test_loss,test_accuracy,train_seconds,test_seconds

# column N FILE: a column of a csv without its header, as one line.
column() { tail -n +2 "$2" | cut -d, -f"$1" | tr '\n' ' '; }

quick="--data $data --epochs 2 --batch-size 32"

# ---- Usage ----

for app in "$tiny" "$cnn"; do
    run 0 "$app" --help
    check "--help fits a screen of 80 x 24" awk 'length($0) > 80 || NR > 23 { exit 1 }' "$work/out"
    for option in data epochs batch-size lr momentum weight-decay schedule dropout label-smoothing augment \
                  no-augment no-shuffle limit validate seed runs threads load save export checkpoint resume report \
                  eval summary log quiet help predict profile detect-anomaly version; do
        shows "--$option"
    done
    run 0 "$app" --version
    shows '[0-9]+\.[0-9]+\.[0-9]+'
done
# The recipes behind the figures in the README: EPOCHS BATCH AUGMENT.
recipe()
{
    shows "--epochs N, --batch-size N .*\\[$1, $2\\]"
    shows "--augment R,T,S,H .*\\[$3\\]"
    shows '--schedule NAME .*\[onecycle\]'
    shows '--lr X .*\[0.05\]'
    shows '--momentum X .*\[0.9\]'
    shows '--weight-decay X .*\[0.0001\]'
    shows '--dropout P .*\[0\]'
    shows '--label-smoothing X .*\[0\]'
    shows '--data DIR .*\[data/mnist\]'
}
run 0 "$tiny" --help
recipe 20 64 10,1,0,0
run 0 "$cnn" --help
recipe 16 128 10,2,0.1,10

# usage_error TEXT ARGUMENT...: status 2, one line that says TEXT and how to get help.
usage_error() { local text=$1; shift; run 2 "$tiny" --data "$work/nowhere" "$@"; says "$text"; says 'try --help'; }
usage_error --bogus --bogus
usage_error --bogus --bogus=1
usage_error --epoch --epoch 3
usage_error picture picture
usage_error --lr --lr
usage_error --lr --lr --quiet
usage_error --quiet --quiet=yes
usage_error --data --data=
for bad in abc 1x nan inf -0.1 1e9 0x10 ' 1' 1e+-1 ''; do usage_error --lr --lr "$bad"; done
for bad in 0 -1 1.5 ten ' 3' 0x3 99999999999999999999 ''; do usage_error --epochs "--epochs=$bad"; done
for bad in batch-size=0 limit=0 validate=-1 runs=0 threads=0 seed=-1 momentum=1 dropout=1 label-smoothing=1 \
    weight-decay=-1 epochs=1000001 batch-size=65537 limit=1000000001 validate=1000000001 runs=1000001 threads=1025 \
    seed=9007199254740992 seed=9007199254740993 lr=1000 weight-decay=1000; do
    usage_error "--${bad%=*}" "--$bad"
done
for bad in '' , 1, ,1 1,2,3,4,5 1,,2 ten 0x1 nan 1e 1-2; do usage_error 'one to 4 numbers' "--augment=$bad"; done
run 0 "$tiny" --summary --epochs 1000000 --batch-size 65536 --limit 1000000000 --validate 1000000000 \
    --seed 9007199254740991 --lr 5e2 --momentum .999 --weight-decay 1E-9 --dropout 99e-2 --label-smoothing +0.99 \
    --augment 18e+1,65536,.9,80
run 0 "$tiny" --summary --epochs +1 --batch-size 1 --limit 1 --validate 1 --seed 0 --lr 0 --momentum 0 --augment -0,+0
usage_error 'rotation is 181' --augment 181
usage_error 'translation is -1' --augment 10,-1
usage_error 'scale is 1;' --augment 10,0,1
usage_error 'shear is 90' --augment 10,0,0,90
usage_error 'constant, step or onecycle' --schedule linear
usage_error --load --eval
usage_error --save --save x --runs 2
usage_error --export --export x --runs 2
usage_error 'same file' --log "$work/x" --save "$work/../${work##*/}/x"
usage_error 'same file' --log "$work/digits" --load "$work/digits"
usage_error 'same file' --checkpoint "$work/x" --save "$work/x"
usage_error 'same file' --checkpoint "$work/x" --log "$work/x"
usage_error 'same file' --checkpoint "$work/digits" --load "$work/digits"
# A training that goes on must find the weights that it began with.
usage_error 'same file' --checkpoint "$work/x" --load "$work/digits" --save "$work/digits"
for option in log save export checkpoint; do
    run 2 "$tiny" --data "$data" "--$option" "$work/./data/t10k-labels-idx1-ubyte"
    says "--$option names a file of the data"
done
for file in "$data"/*; do
    run 2 "$tiny" --data "$data" --log "$file"
    says "--log names a file of the data"
done
for option in '--save x' '--log x' '--checkpoint x' --resume '--runs 2'; do
    # shellcheck disable=SC2086
    usage_error "--eval and ${option% *} do not go together" --eval --load x $option
done
for option in '--save x' '--export x' '--report x' '--log x' '--checkpoint x' '--runs 2' --profile; do
    # shellcheck disable=SC2086
    usage_error "--summary and ${option% *} do not go together" --summary $option
done
usage_error '--eval and --summary do not go together' --summary --eval --load x
usage_error '--resume needs --checkpoint' --resume

# ---- Summary: no data needed ----

run 0 "$tiny" --summary --data "$work/nowhere"
shows 'Conv2d-1 +\[-1, 8, 26, 26\].* 80'
shows 'Dropout-25 +\[-1, 16, 3, 3\].* 0'
shows 'AvgPool2d-27 +\[-1, 10, 1, 1\].* 0'
shows 'Total params: 10,474'
run 0 "$cnn" --summary --data "$work/nowhere"
shows 'Conv2d-4 +\[-1, 256, 8, 8\].* 295,168'
shows 'Linear-6 +\[-1, 10\].* 510'
shows 'Total params: 593,200'

# ---- Training, saving, loading, testing ----

run 0 "$tiny" $quick --save "$work/a.safetensors" --log "$work/a.csv"
shows '10,474 parameters'
check 'nothing but plain lines reaches a pipe' lacks $'[\r\033]' "$work/out"
accuracy=$(grep -oE 'accuracy [0-9.]+%' "$work/out" | tail -n 1)
check 'csv header' test "$(head -n 1 "$work/a.csv")" = $header
check 'csv has a row for each epoch' test "$(column 1 "$work/a.csv")" = '1 2 '
check 'csv rows have 8 numbers' \
    awk -F, 'NR > 1 { if (NF != 8) exit 1; for (i = 1; i <= 8; i++) if ($i + 0 != $i) exit 1 }' "$work/a.csv"
check 'csv accuracies are fractions' awk -F, 'NR > 1 && ($4 < 0 || $4 > 1 || $6 < 0 || $6 > 1) { exit 1 }' "$work/a.csv"
check 'csv losses and seconds are positive' \
    awk -F, 'NR > 1 && ($3 <= 0 || $5 <= 0 || $7 <= 0 || $8 <= 0) { exit 1 }' "$work/a.csv"
# table FILE: what a training's lines say of each epoch. rows_of CSV: what the csv says, as they would.
table() { awk 'NF == 7 && $1 ~ /^[0-9]+\// { sub("/.*", "", $1); print $1, $2, $3, $4, $5, $6 }' "$1"; }
rows_of()
{
    awk -F, 'NR > 1 { printf "%d %.4f %.2f%% %.4f %.2f%% %.4g\n", $1, $3, 100 * $4, $5, 100 * $6, $2 }' "$1"
}
check 'each epoch has a line, which says what the csv does' diff <(table "$work/out") <(rows_of "$work/a.csv")
shows '^  epoch  train loss  accuracy      test loss  accuracy         lr   seconds$'
check 'under one head' test "$(grep -c seconds "$work/out")" = 1
check 'the last line has the last accuracy of the csv' \
    test "$accuracy" = "accuracy $(tail -n 1 "$work/a.csv" | awk -F, '{ printf "%.2f%%", 100 * $6 }')"
run 0 "$tiny" --data "$data" --eval --load "$work/a.safetensors"
shows "$accuracy"
shows 'of 30\)'
loss=$(grep -oE 'test loss [0-9.]+' "$work/out")
check '--eval gives the loss of the last epoch' \
    test "$loss" = "test loss $(tail -n 1 "$work/a.csv" | awk -F, '{ printf "%.4f", $5 }')"

run 0 "$tiny" --data "$data" --eval --load "$work/a.safetensors" --export "$work/a.onnx"
for name in images log_probabilities; do check "the exported network has $name" grep -aqw $name "$work/a.onnx"; done

run 0 "$tiny" $quick --save "$work/b.safetensors" --quiet
check 'the same command writes the same weights' cmp -s "$work/a.safetensors" "$work/b.safetensors"
check '--quiet leaves one line' test "$(wc -l < "$work/out")" = 1
run 0 "$tiny" $quick --save "$work/c.safetensors" --threads=1
check 'threads change no bit' cmp -s "$work/a.safetensors" "$work/c.safetensors"
differ() { ! cmp -s "$1" "$2"; }
# different ARGUMENT...: these change the weights.
different() {
    run 0 "$tiny" $quick --save "$work/d.safetensors" "$@"
    check "$* changes the weights" differ "$work/a.safetensors" "$work/d.safetensors"
}
different --seed 2
different --no-augment
cp "$work/d.safetensors" "$work/plain.safetensors"
run 0 "$tiny" $quick --save "$work/d.safetensors" --augment 0
check '--augment 0 is --no-augment' cmp -s "$work/plain.safetensors" "$work/d.safetensors"
for part in 20 10,2 10,0,0.2 10,0,0,9; do different --augment $part; done
different --no-shuffle
for value in 0.5 0.8; do run 0 "$tiny" $quick --momentum $value --save "$work/momentum$value.safetensors"; done
check 'the value of --momentum counts' differ "$work/momentum0.5.safetensors" "$work/momentum0.8.safetensors"
different --dropout 0.3
different --label-smoothing 0.1
different --momentum 0.9
different --weight-decay 0
different --lr 0.02
different --schedule constant
different --schedule step
different --limit 90
different --load "$work/a.safetensors"
# The seed names the weights, where nothing else is random; and order and augmentation, where the weights are loaded.
for rest in "--dropout 0 --no-shuffle --no-augment" "--dropout 0 --load $work/a.safetensors"; do
    for seed in 3 4; do run 0 "$tiny" $quick $rest --seed $seed --save "$work/seed$seed.safetensors"; done
    check "--seed counts with $rest" differ "$work/seed3.safetensors" "$work/seed4.safetensors"
done

run 0 "$tiny" $quick --epochs 6 --schedule step --lr 0.08 --no-augment --log "$work/step.csv"
check 'the step schedule divides by ten after each third' \
    test "$(column 2 "$work/step.csv")" = '0.08 0.08 0.008 0.008 0.0008 0.0008 '
run 0 "$tiny" $quick --epochs 4 --schedule step --lr 0.08 --no-augment --log "$work/step.csv"
check 'thirds that are no whole epochs are rounded up' \
    test "$(column 2 "$work/step.csv")" = '0.08 0.08 0.008 0.008 '
run 0 "$tiny" $quick --schedule onecycle --lr 0.05 --log "$work/cycle.csv"
check 'the last step is the last of the cycle' test "$(column 2 "$work/cycle.csv" | cut -d ' ' -f 2)" = 2e-07
run 0 "$tiny" $quick --schedule constant --lr 0.03 --log "$work/constant.csv"
check 'the constant schedule is constant' test "$(column 2 "$work/constant.csv")" = '0.03 0.03 '

# ---- Which images ----

run 0 "$tiny" $quick --epochs 1 --limit 50
shows '50 images to train on, 30 to test'
run 0 "$tiny" $quick --epochs 1 --limit 1
shows ': 1 image to train on, 30 to test'
mkdir "$work/train-only"
cp "$data"/train-* "$work/train-only"
run 0 "$tiny" --data "$work/train-only" --epochs 1 --validate 70 --log "$work/v.csv" --save "$work/v.safetensors"
shows '100 images to train on, 70 held out'
shows '^  epoch  train loss  accuracy  held-out loss  accuracy         lr   seconds$'
run 0 "$tiny" --data "$work/train-only" --eval --load "$work/v.safetensors" --validate 70
shows 'of 70\)'
run 0 "$tiny" --data "$work/train-only" --epochs 1 --validate 70 --limit 60
shows '60 images to train on, 70 held out'
run 0 "$tiny" --data "$work/train-only" --epochs 1 --validate 70 --limit 1000
shows '100 images to train on, 70 held out'
# Blank images, at the end of those to train on or as those to test on.
mkdir "$work/held"
{ u32 2051 170 28 28; repeat 10 "$work/digits"; rows $((70 * 28)) '\0'; } > "$work/held/train-images-idx3-ubyte"
{ u32 2051 70 28 28; rows $((70 * 28)) '\0'; } > "$work/held/t10k-images-idx3-ubyte"
cp "$data/train-labels-idx1-ubyte" "$work/held"
{ u32 2049 70; repeat 7 "$work/labels"; } > "$work/held/t10k-labels-idx1-ubyte"
run 0 "$tiny" --data "$work/held" --eval --load "$work/a.safetensors" --validate 70
loss=$(grep -oE 'loss [0-9.]+' "$work/out")
run 0 "$tiny" --data "$work/held" --eval --load "$work/a.safetensors"
check 'the last images are held out' test "$loss" = "$(grep -oE 'loss [0-9.]+' "$work/out")"
run 1 "$tiny" --data "$work/train-only" --validate 170
says '--validate 170 leaves none of 170 training images'
run 1 "$tiny" --data "$work/train-only" --validate 200
says '--validate 200 leaves none of 170 training images'
run 1 "$tiny" --data "$work/train-only" --epochs 1
says t10k

cp -r "$work/train-only" "$work"/$'folder\n\033[1m'
run 0 "$tiny" --data "$work"/$'folder\n\033[1m' --epochs 1 --validate 70
shows '/folder\?\?\[1m: 100 images'

# ---- Several runs ----

run 0 "$tiny" $quick --runs 3 --seed 5 --log "$work/runs.csv"
last_of_runs()
{
    awk -F, '$2 == 2 { printf "run %d/3  seed %d  train loss %.4f  test loss %.4f  test accuracy %.2f%%\n", ++n, $1,
                       $4, $6, 100 * $7 }' "$1"
}
check 'a line for each run: its seed, and what its last epoch was' \
    diff <(grep '^run ' "$work/out" | sed 's/  [0-9.]* s$//') <(last_of_runs "$work/runs.csv")
check 'csv of several runs begins with the seed' test "$(head -n 1 "$work/runs.csv")" = seed,$header
check 'csv has the rows of all runs' test "$(column 1 "$work/runs.csv")" = '5 5 6 6 7 7 '
expected=$(awk -F, '$2 == 2 { x[++n] = $7; sum += $7 }
    END { mean = sum / n; for (i = 1; i <= n; i++) s += (x[i] - mean) ^ 2; low = high = x[1];
          for (i = 2; i <= n; i++) { if (x[i] < low) low = x[i]; if (x[i] > high) high = x[i] }
          printf "mean %.3f%%, deviation %.3f%%, ", 100 * mean, 100 * sqrt(s / (n - 1))
          printf "minimum %.2f%%, maximum %.2f%%", 100 * low, 100 * high }' "$work/runs.csv")
shows "3 runs: test accuracy $expected"
run 0 "$tiny" $quick --seed 6 --log "$work/single.csv"
check 'a run is what its seed alone gives' test "$(awk -F, '$1 == 6 { print $2 $3 $4 $5 $6 $7 }' "$work/runs.csv")" \
    = "$(tail -n +2 "$work/single.csv" | awk -F, '{ print $1 $2 $3 $4 $5 $6 }')"

# ---- Remarks ----

run 0 "$cnn" --data "$data" --epochs 1 --limit 32 --dropout 0.5
says 'no dropout'
run 0 "$tiny" --data "$data" --epochs 1 --limit 32 --dropout 0.5
check 'no remark where there is dropout' test ! -s "$work/err"
run 0 "$tiny" --data "$data" --epochs 1 --limit 32 --threads 2
if [ "${OPENMP:-1}" = 0 ]; then says OpenMP; else check 'no remark with OpenMP' test ! -s "$work/err"; fi

# ---- Failing: one line, nothing lost ----

run 1 "$tiny" --data "$work/nowhere"
says 'make data'
mkdir "$work/zipped"
for file in "$data"/*; do gzip -c "$file" > "$work/zipped/${file##*/}.gz"; done
run 1 "$tiny" --data "$work/zipped"
says gunzip
run 1 "$tiny" $quick --save "$data"
says "$data"
for option in save export checkpoint report; do
    run 1 "$tiny" $quick --$option "$work/nowhere/x" --log "$work/unbegun.csv"
    says "$work/nowhere/x"
    check "and before it trains: --$option" test ! -e "$work/unbegun.csv"
done
cp "$work/a.csv" "$work/kept.onnx"
run 1 "$tiny" --data "$data" --eval --load "$work/nothing.safetensors" --export "$work/kept.onnx"
check 'a network that is not there leaves an earlier export' cmp -s "$work/a.csv" "$work/kept.onnx"
run 1 "$tiny" $quick --log "$work/nowhere/x.csv"
says "$work/nowhere/x.csv: cannot write"
cp "$work/a.csv" "$work/kept.csv"
run 1 "$cnn" $quick --load "$work/a.safetensors" --log "$work/kept.csv"
says a.safetensors
check 'a training that does not begin leaves an earlier log' cmp -s "$work/a.csv" "$work/kept.csv"
run 1 "$tiny" $quick --eval --load "$work/nothing.safetensors"
says nothing.safetensors
cp "$work/a.safetensors" "$work/kept.safetensors"
run 1 "$cnn" $quick --schedule constant --lr 999 --momentum 0.99 --save "$work/kept.safetensors" --log "$work/nan.csv"
check 'a NaN is reported with its epoch and step' \
    grep -qE 'epoch [0-9]+: the loss is (NaN|infinite) at step [0-9]+ of 6' "$work/err"
check 'weights saved earlier survive a NaN' cmp -s "$work/a.safetensors" "$work/kept.safetensors"
cp "$work/a.csv" "$work/kept.csv"
run 1 "$cnn" $quick --schedule constant --lr 999 --momentum 0.99 --log "$work/kept.csv"
says 'epoch 1: the loss'
check 'an earlier log survives a first epoch that fails' cmp -s "$work/a.csv" "$work/kept.csv"
run 1 bash -c "ulimit -f 1; exec '$tiny' $quick --epochs 20 --limit 32 --runs 2 --log '$work/full.csv'"
says "run 1, epoch $(wc -l < "$work/full.csv"): --log $work/full.csv: cannot write: "
check 'the log of a full disk has whole rows' awk -F, 'NF != 9 { exit 1 } END { exit NR < 8 }' "$work/full.csv"
run 0 "$tiny" $quick --epochs 1 --log "$work/kept.csv"
check 'the first row takes the place of an earlier log' test "$(column 1 "$work/kept.csv")" = '1 '
check 'under its header' test "$(head -n 1 "$work/kept.csv")" = $header
run 1 bash -c "ulimit -f 8; exec '$tiny' $quick --epochs 1 --save '$work/kept.safetensors'"
says 'kept.safetensors: cannot write'
check 'weights saved earlier survive a file size limit' cmp -s "$work/a.safetensors" "$work/kept.safetensors"
check 'the log of a NaN has whole rows' test "$(awk -F, 'NF != 8' "$work/nan.csv")" = ''
if [ -w /dev/full ]; then
    run 1 bash -c "exec '$tiny' --summary > /dev/full"
    run 1 "$tiny" $quick --log /dev/full
    says /dev/full
fi
check 'no temporary file is left' test -z "$(find "$work" -name '*.tmp*' -o -name '.*safetensors*')"

# ---- Ctrl-C ----

run 130 timeout --preserve-status -s INT 2 "$tiny" --data "$data" --epochs 100000 --save "$work/kept.safetensors" \
    --log "$work/int.csv"
says interrupted
check 'nothing is said of --resume where there is no checkpoint' lacks resume "$work/err"
check 'weights saved earlier survive Ctrl-C' cmp -s "$work/a.safetensors" "$work/kept.safetensors"
check 'the log of an interrupted training has whole rows' test "$(awk -F, 'NF != 8' "$work/int.csv")" = ''
check 'no temporary file is left by Ctrl-C' test -z "$(find "$work" -name '*.tmp*' -o -name '.*safetensors*')"

finish
