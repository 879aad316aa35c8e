/* replay_corpus.c - runs a fuzz target over the files named, once each: the corpus as an ordinary test. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *read_file(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = NULL;

	*len = 0;
	if (!f)
		return NULL;
	for (size_t cap = 4096, n = 1; n > 0; cap *= 2, *len += n) {
		uint8_t *more = realloc(data, cap);
		if (!more)
			abort();
		data = more;
		n = fread(data + *len, 1, cap - *len, f);
	}
	fclose(f);
	return data;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		size_t len;
		uint8_t *data = read_file(argv[i], &len);
		if (!data) {
			fprintf(stderr, "replay_corpus: cannot read '%s'\n", argv[i]);
			return 1;
		}
		uint8_t *exact = malloc(len ? len : 1); /* of exactly that size, so that sanitizers see every overrun */
		if (!exact)
			abort();
		for (size_t k = 0; k < len; k++)
			exact[k] = data[k];
		LLVMFuzzerTestOneInput(exact, len);
		free(exact);
		free(data);
	}
	printf("%d inputs\n", argc - 1);
	return argc > 1 ? 0 : 1;
}
