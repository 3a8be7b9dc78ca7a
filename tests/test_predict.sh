#!/usr/bin/env bash
# --predict: ten digits that tests/digits.c draws are read by a trained network. Its weights are made by
#
#     build/mnist_tiny --save tests/golden/mnist_tiny.safetensors
. "$(dirname "$0")/check.sh"
weights=tests/golden/mnist_tiny.safetensors
tiny=("$BUILD/mnist_tiny" --load "$weights" --predict)
digits=$work/digits
mkdir "$digits"
check "ten digits are drawn" "$BUILD/tests/digits" "$digits"

# ---- Through a pipe: the digit, ten probabilities, the name ----

run 0 "${tiny[@]}" "$digits"/*.pgm
check "all ten are recognised, as good as surely" \
    awk -F '\t' -v d="$digits" '$1 != NR - 1 || $(NR + 1) < 0.99 || $12 != d "/" NR - 1 ".pgm" { print; bad = 1 }
                                END { exit bad || NR != 10 }' "$work/out"
check "probabilities add up to 1" \
    awk -F '\t' '{ sum = -1; for (i = 2; i <= 11; i++) sum += $i; if (sum ^ 2 > 1e-10) exit 1 }' "$work/out"
check "there are twelve fields" awk -F '\t' 'NF != 12 { exit 1 }' "$work/out"
cp "$work/out" "$work/ten"
if installed_locale de_DE.UTF-8; then
    run 0 env LC_ALL=de_DE.UTF-8 "${tiny[@]}" "$digits"/*.pgm
    check "the locale changes nothing" cmp "$work/ten" "$work/out"
else
    skip 'a decimal comma: no locale de_DE.UTF-8'
fi
run 0 "${tiny[@]}" "$digits"/*.pgm --threads 1 --quiet
check "nor do threads" cmp "$work/ten" "$work/out"
run 0 "$BUILD/mnist_tiny" --predict "$digits/7.pgm" "$digits/4.pgm" --load "$weights"
check "options may follow" test "$(cut -f 1 "$work/out" | tr '\n' ' ')" = "7 4 "
run 0 "${tiny[@]}" - < "$digits/6.pgm"
shows $'^6\t.*\tstandard input$'
run 0 bash -c "cat '$digits/2.pgm' | ${tiny[*]} '$digits/3.pgm' -"
check "a pipe and a file" test "$(cut -f 1 "$work/out" | tr '\n' ' ')" = "3 2 "
cp "$digits/1.pgm" "$work"/$'one\n\033[1m.pgm'
run 0 "${tiny[@]}" "$work"/$'one\n\033[1m.pgm'
shows '^1.*/one\?\?\[1m.pgm$'

# ---- What cannot be read: a line each, the others all the same ----

head -c 100 "$digits/5.pgm" > "$work/cut.pgm"
printf 'P2 2 2 1 0 0 0 0' > "$work/blank.pgm"
run 1 "${tiny[@]}" "$work/cut.pgm"
says "$work/cut.pgm: truncated at byte 100"
check "nothing is printed of it" test ! -s "$work/out"
run 1 "${tiny[@]}" "$work/blank.pgm" "$digits/0.pgm"
says "$work/blank.pgm: blank"
check "what follows is predicted" test "$(cut -f 1 "$work/out")" = 0
run 1 "${tiny[@]}" - < /dev/null
says 'standard input: truncated at byte 0'
run 1 "${tiny[@]}" "$digits"
says 'Is a directory'
"${tiny[@]}" "$work/nothing.pgm" "$digits/8.pgm" "$weights" > "$work/out" 2> "$work/err"
check "two failures end with status 1" test $? = 1
check "and have a line each" test "$(wc -l < "$work/err")" = 2
shows '^8'
says "$work/nothing.pgm: cannot open"
says "$weights: bytes"
run 1 "$BUILD/mnist_cnn" --load "$weights" --predict "$digits/0.pgm"
says "$weights"
# Weights that are no numbers, in a file without a checksum that would tell.
head -c -40 "$weights" | LC_ALL=C sed s/weft.crc64/weft.crc00/ > "$work/nan.safetensors"
printf '\377\377\377\177%.0s' {1..10} >> "$work/nan.safetensors"
run 1 "$BUILD/mnist_tiny" --load "$work/nan.safetensors" --predict "$digits/0.pgm"
says "$digits/0.pgm: the network's probability of a 0 is"
check "nothing is printed of it" test ! -s "$work/out"
run 1 "${tiny[@]}" "$work"/$'no\nsuch\033[31m.pgm'
says '/no?such?[31m.pgm: cannot open'
cp "$work/blank.pgm" "$work"/$'blank\n\033[31m.pgm'
run 1 "${tiny[@]}" "$work"/$'blank\n\033[31m.pgm'
says '/blank??[31m.pgm: blank'

# ---- Ctrl-C, while it waits ----

mkfifo "$work/endless"
sleep 30 > "$work/endless" &
writer=$!
timeout --preserve-status -k 5 -s INT 1 "${tiny[@]}" - < "$work/endless" > "$work/out" 2>&1
check "it ends at once" test $? = 130
kill $writer

# ---- Usage ----

usage_error() { local text=$1; shift; run 2 "$BUILD/mnist_tiny" "$@"; says "$text"; }
usage_error '--predict needs --load' --predict x.pgm
usage_error '--predict takes one or more' --load x --predict
usage_error '--predict takes one or more' --predict --load x
usage_error '--predict takes a list' --load x --predict=x.pgm
usage_error 'given twice' --load x --predict x.pgm --quiet --predict y.pgm
usage_error '--eval and --predict do not go together' --load x --eval --predict x.pgm
for option in '--save x' '--log x' '--runs 2' '--export x' '--report x' --summary; do
    # shellcheck disable=SC2086
    usage_error "${option% *}" --load y --predict x.pgm $option
done

# ---- On a terminal: the picture as the network sees it, a bar for each class ----

if command -v script > "$work/path"; then
    # on_terminal COLUMNS ENVIRONMENT [OPTION]: what the terminal receives, without the carriage returns.
    on_terminal()
    {
        script -qec "stty cols $1; TERM=xterm $2 ${tiny[*]} '$digits/3.pgm' ${3:-}" /dev/null < /dev/null > "$work/raw"
        check "--predict ends with status 0 on $1 columns, $2" test $? = 0
        tr -d '\r' < "$work/raw" > "$work/out"
    }
    for columns in 80 50 20; do
        on_terminal $columns 'LC_ALL=C NO_COLOR=1'
        check "every line fits $columns columns" awk "NR > 1 && length(\$0) >= $columns { print; exit 1 }" "$work/out"
        shows '3\.pgm: 3, 100\.00%'
        LC_ALL=C check 'NO_COLOR in the locale C: neither colour nor UTF-8' lacks $'[\033\200-\377]' "$work/out"
        check 'ten classes are shown' test "$(grep -cE ' [0-9] #* ?[0-9.]+%$' "$work/out")" = 10
        shows ' 3 #+ 100\.00%$'
    done
    on_terminal 80 'LC_ALL=C NO_COLOR=1'
    check 'the picture has 14 lines' test "$(wc -l < "$work/out")" = 15
    check 'some of it dark' test "$(cut -c 3-30 "$work/out" | tail -n +2 | grep -c '[#%@]')" -gt 5
    check 'and ink' test "$(cut -c 3-30 "$work/out" | tail -n +2 | grep -o '[=+*#%]' | wc -l)" -gt 20
    on_terminal 80 'LC_ALL=C NO_COLOR=1' --quiet
    check '--quiet leaves the line of the digit' test "$(wc -l < "$work/out")" = 1
    on_terminal 80 'LC_ALL=C.UTF-8'
    shows $'\033.36m3 (━)+ 100\.00%\033.0m$'
    shows '█▀'
    # drawing FILE: what follows the name of the fourth digit, without what is empty.
    drawing() { awk 'on; /4\.pgm: 4/ { on = 1 }' "$1" | sed 's/ *$//' | grep .; }
    sed -n '/^    .*4\.pgm: 4/,/^$/s/^    //p' README.md > "$work/shown"
    on_terminal 70 'LC_ALL=C.UTF-8 NO_COLOR=1' "'$digits/4.pgm'"
    check 'a digit looks as the README shows it' diff <(drawing "$work/shown") <(drawing "$work/out")
else
    skip 'on a terminal: no script(1)'
fi
finish
