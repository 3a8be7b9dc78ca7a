#!/usr/bin/env bash
# The kernels' vectors, in float and double: right for each instruction set, and the same bits from all of them, from
# each compiler and at every level of optimisation. The digests below are what every machine with fused multiply-adds
# must compute; a change of tensor/kernels/math.h or of tests/vectors.c changes them.
cd "$(dirname "$0")/.." || exit 1
digest_float=48a11746d5dbc2a5
digest_double=9b8556033d47ce29

passed=0 failed=0 skipped=0
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
first=${CC:-gcc}
compilers=$(printf '%s\n' "$first" gcc clang | sort -u)

# run PRECISION DIGEST COMPILER FLAG...: the program's checks, and its digest against the expected one unless "any".
run()
{
    local precision=$1 digest=$2 compiler=$3 p f output
    shift 3
    local build=("$compiler" -std=c11 -ffp-contract=off -D_POSIX_C_SOURCE=200809L -I. "$@")
    [ "$precision" = double ] && build+=(-DWEFT_DOUBLE)
    if ! "${build[@]}" tests/vectors.c tensor/random.c tensor/math.c -o "$folder/vectors" -lm; then
        echo "FAIL does not compile: ${build[*]}"
        failed=$((failed + 1))
        return
    fi
    output=$("$folder/vectors")
    read -r p f <<< "$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' <<< "$output")"
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1}))
    [ "${f:-1}" = 0 ] || echo "$output"
    [ "$digest" = any ] && return
    if grep -q "^digest $digest$" <<< "$output"; then
        passed=$((passed + 1))
    else
        echo "FAIL $(grep digest <<< "$output"), not $digest: ${build[*]}"
        failed=$((failed + 1))
    fi
}

avx2="-mavx2 -mfma"
avx512="-mavx512f -mavx512vl -mavx512dq -mavx512bw -mprefer-vector-width=512"
for precision in float double; do
    digest=digest_$precision digest=${!digest}
    if [ "$(uname -m)" != x86_64 ]; then
        for level in 0 2 3; do
            run $precision "$digest" "$first" -O$level
        done
        continue
    fi
    run $precision any "$first" -O2
    for isa in avx2 avx512; do
        if ! grep -q "\<${isa/avx512/avx512dq}\>" /proc/cpuinfo; then
            skipped=$((skipped + 1))
            continue
        fi
        for compiler in $compilers; do
            command -v "$compiler" > "$folder/path" || continue
            # shellcheck disable=SC2086
            run $precision "$digest" "$compiler" -O2 ${!isa}
        done
    done
    # shellcheck disable=SC2086
    grep -q '\<avx2\>' /proc/cpuinfo && for level in 0 3; do
        run $precision "$digest" "$first" -O$level $avx2
    done
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
