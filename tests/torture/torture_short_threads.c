/* Short threads with destructors of thread-local objects (those of C++, through the function its compilers
 * call) and of a pthread key, in three rounds, all of which release and acquire. SCALE: threads. */
#include "torture.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { AT_ONCE = 50, ROUNDS = 3 };

int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *dso);
extern void *__dso_handle;

static struct truth local = {.size = 77012}, keyed = {.size = 77013}, late = {.size = 77014};
static pthread_key_t key;
static __thread int n_rounds;
static _Atomic long n_done;

static void destroy_local(void *p)
{
	give(&local, p);
	give(&late, take(&late));
}

static void destroy_keyed(void *p)
{
	give(&keyed, p);
	if (++n_rounds < ROUNDS)
		pthread_setspecific(key, take(&keyed));
	else
		atomic_fetch_add(&n_done, 1);
}

static void *live_shortly(void *arg)
{
	if (__cxa_thread_atexit_impl(destroy_local, take(&local), &__dso_handle) != 0)
		abort();
	pthread_setspecific(key, take(&keyed));
	return arg;
}

int main(int argc, char **argv)
{
	long n = scale(argv, 2000);
	(void)argc;
	pthread_key_create(&key, destroy_keyed);
	for (long i = 0; i < n; i += AT_ONCE)
		in_threads(AT_ONCE, live_shortly);
	printf("%ld threads\n", n_done);
	tell(argv, &local);
	tell(argv, &keyed);
	tell(argv, &late);
	return 0;
}
