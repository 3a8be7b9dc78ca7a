# For shell tests to source after check.sh: $data, a folder of small files in MNIST's format, 170 images to train on and
# 30 to test.

# u32 NUMBER...: each as four bytes, most significant first.
u32() {
    local n
    for n in "$@"; do
        printf '%b' "$(printf '\\0%o' $((n >> 24 & 255)) $((n >> 16 & 255)) $((n >> 8 & 255)) $((n & 255)))"
    done
}
rows() { head -c $(($1 * 28)) /dev/zero | tr '\0' "$2"; }
# The image of digit d has two bright rows, 2 d + 4 and the next.
for digit in 0 1 2 3 4 5 6 7 8 9; do
    rows $((2 * digit + 4)) '\0'; rows 2 '\377'; rows $((22 - 2 * digit)) '\0'
done > "$work/digits"
printf '\0\1\2\3\4\5\6\7\10\11' > "$work/labels"
repeat() { local i; for ((i = 0; i < $1; i++)); do cat "$2"; done; }
# data_set FOLDER PREFIX TENS: so many times the ten digits.
data_set() {
    { u32 2051 $(($3 * 10)) 28 28; repeat "$3" "$work/digits"; } > "$1/$2-images-idx3-ubyte"
    { u32 2049 $(($3 * 10)); repeat "$3" "$work/labels"; } > "$1/$2-labels-idx1-ubyte"
}
data=$work/data
mkdir "$data"
data_set "$data" train 17
data_set "$data" t10k 3
