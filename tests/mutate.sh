#!/usr/bin/env bash
# Do the tests notice mistakes? Makes those of tests/mutations.txt, one at a time, in a copy of the tree, and says which
# of them `make test` catches.
#
#     tests/mutate.sh [PART OF A NAME]...     all mutations, or some; exit status 0 if each is caught
#     tests/mutate.sh --check                 only that each still fits the source
#
# For speed the tests that should notice run first, and all of `make test` where they do not. A hang is noticed too.
cd "$(dirname "$0")/.." || exit 1
table=tests/mutations.txt
most_seconds=1800
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

# ---- One mutation ----

build() { timeout $most_seconds make "-j$(nproc)" "$@" > "$work/log" 2>&1; }
# try HINT: runs the tests that the hint names: shell tests, or words that select unit tests.
try()
{
    case $1 in
    tests/*) build some-tests "TESTS=$1" ;;
    double:*) build unit-double && timeout $most_seconds build/double/tests/unit ${1#double:} > "$work/log" 2>&1 ;;
    *) build unit && timeout $most_seconds build/tests/unit $1 > "$work/log" 2>&1 ;;
    esac
}
# The first test that failed, of what ran last.
culprit() { grep -m 1 '^FAIL' "$work/log" | cut -c 1-100; }
# caught HINT: the tests of the copy fail.
caught() { ! try "$1" || ! build test; }

run()
{
    local i=$1 start=$SECONDS
    cd "$work/tree" || exit 1
    cp "${files[i]}" "$work/original"
    mutation "${olds[i]}" "${news[i]}" "$work/original" > "${files[i]}"
    if ! build lib; then verdict="DOES NOT COMPILE"; grep -m 2 'error' "$work/log"
    elif caught "${hints[i]}"; then verdict=caught
    else verdict=SURVIVED; fi
    cp "$work/original" "${files[i]}"
    cd "$OLDPWD" || exit 1
    [ "$verdict" = caught ] && count=$((count + 1))
    printf '%-9s %4d s  %s: %s\n' "$verdict" $((SECONDS - start)) "${names[i]}" "$(culprit)"
}

# The tests are right without any mutation: what they notice is the mutation.
baseline()
{
    local i hint
    declare -A seen
    cd "$work/tree" || exit 1
    for i in "$@"; do
        hint=${hints[i]}
        [ -n "${seen[$hint]}" ] && continue
        seen[$hint]=1
        try "$hint" || { cat "$work/log"; fail "without a mutation, this fails: $hint"; }
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
count=0
for i in "${chosen[@]}"; do run "$i"; done
echo "caught $count of ${#chosen[@]}"
[ $count = ${#chosen[@]} ]
