#!/usr/bin/env bash
# The programs of apps/examples: each runs, learns, and shows what it says it shows.
. "$(dirname "$0")/check.sh"
. tests/small_data.sh
examples=$BUILD/examples
built() { for source in apps/examples/*.c; do [ -x "$examples/$(basename "${source%.c}")" ] || return 1; done; }
check "every example is built" built
short() { ! wc -l apps/examples/*.c | awk '$2 != "total" && $1 >= 100' | grep .; }
check "every example has less than 100 lines" short
# What users copy includes what users have.
public() { ! grep -n '#include "' apps/examples/*.c; }
check "examples include public headers only" public

run() { "$examples/$1" "${@:2}" > "$work/$1.out" 2> "$work/$1.err" && [ ! -s "$work/$1.err" ]; }
# The loss of the first and the last line that has one: it falls to less than a part of what it was.
falls()
{
    awk -v part="$2" '/^step/ { if (!n++) first = $NF; last = $NF } END { exit !(n > 1 && last < part * first) }' "$1"
}
# marks FILE CHARACTER: how often it is in the picture.
marks() { grep -v '^step' "$1" | grep -v ' of ' | tr -cd "$2" | wc -c; }

check "sine runs" run sine
check "sine learns" falls "$work/sine.out" 0.06
check "sine draws a picture" [ "$(awk 'length($0) == 72' "$work/sine.out" | wc -l)" = 21 ]
check "its curve goes from side to side" [ "$(marks "$work/sine.out" '*')" = 72 ]
check "with points around it" [ "$(marks "$work/sine.out" .)" -gt 80 ]

check "moons runs" run moons
check "moons learns" falls "$work/moons.out" 0.06
check "moons draws a picture" [ "$(awk 'length($0) == 72' "$work/moons.out" | wc -l)" = 24 ]
for mark in o x; do check "with points $mark" [ "$(marks "$work/moons.out" $mark)" -gt 120 ]; done
ground=$(marks "$work/moons.out" .)
check "and two sides" [ "$ground" -gt 400 ]
check "of about the same size" [ "$ground" -lt 1000 ]
check "it tells the moons apart" grep -qE '^39[0-9] of 400 points are on their side' "$work/moons.out"

# The second epoch's training loss, third column, is below the first's.
loss_falls() { awk -F, 'NR == 2 { first = $3 } NR > 2 { last = $3 } END { exit !(NR > 2 && last < first) }' "$1"; }
# trains NAME PARAMETERS: on the small data.
trains()
{
    check "$1 trains" run "$1" --data "$data" --epochs 3 --batch-size 32 --no-augment --log "$work/$1.csv"
    check "$1: the loss falls" loss_falls "$work/$1.csv"
    check "$1 has $2 parameters" grep -q "^$2 parameters, test accuracy" "$work/$1.out"
}
trains resnet 77,770
trains fashion 10,474
# A node of the graph is of a type: the field's tag, the length of the name, and the name.
nodes=$'"\003Add|"\013AveragePool|"\022BatchNormalization|"\004Conv|"\007MaxPool|"\004Relu'
# ops NAME PROGRAM: what its network is made of, as op and number, is $work/NAME.ops.
ops()
{
    "$2" --data "$data" --epochs 1 --limit 16 --quiet --export "$work/$1.onnx" > "$work/$1.out" &&
        LC_ALL=C grep -aoE "$nodes" "$work/$1.onnx" | tr -dc 'A-Za-z\n' | sort | uniq -c > "$work/$1.ops"
}
check "fashion is exported" ops fashion "$examples/fashion"
check "so is mnist_tiny" ops mnist_tiny "$BUILD/mnist_tiny"
check "the two are made alike" cmp "$work/fashion.ops" "$work/mnist_tiny.ops"
check "resnet is exported" ops resnet "$examples/resnet"
check "its three blocks add" grep -q ' 3 Add$' "$work/resnet.ops"
finds_fashion() { "$examples/fashion" --help | grep -q 'data/fashion'; }
check "fashion looks for its own data" finds_fashion
finish
