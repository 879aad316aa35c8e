/* insn_lengths: reads what objdump -dw printed, and holds its lengths of instructions against ours. Two may differ: objdump
 * takes fwait and what follows for one, and knows what a prefix alone, or AMD's XOP, is. */
#include "insn.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The bytes in TEXT, up to a tab; TEXT moves on to what they mean. */
static unsigned bytes_in(char **text, unsigned char *bytes, unsigned most)
{
	unsigned n = 0;

	while (n < most && **text != '\t' && **text != '\n' && **text) {
		char *end;

		bytes[n] = (unsigned char)strtoul(*text, &end, 16);
		if (end == *text)
			break;
		n++;
		for (*text = end; **text == ' ';)
			++*text;
	}
	return n;
}

static bool is_passed_over(const unsigned char *bytes, const char *meaning)
{
	return bytes[0] == 0x9b || (bytes[0] == 0x8f && bytes[1] >= 0xe8) || strstr(meaning, "(bad)") || strstr(meaning, ".byte") ||
	       strncmp(meaning, "rex", 3) == 0 || strncmp(meaning, "xstore", 6) == 0 || strncmp(meaning, "xcrypt", 6) == 0;
}

int main(void)
{
	unsigned long n_same = 0, n_different = 0;
	char line[4096];

	while (fgets(line, sizeof(line), stdin)) {
		unsigned char bytes[MS_INSN_MAX + 1] = {0};
		char *text = strchr(line, '\t');
		unsigned n, opcode;

		if (!text || line[0] != ' ')
			continue;
		text++;
		n = bytes_in(&text, bytes, sizeof(bytes));
		if (n == 0 || *text != '\t' || is_passed_over(bytes, text + 1))
			continue;
		if (ms_insn_size(bytes, n, &opcode) == n && (n == 1 || ms_insn_size(bytes, n - 1, &opcode) == 0)) {
			n_same++;
			continue;
		}
		if (n_different++ < 20)
			fprintf(stderr, "%u: %s", ms_insn_size(bytes, n, &opcode), line);
	}
	printf("%lu instructions, %lu differ\n", n_same + n_different, n_different);
	return n_different > 0 || n_same < 1000;
}
