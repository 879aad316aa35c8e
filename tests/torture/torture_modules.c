/* A hundred modules, loaded, called and unloaded over and over, in an order that changes, so that one comes
 * to lie where another one was. The modules are ./module-0 to ./module-99. SCALE: rounds. */
#include "torture.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum { MODULES = 100 };

static struct truth made = {.size = 77016};
static void *handles[MODULES];

static void load(int i)
{
	char path[32];
	snprintf(path, sizeof(path), "./module-%d", i);
	handles[i] = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handles[i]) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	void *(*make)(size_t) = (void *(*)(size_t))dlsym(handles[i], "module_make");
	void *p = make(made.size);
	atomic_fetch_add(&made.acquired, 1);
	give(&made, p);
}

int main(int argc, char **argv)
{
	long n = scale(argv, 3);
	(void)argc;
	for (long round = 0; round < n; round++) {
		for (int i = 0; i < MODULES; i++)
			load((int)((i * 7 + round * 31) % MODULES));
		for (int i = 0; i < MODULES; i++)
			dlclose(handles[(i * 13 + round) % MODULES]);
	}
	printf("%ld modules\n", n * MODULES);
	tell(argv, &made);
	return 0;
}
