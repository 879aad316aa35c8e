#!/bin/bash
# The man page formats without a warning and names every option of --help; the completion is sound bash.
# generated_docs.sh TOOL; of demo_tool also what is completed.
set -eu
tool=$1
name=$(basename "$tool")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() {
	echo "generated_docs: $*" >&2
	exit 1
}

complete_words() { # words typed so far, the last one being completed
	bash -c 'compopt() { :; }; source "$1"; shift
		COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _demo_tool; printf "%s " "${COMPREPLY[@]}"' - \
		"$dir/completion" "$@"
}

check_completions() {
	[[ $(complete_words demo_tool le) == "leaks " ]] || fail "no completion of a command"
	[[ $(complete_words demo_tool leaks --t) == "--top= " ]] || fail "no completion of a command's option"
	[[ $(complete_words demo_tool summary --t) == " " ]] || fail "a completion of another command's option"
	[[ $(complete_words demo_tool leaks --format = c) == "csv " ]] || fail "no completion of a choice"
	[[ $(complete_words demo_tool leaks --format = '') == "text csv json " ]] || fail "not all choices"
	[[ $(complete_words demo_tool leaks "$dir/demo") == "$dir/demo_tool.1 " ]] || fail "no completion of a file"
}

"$tool" --print-man >"$dir/$name.1"
"$tool" --print-completion >"$dir/completion"
bash -n "$dir/completion"
[[ $name != demo_tool ]] || check_completions

"$tool" --help >"$dir/help"
for command in $(sed -n '/^Commands:/,/^$/s/^  \([a-z]\+\) .*/\1/p' "$dir/help"); do
	"$tool" "$command" --help >>"$dir/help"
done
[[ $name != demo_tool ]] || echo '.dot \backslash' >>"$dir/help"
command -v groff >/dev/null || exit 77
groff -man -Tutf8 -ww -P-cbou "$dir/$name.1" >"$dir/page" 2>"$dir/warnings"
[[ ! -s $dir/warnings ]] || fail "groff warns: $(cat "$dir/warnings")"
sed 's/\xe2\x88\x92/-/g' "$dir/page" >"$dir/plain"
n=0
for word in $(grep -oE -- '(--[a-z][a-z-]*|\.dot|\\backslash)' "$dir/help" | sort -u); do
	grep -qF -- "$word" "$dir/plain" || fail "the man page lacks $word"
	n=$((n + 1))
done
[[ $n -ge 3 ]] || fail "the help names only $n options"
