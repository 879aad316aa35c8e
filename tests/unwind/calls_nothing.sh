#!/bin/sh
# usage: calls_nothing.sh OBJECT...
# The unwinder runs inside malloc, in signal handlers and between vfork and exec: of everything outside of its own
# objects it may name _dl_find_object only. (_GLOBAL_OFFSET_TABLE_ is how position-independent code spells itself.)
set -u
defined=$(nm --defined-only "$@" | awk 'NF == 3 { print $3 }')
status=0
for symbol in $(nm -u "$@" | awk '$1 == "U" { print $2 }' | sort -u); do
	case $symbol in
	_dl_find_object | _GLOBAL_OFFSET_TABLE_) continue ;;
	esac
	echo "$defined" | grep -qxF "$symbol" && continue
	echo "the unwinder calls $symbol" >&2
	status=1
done
exit $status
