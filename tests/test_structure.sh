#!/usr/bin/env bash
# What CONTRIBUTING.md says of the source: layers, headers, names, what the library may call, what a screen holds.
. "$(dirname "$0")/check.sh"
folders="tensor autograd nn optim data apps"
# shellcheck disable=SC2086
sources=$(find $folders -name '*.[ch]')

# ---- An include never points from a lower layer to a higher one; nn, optim and data do not include each other ----

allowed_tensor="tensor"
allowed_autograd="tensor|autograd"
allowed_nn="tensor|autograd|nn"
allowed_optim="tensor|autograd|optim"
allowed_data="tensor|data"
allowed_apps="tensor|autograd|nn|optim|data|apps"
for folder in $folders; do
    allowed=allowed_$folder
    no_include_beyond() { ! grep -rnE '^#include "' "$folder" | grep -vE "#include \"(${!allowed})/"; }
    check "$folder includes only ${!allowed}" no_include_beyond
done
only_in() { ! grep -lE "$2" $sources | grep -vE "$1"; }
check "vectors are seen by kernels only" only_in '^tensor/kernels/' '^#include "tensor/kernels/vector.h"|vector_size'
check "threads start in one place" only_in '^tensor/parallel.c$' '#pragma omp|<omp.h>|<pthread.h>|<threads.h>'

# ---- Public headers ----

for header in ${PUBLIC_HEADERS:?run this through make test}; do
    staged=$BUILD/include/weft/$header
    check "$header is staged" [ -f "$staged" ]
    check "weft.h includes $header" grep -qx "#include <weft/$header>" "$BUILD/include/weft/weft.h"
done
check "nothing else is staged" [ "$(find "$BUILD/include" -name '*.h' | wc -l)" = \
    "$(wc -w <<< "$PUBLIC_HEADERS weft.h")" ]
strict="-Wall -Wextra -Wpedantic -Werror -fsyntax-only -I$BUILD/include"
[ "$PRECISION" = double ] && strict="$strict -DWEFT_DOUBLE"
for header in $PUBLIC_HEADERS weft.h; do
    for compiler in "gcc -std=c11" "clang -std=c11" "g++ -std=c++11" "clang++ -std=c++11"; do
        command -v "${compiler% *}" > "$work/path" || continue
        echo "#include <weft/$header>" > "$work/alone.c"
        [[ $compiler = *++* ]] && language=c++ || language=c
        check "$header alone, $compiler" $compiler $strict -x $language "$work/alone.c"
    done
done

# ---- The two precisions do not link with each other ----

cat > "$work/use.c" <<'END'
#include <weft/weft.h>
int main(void) { return weft_error() != 0; }
END
# shellcheck disable=SC2086
link() { "$CC" -std=c11 -I"$BUILD/include" "$@" "$work/use.c" "$BUILD/libweft.a" $USER_LDFLAGS -o "$work/use"; }
if [ "$PRECISION" = double ]; then same=-DWEFT_DOUBLE other=-UWEFT_DOUBLE name=float
else same=-UWEFT_DOUBLE other=-DWEFT_DOUBLE name=double; fi
check "the library's own precision links" link $same
refused() { ! link $other 2> "$work/err" && grep -q "weft_library_is_built_for_$name" "$work/err"; }
check "the other precision is refused by name" refused

# ---- What the library defines and what it calls ----

prefixes="weft|tensor|shape|scope|layout|random|parallel|autograd|op|node|nn|optimizer|schedule|dataset|loader|augment"
prefixes="$prefixes|pgm|trainer|report|metrics|onnx|strided|safetensors"
well_named()
{
    ! nm -g --defined-only "$BUILD/libweft.a" | awk 'NF == 3 { print $3 }' | sort -u |
        grep -vE "^(($prefixes)_|backward_with$|gradcheck_with$|TENSOR_NONE$|__|_?(a|ub|t)san)"
}
check "external symbols carry their area's prefix" well_named

# Undefined symbols of the objects below a folder, with the object's name.
calls() { find "$BUILD/obj/$1" -name '*.o' -exec nm -A -u {} + | sed 's/@.*//' | awk '{ print $NF, $1 }'; }
calls_none() { ! calls "$1" | grep -E "^($2) "; }
for folder in tensor autograd nn optim data; do
    check "$folder never prints, exits or aborts" calls_none $folder \
        '(exit|_exit|abort|printf|puts|putchar|perror|stdout|stderr|__assert_fail|__printf_chk)'
    check "$folder calls no inexact function of libm" calls_none $folder \
        '(exp|exp2|expm1|log|log2|log10|log1p|pow|sin|cos|tan|tanh|sinh|cosh|atan|atan2|asin|acos|cbrt|hypot|erf)f?'
done
allocators="malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|memalign|strn?dup|getline|getdelim"
allocators="$allocators|v?asprintf|open_memstream"
check "one allocator" only_in '^tensor/memory.c$' "[^_a-z]($allocators)\("
no_other_allocator() { ! calls . | grep -E "^($allocators) " | grep -vE '/(tensor/memory.o|tests/.*):'; }
check "no object but memory.o calls another" no_other_allocator

# ---- The apps need libc, libm and at most one OpenMP runtime ----

plain_dependencies()
{
    ! ldd "$1" | awk '{ print $1 }' | grep -vE '^(linux-vdso|libc|libm|libgomp|libomp|libpthread|.*/?ld-linux)[-.]' &&
        [ "$(ldd "$1" | grep -cE 'libgomp|libomp')" -le 1 ]
}
for app in mnist_cnn mnist_tiny; do
    if [ "$MODE" != release ]; then skip "what $app links with: a sanitizer brings its own"
    else check "$app links with little" plain_dependencies "$BUILD/$app"; fi
done

# ---- What a screen holds ----

# shellcheck disable=SC2046,SC2086
long_lines()
{
    ! grep -nE '.{121}' $sources tests/*.[ch] tests/*/*.c Makefile .ci/run \
        $(find $folders tests -name '*.sh' -o -name '*.awk' -o -name '*.cc')
}
check "lines are at most 120 columns" long_lines
long_functions()
{
    # shellcheck disable=SC2086
    awk 'FNR == 1 { start = 0 } /^{/ { start = FNR }
         /^}/ && start && FNR - start > 60 { print FILENAME ":" start ": " FNR - start " lines"; bad = 1 }
         /^}/ { start = 0 }
         END { exit bad }' $sources tests/*.c tests/*/*.c
}
check "functions are at most 60 lines" long_functions
marks() { ! grep -nE 'TODO|FIXME|HACK' $sources tests/*.[ch] tests/*/*.c tests/golden/*.py Makefile; }
check "nothing is left to do" marks
tidy_top()
{
    ! ls | grep -vxE 'Makefile|README.md|LICENSE|CONTRIBUTING.md|build|tensor|autograd|nn|optim|data|apps|tests'
}
check "the top level holds what it should" tidy_top
check "the mutations of tests/mutate.sh fit the source" tests/mutate.sh --check
finish
