#!/usr/bin/env bash
# Do the tests notice mistakes? Makes those of tests/mutations.txt, one at a time, in a copy of the tree, and says which
# of them `make test` catches.
#
#     tests/mutate.sh [PART OF A NAME]...     all mutations, or some; exit status 0 if each is caught
#     tests/mutate.sh --check                 only that each still fits the source
#
# For speed each is made in a copy of a tree that is built, as many at a time as there are processors; and the tests
# that should notice run first, then all unit tests, then all of `make test`. A hang is noticed too.
cd "$(dirname "$0")/.." || exit 1
table=tests/mutations.txt
most_seconds=1800
jobs=$(nproc)
export TEST_JOBS=1 # as many mistakes as processors are tried at a time already
unset BUILD MODE PRECISION OPENMP MAKEFLAGS MAKELEVEL
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

fail() { echo "mutate: $*" >&2; exit 1; }

# ---- The table ----

names=() files=() hints=() olds=() news=()
read_table()
{
    local line
    while IFS= read -r line; do
        case $line in
        '#'* | '') ;;
        '< '*) olds+=("${line#< }") ;;
        '> '*) news+=("${line#> }") ;;
        *) names+=("${line%% | *}") hints+=("${line##* | }") line=${line#* | } files+=("${line%% | *}") ;;
        esac
    done < $table
    [ ${#names[@]} = ${#news[@]} ] && [ ${#names[@]} = ${#olds[@]} ] || fail "$table is malformed"
}

# mutation OLD NEW FILE: the file with OLD made NEW; fails unless OLD is there just once.
mutation()
{
    OLD=$1 NEW=$2 awk '
        BEGIN { old = ENVIRON["OLD"]; new = ENVIRON["NEW"] }
        at = index($0, old) {
            found += 1 + (index(substr($0, at + 1), old) > 0)
            $0 = substr($0, 1, at - 1) new substr($0, at + length(old))
        }
        { print }
        END { exit found != 1 }' "$3"
}

check_table()
{
    local i stale=0
    for i in "${!names[@]}"; do
        mutation "${olds[i]}" "${news[i]}" "${files[i]}" > "$work/mutant" && continue
        echo "mutate: ${files[i]} has not just once: ${olds[i]}" >&2
        stale=1
    done
    return $stale
}

# ---- One mutation, in the present folder ----

log=$work/log
build() { timeout $most_seconds make "$@" > "$log" 2>&1; }
unit() { timeout $most_seconds "$@" > "$log" 2>&1; }
whole() { echo all >> "$work/whole"; build test; }
# builds HINT: what try needs.
builds()
{
    case $1 in
    tests/*) build all unit parity build/tests/digits ;;
    double:*) build unit-double ;;
    *) build unit ;;
    esac
}
# try HINT: runs the tests that the hint names: shell tests, or words that select unit tests, "double:" in double.
# shellcheck disable=SC2086
try()
{
    case $1 in
    tests/*) KILLS=5 build some-tests "TESTS=$1" ;;
    double:*) unit build/double/tests/unit ${1#double:} ;;
    *) unit build/tests/unit $1 ;;
    esac
}
# The first test that failed, of what ran last.
culprit() { grep -m 1 '^FAIL' "$log" | cut -c 1-100; }
caught() { ! try "$1" || ! { build unit && unit build/tests/unit; } || ! whole; }

# run NUMBER: says what becomes of it, and writes that to $work/verdicts.
run()
{
    local i=$1 start=$SECONDS verdict=SURVIVED log=$work/log.$1
    cp -a "$work/tree" "$work/mutant.$i" && cd "$work/mutant.$i" || return
    mutation "${olds[i]}" "${news[i]}" "$work/tree/${files[i]}" > "${files[i]}"
    rm tests/test_structure.sh # how a source reads, and whether the table fits it, says nothing of what it does
    if ! builds "${hints[i]}"; then
        verdict="DOES NOT COMPILE"
        grep -m 2 'error' "$log"
    elif caught "${hints[i]}"; then
        verdict=caught
    fi
    printf '%-9s %4d s  %s: %s\n' "$verdict" $((SECONDS - start)) "${names[i]}" "$(culprit)"
    echo "$verdict" >> "$work/verdicts"
    cd "$work" && rm -rf "mutant.$i"
}

# The tests are right without any mutation: what they notice is the mutation. And each hint names some.
# shellcheck disable=SC2086
baseline()
{
    local i hint
    declare -A seen
    cd "$work/tree" || exit 1
    MAKEFLAGS=-j$jobs build unit && unit build/tests/unit ||
        { cat "$log"; fail "without a mutation, unit tests fail"; }
    for i in "$@"; do
        hint=${hints[i]}
        [ -z "${seen[$hint]}" ] || continue
        seen[$hint]=1
        case $hint in
        tests/* | double:*)
            MAKEFLAGS=-j$jobs builds "$hint" && try "$hint" ||
                { cat "$log"; fail "without a mutation, this fails: $hint"; } ;;
        *) [ -n "$(build/tests/unit --list $hint)" ] || fail "no test is called $hint" ;;
        esac
    done
    cd "$OLDPWD" || exit 1
}

# ---- All ----

read_table
check_table || exit 1
[ "$1" = --check ] && { echo "${#names[@]} mutations fit the source"; exit 0; }
chosen=()
for i in "${!names[@]}"; do
    for part in "${@:-}"; do
        [[ "${names[i]} ${files[i]}" == *"$part"* ]] && chosen+=("$i") && break
    done
done
[ ${#chosen[@]} -gt 0 ] || fail "no mutation is called $*"
mkdir "$work/tree"
tar -c --exclude=./build --exclude=./.git --exclude=./data/mnist . | tar -x -C "$work/tree"
[ -e data/mnist ] && ln -s "$(realpath data/mnist)" "$work/tree/data/mnist"
baseline "${chosen[@]}"
: > "$work/verdicts"
for i in "${chosen[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    run "$i" &
done
wait
# What only the whole noticed was noticed if the whole is right without any mutation.
[ ! -e "$work/whole" ] || (cd "$work/tree" && build test) || { cat "$log"; fail "without a mutation, make test fails"; }
count=$(grep -c '^caught$' "$work/verdicts")
echo "caught $count of ${#chosen[@]}"
[ "$count" = ${#chosen[@]} ]
