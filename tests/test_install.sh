#!/usr/bin/env bash
# `make install` into a temporary folder, and programs built from there by `cc $(pkg-config --cflags --libs weft)`: in C
# and C++, shared and static, float beside double.
. "$(dirname "$0")/check.sh"
if [ "$MODE" != release ]; then
    skip "installing: nobody installs a build for MODE=$MODE"
    finish
fi
# Another make, not a part of the one that runs this test.
make()
{
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u DESTDIR -u INCLUDEDIR -u LIBDIR -u PKGCONFIGDIR make -s "$@"
}
prefix=$work/usr
case $PRECISION in
double) name=weft-double ;;
*) name=weft ;;
esac
version=$(sed -n 's/^#define WEFT_VERSION "\(.*\)"/\1/p' tensor/tensor.h)

# ---- What is installed ----

check "make install" make install PREFIX="$prefix"
for file in include/weft/weft.h include/weft/tensor/tensor.h "lib/lib$name.a" "lib/lib$name.so.$version"; do
    check "$file is there" [ -f "$prefix/$file" ]
done
check "lib$name.so leads to it" [ "$prefix/lib/lib$name.so" -ef "$prefix/lib/lib$name.so.$version" ]
check "all headers are there" diff -r "$BUILD/include/weft" "$prefix/include/weft"

# Functions and objects that the public headers declare: these, and no others, can be seen from outside.
awk -f tests/public.awk $PUBLIC_HEADERS | awk '$1 ~ /function|object/ { print $2 }' |
    sed "s/^WEFT_PRECISION_SYMBOL$/weft_library_is_built_for_$PRECISION/" | sort > "$work/declared"
nm -D --defined-only "$prefix/lib/lib$name.so" | awk '{ print $NF }' | sort > "$work/exported"
check "the shared library shows what the headers declare" diff "$work/declared" "$work/exported"

# ---- Programs that use it ----

if ! command -v pkg-config > "$work/path"; then
    skip "programs on the installed library: no pkg-config"
    finish
fi
pkg() { PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config "$@"; }
says_version() { [ "$(pkg --modversion $name)" = "$version" ]; }
check "pkg-config knows the version" says_version
strict="-Wall -Wextra -Wpedantic -Werror"
# build COMPILER SOURCE PROGRAM [ARGUMENT]...: with what pkg-config says, and arguments of its own for both.
# shellcheck disable=SC2086,SC2046
build()
{
    local compiler=$1 source=$2 out=$3
    shift 3
    $compiler $strict "$source" $(pkg --cflags --libs "$@") -o "$out"
}
run() { LD_LIBRARY_PATH=$prefix/lib "$@"; }
uses() { LD_LIBRARY_PATH=$prefix/lib ldd "$1" | grep -q "lib$2.so.${version%.*} => $prefix/lib/"; }

check "an op of one's own, shared" build "$CC -std=c11" tests/out_of_tree/own_op.c "$work/own_op" $name
check "it uses the soname" uses "$work/own_op" $name
check "it runs" run "$work/own_op"
# The tutorial's model: the README says what its program shows.
if [ -f README.md ]; then
    awk -v folder="$work" -f tests/tutorial.awk README.md > "$work/files"
    check "the tutorial's model builds" build "$CC" "$work/model.c" "$work/model" $name
    shown() { run "$work/model" | diff <(sed 1d "$(grep -lx '\$ ./model' "$work"/*.text)") -; }
    check "it shows what the README says" shown
fi
static() { local compiler=$1; shift; build "$compiler -static" "$@"; }
echo 'int main(void) { return 0; }' > "$work/empty.c"
if "$CC" -static -fopenmp "$work/empty.c" -o "$work/empty" 2> "$work/err"; then
    check "an op of one's own, static" static "$CC -std=c11" tests/out_of_tree/own_op.c "$work/static" --static $name
    check "it runs alone" "$work/static"
else
    skip "a static program: no static libc or OpenMP for $CC"
fi
for compiler in g++ clang++; do
    command -v $compiler > "$work/path" || { skip "C++: no $compiler"; continue; }
    check "$compiler compiles" build "$compiler -std=c++11" tests/out_of_tree/plain.cc "$work/plain" $name
    check "$compiler: it learns" run "$work/plain"
done

# ---- Another prefix by DESTDIR, the other precision beside this one, and away with them ----

check "make install DESTDIR=" make install PREFIX=/opt/weft LIBDIR=/opt/weft/lib64 DESTDIR="$work/root"
check "it names no place of this machine" [ -z "$(grep -r "$work" "$work/root/opt/weft/lib64/pkgconfig")" ]
staged()
{
    PKG_CONFIG_SYSROOT_DIR=$work/root PKG_CONFIG_PATH=$work/root/opt/weft/lib64/pkgconfig pkg-config "$@" $name
}
# shellcheck disable=SC2046
build_staged() { "$CC" -std=c11 tests/out_of_tree/own_op.c $(staged --cflags --libs) -o "$work/staged"; }
check "a program builds against it" build_staged
check "it runs there" env LD_LIBRARY_PATH="$work/root/opt/weft/lib64" "$work/staged"
check "make uninstall DESTDIR=" make uninstall PREFIX=/opt/weft LIBDIR=/opt/weft/lib64 DESTDIR="$work/root"
check "leaves no file" [ -z "$(find "$work/root" ! -type d)" ]

if [ -n "$DOUBLE" ]; then
    check "double beside float" make install PRECISION=double BUILD="$DOUBLE" PREFIX="$prefix"
    check "a program in double" build "$CC -std=c11" tests/out_of_tree/own_op.c "$work/own_double" weft-double
    check "it uses its own library" uses "$work/own_double" weft-double
    check "it runs in double" run "$work/own_double"
    check "float still runs" run "$work/own_op"
    check "double is uninstalled" make uninstall PRECISION=double BUILD="$DOUBLE" PREFIX="$prefix"
    check "and float still builds" build "$CC -std=c11" tests/out_of_tree/own_op.c "$work/own_op" $name
fi
check "make uninstall" make uninstall PREFIX="$prefix"
check "nothing is left" [ -z "$(find "$prefix" ! -type d)" ]
finish
