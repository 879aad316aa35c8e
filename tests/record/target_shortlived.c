/* target_shortlived THREADS: one after the other, a few at a time, each with a block of its own and a name.
 */
#include <pthread.h>
#include <stdlib.h>

static void *work(void *arg)
{
	void *volatile own = malloc(10);
	(void)arg;
	free(own);
	return NULL;
}

int main(int argc, char **argv)
{
	enum { AT_ONCE = 8 };
	pthread_t threads[AT_ONCE];
	int n = argc > 1 ? atoi(argv[1]) : 100;
	for (int i = 0; i < n; i += AT_ONCE) {
		for (int j = 0; j < AT_ONCE; j++)
			if (pthread_create(&threads[j], NULL, work, NULL))
				return 9;
		for (int j = 0; j < AT_ONCE; j++)
			pthread_join(threads[j], NULL);
	}
	return 0;
}
