#!/usr/bin/env python3
"""Programs with an allocator in a shared library: allocators.py, as recordings.py.

The shim stands between the capture library and the allocator, so that it sees the very calls that are recorded.
"""
import glob, json, os, shutil, sys

import recordings
from recordings import MSRECORD, PROGRAMS, SHIM, Skip, check, compile_c, equal, facts, oracle, record, run, sound, target

LIBRARIES = ("libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2.0")

CALLS = r"""
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void *volatile sink;
int main(void)
{
	volatile size_t huge = SIZE_MAX / 4;
	char *p[10];
	void *q;
	for (int round = 0; round < 1000; round++) {
		p[0] = malloc(100 + round);
		p[1] = calloc(7, 9 + round);
		p[2] = realloc(NULL, 11);
		p[3] = reallocarray(NULL, 3, 5);
		p[4] = aligned_alloc(64, 128);
		p[5] = memalign(32, 33);
		p[6] = valloc(10);
		if (posix_memalign(&q, 256, 77))
			return 1;
		p[7] = q;
		memset(p[0], 1, malloc_usable_size(p[0]));
		p[0] = realloc(p[0], 100000);
		p[3] = reallocarray(p[3], 10, 10);
		p[8] = strdup("from inside libc");
		free(NULL);
		for (int i = round == 500; i < 9; i++)
			free(p[i]);
	}
	sink = malloc(huge);
	sink = calloc(huge, 8);
	if (posix_memalign(&q, 256, huge) != ENOMEM)
		return 2;
	printf("done\n");
	return 5;
}
"""


def find(name):
    paths = glob.glob("/usr/lib/*/" + name) + glob.glob("/usr/lib/" + name)
    return paths[0] if paths else None


def libraries():
    found = [(name, find(name)) for name in LIBRARIES if find(name)]
    if not found:
        raise Skip("none of " + ", ".join(LIBRARIES))
    return found


def counted_alike(what, command, env, status=0):
    """Records the command; the program last started counts the same as its shim."""
    for name in glob.glob("oracle/*"):
        os.unlink(name)
    os.makedirs("oracle", exist_ok=True)
    env = dict(os.environ, ORACLE_DIR=os.path.abspath("oracle"), **env)
    r = run([MSRECORD, "-f", "-q", "--no-symbols", "-o", "t.mst", "--", *command], env=env)
    equal((r.returncode, r.stderr), (status, b""), what)
    f = facts()
    sound(f)
    p = f["processes"][-1]
    seen = {k: p[k] for k in ("allocs", "frees", "failed", "allocated_bytes", "live_blocks", "live_bytes")}
    counters = oracle("oracle")[p["pid"]]
    check(any(all(c[k] == seen[k] for k in seen) for c in counters), "%s: %r, expected one of %r" % (what, seen, counters))
    check(p["allocs"] > 5000 and p["foreign"] == 0, "%s: %r" % (what, p))
    return f, r


def preloaded_allocators_are_counted_as_a_shim_counts():
    compile_c(CALLS, "calls", "-fno-builtin", "-D_GNU_SOURCE")
    for name, path in libraries():
        counted_alike(name, ["./calls"], {"LD_PRELOAD": SHIM + ":" + path}, 5)
        counted_alike(name + " with threads", [target("threads"), "8", "4000"], {"LD_PRELOAD": SHIM + ":" + path})


def allocators_preloaded_by_env_are_counted_alike():
    compile_c(CALLS, "calls", "-fno-builtin", "-D_GNU_SOURCE")
    for name, path in libraries():
        counted_alike(name, ["env", "LD_PRELOAD=%s %s" % (SHIM, os.path.basename(path)), "./calls"], {}, 5)
        f, _ = counted_alike(name, ["env", "LD_PRELOAD=%s:%s" % (SHIM, path), "sh", "-c", "exec ./calls"], {}, 5)
        check(all(p["fate"] != 6 for p in f["processes"]), "all are recorded")


def linked_allocators_are_counted_alike():
    for name, path in libraries():
        compile_c(CALLS, "linked", "-fno-builtin", "-D_GNU_SOURCE", "-Wl,--no-as-needed", path)
        counted_alike(name, ["./linked"], {"LD_PRELOAD": SHIM}, 5)


def operators_of_an_allocator_are_recorded():
    """These libraries have operator new and delete of their own, which do not call malloc."""
    if not shutil.which("g++"):
        raise Skip("no g++")
    open("operators.cc", "w").write("#include <map>\n#include <string>\nint main() {\n\tstd::map<int, std::string> m;\n"
                                    "\tfor (int i = 0; i < 5000; i++)\n\t\tm[i] = std::string(4001, 'x');\n\treturn 3;\n}\n")
    equal(run(["g++", "-O1", "-o", "operators", "operators.cc"]).returncode, 0, "g++")
    for name, path in libraries():
        r = record(["env", "LD_PRELOAD=" + path, "./operators"], "--quiet", "--no-symbols")
        equal((r.returncode, r.stderr), (3, b""), name)
        f = facts()
        sound(f)
        p = f["processes"][-1]
        counted = json.loads(run([os.path.join(PROGRAMS, "trace_facts"), "t.mst", "4002"]).stdout)
        equal(counted["sizes"]["4002"], [5000, 5000, 0], name + ": strings acquired, released, failed")
        # a few of the library's own may stay
        check(10000 <= f["ops"]["new"] < 10010 and f["ops"]["delete_sized"] + f["ops"].get("delete", 0) == 10000, "%s: %r" % (name, f["ops"]))
        check(p["foreign"] == 0 and p["live_blocks"] < 10, "%s: %r" % (name, p))


def calls_into_an_allocator_by_names_of_its_own_are_warned_of():
    """mallocx and its like are not recorded (a program may ask whether they are there: they must not be ours), but a block
    from there that is given to free is one that nobody has acquired."""
    for name, path in libraries():
        acquire = {"libjemalloc.so.2": "mallocx(size, 0)", "libtcmalloc_minimal.so.4": "tc_malloc(size)", "libmimalloc.so.2.0": "mi_malloc(size)"}[name]
        declare = "void *mallocx(size_t, int), *tc_malloc(size_t), *mi_malloc(size_t);\n"
        compile_c("#include <stdlib.h>\n" + declare + "int main(void) {\n\tfor (size_t size = 1; size < 500; size++)\n\t\tfree(%s);\n"
                  "\treturn 3;\n}\n" % acquire, "direct", "-fno-builtin", path)
        r = record(["./direct"], "--quiet")
        equal(r.returncode, 3, name)
        check(b"499 releases of memory that nobody is known to have acquired" in r.stderr and b"mallocx" in r.stderr, "%s: %r" % (name, r.stderr))


def inherited_blocks_are_no_reason_to_warn():
    r = record([target("family"), "fork"], "--quiet")
    equal((r.returncode, r.stderr), (0, b""), "a child releases what its parent acquired")


if __name__ == "__main__":
    sys.exit(recordings.main(globals()))
