#!/bin/bash
# hawser-realmd from outside, without starting it: exit codes and messages.
# Usage: realmd.sh HAWSER-REALMD. Speaks TAP.
set -u
realmd=$1
dir=$(mktemp -d /tmp/hawser-realmd-XXXXXX)
trap 'rm -rf "$dir"' EXIT
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$(dirname "$0")/../tap.sh"

introduces "$realmd" "Manager of a realm" "[check] FILE"
ok "check without a file" try 2 "$realmd" check
ok "another word" try 2 "$realmd" start "$dir/none"
ok "no file" try 1 "$realmd" "$dir/none"
ok "says so" complains "$dir/none: No such file or directory"
printf '[Realm]\nDirectory = /var/lib/hawser-realm/x\nListn = 0.0.0.0:1\n' >"$dir/file"
ok "check of a wrong file" try 1 "$realmd" check "$dir/file"
ok "check names the line" complains "$dir/file:3: found Listn, expected a key of [Realm] (did you mean Listen?)"
sed -i 3d "$dir/file"
ok "check of a file" try 0 "$realmd" check "$dir/file"
ok "check says so" says "$dir/file: ok"
plan
