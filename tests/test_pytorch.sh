#!/usr/bin/env bash
# Live agreement with PyTorch on random cases, where a python3 with PyTorch is installed; CI does so.
. "$(dirname "$0")/check.sh"
cases=${PYTORCH_CASES:-200} seed=${PYTORCH_SEED:-1}
for python in "${PYTHON:-python3}" python3 /usr/bin/python3 ""; do
    [ -n "$python" ] && "$python" -c 'import torch' 2> /dev/null && break
done
if [ -z "$python" ]; then
    skip "no python3 with PyTorch"
    finish
fi
check "make.py writes random cases" "$python" tests/golden/make.py --random "$cases" "$seed" "$work/cases.txt"
check "all of them" [ "$(grep -c '^case' "$work/cases.txt")" = "$cases" ]
for unit in "$BUILD/tests/unit" ${DOUBLE:+"$DOUBLE/tests/unit"}; do
    GOLDEN_OPS=$work/cases.txt counted "$unit" "golden case"
done
finish
