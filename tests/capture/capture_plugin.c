/* capture_plugin.c - loaded and unloaded over and over by victim.c. */
#include <stdlib.h>

void *plugin_make(size_t n);
void *plugin_make(size_t n)
{
	void *volatile p = malloc(n);
	return p;
}
