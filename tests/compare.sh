#!/usr/bin/env bash
# `make compare`: Weft beside PyTorch in training and beside ONNX Runtime in testing, on this machine, with what of them
# is installed. Nothing else needs them. Settings: THREADS, ROUNDS, LIMIT (training images), TESTS (the longer run's
# passes over the test images), NETWORKS, DATA, PYTHON, ONNXRUNTIME (the folder where its npm package was installed).
#
# Speeds are timed from outside: the wall time of a run of several epochs less that of one of few, so that starting up
# and reading files does not count. All take turns, round by round; medians are compared. Training is fp32, batch 128,
# images as they are, nothing tested between epochs (Weft tests one held-out image); PyTorch's is the better of its two
# memory layouts. Testing runs over 10,000 images: Weft reads and normalises them at batch 128 and counts what is right,
# ONNX Runtime is handed the same 100 over and over.
cd "$(dirname "$0")/.." || exit 1
export OMP_NUM_THREADS=${THREADS:=2} ONNXRUNTIME=${ONNXRUNTIME:-build/peers}
BUILD=${BUILD:-build} DATA=${DATA:-data/mnist} ROUNDS=${ROUNDS:-3} LIMIT=${LIMIT:-12800}
read -ra networks <<< "${NETWORKS:-mnist_cnn mnist_tiny}"
pytorch=tests/peers/pytorch_mnist.py onnx=tests/peers/onnxruntime_mnist.js
short=2 long=5            # epochs of training
short_tests=1 long_tests=${TESTS:-11}
test_images=10000
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

fail() { echo "compare: $*" >&2; exit 1; }

# ---- What is there ----

[ -f "$DATA/train-images-idx3-ubyte" ] || fail "no MNIST in $DATA: make data fetches it"
for python in "${PYTHON:-python3}" python3 /usr/bin/python3 ""; do
    [ -n "$python" ] && "$python" -c 'import torch' 2> "$work/err" && break
done
[ -n "$python" ] || cat <<'WORDS'
PyTorch is not installed, so training is not compared. On Debian:
    apt-get install python3-torch libopenblas0-pthread
WORDS
has_onnx=1
{ command -v node && node $onnx available; } > "$work/out" 2>&1 || has_onnx=
[ -n "$has_onnx" ] || cat <<WORDS
ONNX Runtime is not installed, so testing is not compared. With Node.js:
    npm install --prefix $ONNXRUNTIME --ignore-scripts onnxruntime-node
WORDS
if [ -n "$has_onnx" ] && [ -z "$python" ]; then
    echo "ONNX Runtime needs PyTorch to write the networks for it, so testing is not compared."
    has_onnx=
fi

# ---- What is run: each takes a network and a number of epochs ----

weft() { "$BUILD/$1" --data "$DATA" --no-augment --threads "$THREADS" --quiet "${@:2}"; }
# mnist_tiny with dropout after each block, as the peer's network has it.
declare -A dropout=([mnist_tiny]="--dropout 0.03")
# shellcheck disable=SC2086
weft_train()
{
    weft "$1" ${dropout[$1]} --batch-size 128 --limit "$LIMIT" --validate 1 --epochs "$2" --log "$work/$1.csv"
}
# One image is trained on, at rate 0, and 10,000 are tested.
weft_test() { weft "$1" --limit 1 --schedule constant --lr 0 --epochs "$2"; }
pytorch_train() { "$python" $pytorch train "$1" "$DATA" "$LIMIT" "$2" "$THREADS"; }
pytorch_train_channels_last() { "$python" $pytorch train "$1" "$DATA" "$LIMIT" "$2" "$THREADS" --channels-last; }
onnx_test() { node $onnx test "$work/$1.onnx" "$2" "$THREADS"; }

# ---- Measuring ----

