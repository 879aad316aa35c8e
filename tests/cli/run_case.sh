#!/bin/bash
# run_case.sh CASE.sh BIN_DIR - runs a case in an empty directory with our tools on PATH and compares what it printed
# with CASE.stdout and CASE.stderr (missing: nothing), and its status with CASE.exit (missing: 0), exactly.
# UPDATE=1 writes these files instead. Cases use make_cli_trace KIND FILE and damage FILE OFFSET.
case=$(realpath "$1")
bin=$(realpath "$2")
expected=${case%.sh}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

export PATH=$bin:$PATH LC_ALL=C TZ=UTC NO_COLOR=1
damage() { # one byte of a file
	printf '\377' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
export -f damage

mkdir "$scratch/cwd" && cd "$scratch/cwd" || exit 1
bash "$case" >"$scratch/stdout" 2>"$scratch/stderr"
echo $? >"$scratch/exit"

if [ "$UPDATE" ]; then
	for stream in stdout stderr; do
		if [ -s "$scratch/$stream" ]; then cp "$scratch/$stream" "$expected.$stream"; else rm -f "$expected.$stream"; fi
	done
	if [ "$(cat "$scratch/exit")" != 0 ]; then cp "$scratch/exit" "$expected.exit"; else rm -f "$expected.exit"; fi
	exit 0
fi

status=0
touch "$scratch/empty"
echo 0 >"$scratch/zero"
for stream in stdout stderr exit; do
	want=$expected.$stream
	[ -e "$want" ] || { [ $stream = exit ] && want=$scratch/zero || want=$scratch/empty; }
	diff -u --label "$stream expected" --label "$stream" "$want" "$scratch/$stream" || status=1
done
exit $status
