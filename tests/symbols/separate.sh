#!/bin/sh
# Symbol tables without debug information, debug information in other files, and files that are not the right ones.
set -u
resolve=$1
dir=$2
rm -rf "$dir" && mkdir -p "$dir" && cd "$dir" || exit 2
failed=0

fail() {
	echo "FAIL: $*"
	failed=1
}

cat > prog.c <<'END'
#include <stdio.h>
#include <stdlib.h>
__attribute__((noinline)) int leaf(int n) { return n * 3; }
static __attribute__((noinline)) int local_one(int n) { int r = leaf(n); return r + 1; }
__attribute__((noinline)) int outer(int n) { int r = local_one(n) + local_one(n + 1); puts("x"); return r; }
__attribute__((noinline, noreturn)) void last_call(void) { exit(leaf(0)); }
__attribute__((noinline)) int after(int n) { return leaf(n) - 1; }
int main(int argc, char **argv) { (void)argv; if (argc > 3) last_call(); return outer(argc) + after(argc); }
END
gcc -g -O1 -Wl,--build-id prog.c -o full || exit 77
address_of() { nm "$1" | awk -v name="$2" '$3 == name { print $1; exit }'; }
start=$(address_of full local_one)

# ask FILE OPTIONS...: the answer for the beginning of local_one, and the report in "report".
ask() {
	file=$1
	shift
	echo "$start" | "$resolve" "$@" "$file" 2> report | sed 's/^[0-9a-f]* //'
}
expect() {
	what=$1 want=$2 got=$3
	[ "$got" = "$want" ] || fail "$what: got '$got', not '$want'"
}
expect_report() { grep -q "$2" report || fail "$1: report is '$(cat report)'"; }

debug="local_one $PWD/prog.c:4"
expect "own debug information" "$debug" "$(ask full)"
expect_report "own debug information" ': read debug-info symbols$'

# Names only.
cp full names && strip -g names
expect "no debug information" 'local_one ?:0' "$(ask names)"
expect_report "no debug information" ': read symbols$'
cp full bare && strip bare
expect "stripped, local function" '? ?:0' "$(ask bare)"
gcc -shared -fPIC -O1 prog.c -o lib.so && strip lib.so
start=$(nm -D lib.so | awk '$3 == "outer" { print $1 }')
expect "stripped library, exported function" 'outer ?:0' "$(ask lib.so)"
start=$(address_of full local_one)

# Debug information elsewhere.
objcopy --only-keep-debug full full.debug
cp bare linked && objcopy --add-gnu-debuglink=full.debug linked
expect "debuglink beside it" "$debug" "$(ask linked)"
mkdir .debug && mv full.debug .debug/
expect "debuglink in .debug" "$debug" "$(ask linked)"
mkdir -p "root$PWD" && mv .debug/full.debug "root$PWD/"
expect "debuglink under the debug directory" "$debug" "$(ask "$PWD/linked" -d root)"
id=$(readelf -n full | sed -n 's/.*Build ID: //p')
mkdir -p "ids/.build-id/$(echo "$id" | cut -c 1-2)"
mv "root$PWD/full.debug" "ids/.build-id/$(echo "$id" | cut -c 1-2)/$(echo "$id" | cut -c 3-).debug"
expect "build-id directory" "$debug" "$(ask bare -d ids)"
expect_report "build-id directory" ': read debug-info symbols$'
expect "none of these" '? ?:0' "$(ask linked)"

# Without build-ids the CRC decides.
gcc -g -O1 -Wl,--build-id=none prog.c -o crc && objcopy --only-keep-debug crc crc.debug && strip crc &&
	objcopy --add-gnu-debuglink=crc.debug crc
start=$(address_of crc.debug local_one)
expect "right CRC" "$debug" "$(ask crc)"
printf x >> crc.debug
expect "wrong CRC" '? ?:0' "$(ask crc)"
expect_report "wrong CRC" 'of another build'

# Debug information of another build, put where the right one was.
sed 's/n \* 3/n * 5/' prog.c > other.c && gcc -g -O1 -Wl,--build-id other.c -o other && objcopy --only-keep-debug other full.debug
start=$(address_of full local_one)
expect "debug file of another build" '? ?:0' "$(ask linked)"
expect_report "debug file of another build" 'of another build'

# The file itself is another build than the one that ran.
expect "right build-id" "$debug" "$(ask full -b "$id")"
expect "wrong build-id" '? ?:0' "$(ask other -b "$id")"
expect_report "wrong build-id" 'not read: .*another build'
expect "build-id gone" '? ?:0' "$(ask crc -b "$id")"

