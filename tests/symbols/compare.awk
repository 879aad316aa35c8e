# compare.awk OURS THEIRS: every frame with a line number must agree. What the other tool is known to differ in: it names
# clones of functions (.cold, .part) by their symbols, writes "operator<<int>" without the blank, and cannot demangle all
# of gcc's names (those then begin with _Z, and only their places are compared).
function simple(text) {
	sub(/ void std::/, " std::", text)
	gsub(/ \[clone [^]]*\]| \(\.[a-z.0-9]+\)/, "", text)
	gsub(/\.(cold|constprop\.[0-9]+|part\.[0-9]+|isra\.[0-9]+)/, "", text)
	gsub(/\[abi:[a-z0-9]+\]/, "", text)
	gsub(/[{]lambda/, "lambda", text) # {lambda(int)#1} here, 'lambda'(int) there
	gsub(/#[0-9]+[}]/, "", text)
	gsub(/'lambda[0-9]*'/, "lambda", text)
	gsub(/operator<< </, "operator<<<", text)
	gsub(/operator< </, "operator<<", text)
	return text
}
function without_name(text) { sub(/ .* /, " ", text); return text }
/:0$/ { next }
FNR == NR { ours[++n_ours] = $0; next }
{ theirs[++n_theirs] = $0 }
END {
	if (n_ours != n_theirs) {
		print "frames with lines: " n_ours " ours, " n_theirs " theirs"
		bad = 1
	}
	for (i = 1; i <= n_ours && i <= n_theirs && n_bad < 5; i++) {
		same = simple(ours[i]) == simple(theirs[i]) ||
			(theirs[i] ~ /^[0-9a-f]+ _Z/ && without_name(ours[i]) == without_name(theirs[i]))
		if (!same) {
			print "ours   " ours[i] "\ntheirs " theirs[i]
			n_bad++
		}
	}
	if (n_ours < 100) {
		print "only " n_ours + 0 " frames: nothing was tested"
		bad = 1
	}
	exit bad || n_bad > 0
}
