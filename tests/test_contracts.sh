#!/usr/bin/env bash
# Everything that a public header declares has a comment that says what it promises. tests/public.awk says what counts.
. "$(dirname "$0")/check.sh"
# shellcheck disable=SC2086
awk -f tests/public.awk ${PUBLIC_HEADERS:?run this through make test} > "$work/public"
has() { [ "$(grep -c "^$1 " "$work/public")" -ge "$2" ]; }
check "functions are found" has function 150
check "macros are found" has macro 30
check "types are found" has type 40
bare() { ! awk '$4 == "bare" { print $3 ": " $1 " " $2 " has no contract"; found = 1 } END { exit !found }' "$1"; }
check "each has its contract" bare "$work/public"

# It sees what is missing: in a header of its own, exactly the names that begin with bare.
cat > "$work/planted.h" <<'END'
/* The head of a file is no contract. */
#ifndef PLANTED_H
#define PLANTED_H

/* ---- Nor is that of a section ---- */
Tensor *bare_function(Tensor *x);

/* Above. */
Tensor *good_one(Tensor *x);
Tensor *good_run(Tensor *x,
                 Tensor *y);
Tensor *good_behind(Tensor *x); /* behind */

Tensor *bare_after_a_blank_line(Tensor *x);
Tensor *good_too(Tensor *x); /* behind */
Tensor *bare_between(Tensor *x, int64_t (*callback)(void *context)) WEFT_CHECKED;
/* Below, of what follows. */
void *good_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define bare_pair(...) bare_pair_with((BareOptions){__VA_ARGS__})
bool bare_pair_with(BareOptions options);

#define good_pair(...) good_pair_with((GoodOptions){__VA_ARGS__})
bool good_pair_with(GoodOptions options); /* of both */

typedef struct bare_type bare_type;
typedef Tensor *bare_callback(Tensor *x);
enum { bare_constant = 3, another };
#define bare_number 7

typedef struct good_type {
    int count; /* within */
} good_type;
#endif
END
awk -f tests/public.awk "$work/planted.h" > "$work/planted"
as_planted() { ! awk '$2 !~ /^(bare|good)_/ || (($4 == "bare") != ($2 ~ /^bare_/))' "$work/planted" | grep .; }
check "a missing contract is seen, wherever it is" as_planted
check "and fails" eval '! bare "$work/planted"'
check "everything planted is seen" [ "$(wc -l < "$work/planted")" = 17 ]
finish
