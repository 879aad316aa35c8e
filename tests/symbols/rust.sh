#!/bin/sh
# Rust: both manglings demangled, functions in namespaces found, inlined calls as llvm-symbolizer sees them.
set -u
resolve=$1
dir=$2
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$dir" && mkdir -p "$dir" && cd "$dir" || exit 2
failed=0
cat > prog.rs <<'END'
use std::collections::HashMap;
mod shapes {
    pub struct Bag<T> { pub items: Vec<T> }
    impl<T: Copy + std::ops::Add<Output = T>> Bag<T> {
        #[inline(never)]
        pub fn total(&self, start: T) -> T { self.items.iter().fold(start, |a, b| a + *b) }
    }
}
#[inline(never)]
fn count(words: &[String]) -> usize {
    let mut map: HashMap<&str, usize> = HashMap::new();
    for w in words { *map.entry(w).or_insert(0) += w.len(); }
    map.values().sum()
}
fn main() {
    let words: Vec<String> = std::env::args().chain((0..9).map(|i| format!("w{}", i))).collect();
    let bag = shapes::Bag { items: words.iter().map(|w| w.len()).collect() };
    println!("{} {}", count(&words), bag.total(1));
}
END
for mangling in v0 legacy; do
	rustc -g -O -C symbol-mangling-version=$mangling prog.rs -o $mangling 2> log ||
		rustc -g -O -Z unstable-options -C symbol-mangling-version=$mangling prog.rs -o $mangling 2> log || continue
	# Only the program's own unit: the standard library comes without debug information of its lines.
	objdump -d -j .text --no-show-raw-insn $mangling |
		awk '/^[0-9a-f]+ <.*(prog|shapes|count)/ { f = 1 } /^$/ { f = 0 } f && /^ / { sub(/:.*/, "", $1); print $1 }' > addresses
	"$resolve" $mangling < addresses > ours 2> report
	grep -q ': read debug-info symbols' report || { echo "FAIL: $mangling: $(cat report)"; failed=1; }
	for name in 'prog::count ' 'total' 'prog::main '; do
		grep -q " .*$name.*prog\.rs:" ours || { echo "FAIL: $mangling: no '$name'"; failed=1; }
	done
	if grep -E '17h[0-9a-f]{16}E|::h[0-9a-f]{16} ' ours | head -3 | grep .; then
		echo "FAIL: $mangling: names with their hash"
		failed=1
	fi
	command -v llvm-symbolizer > /dev/null || continue
	sed 's/^/0x/' addresses | llvm-symbolizer --obj=$mangling --output-style=GNU -a -i -f -C | awk -f "$here/frames.awk" > theirs
	# Its demangler writes Rust's names differently: places and the number of frames are compared.
	sed 's/ .* / _Z /' theirs > places
	awk -f "$here/compare.awk" ours places > difference || { echo "FAIL: $mangling:"; cut -c 1-300 difference; failed=1; }
done
[ -e v0 ] || [ -e legacy ] || exit 77
[ "$failed" = 0 ] && echo "rust: ok"
exit "$failed"
