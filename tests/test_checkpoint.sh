#!/usr/bin/env bash
# Checkpoints as a user meets them: a training that is killed at 50 moments and resumed each time ends with the bytes of
# one that was left alone; whatever goes wrong, the earlier file survives; and no other training goes on from it.
. "$(dirname "$0")/check.sh"
. tests/small_data.sh
tiny=$BUILD/mnist_tiny cnn=$BUILD/mnist_cnn
RANDOM=7
kills=${KILLS:-50} # of which three fifths in the first of three trainings

# A library that notes and kills at the calls which write files; a sanitizer's own must come first, so not there.
calls=$work/file_calls.so
if [ "$MODE" = asan ] || [ "$MODE" = tsan ] ||
    ! "$CC" -std=c11 -O1 -shared -fPIC tests/file_calls.c -o "$calls" -ldl 2> "$work/err"; then
    skip "no library can be preloaded: killing at random times only, the order of file calls unseen"
    calls=
fi

# ---- Killed and resumed ----

# all_but_seconds CSV: without the last two columns, the seconds.
all_but_seconds() { sed 's/,[^,]*,[^,]*$//' "$1"; }
same_rows() { cmp <(all_but_seconds "$1") <(all_but_seconds "$2"); }
# What several runs say at the end, without the seconds.
statistics() { grep -E '^[0-9]+ runs' "$1" | sed 's/, [0-9.]* s$//'; }
# begins_with CSV CSV: the first has all rows of the second: none is lost, or written anew with other numbers.
begins_with() { cmp -n "$(tail -n +2 "$2" | wc -c)" <(tail -n +2 "$1") <(tail -n +2 "$2"); }

# killed_and_resumed KILLS COMMAND...: kills it that often, at times and at file calls, resumes what was killed, begins
# again when it is done; and what is done is compared with what nobody killed.
killed_and_resumed()
{
    local kills=$1 begun duration after killed=0 status=0 save="--save $work/k.safetensors" resume moment
    shift
    [[ "$*" = *--runs* ]] && save=
    begun=$(date +%s%N)
    # shellcheck disable=SC2086
    check "$* trains" "$@" ${save/k.safe/whole.safe} --log "$work/whole.csv"
    duration=$(($(date +%s%N) - begun))
    "$@" --log "$work/again.csv" > "$work/whole.out" 2> "$work/err"
    rm -f "$work/k" "$work/k.csv"
    : > "$work/before.csv"
    while [ $killed -lt "$kills" ] || [ $status != 0 ]; do
        resume=
        [ -f "$work/k" ] && resume=--resume && resumed=$((resumed + 1))
        moment=(env)
        if [ $killed -lt "$kills" ] && [ -n "$calls" ] && [ $((RANDOM % 3)) = 0 ]; then
            moment=(env "LD_PRELOAD=$calls" "KILL_AT=$((RANDOM % 500 + 1))")
        elif [ $killed -lt "$kills" ]; then
            # In the foreground timeout waits until the program is dead: a write that is under way may end late. No
            # time at all would be no limit.
            after=$((duration * (RANDOM % 1000) / 1000 + 1000000))
            moment=(timeout --foreground -s KILL "$((after / 1000000000)).$(printf %09d $((after % 1000000000)))")
        fi
        # shellcheck disable=SC2086
        { "${moment[@]}" "$@" --checkpoint "$work/k" $resume $save --log "$work/k.csv" > "$work/out"; } 2> "$work/err"
        status=$?
        [ -f "$work/k.csv" ] || touch "$work/k.csv"
        check "$*: rows survive a kill" begins_with "$work/k.csv" "$work/before.csv"
        cp "$work/k.csv" "$work/before.csv"
        if [ $status = 137 ] || [ $status = 124 ]; then # killed; or timeout was about to when it ended
            killed=$((killed + 1))
            continue
        fi
        check "$* ends well when resumed: $(head -n 1 "$work/err")" [ $status = 0 ]
        [ $status = 0 ] || break
        check "$*: the rows of one that was not killed" same_rows "$work/whole.csv" "$work/k.csv"
        [ -z "$save" ] || check "$*: the bytes of one that was not killed" cmp "$work/whole.safetensors" \
            "$work/k.safetensors"
        check "$*: says what one says that was not killed" [ "$(statistics "$work/whole.out")" = \
            "$(statistics "$work/out")" ]
        rm -f "$work/k" "$work/k.csv"
        : > "$work/before.csv"
    done
}
resumed=0
quick="--data $data --quiet --batch-size 24 --dropout 0.2 --limit 100"
killed_and_resumed $((kills * 3 / 5)) "$tiny" $quick --epochs 5
killed_and_resumed $((kills / 5)) "$tiny" $quick --epochs 3 --limit 40 --runs 2
killed_and_resumed $((kills / 5)) "$cnn" $quick --epochs 3 --limit 40
check "a kill leaves no file that the next save does not remove" test -z "$(find "$work" -name '*weft-tmp*')"
check "$kills kills: resumed $resumed times" [ $resumed -gt 0 ]

