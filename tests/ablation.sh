#!/usr/bin/env bash
# `make ablation`: what each piece of mnist_tiny's recipe is worth. The recipe, then the recipe with one piece left out,
# each over the same seeds, on held-out training images: a table in Markdown, and a csv for each row in
# build/ablation. Settings: RUNS (5), SEED (201), VALIDATE (10000), THREADS (2), DATA, and ROWS, a pattern of the rows
# that are run. It takes about a minute for each row and seed; a row whose csv is there is not run again.
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build} DATA=${DATA:-data/mnist} RUNS=${RUNS:-5} SEED=${SEED:-201} VALIDATE=${VALIDATE:-10000}
folder=$BUILD/ablation
mkdir -p "$folder" || exit 1

# row NAME OPTION...: trains with these options and prints what came of it.
row()
{
    local name=$1 csv part
    shift
    [[ $name =~ ${ROWS:-.} ]] || return 0
    csv=$folder/${name//[^a-z0-9]/-}.csv
    part=$folder/unfinished
    rm -f "$part"
    if [ ! -f "$csv" ]; then
        "$BUILD/mnist_tiny" --data "$DATA" --threads "${THREADS:-2}" --validate "$VALIDATE" --runs "$RUNS" \
            --seed "$SEED" --log "$part" --quiet "$@" > "$folder/out" || exit 1
        mv "$part" "$csv" || exit 1
    fi
    # The last epoch of each seed: columns seed, epoch, ..., test_loss, test_accuracy.
    awk -F, -v name="$name" -v options="$*" '
        NR > 1 { loss[$1] = $6; accuracy[$1] = 100 * $7 }
        END {
            for (seed in accuracy) {
                n++
                sum += accuracy[seed]
                losses += loss[seed]
                if (n == 1 || accuracy[seed] < least) least = accuracy[seed]
            }
            for (seed in accuracy) square += (accuracy[seed] - sum / n) ^ 2
            deviation = n > 1 ? sqrt(square / (n - 1)) : 0
            printf "| %s | `%s` | %.3f | %.3f | %.2f | %.4f |\n", name, options, sum / n, deviation, least, losses / n
        }' "$csv"
}

echo "| mnist_tiny, held-out images | options | mean % | deviation | lowest | mean loss |"
echo "|---|---|---|---|---|---|"
row "the recipe"
row "no augmentation" --no-augment
row "no rotation" --augment 0,1
row "no translation" --augment 10
row "no weight decay" --weight-decay 0
row "momentum not cycled" --momentum 0.9
row "steps instead of one cycle" --schedule step --momentum 0.9