# Missing halves of split units are told; what the file itself has is shown.
g++ -g -O1 -gsplit-dwarf -dumpdir split. prog.c -o split 2> /dev/null || gcc -g -O1 -gsplit-dwarf prog.c -o split
rm -f ./*.dwo
start=$(address_of split _ZL9local_onei)
[ -n "$start" ] || start=$(address_of split local_one)
case $(ask split) in local_one*"prog.c:4") ;; *) fail "missing .dwo: $(ask split)" ;; esac
expect_report "missing .dwo" 'the .dwo files of 1 of 1 compilation units were not found'

# A return address belongs to the call before it, also where the call is the last instruction of a function.
start=$(objdump -d full | awk '/<last_call>:/ { f = 1 } f && /call.*exit/ { getline; sub(/:.*/, "", $1); print $1; exit }')
[ -n "$start" ] || start=$(address_of full after)
end=$(address_of full after)
start=$(printf '%x' "0x$end")
case $(ask full -r) in "last_call $PWD/prog.c:6") ;; *) fail "return address behind the last call: $(ask full -r)" ;; esac

# Aliases: the name a developer expects.
cat > alias.s <<'END'
	.text
	.globl __libc_thing, thing, _weak_thing
	.weak _weak_thing
	.type __libc_thing, @function
	.type thing, @function
	.type _weak_thing, @function
	.type local_thing, @function
local_thing:
__libc_thing:
_weak_thing:
thing:
	nop
label_inside:
	nop
	ret
	.size thing, 3
	.size __libc_thing, 3
	.size _weak_thing, 3
	.size local_thing, 3
unsized:
	nop
	nop
next_unsized:
	nop
	.globl main
main:	call puts@PLT
	ret
	.section .note.GNU-stack,"",@progbits
END
gcc alias.s -o alias || exit 1
start=$(address_of alias thing)
expect "alias" 'thing ?:0' "$(ask alias)"
start=$(address_of alias label_inside)
expect "label inside a function" 'thing ?:0' "$(ask alias)"
start=$(printf '%x' $((0x$(address_of alias unsized) + 1)))
expect "symbol without size" 'unsized ?:0' "$(ask alias)"
start=$(objdump -d -j .plt -j .plt.sec alias 2> /dev/null | sed -n 's/^0*\([0-9a-f]*\) <puts@plt>.*/\1/p')
[ -z "$start" ] || expect "PLT entry" 'puts@plt ?:0' "$(ask alias)"

# Of the C library itself, stripped as distributions ship it.
libc=$(ldd full | sed -n 's/.*libc\.so[^ ]* => \([^ ]*\).*/\1/p')
if [ -n "$libc" ]; then
	for name in malloc free calloc realloc read open printf; do
		start=$(nm -D "$libc" | awk -v name="$name" '{ sub(/@.*/, "", $3) } $3 == name { print $1; exit }')
		case $(ask "$libc" -d /nonexistent) in "$name "*) ;; *) fail "libc: $(ask "$libc" -d /nonexistent), not $name" ;; esac
	done
fi

# What is no file of code is refused, and costs no other module anything.
mkfifo fifo
printf 'no elf' > text
gcc -m32 -c -x c /dev/null -o thirtytwo.o 2> /dev/null || cp text thirtytwo.o
start=$(address_of full local_one)
echo "$start" | timeout 600 "$resolve" fifo . /dev/zero /dev/tty text thirtytwo.o missing full > out 2> report
[ "$(grep -c ': not read: ' report)" = 7 ] || fail "odd paths: $(cat report)"
grep -q "^full $start $debug\$" out || grep -q "^full [0-9a-f]* $debug\$" out || fail "no answer beside odd paths: $(cat out)"

# A memory limit that the debug information passes, but not the symbol table.
{
	echo 'int main(void) { return 0; }'
	for i in $(seq 3000); do echo "struct s$i { int a$i, b$i, c$i; struct s$i *next; } v$i; int f$i(struct s$i *p) { return p->a$i; }"; done
} > wide.c
if gcc -g3 -O1 -gz=zlib wide.c -o wide 2> /dev/null; then
	start=$(address_of wide f7)
	case $(ask wide -m 1) in "f7 "*) ;; *) fail "no name under a memory limit: $(cat report)" ;; esac
fi
[ "$failed" = 0 ] && echo "separate: ok"
exit "$failed"
