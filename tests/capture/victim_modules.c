/* Modules that come and go. */
#include <dlfcn.h>
#include <stdlib.h>

#include "victim_mode.h"

static int plugins(char **argv)
{
	long n = number(argv, 20);
	const char *path = getenv("VICTIM_PLUGIN");
	for (long i = 0; i < n; i++) {
		void *h = dlopen(path, RTLD_NOW);
		if (!h)
			return 1;
		void *(*make)(size_t) = (void *(*)(size_t))dlsym(h, "plugin_make");
		if (!make)
			return 2;
		free(make(1401));
		dlclose(h);
	}
	return 0;
}

const struct victim_mode victim_modules[] = {
	{"plugins", plugins},
	{NULL, NULL},
};
