#!/usr/bin/env bash
# tests/test_bits.sh [PREFIX]...: the weights after training are byte for byte the same for any number of threads and on
# every instruction set; and those of other builds, whose programs are the commands PREFIX/mnist_tiny and
# PREFIX/mnist_cnn, as in tests/test_bits.sh build/clang. With dropout, augmentation and a partial last batch.
# BITS_DATA is a folder of MNIST's files, if not small ones made here; BITS_LIMIT how many images to train on, less 20.
. "$(dirname "$0")/check.sh"
. tests/small_data.sh
isa() { "$BUILD/mnist_tiny" --data "$data" --limit 1 --epochs 1 | sed -n 's/.*thread[s]*, \([a-z0-9]*\),.*/\1/p'; }
has_isa() { WEFT_ISA=$1 "$BUILD/mnist_tiny" --summary > "$work/out" 2> "$work/err"; }
if [ "$(isa)" = baseline ] && [ "$(uname -m)" = x86_64 ]; then
    skip "the baseline of x86 multiplies and adds in two roundings: other bits"
    finish
fi

# train NAME APP ARGUMENT...: writes $work/NAME.APP. $prefix, in words, is where the program is.
train()
{
    local name=$1 app=$2
    shift 2
    ${prefix:-$BUILD}/"$app" --data "${BITS_DATA:-$data}" --quiet --limit "${BITS_LIMIT:-106}" --validate 20 \
        --epochs 2 --batch-size 48 --seed 7 --save "$work/$name.$app" "$@"
}
# same NAME APP ARGUMENT...: gives the bytes that one thread gives.
same() { check "$1 trains $2" train "$@"; check "$1: $2 has the same bytes" cmp "$work/plain.$2" "$work/$1.$2"; }
differ() { ! cmp -s "$1" "$2"; }
for app in mnist_tiny mnist_cnn; do
    dropout=
    [ $app = mnist_tiny ] && dropout="--dropout 0.2"
    check "$app trains" train plain $app --threads 1 $dropout
    for threads in 2 3 5; do same "$threads threads" $app --threads $threads $dropout; done
    for isa in avx2 avx512; do
        if has_isa $isa; then WEFT_ISA=$isa same $isa $app --threads 2 $dropout
        else skip "$app with $isa: not on this machine"; fi
    done
    for prefix in "$@"; do same "${prefix##*/}" $app --threads 2 $dropout; done
    prefix=
    check "$app trains, from another seed" train seed $app --threads 1 $dropout --seed 8
    check "another seed has other bytes" differ "$work/plain.$app" "$work/seed.$app"
done
check "an empty WEFT_ISA names none" has_isa ''
unknown() { ! has_isa bogus && grep -q bogus "$work/err"; }
check "an unknown WEFT_ISA is refused" unknown
finish
