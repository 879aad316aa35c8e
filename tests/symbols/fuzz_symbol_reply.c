/* libFuzzer: any bytes as the answer of a child that has been taken over. */
#include <stdlib.h>
#include <string.h>

#include "symbol_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads all that the reply makes reachable; the sanitizer watches. */
static size_t read_all(const struct ms_reply *r)
{
	const char *note = ms_reply_text(r, r->head.note);
	size_t sum = note ? strlen(note) : 0;

	for (uint32_t q = 0; q < r->head.n_queries; q++) {
		for (uint32_t f = r->first[q]; f < r->first[q + 1]; f++) {
			const char *function = ms_reply_text(r, r->frames[f].function);
			const char *file = ms_reply_text(r, r->frames[f].file);

			sum += (function ? strlen(function) : 0) + (file ? strlen(file) : 0);
		}
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ms_reply reply = { 0 };
	void *copy = malloc(size + !size);
	volatile size_t sum;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (ms_reply_parse(&reply, copy, size, 2) == 0) {
		sum = read_all(&reply);
		(void)sum;
		ms_reply_release(&reply);
	} else {
		free(copy);
	}
	return 0;
}
