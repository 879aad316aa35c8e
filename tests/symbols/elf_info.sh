#!/bin/sh
# The facts msrecord checks before a start, against programs built here and against readelf.
set -u
show=$1
dir=$2
rm -rf "$dir" && mkdir -p "$dir" && cd "$dir" || exit 2
failed=0

fail() {
	echo "FAIL: $*"
	failed=1
}

# want FILE WORD...: every word is in the line shown of FILE; a word after "no:" must not be.
want() {
	file=$1
	shift
	line=" $("$show" "$file") "
	for word; do
		case $word in
		no:*) case $line in *" ${word#no:} "*) fail "$file: unwanted '${word#no:}' in:$line" ;; esac ;;
		*) case $line in *" $word "*) ;; *) fail "$file: no '$word' in:$line" ;; esac ;;
		esac
	done
}

cat > plain.c <<'END'
#include <stdlib.h>
int main(void) { free(malloc(10)); return 0; }
END
cat > own.c <<'END'
#include <stddef.h>
static char pool[1 << 16];
static size_t used;
void *malloc(size_t n) { char *p = pool + used; used += (n + 15) / 16 * 16; return used <= sizeof(pool) ? p : NULL; }
void free(void *p) { (void)p; }
void *mi_malloc(size_t n);
void *mi_malloc(size_t n) { return malloc(n); }
int main(void) { free(malloc(10)); return 0; }
END
gcc -Wl,--build-id -o dynamic plain.c || exit 77
want dynamic elf64 machine=62 interpreter=/lib64/ld-linux-x86-64.so.2 no:static no:defines-malloc no:asan no:setuid
id=$(readelf -n dynamic | sed -n 's/.*Build ID: //p')
want dynamic "build-id=$id"
gcc -Wl,--build-id=none -o no-id plain.c && want no-id build-id=
strip -o stripped dynamic && want stripped no:defines-malloc "build-id=$id"
objcopy --only-keep-debug dynamic debug-only && want debug-only elf64 "build-id=$id"

gcc -static -o static plain.c && want static static defines-malloc
gcc -static-pie -o static-pie plain.c && want static-pie static defines-malloc
gcc -fno-builtin -o own own.c && want own defines-malloc allocator=mimalloc no:static
strip -o own-stripped own && want own-stripped no:asan
for kind in address:asan thread:tsan leak:lsan undefined:ubsan; do
	for cc in gcc clang; do
		"$cc" -fsanitize=${kind%%:*} -o "$cc-${kind##*:}" plain.c 2> /dev/null || continue
		case $cc-$kind in *undefined*) continue ;; esac # nothing of the runtime is kept in so small a program
		want "$cc-${kind##*:}" "${kind##*:}"
		strip -o "$cc-${kind##*:}-stripped" "$cc-${kind##*:}" && want "$cc-${kind##*:}-stripped" "${kind##*:}"
	done
done
clang -fsanitize=memory -o clang-msan plain.c 2> /dev/null && want clang-msan msan

printf '#!/bin/sh\n' > sh-script && [ "$("$show" sh-script)" = 'script [/bin/sh] []' ] || fail "plain #! line"
printf '#! \t/usr/bin/env  -S python3 -u \t\nx' > env-script
[ "$("$show" env-script)" = 'script [/usr/bin/env] [-S python3 -u]' ] || fail "#! line with blanks"
{ printf '#!' && head -c 5000 /dev/zero | tr '\0' /; } > long-script && want long-script script
printf '#!' > bare-script && [ "$("$show" bare-script)" = 'script [] []' ] || fail "bare #!"
: > empty && want empty other
printf 'MZ' > short && want short other

cp dynamic set-id && chmod 6755 set-id && want set-id setuid setgid
[ "$(id -u)" != 0 ] || { chown 65534:65534 set-id && chmod 6755 set-id && want set-id setuid gains-privilege; }
if [ "$(id -u)" = 0 ] && command -v setcap > /dev/null && cp dynamic capable && setcap cap_net_raw+ep capable 2> /dev/null; then
	want capable capabilities
fi

# What is no regular file is neither opened nor waited for.
mkfifo fifo
for odd in . fifo /dev/zero /dev/tty missing; do
	[ -e "$odd" ] || [ "$odd" = missing ] || continue
	case $(timeout 600 "$show" "$odd") in error:*) ;; *) fail "$odd was taken for a file" ;; esac
done

# A file cut anywhere is never a crash, and its identification stays what it was.
size=$(stat -c %s dynamic)
step=$((size / 50))
for i in $(seq 0 50); do
	head -c $((i * step)) dynamic > "cut.$i"
done
"$show" cut.* > cuts || fail "a cut file ended the program: status $?"
[ "$(wc -l < cuts)" = 51 ] || fail "not every cut file was shown"
[ "$failed" = 0 ] && echo "elf_info: ok"
exit "$failed"