# ---- Stopped by hand; or done ----

train="$tiny $quick --epochs 4"
run 0 $train --save "$work/whole.safetensors"
# Interrupted once the file FILE is there.
interrupted() # FILE COMMAND...
{
    local file=$1 program
    shift
    # A shell's background jobs ignore the signal, unless they are asked not to.
    env --default-signal=INT "$@" &
    program=$!
    while [ ! -f "$file" ] && kill -0 $program; do sleep 0.1; done
    kill -INT $program
    wait $program
}
run 130 interrupted "$work/int" $tiny $quick --epochs 100000 --checkpoint "$work/int"
says 'interrupted; --resume goes on after epoch '
after=$(sed -n 's/.*goes on after epoch \([0-9]*\)$/\1/p' "$work/err")
run 0 $train --checkpoint "$work/done" --log "$work/done.csv" --save "$work/first.safetensors"
cp "$work/done" "$work/kept"
run 0 ${train/--quiet/} --checkpoint "$work/done" --resume --log "$work/again.csv" --save "$work/again.safetensors" \
    --threads 1
shows 'resuming after epoch 4 of 4'
check 'a training that is done is not trained on' cmp "$work/first.safetensors" "$work/again.safetensors"
check 'nor is its checkpoint touched' cmp "$work/done" "$work/kept"
check 'its csv is there again, byte for byte' cmp "$work/done.csv" "$work/again.csv"
piped="--log /dev/stderr 2>&1 > '$work/said' | cat > '$work/piped.csv'"
run 0 bash -o pipefail -c "$train --checkpoint '$work/done' --resume $piped"
check 'it goes through a pipe as well' cmp "$work/done.csv" "$work/piped.csv"
run 0 ${train/--quiet/} --checkpoint "$work/done" --resume
said=$(sed -n 's/.* \([-0-9.]*\) s$/\1/p' "$work/out")
check "its time counts: $said s" awk -F, -v said="$said" 'NR > 1 { sum += $7 + $8 }
    END { exit said ~ /^-/ || said < sum - 0.1 }' "$work/done.csv"
several="$tiny $quick --limit 40 --epochs 2 --runs 3 --checkpoint $work/several"
run 0 $several --log "$work/several.csv"
cp "$work/out" "$work/said"
run 0 $several --log "$work/again.csv" --resume
check 'several runs that are done say the same' [ "$(statistics "$work/said")" = "$(statistics "$work/out")" ]
check 'and have the same csv' cmp "$work/several.csv" "$work/again.csv"
check 'a checkpoint changes no weights' cmp "$work/whole.safetensors" "$work/first.safetensors"

# ---- Another training ----

run 1 $train --resume --checkpoint "$work/nowhere"
says "$work/nowhere: cannot open"
run 1 $train --resume --checkpoint "$work/whole.safetensors"
says 'whole.safetensors: no checkpoint; weights are for --load'
run 1 $train --resume --checkpoint "$work/done" --momentum 0.8
says "--momentum is 0.8, the checkpoint's training had 0.9"
run 1 $train --resume --checkpoint "$work/done" --load "$work/whole.safetensors"
says "the checksum of --load's file is "
run 1 ${train/mnist_tiny/mnist_cnn} --resume --checkpoint "$work/done"
says "the program is mnist_cnn, the checkpoint's training had mnist_tiny"
if [ -x "$DOUBLE/mnist_tiny" ]; then
    run 1 ${train/$BUILD/$DOUBLE} --resume --checkpoint "$work/done"
    says "the precision is double, the checkpoint's training had float"
fi
check 'a checkpoint that is refused stays as it was' cmp "$work/done" "$work/kept"
run 1 $tiny --data "$data" --eval --load "$work/done"
says "$work/done is a checkpoint: --checkpoint and --resume go on with it, --load takes weights"

run 1 $train --checkpoint "$work/int"
says "$work/int: holds a training that is not done: run 1 of 1, epoch $after of 100000; go on with it by --resume, or "
says 'remove the file to begin anew'
run 1 $train --checkpoint "$work/whole.safetensors"
says 'whole.safetensors: no checkpoint: --checkpoint does not replace it'
cp "$work/done" "$work/replaced"
run 0 $train --epochs 1 --checkpoint "$work/replaced"

# ---- Damaged: a bit of every 9973rd byte ----

