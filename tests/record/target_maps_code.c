/* target_maps_code: maps its own code from its file once more, allocates 4321 bytes by a function in that view, and, after it
 * is unmapped and memory is there, 4322 by a copy in that memory. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void *allocating(void *(*allocate)(size_t), size_t size);

static __attribute__((noinline)) void *allocate_in_view(void *(*allocate)(size_t), size_t size)
{
	void *volatile block = allocate(size);

	return block;
}

/* The mapping that AT is in. */
static int find_mapping(uintptr_t at, unsigned long *start, unsigned long *end, long *offset)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4096];
	int is_found = 0;

	while (maps && !is_found && fgets(line, sizeof(line), maps))
		is_found = sscanf(line, "%lx-%lx %*s %lx", start, end, (unsigned long *)offset) == 3 && at >= *start && at < *end;
	if (maps)
		fclose(maps);
	return is_found;
}

static void use(const char *code, size_t size)
{
	allocating *function;

	memcpy(&function, &code, sizeof(function));
	free(function(malloc, size));
}

int main(void)
{
	allocating *function = allocate_in_view;
	int fd = open("/proc/self/exe", O_RDONLY);
	unsigned long start, end;
	uintptr_t at;
	long offset;
	char *view;

	memcpy(&at, &function, sizeof(at));
	if (fd < 0 || !find_mapping(at, &start, &end, &offset))
		return 1;
	view = mmap(NULL, end - start, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, offset);
	if (view == MAP_FAILED)
		return 1;
	use(view + (at - start), 4321);
	if (munmap(view, end - start) || mmap(view, end - start, PROT_READ | PROT_WRITE,
						  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != view)
		return 1;
	memcpy(view, (const void *)start, end - start);
	if (mprotect(view, end - start, PROT_READ | PROT_EXEC))
		return 77;
	use(view + (at - start), 4322);
	return 0;
}
