#!/usr/bin/env bash
# --report: the page of a training and of an evaluation, and the svg files beside it.
. "$(dirname "$0")/check.sh"
. tests/small_data.sh
tiny=$BUILD/mnist_tiny cnn=$BUILD/mnist_cnn
PYTHON=${PYTHON:-python3}
quick="--data $data --batch-size 32 --threads 1 --quiet"

# page NAME [LOG [WEIGHTS]]: reads it with an HTML and an XML parser and compares it with the data and these files.
if command -v "$PYTHON" > "$work/path"; then
    page() { check "$1 is right" "$PYTHON" tests/report.py "$work/$1" "$data" ${2:+"$work/$2"} ${3:+"$work/$3"}; }
else
    page() { skip "whether $1 is right: no python"; }
fi
has() { check "$1 has $2" grep -q -F -e "$2" "$work/$1"; }

# ---- A training ----

run 0 "$tiny" $quick --epochs 6 --report "$work/a.html" --log "$work/a.csv" --save "$work/a.safetensors"
page a.html a.csv a.safetensors
has a.html "epoch 3"
has a.html "Training is measured while it goes on, on the images as it sees them.</p>"
has a.html "Trained on 170 images of"
has a.html "10,474"
has a.html "$tiny --data"
has a.html "conv1.weight"
has a.html "AvgPool2d-27"
check "a.html is small" test "$(wc -c < "$work/a.html")" -lt 500000
# The same seed gives the same page but for times, and for the names that the command has.
untimed() { sed -E 's/<time>[^<]*//g; s/[^ ]*\/[a-z]\.(html|csv)//g; /<pre class="command">/d' "$work/$1"; }
run 0 "$tiny" $quick --epochs 6 --report "$work/b.html"
untimed a.html > "$work/a.text"
untimed b.html > "$work/b.text"
check "the same seed gives the same page" diff "$work/a.text" "$work/b.text"
check "and the same curves" cmp "$work/a-curves.svg" "$work/b-curves.svg"
check "and the same samples" cmp "$work/a-samples.svg" "$work/b-samples.svg"

run 0 "$tiny" $quick --epochs 1 --report "$work/one.html" --log "$work/one.csv" --no-augment --schedule constant
page one.html one.csv
check "nothing is said of how training is measured, which is as a test is" lacks "Training is measured" "$work/one.html"
check "what is not augmented is shown once" lacks ">epoch 1<" "$work/one.html"
run 0 "$tiny" $quick --epochs 1 --report "$work/drop.html" --no-augment --dropout 0.1
has drop.html "Training is measured while it goes on, with dropout.</p>"
run 0 "$cnn" $quick --epochs 1 --limit 32 --report "$work/drop.html" --no-augment --dropout 0.1 2> "$work/remark"
check "a network without dropout is not measured with it" lacks "Training is measured" "$work/drop.html"
run 0 "$tiny" $quick --epochs 2 --report "$work/two.html" --dropout 0.1
has two.html "Training is measured while it goes on, on the images as it sees them and with dropout.</p>"
has two-samples.svg ">epoch 2<"
check "no epoch is shown that was not" lacks ">epoch 3<" "$work/two-samples.svg"
run 0 "$tiny" $quick --epochs 300 --limit 32 --report "$work/many" --log "$work/many.csv"
mv "$work/many" "$work/many.html"
page many.html many.csv
check "many epochs are thinned" test "$(wc -c < "$work/many-curves.svg")" -lt 20000

# ---- Several runs, held-out images, an evaluation, the larger network ----

run 0 "$tiny" $quick --epochs 2 --runs 3 --report "$work/runs.html" --log "$work/runs.csv"
page runs.html runs.csv
check "each run has faint lines" test "$(grep -c 'line train faint' "$work/runs-curves.svg")" = 6
has runs.html "3 runs: mean"
run 0 "$tiny" $quick --epochs 1 --limit 32 --runs 22 --report "$work/twenty.html"
check "of many runs 20 have lines" test "$(grep -c 'line train faint' "$work/twenty-curves.svg")" = 40
run 0 "$tiny" $quick --epochs 2 --validate 30 --report "$work/held.html"
has held.html "held-out accuracy"
shows 'held-out accuracy [0-9.]+% \([0-9]+ of 30\), held-out loss'
run 0 "$tiny" $quick --epochs 1 --limit 32 --validate 30 --runs 2 --report "$work/held-runs.html"
shows '^2 runs: held-out accuracy mean'
run 0 "$tiny" --data "$data" --quiet --eval --load "$work/a.safetensors" --validate 30 --report "$work/held-eval.html"
for name in held held-runs held-eval; do
    check "nothing on held-out images is called test" lacks '[Tt]est \(image\|loss\|accuracy\)' "$work/$name.html"
