/* A module whose functions are reached through a lazily bound procedure linkage table, and one by IFUNC. */
void lazy_call(void (*callback)(void));
void lazy_on_resolve(void (*callback)(void));
int lazy_resolved(void);

static void (*on_resolve)(void);

__attribute__((noinline)) void lazy_call(void (*callback)(void))
{
	volatile char pad[40];

	pad[0] = 1;
	callback();
	pad[1] = pad[0];
}

void lazy_on_resolve(void (*callback)(void))
{
	on_resolve = callback;
}

int lazy_bound(int n);

int lazy_bound(int n)
{
	return n + 1;
}

static int resolved(void)
{
	return 42;
}

__attribute__((used)) static int (*resolve(void))(void)
{
	if (on_resolve)
		on_resolve();
	return resolved;
}

int lazy_resolved(void) __attribute__((ifunc("resolve")));
