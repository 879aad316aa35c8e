/* Modules that come and go. */
#include <dlfcn.h>
#include <stdbool.h>
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

/* A module whose malloc is not the one everybody else sees: bound to its own libraries first, or (1) in a
 * namespace of its own, with a libc of its own. */
static int secluded(char **argv)
{
	const char *path = getenv("VICTIM_PLUGIN");
	bool is_apart = number(argv, 0) != 0;
	void *h = is_apart ? dlmopen(LM_ID_NEWLM, path, RTLD_NOW) : dlopen(path, RTLD_NOW | RTLD_DEEPBIND);
	if (!h)
		return 1;
	void *(*make)(size_t) = (void *(*)(size_t))dlsym(h, "plugin_make");
	void *(*release)(void *) = (void *(*)(void *))dlsym(h, "free");
	for (int i = 0; i < 100; i++) {
		void *p = make(1402);
		free(grab(1403));
		if (is_apart)
			release(p); /* our libc does not know the block */
		else
			free(p);
	}
	return 0;
}

const struct victim_mode victim_modules[] = {
	{"plugins", plugins},
	{"secluded", secluded},
	{NULL, NULL},
};
