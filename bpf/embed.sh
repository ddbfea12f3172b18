#!/bin/sh
# Compiles a BPF program and writes its object as the bytes of a C array: embed.sh CLANG SOURCE NAME OUT.H INCLUDE...
set -eu
clang=$1 source=$2 name=$3 out=$4
shift 4
includes=''
for dir; do includes="$includes -I$dir"; done
# shellcheck disable=SC2086 # folders of a build, without spaces
"$clang" -O2 -g -target bpf -ffreestanding -mcpu=v3 -Wall -Wextra -Werror $includes -c "$source" -o "$out.o"
{
    echo "static const unsigned char ${name}[] __attribute__((aligned(8))) = {"
    od -An -v -tx1 "$out.o" | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
    echo "};"
} >"$out"
rm "$out.o"
