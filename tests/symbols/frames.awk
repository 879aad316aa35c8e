# Brings the output of llvm-symbolizer --output-style=GNU or of addr2line (-a -i -f -C) to lines of resolve_addresses:
# "address function file:line", one a frame.
/^0x[0-9a-f]+$/ {
	address = $0
	sub(/^0x0*/, "", address)
	has_function = 0
	next
}
/^$/ { next }
!has_function {
	name = $0 == "??" ? "?" : $0
	has_function = 1
	next
}
{
	sub(/ \(discriminator [0-9]+\)$/, "")
	line = $0
	sub(/.*:/, "", line)
	file = substr($0, 1, length($0) - length(line) - 1)
	print address " " name " " (file == "??" ? "?" : file) ":" (line == "?" ? 0 : line)
	has_function = 0
}
