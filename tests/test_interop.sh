#!/usr/bin/env bash
# Other tools on what Weft writes, and Weft on what they write: weights to PyTorch and back, networks to ONNX Runtime,
# the lines of the README for both. On MNIST where it is, else on small images. What is not installed is skipped; CI
# installs it. Settings: ONNXRUNTIME, the folder where npm installed onnxruntime-node (build/peers).
. "$(dirname "$0")/check.sh"
. tests/small_data.sh
export ONNXRUNTIME=${ONNXRUNTIME:-build/peers}
# Tested are the last training images, so many: this is no measurement of a network, and others wait.
held_out=60
if [ -f data/mnist/train-images-idx3-ubyte ]; then data=data/mnist held_out=1000; fi
unit=$BUILD/tests/unit

for python in "${PYTHON:-python3}" python3 /usr/bin/python3 ""; do
    [ -n "$python" ] && "$python" -c 'import torch' 2> "$work/err" && break
done
has_onnxruntime=1
{ command -v node && node tests/peers/onnxruntime_check.js available; } > "$work/out" 2>&1 || has_onnxruntime=
if [ -z "$python" ]; then skip "no python3 with PyTorch"; fi
if [ -z "$has_onnxruntime" ]; then
    skip "no ONNX Runtime: npm install --prefix $ONNXRUNTIME --ignore-scripts onnxruntime-node"
fi
if [ "$PRECISION" = double ]; then
    skip "a double build writes double weights, which the peers' float networks do not"
    finish
fi

# right FILE: how many images the last line of a program's output says were right.
right() { tail -n 1 "$1" | sed -E 's/.*\(([0-9,]+) of .*/\1/; s/,//g'; }
# Rounding may turn one image that lies on the border of two classes.
same_right() { [ $(($1 - $2)) -ge -1 ] && [ $(($1 - $2)) -le 1 ] || { echo "$1 right, not $2"; return 1; }; }
weft() { "$BUILD/$1" --data $data --validate $held_out --quiet --threads 1 "${@:2}"; }
pytorch() { "$python" tests/peers/pytorch_weights.py "$@"; }
outputs_of() { INTEROP=$1 "$unit" interop_writes; }

# ---- From here to there: trained weights, and the exported networks ----

there=$work/there back=$work/back cases=$work/cases
mkdir "$there" "$back" "$cases"
limit() { if [ "$1" = mnist_cnn ]; then echo 1280; else echo 3200; fi; }
for app in mnist_tiny mnist_cnn; do
    check "$app trains" weft $app --limit "$(limit $app)" --epochs 1 --batch-size 32 --no-augment \
        --save "$there/$app.safetensors" --export "$there/$app.onnx"
    check "$app exports what it loads" \
        eval "weft $app --eval --load $there/$app.safetensors --export $work/again.onnx > $there/$app.right"
    check "$app: the same network both times" cmp "$there/$app.onnx" "$work/again.onnx"
done
check "outputs on the trained weights" outputs_of "$there"
for app in mnist_tiny mnist_cnn; do
    [ -n "$python" ] || continue
    check "PyTorch loads $app's weights, with the same outputs" \
        eval "pytorch check $app $there $data $held_out > $work/right"
    check "and the same accuracy" same_right "$(right "$work/right")" "$(right "$there/$app.right")"
done

# ---- And back ----

for app in mnist_tiny mnist_cnn; do
    [ -n "$python" ] || break
    check "PyTorch trains $app" eval "pytorch train $app $back $data $held_out $(limit $app) > $back/$app.right"
    check "Weft tests $app's weights" eval "weft $app --eval --load $back/$app.safetensors > $work/right"
    check "with the same accuracy" same_right "$(right "$work/right")" "$(right "$back/$app.right")"
done
if [ -n "$python" ]; then
    check "outputs on PyTorch's weights" outputs_of "$back"
    for app in mnist_tiny mnist_cnn; do check "and the same outputs: $app" pytorch check $app "$back"; done
fi

# ---- ONNX Runtime: both networks, and every op; batches of 1, 15 and 100 ----

if [ -n "$has_onnxruntime" ]; then
    counted node tests/peers/onnxruntime_check.js "$there" 1e-5
    check "every op is exported" env ONNX_CASES="$cases" "$unit" onnx_of_every_op
    counted node tests/peers/onnxruntime_check.js "$cases" 1e-5
fi

# ---- The README's lines ----

# block LANGUAGE: the README's code in it.
block() { awk -v start="^ *\`\`\`$1\$" '$0 ~ start { on = 1; next } /^ *```/ { on = 0 } on' README.md; }
if [ -f README.md ]; then
    cp "$there/mnist_tiny.safetensors" "$work/tiny.safetensors"
    cp "$there/mnist_tiny.onnx" "$work/tiny.onnx"
    if [ -n "$python" ]; then
        check "the README's lines for PyTorch run" eval "block python | pytorch readme mnist_tiny $work"
        check "and leave a file that Weft reads" \
            eval "weft mnist_tiny --eval --load $work/tiny.safetensors > $work/right"
        check "with the same weights" same_right "$(right "$work/right")" "$(right "$there/mnist_tiny.right")"
    fi
    if [ -n "$has_onnxruntime" ]; then
        {
            echo "(async () => { const pixels = new Float32Array(3 * 28 * 28);"
            block js
            echo "process.exit(log_probabilities.dims.join() === '3,10' ? 0 : 1); })();"
        } > "$work/readme.js"
        modules=$(cd "$ONNXRUNTIME/node_modules" && pwd)
        check "the README's lines for ONNX Runtime run" eval "cd $work && NODE_PATH=$modules node readme.js"
    fi
fi
finish
