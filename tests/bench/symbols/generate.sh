#!/bin/sh
# Generates and links a template-heavy C++ program with debug information: generate.sh OUT N_UNITS [N_COPIES] [N_TYPES]
#
# Every unit instantiates containers and algorithms over types of its own, as large C++ programs do. Compiling enough of
# that for 100 MB takes a quarter of an hour, so each unit is linked N_COPIES times, its symbols renamed: all the
# debug information and code is there as often, only the names in .debug_str are shared.
set -eu
out=$1
n_units=$2
n_copies=${3:-1}
n_types=${4:-6}
cxx=${CXX:-g++}
dir=$out.d
mkdir -p "$dir"

unit() {
	echo '#include <algorithm>'
	echo '#include <functional>'
	echo '#include <map>'
	echo '#include <memory>'
	echo '#include <set>'
	echo '#include <string>'
	echo '#include <unordered_map>'
	echo '#include <vector>'
	echo "namespace unit$1 {"
	for t in $(seq "$n_types"); do
		cat << END
namespace part$t {
struct Key { std::string name; int number; bool operator<(const Key &o) const { return number < o.number || (number == o.number && name < o.name); }
	bool operator==(const Key &o) const { return number == o.number && name == o.name; } };
struct Hash { size_t operator()(const Key &k) const { return std::hash<std::string>()(k.name) ^ (size_t)k.number; } };
template <typename T, int N> struct Wrap { T value; std::vector<T> more; T fold(int by) { for (int i = 0; i < N; i++) more.push_back(value); T r = more[(size_t)by % N]; return r; } };
static long run(int seed) {
	std::map<Key, std::vector<std::shared_ptr<Key>>> by_key;
	std::unordered_map<Key, std::set<Key>, Hash> by_hash;
	std::vector<std::pair<Key, std::unique_ptr<Key>>> list;
	Wrap<Key, 4> wrap{Key{"w", seed}, {}};
	for (int i = 0; i < seed; i++) {
		Key k{std::to_string(i * $t), i % 7};
		by_key[k].push_back(std::make_shared<Key>(k));
		by_hash[k].insert(wrap.fold(i));
		list.emplace_back(k, std::make_unique<Key>(k));
	}
	std::stable_sort(list.begin(), list.end(), [](const auto &a, const auto &b) { return a.first < b.first; });
	std::function<long(const Key &)> f = [&](const Key &k) { return (long)by_key[k].size() + k.number; };
	long sum = 0;
	for (auto &e : list) sum += f(e.first) + (long)by_hash[*e.second].size();
	return sum;
}
}
END
	done
	echo '}'
	echo "extern \"C\" long run_unit$1(int seed) { long sum = 0;"
	for t in $(seq "$n_types"); do echo "	sum += unit$1::part$t::run(seed + $t);"; done
	echo '	return sum; }'
}

for u in $(seq "$n_units"); do
	[ -e "$dir/unit$u.o" ] || unit "$u" > "$dir/unit$u.cc"
done
find "$dir" -name 'unit*.cc' | sort |
	xargs -P "$(nproc)" -I {} sh -c 'o=${1%.cc}.o; [ -e "$o" ] || "$2" -g -O2 -std=c++17 -c "$1" -o "$o"' sh {} "$cxx"

# What a unit needs from outside keeps its name; what it defines gets the copy's.
copies=
for u in $(seq "$n_units"); do
	nm --defined-only "$dir/unit$u.o" | awk '{ print $3 }' | grep -v '^\.' | sort -u > "$dir/names"
	for c in $(seq "$n_copies"); do
		awk -v c="$c" '{ print $1 " " $1 ".copy" c }' "$dir/names" > "$dir/renames"
		objcopy --redefine-syms="$dir/renames" "$dir/unit$u.o" "$dir/copy$u.$c.o"
		copies="$copies $u.$c"
	done
done
{
	for copy in $copies; do
		echo "extern \"C\" long run_${copy%.*}_${copy#*.}(int) __asm__(\"run_unit${copy%.*}.copy${copy#*.}\");"
	done
	echo 'int main(int argc, char **) { long sum = 0;'
	for copy in $copies; do echo "	sum += run_${copy%.*}_${copy#*.}(argc * 3);"; done
	echo '	return sum == 1; }'
} > "$dir/main.cc"
"$cxx" -g -O2 -c "$dir/main.cc" -o "$dir/main.o"
"$cxx" -o "$out" "$dir/main.o" "$dir"/copy*.o
