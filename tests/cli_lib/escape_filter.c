/* escape_filter KIND: standard input, split into strings by 4-byte little-endian lengths, comes out as a
 * whole document of the kind, for a real parser to read. */
#include "escape.h"
#include "hostile.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>

static void write_one(struct ms_out *o, const char *kind, const char *s, size_t n)
{
	if (strcmp(kind, "json") == 0) {
		ms_out_char(o, '"');
		ms_escape_json(o, s, n);
		ms_out_str(o, "\"\n");
	} else if (strcmp(kind, "csv") == 0 || strcmp(kind, "csv-machine") == 0) {
		ms_escape_csv(o, s, n, kind[3]);
		ms_out_str(o, ",end\r\n");
	} else if (strcmp(kind, "xml") == 0) {
		ms_out_str(o, "<t a=\"");
		ms_escape_xml(o, s, n);
		ms_out_str(o, "\" b='");
		ms_escape_xml(o, s, n);
		ms_out_str(o, "'>");
		ms_escape_xml(o, s, n);
		ms_out_str(o, "</t>\n");
	} else if (strcmp(kind, "folded") == 0) {
		ms_escape_folded(o, s, n);
		ms_out_str(o, ";leaf 42\n");
	} else {
		ms_escape_text(o, s, n);
		ms_out_char(o, '\n');
	}
}

static void write_raw_hostile(void)
{
	for (size_t i = 0; i < N_HOSTILE; i++) {
		unsigned n = (unsigned)hostile_strings[i].n;
		unsigned char length[4] = {(unsigned char)n, (unsigned char)(n >> 8), 0, 0};

		fwrite(length, 1, 4, stdout);
		fwrite(hostile_strings[i].bytes, 1, n, stdout);
	}
}

int main(int argc, char **argv)
{
	unsigned char length[4];
	struct ms_out out;

	ms_report_init("escape_filter", MS_EXIT_FAIL);
	if (argc != 2)
		ms_die("give one kind");
	if (strcmp(argv[1], "raw-hostile") == 0) {
		write_raw_hostile();
		return fflush(stdout) != 0;
	}
	ms_out_init_fd(&out, 1);
	if (strcmp(argv[1], "xml") == 0)
		ms_out_str(&out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<r>\n");
	while (fread(length, 1, 4, stdin) == 4) {
		size_t n = length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16;
		char *s = malloc(n + 1);

		if (!s || fread(s, 1, n, stdin) != n)
			ms_die("short input");
		write_one(&out, argv[1], s, n);
		free(s);
	}
	if (strcmp(argv[1], "xml") == 0)
		ms_out_str(&out, "</r>\n");
	return ms_report_close(&out, NULL, MS_EXIT_OK);
}
