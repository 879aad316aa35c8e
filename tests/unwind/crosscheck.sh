#!/bin/sh
# usage: crosscheck.sh CROSSCHECK_LIBRARY command [args...]
# Runs the command with the library preloaded and judges its totals: at least 99.9 % of the compared stacks agree
# with gcc's, those that are marked as cut counted apart and at most 1 %. Prints the totals. 77: no such command.
set -u
library=$1
shift
command -v "$1" >/dev/null || exit 77
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
LD_PRELOAD=$library MS_CROSSCHECK_OUT=$out MS_CROSSCHECK_EVERY=${MS_CROSSCHECK_EVERY:-16} "$@" >/dev/null || {
	echo "crosscheck: the command failed: $*" >&2
	exit 1
}
cat "$out"
awk '$1 == "pid" {
	compared += $8; agree += $10; longer += $14; cut += $16; disagree += $18
}
END {
	printf "all: compared %d agree %d longer %d cut %d disagree %d\n", compared, agree, longer, cut, disagree
	exit !(compared > 0 && agree >= 0.999 * (compared - longer - cut) && cut <= 0.01 * compared)
}' "$out"
