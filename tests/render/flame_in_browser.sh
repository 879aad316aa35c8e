#!/bin/bash
# The flamegraph in a real browser, from a file: zoom, search, reset, keys. Needs node and chromium.
set -eu
draw=$1
here=$(cd "$(dirname "$0")" && pwd)
node=$(command -v node) || exit 77
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || exit 77
dir=$(mktemp -d)
# the browser's children may write for a moment after it has gone
trap 'rm -rf "$dir" 2>/dev/null || { sleep 1; rm -rf "$dir"; }' EXIT

{
	echo 'main;parse;grow;alloc 600'
	echo 'main;parse;alloc 200'
	echo 'main;emit;grow;grow 100'
	echo '[cut stack];jit 100'
} | "$draw" flame >"$dir/small.svg"
"$draw" hostile >"$dir/hostile.svg"
awk 'BEGIN { printf "main"; for (i = 0; i < 150; i++) printf ";f%d", i; print " 100" }' | "$draw" flame >"$dir/tall.svg"
"$node" "$here/flame_in_browser.mjs" "$browser" "$dir"
