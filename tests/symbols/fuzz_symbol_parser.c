/* libFuzzer: any bytes as a module's file, through everything the sandboxed child does with one. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "symbol_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int open_nothing(const char *path)
{
	(void)path;
	return -ENOENT;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { N = 64 };
	uint64_t addresses[N];
	struct ms_reply reply = { 0 };
	struct ms_parser_job job = { .path = "/x/y", .debug_dir = "/z", .uses_debug_info = true, .open_file = open_nothing,
		.addresses = addresses, .n_addresses = N };

	for (uint64_t i = 0; i < N; i++)
		addresses[i] = 0x1000 + i * 16;
	job.fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (job.fd < 0 || write(job.fd, data, size) != (ssize_t)size)
		abort();
	if (ms_symbol_parse(&job, &reply) == 0 && reply.head.n_queries != N)
		abort();
	ms_reply_release(&reply);
	close(job.fd);
	return 0;
}
