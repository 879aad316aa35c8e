#!/bin/bash
# The man page formats without a warning and names every option of --help; the completion completes.
set -eu
tool=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() {
	echo "generated_docs: $*" >&2
	exit 1
}

"$tool" --print-man >"$dir/demo_tool.1"
"$tool" --print-completion >"$dir/completion"
bash -n "$dir/completion"

complete_words() { # words typed so far, the last one being completed
	bash -c 'compopt() { :; }; source "$1"; shift
		COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _demo_tool; printf "%s " "${COMPREPLY[@]}"' - \
		"$dir/completion" "$@"
}

[[ $(complete_words demo_tool le) == "leaks " ]] || fail "no completion of a command"
[[ $(complete_words demo_tool leaks --t) == "--top= " ]] || fail "no completion of a command's option"
[[ $(complete_words demo_tool summary --t) == " " ]] || fail "a completion of another command's option"
[[ $(complete_words demo_tool leaks --format = c) == "csv " ]] || fail "no completion of a choice"
[[ $(complete_words demo_tool leaks --format = '') == "text csv json " ]] || fail "not all choices"
[[ $(complete_words demo_tool leaks "$dir/demo") == "$dir/demo_tool.1 " ]] || fail "no completion of a file"

"$tool" --help >"$dir/help"
"$tool" leaks --help >>"$dir/help"
command -v groff >/dev/null || exit 77
groff -man -Tutf8 -ww -P-cbou "$dir/demo_tool.1" >"$dir/page" 2>"$dir/warnings"
[[ ! -s $dir/warnings ]] || fail "groff warns: $(cat "$dir/warnings")"
sed 's/\xe2\x88\x92/-/g' "$dir/page" >"$dir/plain"
for word in $(grep -oE -- '--[a-z][a-z-]*' "$dir/help" | sort -u) .dot '\\backslash'; do
	grep -qF -- "${word#\\}" "$dir/plain" || fail "the man page lacks $word"
done
