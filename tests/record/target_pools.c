/* Uses the pools of pool_library in every way and says what their library has counted, as JSON. With an argument it does
 * something in particular: "signals", "jumps", "fork", "kill", "weak", "pause". */
#include "mstrace/annotate.h"
#include "pool_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern void *pool_that_nobody_has(size_t size) __attribute__((weak));

static void say_counts(void)
{
	static const char *const names[] = {
		"allocs", "frees", "bytes", "freed_bytes", "failed", "mallocs", "slab_allocs", "slab_frees"};
	for (int i = 0; i < POOL_COUNTS; i++)
		printf("%s\"%s\":%lu", i ? "," : "{", names[i], pool_counted((enum pool_count)i));
	printf("}\n");
	fflush(stdout);
}

static void need(int condition, const char *what)
{
	if (!condition) {
		fprintf(stderr, "target_pools: %s\n", what);
		exit(1);
	}
}

/* Arguments on the stack, at every place of a page. */
static __attribute__((noinline)) void sum_all_over_the_page(void)
{
	for (size_t at = 0; at < 4096; at += 16) {
		volatile char *room = __builtin_alloca(at + 1);
		void *block;
		room[at] = 1;
		need(pool_sum(NULL, 1, 1, 0, 0, 0, 0, (long)at, 2, &block) == 1 + 6 * (long)at + 14, "arguments");
		pool_put(NULL, block);
	}
}

static void use_each(void)
{
	void *block;
	char *a = pool_get(NULL, 100), *b = pool_get_zeroed(10, NULL, 20);
	need(a && b && b[199] == 0, "blocks");
	strcpy(a, "kept");
	a = pool_regain(a, NULL, 300);
	need(a && strcmp(a, "kept") == 0, "the content stays");
	errno = 0;
	need(!pool_get(NULL, POOL_LIMIT + 1) && errno == ENOMEM, "its errno");
	errno = EDOM;
	need(!pool_regain(a, NULL, POOL_LIMIT + 1) && errno == ENOMEM, "its errno, again");
	errno = EDOM;
	pool_put(NULL, NULL);
	b = pool_regain(b, NULL, 0);
	need(!b && errno == EDOM, "errno stays");
	need(pool_sum(NULL, 33, 3, 4, 5, 6, 2.5, 7, 8, &block) == 3 + 8 + 15 + 24 + 12 + 42 + 56, "all arguments");
	pool_put(NULL, block);
	sum_all_over_the_page();
	void *(*get)(void *, size_t) = (void *(*)(void *, size_t))dlsym(RTLD_DEFAULT, "pool_get");
	pool_put(NULL, get(NULL, 7));
	void *s = slab_get(24);
	slab_put(s);
	pool_regain(NULL, NULL, 11); /* never released, as a */
	(void)a;
}

static void *churn(void *arg)
{
	void *blocks[16] = {0};
	unsigned seed = (unsigned)(size_t)arg;
	for (int i = 0; i < 3000; i++) {
		seed = seed * 1103515245 + 12345;
		void **at = &blocks[seed >> 16 & 15];
		size_t size = 1 + (seed >> 20 & 255);
		if (!*at)
			*at = pool_get(NULL, size);
		else if (seed >> 28 & 1)
			*at = pool_regain(*at, NULL, size);
		else {
			pool_put(NULL, *at);
			*at = NULL;
		}
	}
	return NULL;
}

static void use_in_threads(void)
{
	pthread_t threads[4];
	for (size_t i = 0; i < 4; i++)
		need(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0, "a thread");
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

static void jump_out(void)
{
	jmp_buf out;
	for (volatile int i = 0; i < 3; i++) {
		if (setjmp(out) == 0)
			pool_leave(POOL_LIMIT + 1, out);
		pool_put(NULL, pool_leave(64, out));
	}
}

static void handle(int sig)
{
	(void)sig;
	pool_put(NULL, pool_get(NULL, 40));
}

static void use_in_handlers(int flags)
{
	struct sigaction action = {.sa_handler = handle, .sa_flags = flags};
	stack_t alternate = {.ss_sp = malloc(65536), .ss_size = 65536};
	need(sigaltstack(&alternate, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0, "a handler");
	for (int i = 0; i < 100; i++) {
		raise(SIGUSR1);
		pool_put(NULL, pool_get_zeroed(2, NULL, 8));
		pool_put(NULL, pool_get(NULL, POOL_SIGNAL));
		pool_put(NULL, pool_get_zeroed(1, NULL, POOL_SIGNAL));
	}
}

static int fork_and_use(void)
{
	void *inherited = pool_get(NULL, 500);
	int status = 0;
	pid_t child = fork();
	if (child == 0) {
		pool_put(NULL, inherited);
		pool_get(NULL, 50);
		_exit(0);
	}
	need(child > 0 && waitpid(child, &status, 0) == child && status == 0, "a child");
	pool_put(NULL, inherited);
	return 0;
}

/* Of four blocks, two are acquired while the recording is paused, and two released. */
static void pause_and_use(void)
{
	void *a = pool_get(NULL, 1), *b = pool_get(NULL, 2);
	ms_stop();
	void *c = pool_get(NULL, 3), *d = pool_get(NULL, 4);
	pool_put(NULL, a);
	c = pool_regain(c, NULL, 5);
	ms_start();
	pool_put(NULL, b);
	pool_put(NULL, d);
	(void)c;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (strcmp(what, "signals") == 0) {
		use_in_handlers(0);
		use_in_handlers(SA_ONSTACK);
	} else if (strcmp(what, "fork") == 0) {
		fork_and_use();
	} else if (strcmp(what, "jumps") == 0) {
		jump_out();
	} else if (strcmp(what, "pause") == 0) {
		pause_and_use();
	} else if (strcmp(what, "weak") == 0) {
		need(!pool_that_nobody_has || !pool_that_nobody_has(1), "nothing is given by nobody");
	} else if (strcmp(what, "kill") == 0) {
		for (int i = 0; i < 12345; i++)
			pool_get(NULL, 16);
		say_counts();
		raise(SIGKILL);
	} else {
		use_each();
		use_in_threads();
	}
	say_counts();
	return 0;
}
