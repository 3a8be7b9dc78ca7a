#!/usr/bin/env bash
# Live agreement with PyTorch, where a python3 with PyTorch is installed; CI does so. Random cases of every op in each
# precision, PYTORCH_CASES of them from PYTORCH_SEED on, and in double 300 steps of training of each network.
. "$(dirname "$0")/check.sh"
cases=${PYTORCH_CASES:-400} seed=${PYTORCH_SEED:-1}
for python in "${PYTHON:-python3}" python3 /usr/bin/python3 ""; do
    [ -n "$python" ] && "$python" -c 'import torch' 2> /dev/null && break
done
if [ -z "$python" ]; then
    skip "no python3 with PyTorch"
    finish
fi
parity="$python tests/parity.py"
# shellcheck disable=SC2086
{
    counted $parity "$BUILD/tests/parity" "$PRECISION" ops "$cases" "$seed"
    double=$BUILD
    if [ -n "$DOUBLE" ]; then
        double=$DOUBLE
        counted $parity "$double/tests/parity" double ops "$cases" "$seed"
    fi
    counted $parity "$double/tests/parity" double train tiny 300 8
    counted $parity "$double/tests/parity" double train cnn 300 2
}
finish
