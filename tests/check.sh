# For shell tests to source: counts checks, makes a folder $work that goes away, and ends with the line of counts.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
BUILD=${BUILD:-build} CC=${CC:-gcc}
# Several tests run at a time: a thread that waits leaves its processor to another's. And steps on little data are too
# short to wait busily.
export OMP_WAIT_POLICY=passive
passed=0 failed=0 skipped=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# check WHAT COMMAND...: the command succeeds; if not, what it said is shown.
check()
{
    local what=$1 output
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $(basename "$0"): $what"
        tail -n 12 <<< "$output" | sed 's/^/    /'
    fi
}
# ends STATUS COMMAND...: it ends with that status and, if it failed, says of what in one line.
ends()
{
    local expected=$1 status
    shift
    "$@" > "$work/out" 2> "$work/err"
    status=$?
    [ $status = "$expected" ] && { [ $status = 0 ] || [ "$(wc -l < "$work/err")" = 1 ]; } && return
    echo "exit status $status, not $expected, after"
    cat "$work/out" "$work/err"
    return 1
}
run() { check "${*:2} ends with status $1" ends "$@"; }
contains() { grep -q "$1" -e "$3" "$2" || { cat "$2"; return 1; }; }
# lacks PATTERN FILE: there is something in the file, but not that.
lacks() { [ -s "$2" ] && ! grep "$1" "$2"; }
# says TEXT, shows PATTERN: the last run did so on standard error, on standard output.
says() { check "standard error says \"$1\"" contains -F "$work/err" "$1"; }
shows() { check "standard output shows \"$1\"" contains -E "$work/out" "$1"; }
# skip WHAT: counts as skipped.
skip() { skipped=$((skipped + 1)); echo "SKIP $(basename "$0"): $1"; }
# installed_locale NAME: a missing one would be taken for C without a word.
installed_locale() { locale -a 2> "$work/err" | grep -qix "${1/UTF-8/UTF-\\?8}"; }
# silent COMMAND...: succeeds and says nothing.
silent() { local said; said=$("$@" 2>&1) && [ -z "$said" ] || { echo "$said"; return 1; }; }
# counted COMMAND...: runs it and adds the counts of its last line "N passed, N failed[, N skipped]" to these.
counted()
{
    echo "== $*"
    "$@" 2>&1 | tee "$work/counted"
    add_counts "$*" "${PIPESTATUS[0]}" "$work/counted"
}
# add_counts WHAT STATUS FILE: adds what the file's last line of counts says to these. If it failed without having
# counted a failure, that is one.
add_counts()
{
    local line p f s
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$3" | tail -n 1)
    read -r p f s <<< "$(tr -c '0-9\n' ' ' <<< "$line")"
    if [ "${f:-0}" = 0 ] && { [ -z "$line" ] || [ "$2" != 0 ]; }; then
        echo "FAIL $1: exit status $2, \"${line:-no counts}\""
        f=1
    fi
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0})) skipped=$((skipped + ${s:-0}))
}
# finish: the counts, and the exit status that agrees.
finish()
{
    echo "$passed passed, $failed failed$([ $skipped = 0 ] || echo ", $skipped skipped")"
    [ $failed = 0 ]
    exit
}
