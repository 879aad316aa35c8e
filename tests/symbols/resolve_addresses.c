/* Resolves hexadecimal addresses from standard input and prints their frames in a form that other tools' output can
 * be brought to:
 *
 *	resolve [-b BUILD-ID] [-d DEBUG-DIR] [-c CPU-SECONDS] [-m MEMORY-MIB] [-q] [-r] [-t] FILE... < addresses
 *
 * One line a frame: address, function, file:line, "?" for what is unknown; an address without frames has one line. With
 * several files each address is asked of all of them, and lines begin with the file. -q prints only the report lines
 * (on standard error otherwise as well); -t adds what it cost. -r takes the addresses as return addresses: the instruction before is meant.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "symbols.h"

enum {
	FILES_MAX = 64,
};

struct options {
	struct ms_symbol_options symbols;
	uint8_t build_id[64];
	size_t build_id_len;
	bool is_quiet;
	bool are_returns;
	bool is_timed;
};

static struct ms_symbol_query *read_queries(size_t n_modules, bool are_returns, size_t *n)
{
	struct ms_symbol_query *queries = NULL;
	uint64_t address;
	size_t room = 0;

	*n = 0;
	while (scanf("%" SCNx64, &address) == 1) {
		if (*n + n_modules > room) {
			room = 2 * room + n_modules;
			queries = reallocarray(queries, room, sizeof(*queries));
			if (!queries)
				abort();
		}
		for (size_t m = 0; m < n_modules; m++)
			queries[(*n)++] = (struct ms_symbol_query){ .module = (uint32_t)m, .offset = address + !are_returns };
	}
	return queries;
}

static void print_frames(const struct ms_symbols *symbols, size_t query, const char *prefix, uint64_t address)
{
	size_t n;
	const struct ms_symbol_frame *frames = ms_symbols_frames(symbols, query, &n);

	if (n == 0)
		printf("%s%" PRIx64 " ? ?:0\n", prefix, address);
	for (size_t i = 0; i < n; i++)
		printf("%s%" PRIx64 " %s %s:%u\n", prefix, address, frames[i].function ? frames[i].function : "?",
			frames[i].file ? frames[i].file : "?", frames[i].line);
}

static void print_report(const struct ms_symbol_report *report, const char *path)
{
	fprintf(stderr, "%s: %s%s%s%s%s\n", path, report->was_read ? "read" : "not read",
		report->has_debug_info ? " debug-info" : "", report->has_symbol_table ? " symbols" : "",
		report->problem ? ": " : "", report->problem ? report->problem : "");
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void print_cost(size_t n_queries, double seconds)
{
	struct rusage children;

	getrusage(RUSAGE_CHILDREN, &children);
	fprintf(stderr, "%zu addresses in %.2f s, parser at most %ld MiB resident\n", n_queries, seconds,
		children.ru_maxrss >> 10);
}

static void parse_build_id(struct options *o, const char *text)
{
	unsigned byte;

	while (o->build_id_len < sizeof(o->build_id) && sscanf(text + 2 * o->build_id_len, "%2x", &byte) == 1)
		o->build_id[o->build_id_len++] = (uint8_t)byte;
}

static int parse_options(struct options *o, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "b:d:c:m:qrt")) != -1) {
		switch (c) {
		case 'b': parse_build_id(o, optarg); break;
		case 'd': o->symbols.debug_dir = optarg; break;
		case 'c': o->symbols.cpu_seconds = (unsigned)atoi(optarg); break;
		case 'm': o->symbols.memory_bytes = (uint64_t)atoi(optarg) << 20; break;
		case 'q': o->is_quiet = true; break;
		case 'r': o->are_returns = true; break;
		case 't': o->is_timed = true; break;
		default: return -1;
		}
	}
	return argc - optind < 1 || argc - optind > FILES_MAX ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct options o = { .is_quiet = false };
	struct ms_symbol_module modules[FILES_MAX] = { { .path = NULL } };
	struct ms_symbol_query *queries;
	struct ms_symbols *symbols;
	size_t n_modules, n;
	double start;

	if (parse_options(&o, argc, argv) < 0)
		return 2;
	n_modules = (size_t)(argc - optind);
	for (size_t i = 0; i < n_modules; i++)
		modules[i] = (struct ms_symbol_module){ .path = argv[(size_t)optind + i],
			.build_id = o.build_id,
			.build_id_len = o.build_id_len };
	queries = read_queries(n_modules, o.are_returns, &n);
	start = now();
	if (ms_symbols_resolve(modules, n_modules, queries, n, &o.symbols, &symbols) != 0)
		return 2;
	if (o.is_timed)
		print_cost(n, now() - start);
	for (size_t i = 0; i < n && !o.is_quiet; i++) {
		char prefix[4096] = "";

		if (n_modules > 1)
			snprintf(prefix, sizeof(prefix), "%s ", modules[queries[i].module].path);
		print_frames(symbols, i, prefix, queries[i].offset - !o.are_returns);
	}
	for (size_t i = 0; i < n_modules; i++)
		print_report(ms_symbols_report(symbols, i), modules[i].path);
	ms_symbols_free(symbols);
	free(queries);
	return 0;
}
