/* target_generates MAP [INNER]: writes a function into fresh memory that keeps a frame pointer and calls malloc, calls
 * it, and writes the text MAP to its perf map, with the function's address for each A and that plus 4096 for each B.
 * Says its pid. MAP "-": no map. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void *generated(size_t);

/* push rbp; mov rbp, rsp; mov rax, malloc; call rax; pop rbp; ret */
static generated *generate(void)
{
	static const unsigned char head[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0xb8}, tail[] = {0xff, 0xd0, 0x5d, 0xc3};
	void *(*function)(size_t) = malloc;
	unsigned char *code =
		mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	generated *made;

	if (code == MAP_FAILED)
		exit(77);
	memcpy(code, head, sizeof(head));
	memcpy(code + sizeof(head), &function, sizeof(function));
	memcpy(code + sizeof(head) + sizeof(function), tail, sizeof(tail));
	if (mprotect(code, 8192, PROT_READ | PROT_EXEC))
		exit(77);
	memcpy(&made, &code, sizeof(made));
	return made;
}

static void write_map(const char *text, generated *made)
{
	char path[64];
	unsigned long address;
	FILE *f;

	memcpy(&address, &made, sizeof(address));
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	f = fopen(path, "w");
	for (; f && *text; text++)
		if (*text == 'A' || *text == 'B')
			fprintf(f, "%lx", address + (*text == 'B' ? 4096 : 0));
		else
			fputc(*text, f);
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	generated *made = generate();
	char *volatile block = made(4321);

	printf("%d\n", (int)getpid());
	fflush(stdout);
	if (argc > 1 && strcmp(argv[1], "-") != 0)
		write_map(argv[1], made);
	free(block);
	return 0;
}
