#!/usr/bin/env bash
# The README's tutorial, as a reader takes it: every program builds as shown and without a warning, and every command
# shows what the README says that it shows.
. "$(dirname "$0")/check.sh"
include=$(cd "$BUILD/include" && pwd)
library=$(cd "$BUILD" && pwd)/libweft.a
if [ ! -f README.md ]; then
    skip "there is no README.md"
    finish
fi
awk -v folder="$work" -f tests/tutorial.awk README.md > "$work/files"
mkdir "$work/data"
mnist=
[ -f data/mnist/train-images-idx3-ubyte ] && ln -s "$PWD/data/mnist" "$work/data/mnist" && mnist=yes
cd "$work" || exit 1

# shellcheck disable=SC2086
build() { silent "$CC" ${USER_CFLAGS:--std=c11} -I"$include" "$1.c" "$library" ${USER_LDFLAGS:--lm} -o "$1"; }
for program in *.c; do check "$program builds as shown" build "${program%.c}"; done
for program in gradients model digits loop cube; do check "the tutorial has $program" [ -x $program ]; done

# Figures that a training ends with are the same bits wherever vectors have a fused multiply-add, in float.
cat > isa.c << 'END'
#include <weft/weft.h>
int main(void) { return puts(weft_isa()) < 0; }
END
check "a program can ask for the instruction set" build isa
# The seconds that a training took are another time others.
untimed() { sed -E 's/[0-9.]+ s$/0.0 s/' "$1"; }
# shown FILE: the command in its first line shows the others.
shown()
{
    sed -n '1s/^\$ //p' "$1" > command
    tail -n +2 "$1" > expected
    sh command > output 2>&1 && diff <(untimed expected) <(untimed output)
}
for text in *.text; do
    command=$(head -n 1 "$text")
    program=${command#\$ ./}
    program=${program%% *}
    if ! grep -qE 'dataset_mnist|trainer_main' "$program.c"; then check "$command" shown "$text"
    elif [ -z "$mnist" ]; then skip "$command: no MNIST in data/mnist"
    elif [ "$PRECISION" = double ] || [ "$(./isa)" = baseline ]; then skip "$command: figures are float's, with vectors"
    else check "$command" shown "$text"; fi
done
check "every program is shown at work" [ "$(ls ./*.text | wc -l)" = 5 ]
finish