# seconds COMMAND...: its wall time.
seconds()
{
    local start=$EPOCHREALTIME
    "$@" > "$work/out" 2> "$work/err" || { cat "$work/out" "$work/err" >&2; return 1; }
    awk -v a="${start/,/.}" -v b="${EPOCHREALTIME/,/.}" 'BEGIN { printf "%.6f", b - a }'
}
# record WHAT NETWORK VALUE: one more measurement, and a line of progress.
record()
{
    [ -n "$3" ] || fail "$1 $2 failed"
    echo "$3" >> "$work/$1.$2"
    printf '    %-28s %-10s %12s\n' "$1" "$2" "$3" >&2
}
# speed WHAT NETWORK IMAGES SHORT LONG: images/s of the function WHAT, of so many images an epoch. The first run is not
# counted: after another program it finds neither its files nor memory ready, which would shorten the difference.
speed()
{
    local few many
    seconds "$1" "$2" "$4" > "$work/first" || fail "$1 $2 failed"
    few=$(seconds "$1" "$2" "$4") || fail "$1 $2 failed"
    many=$(seconds "$1" "$2" "$5") || fail "$1 $2 failed"
    record "$1" "$2" "$(awk -v n="$3" -v e=$(($5 - $4)) -v t="$few" -v u="$many" \
        'BEGIN { printf "%.1f", n * e / (u > t ? u - t : 1e-9) }')"
}
# The same epochs of the last run of weft_train by its own clock, to see that both agree.
csv_speed()
{
    record weft_csv "$1" "$(tail -n +$((short + 2)) "$work/$1.csv" |
        awk -F, -v n="$LIMIT" '{ t += $7 } END { printf "%.1f", n * NR / t }')"
}
# median WHAT NETWORK: of what was recorded; nothing if nothing was.
median()
{
    [ -f "$work/$1.$2" ] || return
    sort -g "$work/$1.$2" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

round()
{
    local network=$1
    speed weft_train "$network" "$LIMIT" $short $long
    csv_speed "$network"
    if [ -n "$python" ]; then
        speed pytorch_train "$network" "$LIMIT" $short $long
        speed pytorch_train_channels_last "$network" "$LIMIT" $short $long
        record pytorch_latency "$network" "$("$python" $pytorch latency "$network" "$THREADS")"
    fi
    speed weft_test "$network" $test_images $short_tests "$long_tests"
    record weft_latency "$network" "$("$BUILD/tests/bench" --latency | awk -v n="$network" '$1 == n { print $2 }')"
    if [ -n "$has_onnx" ]; then
        speed onnx_test "$network" $test_images $short_tests "$long_tests"
        record onnx_latency "$network" "$(node $onnx latency "$work/$network.onnx" "$THREADS")"
    fi
}

# ---- The tables ----

# row LABEL WEFT PEER [lower]: one line, with how many times better Weft is.
row()
{
    [ -n "$3" ] || set -- "$1" "$2" - "${4:-}"
    awk -v label="$1" -v weft="$2" -v peer="$3" -v lower="${4:-}" 'BEGIN {
        decimals = lower == "" ? 0 : 3
        printf "%-46s %12.*f", label, decimals, weft
        if (peer == "-") print "            -        -"
        else printf " %12.*f %7.2fx\n", decimals, peer, lower == "" ? weft / peer : peer / weft }'
}
versions()
{
    "$BUILD/mnist_tiny" --version
    [ -z "$python" ] || "$python" -c 'import torch; print("PyTorch", torch.__version__)'
    [ -z "$has_onnx" ] || (cd "$ONNXRUNTIME" && npm list 2> /dev/null | grep -o 'onnxruntime-node@.*')
    grep -m 1 'model name' /proc/cpuinfo | sed 's/.*: //'
    echo "$THREADS threads, $LIMIT training images, medians of $ROUNDS rounds"
}
table()
{
    local n best
    printf '\n%-46s %12s %12s %8s\n' "" Weft peer ratio
    for n in "${networks[@]}"; do
        best=$({ median pytorch_train "$n"; median pytorch_train_channels_last "$n"; } | sort -g | tail -n 1)
        row "$n, training, images/s: PyTorch" "$(median weft_train "$n")" "$best"
        row "$n, training: Weft by its own csv" "$(median weft_train "$n")" "$(median weft_csv "$n")"
        row "$n, testing, images/s: ONNX Runtime" "$(median weft_test "$n")" "$(median onnx_test "$n")"
        row "$n, one image, ms: PyTorch" "$(median weft_latency "$n")" "$(median pytorch_latency "$n")" lower
        row "$n, one image, ms: ONNX Runtime" "$(median weft_latency "$n")" "$(median onnx_latency "$n")" lower
    done
}

for network in "${networks[@]}"; do
    [ -z "$has_onnx" ] || "$python" $pytorch export "$network" "$work/$network.onnx" > "$work/out" 2>&1 ||
        { tail -n 3 "$work/out" >&2; fail "cannot export $network"; }
done
for ((i = 1; i <= ROUNDS; i++)); do
    echo "round $i of $ROUNDS" >&2
    for network in "${networks[@]}"; do round "$network"; done
done
versions
table
