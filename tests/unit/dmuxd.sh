#!/bin/bash
# hawser-dmuxd from outside, without starting it: exit codes and messages.
# Usage: dmuxd.sh HAWSER-DMUXD. Speaks TAP.
set -u
dmuxd=$1
dir=$(mktemp -d /tmp/hawser-dmuxd-XXXXXX)
trap 'rm -rf "$dir"' EXIT
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$(dirname "$0")/../tap.sh"

introduces "$dmuxd" "Gateway, router or client of a network protocol behind an anycast address" "[check|bird-config] FILE"
for verb in check bird-config; do
    ok "$verb without a file" try 2 "$dmuxd" "$verb"
    ok "$verb of no file" try 1 "$dmuxd" "$verb" "$dir/none"
    ok "$verb says who says so" complains "hawser-dmuxd: $dir/none: No such file or directory"
done
ok "another word" try 2 "$dmuxd" start "$dir/none"
ok "no file" try 1 "$dmuxd" "$dir/none"
ok "says so" complains "hawser-dmuxd: $dir/none: No such file or directory"
printf '[Client]\nProtocol = mirror\nGateway = 192.0.2.1\nGatway = 192.0.2.1\n' >"$dir/file"
ok "check of a wrong file" try 1 "$dmuxd" check "$dir/file"
ok "check names the line" complains "$dir/file:4: found Gatway, expected a key of [Client] (did you mean Gateway?)"
sed -i 4d "$dir/file"
ok "check of a file" try 0 "$dmuxd" check "$dir/file"
ok "check says the role" says "$dir/file: ok: client"
plan
