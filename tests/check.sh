# For shell tests to source: counts checks, makes a folder $work that goes away, and ends with the line of counts.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
BUILD=${BUILD:-build} CC=${CC:-gcc}
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
# skip WHAT: counts as skipped.
skip() { skipped=$((skipped + 1)); echo "SKIP $(basename "$0"): $1"; }
# silent COMMAND...: succeeds and says nothing.
silent() { local said; said=$("$@" 2>&1) && [ -z "$said" ] || { echo "$said"; return 1; }; }
# finish: the counts, and the exit status that agrees.
finish()
{
    echo "$passed passed, $failed failed$([ $skipped = 0 ] || echo ", $skipped skipped")"
    [ $failed = 0 ]
    exit
}
