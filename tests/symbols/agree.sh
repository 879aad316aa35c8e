#!/bin/sh
# Function, file, line and inlined calls at every instruction of small programs, as built by the compilers that are
# here in the ways programs are built, against llvm-symbolizer. (binutils' addr2line is wrong about inlined and local functions.)
set -u
command -v llvm-symbolizer > /dev/null || exit 77
resolve=$1
dir=$2
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$dir" && mkdir -p "$dir" && cd "$dir" || exit 2
failed=0
n_compared=0

cat > c.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct node { struct node *next; char text[16]; int value; };
static inline int square(int x) { return x * x; }
static inline int twice_square(int x)
{
	int y = square(x);
	{
		int z = square(y + 1);
		return y + z;
	}
}
static struct node *push(struct node *head, const char *text, int value)
{
	struct node *n = malloc(sizeof(*n));
	if (!n)
		abort();
	n->next = head;
	n->value = twice_square(value);
	strncpy(n->text, text, sizeof(n->text) - 1);
	n->text[sizeof(n->text) - 1] = 0;
	return n;
}
__attribute__((noinline)) int sum(const struct node *n)
{
	int total = 0;
	for (; n; n = n->next)
		total += n->value + (int)strlen(n->text);
	return total;
}
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
__attribute__((cold, noinline)) void complain(int n) { fprintf(stderr, "only %d\n", n); exit(3); }
int main(int argc, char **argv)
{
	struct node *list = NULL;
	int values[64];
	for (int i = 0; i < 64; i++) {
		list = push(list, argv[i % argc], i ^ argc);
		values[i] = twice_square(sum(list));
	}
	qsort(values, 64, sizeof(values[0]), compare);
	if (argc > 9)
		complain(argc);
	printf("%d\n", values[argc] + sum(list));
	return 0;
}
END
cat > cpp.cc <<'END'
#include <algorithm>
#include <map>
#include <string>
#include <vector>
namespace outer { namespace inner {
template <typename T> struct Bag {
	std::map<std::string, T> items;
	void add(const std::string &name, T value) { items[name] += value; }
	T total() const { T t{}; for (auto &i : items) t += i.second; return t; }
};
struct Local { int run(int n) { struct Step { static int up(int v) { return v + 1; } }; return Step::up(n) * Step::up(n + 2); } };
} }
static int risky(int n) { if (n == 3) throw n; return n * 2; }
int main(int argc, char **)
{
	outer::inner::Bag<double> bag;
	std::vector<int> list;
	for (int i = 0; i < argc * 10; i++) {
		try { list.push_back(risky(i)); } catch (int e) { list.push_back(e); }
		bag.add(std::to_string(i % 3), i * 1.5);
	}
	std::sort(list.begin(), list.end(), [](int a, int b) { return a % 5 < b % 5; });
	return (int)bag.total() + list[0] + outer::inner::Local().run(argc);
}
END

addresses() {
	objdump -d -j .text --no-show-raw-insn "$1" | sed -n 's/^ *\([0-9a-f]*\):.*/\1/p'
}

# agree NAME COMPILER SOURCE FLAGS...: a compiler or option that is not here is no failure.
agree() {
	name=$1
	shift
	"$@" -o "$name" 2> "$name.log" || { echo "skip: $*"; return; }
	addresses "$name" > addresses
	sed 's/^/0x/' addresses | llvm-symbolizer --obj="$name" --output-style=GNU -a -i -f -C > oracle
	"$resolve" "$name" < addresses > ours 2> report || { echo "FAIL: $name: status $?"; failed=1; }
	awk -f "$here/frames.awk" oracle > theirs
	if ! awk -f "$here/compare.awk" ours theirs > difference; then
		echo "FAIL: $* differs:"
		cut -c 1-400 difference
		failed=1
	elif ! grep -q ': read debug-info symbols$' report; then
		echo "FAIL: $*: $(cat report)"
		failed=1
	fi
	n_compared=$((n_compared + 1))
}

for dwarf in 4 5; do
	for opt in -O0 -O2; do
		[ $opt-$dwarf != -O0-4 ] || continue
		agree gcc-c$opt-$dwarf gcc -g -gdwarf-$dwarf $opt c.c
		agree clang-c$opt-$dwarf clang -g -gdwarf-$dwarf $opt c.c
		agree gcc-cpp$opt-$dwarf g++ -g -gdwarf-$dwarf $opt cpp.cc
		agree clang-cpp$opt-$dwarf clang++ -g -gdwarf-$dwarf $opt cpp.cc
	done
	agree gcc-split-$dwarf g++ -g -gdwarf-$dwarf -O2 -gsplit-dwarf -dumpdir gcc-split-$dwarf. cpp.cc
	mkdir -p split-$dwarf && cp c.c split-$dwarf # clang names the .dwo after the output, gcc after the dump directory
	agree clang-split-$dwarf clang -g -gdwarf-$dwarf -O2 -gsplit-dwarf split-$dwarf/c.c
done
agree gcc-lto g++ -g -O2 -flto -fno-ipa-icf cpp.cc # folded functions have two names, and each tool picks its own
agree clang-lto clang++ -g -O2 -flto -fuse-ld=lld cpp.cc
agree gcc-sections g++ -g -O2 -ffunction-sections -Wl,--gc-sections cpp.cc
agree clang-lld-icf clang++ -g -O2 -ffunction-sections -fuse-ld=lld -Wl,--gc-sections cpp.cc
agree gcc-nopie gcc -g -O2 -no-pie c.c
agree gcc-oldlayout gcc -g -O2 -Wl,-z,noseparate-code -Wl,--gc-sections -ffunction-sections c.c
agree gcc-compressed g++ -g -O2 -gz=zlib cpp.cc
agree gcc-gnu-compressed g++ -g -gdwarf-4 -O2 -gz=zlib-gnu cpp.cc
agree gcc-types g++ -g -O2 -fdebug-types-section cpp.cc
agree clang-lines clang -gline-tables-only -O2 c.c
agree gcc-lines g++ -g1 -O2 cpp.cc

# dwz moves what is common into partial units, and with -m into a file of its own.
if command -v dwz > /dev/null && g++ -g -gdwarf-4 -O2 cpp.cc -o plain 2> /dev/null; then
	cp plain dwz-1 && cp plain dwz-2 && cp plain dwz-0
	dwz dwz-0 && dwz -m "$PWD/dwz.common" -M "$PWD/dwz.common" dwz-1 dwz-2
	addresses plain > addresses
	"$resolve" plain < addresses > ours.plain 2> /dev/null
	for file in dwz-0 dwz-1; do
		"$resolve" "$file" < addresses > ours 2> /dev/null
		cmp -s ours ours.plain || { echo "FAIL: $file differs from what dwz was given"; failed=1; }
		n_compared=$((n_compared + 1))
	done
fi
[ "$n_compared" -gt 0 ] || exit 77
echo "agree: $n_compared programs"
exit "$failed"
