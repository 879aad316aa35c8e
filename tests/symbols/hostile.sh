#!/bin/sh
# Damaged programs by the hundred (mutate_elf.c): plain, with compressed and with older debug information.
set -u
mutate=$1
dir=$2
n=${3:-120}
rm -rf "$dir" && mkdir -p "$dir" && cd "$dir" || exit 2

cat > prog.cc <<'END'
#include <cstdlib>
namespace a { template <typename T> struct Box { T v; T get(int n) const { T s{}; for (int i = 0; i < n; i++) s += v * i; return s; } }; }
static inline int twice(int n) { return n + n; }
static int mix(int n) { a::Box<int> b{twice(n)}; return b.get(n) + twice(n + 1); }
int main(int argc, char **argv) { return mix(argc) + mix(argc + std::atoi(argv[0])) > 100; }
END
g++ -g -O1 -gdwarf-5 prog.cc -o five || exit 77
g++ -g -O1 -gdwarf-4 prog.cc -o four
g++ -g -O1 -gz=zlib prog.cc -o packed
cp five intact
seed=1
for program in five four packed; do
	"$mutate" "$program" intact scratch "$n" "$seed" || { echo "FAIL: $program: status $?"; exit 1; }
	seed=$((seed + 1))
done
