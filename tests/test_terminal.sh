#!/usr/bin/env bash
# What a training shows on a terminal: a bar that fits, lines that fit, nothing that the terminal or locale lacks.
. "$(dirname "$0")/check.sh"
. tests/small_data.sh
command -v script > "$work/path" || { skip 'on a terminal: no script(1)'; finish; }
train="$BUILD/mnist_tiny --data $data --no-augment --threads 1"

# on_terminal COLUMNS ENVIRONMENT OPTION...: what a terminal so wide receives is $work/raw; with each redraw on a line
# of its own, without the code that clears the rest of the line, $work/out.
on_terminal()
{
    local columns=$1 environment=$2
    shift 2
    script -qec "stty cols $columns; $environment $train $*" /dev/null < /dev/null > "$work/raw"
    check "$* ends with status 0 on $columns columns, $environment" test $? = 0
    tr '\r' '\n' < "$work/raw" | sed $'s/\033\\[K//g' > "$work/out"
}
# fits COLUMNS: no line that a training redraws or repeats is longer.
fits()
{
    [ -s "$work/out" ] &&
        awk -v columns="$1" '!/parameters|to train on/ && length($0) > columns { print; exit 1 }' "$work/out"
}
plain() { LC_ALL=C lacks $'[\033\200-\377]' "$work/out"; }
table='^ +[0-9]+/[0-9]+ +[0-9.]+ +[0-9.]+% +[0-9.]+ +[0-9.]+% +[0-9.e-]+ +[0-9.]+$'

# ---- Widths ----

for columns in 80 200; do
    on_terminal $columns 'TERM=xterm LC_ALL=C NO_COLOR=1' --epochs 12
    shows '^epoch [0-9]+/12 (test )?[#.]+  loss [0-9.]+  [0-9.]+%  left [0-9:]+, run [0-9:]+  [0-9,]+ images/s$'
    check "every line fits $columns columns" fits $columns
    check "the bar fills $columns columns but the last" \
        awk -v columns=$columns '/[#.]  loss/ && length($0) != columns - 1 { print; exit 1 }' "$work/out"
    check 'NO_COLOR in the locale C: neither colour nor UTF-8' plain
    check 'a line for each epoch' test "$(grep -cE "$table" "$work/out")" = 12
    check 'the threads, instruction set and precision come first' \
        grep -qE '^mnist_tiny: 10,474 parameters, 1 thread, [a-z0-9]+, (float|double)' "$work/out"
    # A line of an epoch stands where the bar was cleared.
    check 'the last frame is cleared' awk -F '\r' '/^epoch|\repoch/ && $(NF - 1) != "\033[K" { print NR; exit 1 }' \
        <(sed 's/\r$//; s/\r\(\x1b\[K\)/\r\1\r/g' "$work/raw")
done
for columns in 1 10 30 60; do
    on_terminal $columns 'TERM=xterm LC_ALL=C NO_COLOR=1' --epochs 2
    check "every line fits $columns columns" fits $columns
done
shows '^epoch 1/2 [#.]+  loss [0-9.]+  [0-9.]+%  left [0-9:]+, run [0-9:]+$'
# Wider than a line may be, and each character of the bar three bytes.
on_terminal 1000 'TERM=xterm LC_ALL=C.UTF-8 NO_COLOR=1' --epochs 2
shows '^epoch 1/2 [━─]+  loss [0-9.]+ .* images/s$'
# A terminal that does not know its width: COLUMNS says it, 80 is the guess.
for columns in 1 10 100; do
    on_terminal 0 "COLUMNS=$columns TERM=xterm LC_ALL=C NO_COLOR=1" --epochs 2
    check "every line fits COLUMNS=$columns" fits $columns
done
for columns in '' -5 0 x; do
    on_terminal 0 "COLUMNS=$columns TERM=xterm LC_ALL=C NO_COLOR=1" --epochs 2
    check "every line fits 80 columns where COLUMNS is '$columns'" fits 80
    shows "$table"
done

# ---- Kinds of terminal ----

on_terminal 80 'TERM=xterm LC_ALL=C.UTF-8' --epochs 2
shows $'\033\\[36m'
shows '━|─'
on_terminal 80 'TERM=xterm LC_ALL=C.UTF-8 NO_COLOR=' --epochs 2
shows $'\033\\[36m'
on_terminal 80 'TERM=xterm LC_ALL=C.UTF-8 NO_COLOR=1' --epochs 2
check 'NO_COLOR leaves UTF-8' lacks $'\033' "$work/out"
shows '━|─'
on_terminal 80 'TERM=xterm LC_ALL=C' --epochs 2
LC_ALL=C check 'the locale C leaves colour' lacks $'[\200-\377]' "$work/out"
shows $'\033\\[36m'
for kind in TERM=dumb '-u TERM'; do
    on_terminal 80 "env $kind LC_ALL=C.UTF-8" --epochs 2
    check "no bar with $kind" plain
    check "no redraw with $kind" awk '/\r./ { exit 1 }' "$work/raw"
    check "a line for each epoch with $kind" test "$(grep -cE "$table" "$work/out")" = 2
done
# A locale whose decimals have a comma changes no number.
if installed_locale de_DE.UTF-8; then
    on_terminal 80 'TERM=dumb LC_ALL=de_DE.UTF-8' --epochs 2 --lr 0.02
    check 'the locale changes no number' test "$(grep -cE "$table" "$work/out")" = 2
else
    skip 'a decimal comma: no locale de_DE.UTF-8'
fi

# ---- Several runs, a test alone, quiet ----

on_terminal 80 'TERM=xterm LC_ALL=C NO_COLOR=1' --epochs 6 --runs 2
shows '^run [12]/2 epoch [1-6]/6 (test )?'
check 'every line of several runs fits' fits 100
on_terminal 80 'TERM=xterm LC_ALL=C NO_COLOR=1' --epochs 2 --save "$work/a.safetensors"
on_terminal 80 'TERM=xterm LC_ALL=C NO_COLOR=1' --eval --load "$work/a.safetensors"
shows '^test [#.]+  loss'
on_terminal 80 'TERM=xterm LC_ALL=C' --epochs 2 --quiet
check '--quiet leaves one line' test "$(wc -l < "$work/raw")" = 1
check 'without any code' plain
finish
