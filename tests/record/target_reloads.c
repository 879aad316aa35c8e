/* target_reloads FIRST SECOND: loads, uses and unloads one plugin, then the other, which comes where the first was; then
 * the second once more, by dlmopen. Prints where each was. */
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>

static int use(void *h, size_t size)
{
	struct link_map *map;
	if (!h || dlinfo(h, RTLD_DI_LINKMAP, &map))
		return 1;
	void *(*work)(size_t) = (void *(*)(size_t))dlsym(h, "plugin_work");
	if (!work || !work(size))
		return 1;
	printf("%lx\n", (unsigned long)map->l_addr);
	return dlclose(h);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 64;
	for (size_t i = 0; i < 4; i++)
		if (use(dlopen(argv[1 + i % 2], RTLD_NOW), 7001 + i % 2))
			return 1;
	return use(dlmopen(LM_ID_BASE, argv[2], RTLD_NOW), 7003);
}