done
run 0 "$tiny" --data "$data" --quiet --eval --load "$work/a.safetensors" --validate 1 --report "$work/one-held.html"
check "one image is one" lacks '[ >]1 \([a-z-]* \)\?\(images\|mistakes\)' "$work/one-held.html"
has one-held.html "1 held-out image;"
run 0 "$tiny" --data "$data" --quiet --eval --load "$work/a.safetensors" --report "$work/eval.html"
page eval.html
has eval.html "Tested with the weights of"
has eval.html "<dt>--validate</dt><dd>off</dd>"
has held-eval.html "<dt>--validate</dt><dd>30</dd>"
check "nor does it tell of options that it does not depend on" lacks '<dt>--lr' "$work/eval.html"
check "an evaluation has no curves" test ! -e "$work/eval-curves.svg"
run 0 "$cnn" $quick --epochs 1 --limit 32 --report "$work/cnn.html" --log "$work/cnn.csv"
page cnn.html cnn.csv

# A training that was interrupted and resumed reports what the whole one does; times, which the run took, aside.
run 0 "$tiny" $quick --epochs 6 --report "$work/c.html" --checkpoint "$work/c.checkpoint"
run 0 "$tiny" $quick --epochs 6 --report "$work/d.html" --checkpoint "$work/c.checkpoint" --resume
check "a resumed training has the curves of all epochs" cmp "$work/c-curves.svg" "$work/d-curves.svg"
check "and the same curves as one without checkpoints" cmp "$work/a-curves.svg" "$work/d-curves.svg"

# ---- What comes from outside is escaped ----

odd="$work/a<b>&\"c' d"
cp -r "$data" "$odd"
run 0 "$tiny" --data "$odd" --quiet --epochs 1 --limit 32 --report "$odd/page.html"
cp "$odd/page.html" "$odd/page-samples.svg" "$odd/page-curves.svg" "$work"
page page.html
has page.html "a&lt;b&gt;&amp;&quot;c'\\'' d"
check "no markup of a folder's name is left" lacks 'a<b>' "$work/page.html"

# ---- Failing: one line, nothing half-written, earlier files as they were ----

cp "$work/a.html" "$work/kept.html"
cp "$work/a-curves.svg" "$work/kept-curves.svg"
cp "$work/a-samples.svg" "$work/kept-samples.svg"
kept() { cmp "$work/a.html" "$work/kept.html" && cmp "$work/a-curves.svg" "$work/kept-curves.svg"; }
run 1 "$tiny" $quick --epochs 1 --report "$work/nowhere/x.html"
says "nowhere/x.html: cannot write"
mkdir "$work/folder"
run 1 "$tiny" $quick --epochs 1 --report "$work/folder"
says "$work/folder: cannot write"
run 1 bash -c "ulimit -f 16; exec '$tiny' $quick --epochs 1 --report '$work/kept.html'"
says 'kept'
says 'cannot write'
check "a report written earlier survives a file size limit" kept
run 1 "$cnn" $quick --epochs 2 --schedule constant --lr 999 --momentum 0.99 --report "$work/kept.html"
check "a report written earlier survives a NaN" kept
check "no temporary file is left" test -z "$(find "$work" -name '*.tmp*')"
for other in save load log; do
    for name in kept.html kept-curves.svg kept-samples.svg; do
        run 2 "$tiny" $quick --report "$work/kept.html" --$other "$work/../${work##*/}/$name"
        says "--report"
        says "--$other"
        says "name the same file"
    done
done
run 2 "$tiny" --load "$work/a.safetensors" --predict - --report "$work/p.html"
says "--predict and --report do not go together"
finish
