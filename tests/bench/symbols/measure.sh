#!/bin/sh
# Names for many random addresses of a generated C++ program: what they cost, and whether they are right.
#
#	measure.sh RESOLVE_ADDRESSES SCRATCH-DIR [N_UNITS N_COPIES N_TYPES N_ADDRESSES]
#
# With the defaults the program is 106 MB, 57 MB of it .debug_info, and there are 100,000 distinct addresses. The first
# thousand are checked against llvm-symbolizer when it is there. The program is kept and used again.
set -eu
resolve=$1
dir=$2
n_units=${3:-8}
n_copies=${4:-5}
n_types=${5:-6}
n_addresses=${6:-100000}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir"
program=$dir/program-$n_units-$n_copies-$n_types
command -v "${CXX:-g++}" > /dev/null || exit 77
[ -x "$program" ] || "$here/generate.sh" "$program" "$n_units" "$n_copies" "$n_types"
rm -rf "$program.d"

# Between the first and the last function the linker lays out: nearly all of it is code of the program.
nm -n --defined-only "$program" | awk '$3 == "_init" { f = 1 } f { print $1 } $3 == "_fini" { exit }' > "$dir/symbols"
first=$((0x$(head -1 "$dir/symbols")))
last=$((0x$(tail -1 "$dir/symbols")))
awk -v first="$first" -v n="$((last - first))" -v want="$n_addresses" 'BEGIN {
	srand(1)
	while (got < want) {
		a = first + int(rand() * n)
		if (!(a in seen)) { seen[a] = 1; got++; printf "%x\n", a }
	}
}' > "$dir/addresses"
size=$(stat -c %s "$program")
echo "program: $((size / 1000000)) MB, $(wc -l < "$dir/symbols") functions"
"$resolve" -t "$program" < "$dir/addresses" > "$dir/frames" 2> "$dir/report"
cat "$dir/report"
echo "frames: $(wc -l < "$dir/frames")"
named=$(awk '$2 != "?" && !($1 in seen) { seen[$1] = 1; n++ } END { print n + 0 }' "$dir/frames")
echo "addresses with a name: $named"
[ $((named * 100)) -ge $((n_addresses * 95)) ] || { echo "FAIL: too few names"; exit 1; }

command -v llvm-symbolizer > /dev/null || exit 0
head -1000 "$dir/addresses" > "$dir/some"
"$resolve" "$program" < "$dir/some" > "$dir/ours" 2> /dev/null
sed 's/^/0x/' "$dir/some" | llvm-symbolizer --obj="$program" --output-style=GNU -a -i -f -C |
	awk -f "$here/../../symbols/frames.awk" > "$dir/theirs"
# The copies of a unit share their names in the debug information, not in the symbol table, and llvm-symbolizer takes
# the latter for the outermost function: only the places are compared.
sed 's/ .* / _Z /' "$dir/theirs" > "$dir/places"
awk -f "$here/../../symbols/compare.awk" "$dir/ours" "$dir/places" || { echo "FAIL: differs from llvm-symbolizer"; exit 1; }
echo "places agree with llvm-symbolizer: $(wc -l < "$dir/ours") frames of 1000 addresses"
