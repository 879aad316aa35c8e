// victim_cxx.cc - C++ programs to be recorded: victim_cxx NAME. What must be found in the trace is printed, a line
// for each call: operation, size, alignment (0: none), ok or failed. Their sizes tell them apart: cxx.py looks at
// calls of 20,000 bytes and more, and of their blocks.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <pthread.h>
#include <sys/resource.h>
#include <thread>
#include <vector>

#define APART __attribute__((noinline))

using std::align_val_t;
using std::nothrow;

static void *volatile keep;

static void say(const char *op, size_t size, size_t align = 0, bool ok = true)
{
	printf("%s %zu %zu %s\n", op, size, align, ok ? "ok" : "failed");
}

static size_t huge()
{
	volatile size_t n = size_t(1) << 60;
	return n;
}

// ---- every form, called by its name ----

APART int forms()
{
	void *p;
	keep = p = operator new(20001);
	operator delete(p);
	say("new", 20001), say("delete", 20001);
	keep = p = operator new[](20002);
	operator delete[](p);
	say("new_array", 20002), say("delete_array", 20002);
	keep = p = operator new(20003, nothrow);
	operator delete(p, nothrow);
	say("new_nothrow", 20003), say("delete", 20003);
	keep = p = operator new[](20004, nothrow);
	operator delete[](p, nothrow);
	say("new_array_nothrow", 20004), say("delete_array", 20004);
	keep = p = operator new(20005, align_val_t(64));
	operator delete(p, align_val_t(64));
	say("new", 20005, 64), say("delete", 20005, 64);
	keep = p = operator new[](20006, align_val_t(128));
	operator delete[](p, align_val_t(128));
	say("new_array", 20006, 128), say("delete_array", 20006, 128);
	keep = p = operator new(20007, align_val_t(256), nothrow);
	operator delete(p, align_val_t(256), nothrow);
	say("new_nothrow", 20007, 256), say("delete", 20007, 256);
	keep = p = operator new[](20008, align_val_t(4096), nothrow);
	operator delete[](p, align_val_t(4096), nothrow);
	say("new_array_nothrow", 20008, 4096), say("delete_array", 20008, 4096);
	keep = p = operator new(20009);
	operator delete(p, size_t(20009));
	say("new", 20009), say("delete_sized", 20009);
	keep = p = operator new[](20010);
	operator delete[](p, size_t(20010));
	say("new_array", 20010), say("delete_array_sized", 20010);
	keep = p = operator new(20011, align_val_t(32));
	operator delete(p, size_t(20011), align_val_t(32));
	say("new", 20011, 32), say("delete_sized", 20011, 32);
	keep = p = operator new[](20012, align_val_t(32));
	operator delete[](p, size_t(20012), align_val_t(32));
	say("new_array", 20012, 32), say("delete_array_sized", 20012, 32);
	operator delete(nullptr);
	operator delete[](nullptr, size_t(20013));
	return 0;
}

// ---- what fails ----

template <class F> static void must_throw(F f)
{
	try {
		keep = f();
		abort();
	} catch (const std::bad_alloc &) {
	}
}

APART int failures()
{
	must_throw([] { return operator new(huge()); });
	say("new", huge(), 0, false);
	must_throw([] { return operator new[](huge() + 1); });
	say("new_array", huge() + 1, 0, false);
	must_throw([] { return operator new(huge() + 2, align_val_t(64)); });
	say("new", huge() + 2, 64, false);
	if (operator new(huge() + 3, nothrow) || operator new[](huge() + 4, nothrow) ||
		operator new(huge() + 5, align_val_t(32), nothrow))
		abort();
	say("new_nothrow", huge() + 3, 0, false);
	say("new_array_nothrow", huge() + 4, 0, false);
	say("new_nothrow", huge() + 5, 32, false);
	keep = malloc(30001); // what comes behind is recorded as ever
	say("malloc", 30001);
	return 0;
}

