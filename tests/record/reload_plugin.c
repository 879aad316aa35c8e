/* reload_plugin.c - a plugin that allocates from a function of its own name; built several times, each of the same size. */
#include <stdlib.h>

void *WORK(size_t size);
__attribute__((noinline)) void *WORK(size_t size)
{
	void *volatile p = malloc(size);
	return p;
}

void *plugin_work(size_t size);
void *plugin_work(size_t size)
{
	void *volatile p = WORK(size);
	return p;
}