flip() # FILE BYTE: its lowest bit
{
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf '%b' "\\0$(printf %o $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
size=$(stat -c %s "$work/done")
values=$((8 + $(od -An -tu4 -N 4 "$work/done"))) # before them is the header, which may say less than that it is damaged
for ((byte = 0; byte < size; byte += 9973)); do
    cp "$work/kept" "$work/flipped"
    flip "$work/flipped" $byte
    run 1 $train --resume --checkpoint "$work/flipped"
    if [ $byte -lt "$values" ]; then why='flipped: '; else why='flipped: damaged: its checksum is '; fi
    says "$why"
done
cp "$work/whole.safetensors" "$work/flipped"
flip "$work/flipped" $(($(stat -c %s "$work/flipped") - 1))
run 1 $tiny --data "$data" --eval --load "$work/flipped"
says 'damaged: its checksum is'

# ---- Written whole or not at all ----

survives() { check "$1: the earlier checkpoint survives" cmp "$work/done" "$work/kept"; }
half="$tiny $quick --epochs 3 --checkpoint $work/done"
run 1 bash -c "ulimit -f 64; exec $half"
says 'done: cannot write: File too large'
survives 'a file size limit'
check 'and no temporary file' test -z "$(find "$work" -name 'done.*tmp*')"
run 1 $half --checkpoint "$work/data/nowhere/c"
says "cannot write"
run 1 $half --checkpoint "$data"
says 'not a regular file'

# in_small_disk KIBIBYTES COMMAND: in a file system of that size that nobody else sees, which holds the checkpoint.
mkdir "$work/disk"
in_small_disk()
{
    unshare -rm bash -c "mount -t tmpfs -o size=$1k tmpfs '$work/disk' && cp '$work/kept' '$work/disk/c' && $2"
}
# shellcheck disable=SC2016
left='status=$?; cmp "$work/disk/c" "$work/kept" && [ "$(ls "$work/disk")" = c ] && exit $status; exit 99'
export work
if in_small_disk 400 true 2> "$work/err"; then
    onto="$half --checkpoint $work/disk/c"
    run 1 in_small_disk 120 "$onto; $left"
    says 'c: cannot write: No space left on device'
    run 1 in_small_disk 400 "mount -o remount,ro '$work/disk'; $onto; $left"
    says 'c: cannot write: Read-only file system'
else
    skip "a full disk: no right to mount one"
fi
if [ "$(id -u)" != 0 ]; then
    chmod 555 "$work/disk"
    run 1 $half --checkpoint "$work/disk/c"
    says 'Permission denied'
else
    skip "a folder without permission to write: root has it"
fi

if [ -n "$calls" ]; then
    # ordered FILE: in the noted calls a new FILE is complete, then synced, then named, then its folder is synced.
    ordered()
    {
        local expected folder=${1%/*}
        expected=$(printf '%s\n' "sync $1.tmp $(stat -c %s "$1")" "rename $1.tmp $1" "sync $folder 0")
        diff <(echo "$expected") <(sed 's/\.weft-tmp-[0-9]*/.tmp/g' "$work/calls" | grep -v ^write) &&
            [ "$(grep -c '^write.*tmp' "$work/calls")" -gt 2 ] && ! tail -n 3 "$work/calls" | grep ^write
    }
    run 0 env "LD_PRELOAD=$calls" "FILE_CALLS=$work/calls" $tiny $quick --epochs 1 --checkpoint "$work/ordered"
    check 'a checkpoint is synced before it gets its name, its folder after' ordered "$work/ordered"
    rm "$work/calls"
    run 0 env "LD_PRELOAD=$calls" "FILE_CALLS=$work/calls" $tiny $quick --epochs 1 --save "$work/ordered.safetensors"
    check 'so are weights' ordered "$work/ordered.safetensors"

    # While the file is read, between its first bytes and the rest.
    eval="$tiny --data $data --eval --load $work/read"
    while_read() { env "LD_PRELOAD=$calls" "READ_OF=$work/read" "AT_READ=$1" $eval; }
    run 0 $tiny $quick --epochs 1 --save "$work/other.safetensors"
    cp "$work/whole.safetensors" "$work/read"
    run 0 $eval
    cp "$work/out" "$work/expected"
    run 0 while_read "cp $work/other.safetensors $work/new; mv $work/new $work/read"
    check 'a file that is replaced while it is read is read as it was' \
        cmp <(sed 's/, [0-9.]* s$//' "$work/out") <(sed 's/, [0-9.]* s$//' "$work/expected")
    cp "$work/whole.safetensors" "$work/read"
    run 1 while_read "truncate -s 20000 $work/read"
    says 'became shorter while it was read'
    cp "$work/whole.safetensors" "$work/read"
    run 1 while_read "dd if=$work/other.safetensors of=$work/read bs=1000 count=20 conv=notrunc status=none"
    says 'damaged: its checksum is'
fi
finish