// Memory that is really short, then there again.
APART int exhausted()
{
	struct rlimit all, none = {0, 0};
	getrlimit(RLIMIT_AS, &all);
	none.rlim_max = all.rlim_max;
	setrlimit(RLIMIT_AS, &none);
	must_throw([] { return operator new(40 << 20); });
	void *p = operator new[](41 << 20, nothrow);
	void *q = nullptr;
	int rc = posix_memalign(&q, 64, 42 << 20);
	void *r = calloc(43, 1 << 20), *s = malloc(20021), *t = realloc(s, 44 << 20);
	setrlimit(RLIMIT_AS, &all);
	if (p || rc != ENOMEM || q || r || t)
		abort();
	say("new", 40 << 20, 0, false);
	say("new_array_nothrow", 41 << 20, 0, false);
	say("posix_memalign", 42 << 20, 64, false);
	say("calloc", 43 << 20, 0, false);
	say("malloc", 20021);
	say("realloc", 44 << 20, 0, false);
	return 0;
}

// ---- new_handler ----

static void *reserve;

static void give_up_reserve()
{
	keep = malloc(20031); // stays
	operator delete(operator new(20032));
	free(reserve);
	std::set_new_handler(nullptr);
	say("malloc", 20031), say("new", 20032), say("delete", 20032), say("free", 20030);
}

APART int handler()
{
	reserve = malloc(20030);
	say("malloc", 20030);
	std::set_new_handler(give_up_reserve);
	say("new", huge(), 0, false); // asked twice: before and after the handler
	must_throw([] { return operator new(huge()); });
	say("new", huge(), 0, false);
	return 0;
}

static jmp_buf out;

static void jump_out()
{
	longjmp(out, 1);
}

static void throw_other()
{
	throw 42;
}

// A handler that never comes back.
APART int leaves()
{
	for (int i = 0; i < 100; i++) {
		std::set_new_handler(i % 2 ? jump_out : throw_other);
		say("new", huge() + i, 0, false);
		try {
			if (!setjmp(out))
				keep = operator new(huge() + i);
		} catch (int) {
		}
		void *p = operator new(20040 + i);
		operator delete(p);
		free(malloc(21040 + i));
		say("new", 20040 + i), say("delete", 20040 + i), say("malloc", 21040 + i), say("free", 21040 + i);
	}
	return 0;
}

static void *ends_in_handler(void *)
{
	std::set_new_handler([] { pthread_exit(nullptr); });
	keep = operator new(huge());
	return nullptr;
}

APART int thread_ends()
{
	pthread_t t;
	pthread_create(&t, nullptr, ends_in_handler, nullptr);
	pthread_join(t, nullptr);
	say("new", huge(), 0, false);
	std::set_new_handler(nullptr);
	operator delete(operator new(20051));
	say("new", 20051), say("delete", 20051);
	return 0;
}

// ---- other surroundings ----

APART int threads()
{
	std::vector<std::thread> all;
	for (int t = 0; t < 8; t++)
		all.emplace_back([] {
			for (int i = 0; i < 1000; i++)
				operator delete[](operator new[](20071));
		});
	for (auto &t : all)
		t.join();
	printf("count new_array 20071 8000\ncount delete_array 20071 8000\n");
	return 0;
}

// With operators of another library in front of libstdc++'s (own_operators.cc): its part is said there.
APART int uses()
{
	for (int i = 0; i < 3; i++) {
		operator delete(operator new(20081));
		operator delete[](operator new[](20082));
		operator delete(operator new(20083), size_t(20083));
	}
	return 0;
}

#define PROGRAM(f) {#f, f}
static const struct {
	const char *name;
	int (*run)();
} programs[] = {PROGRAM(forms), PROGRAM(failures), PROGRAM(exhausted), PROGRAM(handler), PROGRAM(leaves),
	PROGRAM(thread_ends), PROGRAM(threads), PROGRAM(uses)};

int main(int, char **argv)
{
	for (auto &p : programs)
		if (argv[1] && strcmp(p.name, argv[1]) == 0)
			return p.run();
	return 2;
}
