#!/usr/bin/env python3
"""Pools of a program's own, recorded by --wrap: pools.py, as recordings.py.

target_pools and its library count what they do; traces are held against that.
"""
import json, os, signal, subprocess, sys, tempfile

import recordings
from recordings import BIN, MSRECORD, check, equal, facts, record, run, sound, target, wait_until

POOL = "alloc=pool_get:2,alloc=pool_get_zeroed:1*3,alloc=pool_leave,realloc=pool_regain:1:3,free=pool_put:2"
BOTH = ["--wrap=" + POOL, "--wrap=alloc=slab_get,free=slab_put,name=slabs", "--wrap=alloc=pool_sum:2,name=sums"]


def summary(trace="t.mst"):
    r = run([os.path.join(BIN, "msanalyze"), "summary", "--format=json", trace])
    equal(r.returncode, 0, "msanalyze: %r" % r.stderr)
    s = json.loads(r.stdout)
    s["pools"] = {p["pool"]: p for p in s.get("pools", [])}
    return s


def events(trace="t.mst", *options):
    return [json.loads(line) for line in run([os.path.join(BIN, "msdump"), *options, trace]).stdout.splitlines()]


def verified(trace="t.mst"):
    r = run([os.path.join(BIN, "msdump"), "--verify", trace])
    equal(r.returncode, 0, "msdump --verify: %r" % r.stdout)


def recorded(*arguments, options=BOTH, status=0, **kw):
    """(what the library counted, the summary, msrecord's messages)"""
    r = record([target("pools"), *arguments], *options, **kw)
    equal(r.returncode, status, "status: %r" % r.stderr)
    sound(facts())
    verified()
    return json.loads(r.stdout.splitlines()[-1]), summary(), r.stderr.decode()


def assert_counted(pool, counted):
    for ours, theirs in (("allocations", "allocs"), ("frees", "frees"), ("allocated_bytes", "bytes"), ("failed", "failed")):
        equal(pool[ours], counted[theirs], ours)
    equal(pool["live_blocks"], counted["allocs"] - counted["frees"], "live blocks")
    equal(pool["live_bytes"], counted["bytes"] - counted["freed_bytes"], "live bytes")
    equal(pool["foreign_frees"], 0, "releases of unknown blocks")


# ---- counts ------------------------------------------------------------------------------------------------------

def pools_are_counted_as_their_library_counts():
    counted, s, said = recorded("")
    # what pool_sum gets comes from a call within the library, which is none of pool_sum's pool
    assert_counted(s["pools"]["pool_get"], counted)
    slabs, sums = s["pools"]["slabs"], s["pools"]["sums"]
    equal((slabs["allocations"], slabs["frees"], slabs["allocated_bytes"]), (1, 1, 24), "the pool in a pool")
    equal((sums["allocations"], sums["allocated_bytes"]), (257, 33 + 256), "a function with many arguments")
    check("--wrap" not in said, "nothing to complain of: %r" % said)
    ops = {c["function"]: c["calls"] for c in s["calls"]}
    equal(ops["pool_realloc_free"], 1, "reallocs that release")
    check(ops["malloc"] >= counted["mallocs"], "mallocs of the pools are in the heap")


def the_heap_is_the_same_with_and_without():
    keys = ("allocations", "frees", "allocated_bytes", "freed_bytes", "live_blocks", "failed")
    recorded("signals")
    wrapped = summary()
    recorded("signals", options=[])
    plain = summary()
    equal({k: wrapped[k] for k in keys}, {k: plain[k] for k in keys}, "the heap's numbers")
    equal(plain["pools"], {}, "pools of a recording without")


def blocks_of_a_pool_have_stacks_of_their_own():
    recorded("")
    by_name = [e for e in events("t.mst", "--stacks") if e.get("pool") == "slabs" and e["op"] == "pool_alloc"]
    functions = [f["function"] for f in by_name[0]["frames"]]
    check("main" in functions and "slab_get" not in functions, "who called: %r" % functions)
    inner = [e for e in events("t.mst", "--stacks") if e.get("pool") == "pool_get" and e["op"] == "pool_alloc"
             and e["size"] == 24 + 64]
    functions = [f["function"] for f in inner[0]["frames"]]
    equal(functions[0], "slab_get", "who called the pool in the pool: %r" % functions)
    check(not any("libms" in (f["module"] or "") for f in inner[0]["frames"]), "no frames of ours")
    r = run([os.path.join(BIN, "msanalyze"), "leaks", "--pool=pool_get", "--format=json", "t.mst"])
    check(r.returncode == 0 and json.loads(r.stdout)["blocks"] > 0, "leaks of the pool: %r" % r.stderr)


def handlers_call_pools_on_top_of_pools():
    counted, s, _ = recorded("signals")
    assert_counted(s["pools"]["pool_get"], counted)


def pools_may_be_left_by_jumps():
    counted, s, _ = recorded("jumps")
    assert_counted(s["pools"]["pool_get"], counted)
    equal(counted["allocs"], 3, "blocks")


def forked_children_inherit_blocks_of_pools():
    recorded("fork")
    pools = {}
    for p in facts()["processes"]:
        r = run([os.path.join(BIN, "msanalyze"), "summary", "--format=json", "--pid=%d" % p["pid"], "t.mst"])
        pools[p["pid"]] = {q["pool"]: q for q in json.loads(r.stdout)["pools"]}["pool_get"]
    parent, child = (pools[p["pid"]] for p in facts()["processes"])
    equal((parent["allocations"], parent["frees"], parent["live_blocks"]), (1, 1, 0), "the parent's blocks")
    equal((child["allocations"], child["frees"], child["live_bytes"]), (1, 1, 50), "the child's")
    equal((parent["foreign_frees"], child["foreign_frees"]), (0, 0), "unknown ones")


def programs_started_by_others_have_their_pools_recorded():
    r = record(["sh", "-c", "exec env -u NOTHING %s fork" % target("pools")], *BOTH)
    equal(r.returncode, 0, "status: %r" % r.stderr)
    sound(facts())
    equal(summary()["pools"]["pool_get"]["allocations"], 2, "blocks of parent and child")


def killed_programs_lose_no_call_of_a_pool():
    r = record([target("pools"), "kill"], *BOTH)
    equal(r.returncode, 128 + signal.SIGKILL, "status")
    counted, pool = json.loads(r.stdout), summary()["pools"]["pool_get"]
    equal((pool["allocations"], pool["allocated_bytes"]), (counted["allocs"], counted["bytes"]), "all that returned")
    verified()


def pools_pause_with_the_recording():
    recorded("pause")
    pool = summary()["pools"]["pool_get"]
    equal((pool["allocations"], pool["allocated_bytes"]), (2, 3), "blocks acquired while it was on")
    equal((pool["frees"], pool["foreign_frees"], pool["live_blocks"]), (3, 1, 0), "releases, one of a block from the pause")
    r = record([target("pools"), ""], *BOTH, "--paused")
    equal(r.returncode, 0, "status")
    equal(summary()["pools"], {}, "calls in a pause")
    sound(facts())


# ---- harm --------------------------------------------------------------------------------------------------------

def a_function_that_nobody_has_gives_nothing():
    r = record([target("pools"), "weak"], "--wrap=alloc=pool_that_nobody_has")
    equal((r.returncode, r.stdout.splitlines()[-1][:12]), (0, b'{"allocs":0,'), "it runs: %r" % r.stderr)


def a_program_that_goes_on_starts_others_in_silence():
    # system(3) starts its shell behind our back
    script = "import os, time\ntime.sleep(1.5)\nos.system('%s jumps')\nos.execv('%s', ['pools', 'jumps'])" % (
        target("pools"), target("pools"))
    with tempfile.TemporaryDirectory(prefix="pools-", dir="/tmp") as place: # nobody else's
        _go_on_in_silence(script, dict(os.environ, TMPDIR=place), place)


def _go_on_in_silence(script, env, place):
    r = record([sys.executable, "-c", script], *BOTH, "--duration=200ms", env=env)
    equal(r.returncode, 0, "status: %r" % r.stderr)
    equal(len(r.stdout.splitlines()), 2, "lines")
    check(b"ld.so" not in r.stderr and b"preload" not in r.stderr, "the loader is silent: %r" % r.stderr)
    # what had to stay for that is gone when the next recording has begun
    equal(len(os.listdir(place)), 1, "directories")
    equal(record(["true"], env=env).returncode, 0, "status of the next")
    equal(os.listdir(place), [], "directories left")


def what_cannot_be_followed_runs_without_the_wrapper():
    gcc = next((c for c in ("gcc", "clang", "cc") if run(["which", c]).returncode == 0), None)
    if not gcc:
        raise recordings.Skip("no compiler")
    open("s.c", "w").write('#include <stdio.h>\n#include <stdlib.h>\nint main(void) { char *p = getenv("LD_PRELOAD"); puts(p ? p : "none"); }\n')
    if run([gcc, "-fsanitize=address", "-o", "sanitized", "s.c"]).returncode:
        raise recordings.Skip("no sanitizer")
    env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    r = record(["env", "./sanitized"], *BOTH, env=env)
    equal((r.returncode, r.stdout), (0, b"none\n"), "its environment: %r" % r.stderr)


# ---- what is said ------------------------------------------------------------------------------------------------

def wrong_descriptions_of_pools_are_refused():
    for spec, why in (
        ("", "names no function that allocates"),
        ("free=f", "names no function that allocates"),
        ("alloc", "is not alloc=NAME"),
        ("alloc=", "is not alloc=NAME"),
        ("alloc=f,size=3", "is not alloc=NAME, free=NAME, realloc=NAME or name=TEXT"),
        ("alloc=f:0", "should end in :SIZE"),
        ("alloc=f:7", "should end in :SIZE"),
        ("alloc=f:1*", "should end in :SIZE"),
        ("alloc=f:1:2", "should end in :SIZE"),
        ("alloc=:1", "has no name"),
        ("alloc=f,free=g:1:2", "should end in :BLOCK,"),
        ("alloc=f,realloc=g:1", "should end in :BLOCK:SIZE"),
        ("alloc=f,free=f", "is named twice"),
        ("alloc=malloc", "is recorded anyway"),
        ("alloc=f,free=dl_iterate_phdr", "is recorded anyway"),
    ):
        r = record(["true"], "--wrap=" + spec)
        equal(r.returncode, 125, "status of %r" % spec)
        check(why in r.stderr.decode(), "%r: %r" % (spec, r.stderr))
        check(not os.path.exists("t.mst"), "no trace")
    r = record(["true"], "--wrap=alloc=f", "--wrap=alloc=g,name=f")
    check(r.returncode == 125 and b"is the name of two pools" in r.stderr, "%r" % r.stderr)
    equal([f for f in os.listdir(".") if f.startswith("msrecord-")], [], "what stays behind")


def a_wrong_name_is_named():
    said = recorded("jumps", options=["--wrap=alloc=pool_gett:2,free=pool_put:2"])[2]
    check("no loaded object exports 'pool_gett'" in said, "a name that nobody has: %r" % said)
    said = recorded("jumps", options=["--wrap=alloc=slab_get,free=slab_put"])[2]
    check("'slab_get' was never called" in said, "a pool that was not used: %r" % said)
    gcc = next((c for c in ("gcc", "clang", "cc") if run(["which", c]).returncode == 0), None)
    if gcc:
        open("own.c", "w").write("#include <stdlib.h>\nvoid *own_get(size_t n) { return malloc(n); }\n"
                                 "int main(void) { free(own_get(9)); }\n")
        equal(run([gcc, "-rdynamic", "-o", "own", "own.c"]).returncode, 0, "compiled")
        r = record(["./own"], "--wrap=alloc=own_get")
        check(r.returncode == 0 and b"'own_get' stands in the executable itself" in r.stderr, "%r" % r.stderr)


def _started(options, command):
    """A recording of a command that reads from a pipe, and how to read what msrecord has said so far."""
    with open("said", "w") as said:
        child = subprocess.Popen([MSRECORD, "-f", "-o", "t.mst", *options, "--", *command],
                                 stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said)
    return child, lambda: open("said").read()


def what_is_known_of_names_is_said_as_the_program_begins():
    gcc = next((c for c in ("gcc", "clang", "cc") if run(["which", c]).returncode == 0), None)
    names = ["nobody_has_this"] + (["own_get"] if gcc else [])
    command = ["cat"]
    if gcc:
        open("own.c", "w").write("#include <stdio.h>\n#include <stdlib.h>\nvoid *own_get(size_t n) { return malloc(n); }\n"
                                 "int main(void) { free(own_get(9)); return getchar() != EOF; }\n")
        equal(run([gcc, "-rdynamic", "-o", "own", "own.c"]).returncode, 0, "compiled")
        command = ["./own"]
    child, now = _started(["--wrap=alloc=%s" % n for n in names], command)
    wait_until(lambda: "has loaded at its start exports 'nobody_has_this'" in now(), "what is missing is said while it runs")
    if gcc:
        wait_until(lambda: "'own_get' stands in the executable itself" in now(), "what cannot be seen is, too")
    equal(child.poll(), None, "it waits for its input")
    child.stdin.close()
    equal(child.wait(), 0, "status")
    equal(now().count("own_get"), len(names) - 1, "said once: %r" % now())
    check("no loaded object exports 'nobody_has_this'" in now(), "what was never found is said at the end: %r" % now())


def names_that_come_later_are_not_complained_of():
    child, now = _started(["--wrap=alloc=pool_leave", "--wrap=alloc=never_there"],
                          ["sh", "-c", "read line; exec %s jumps" % target("pools")])
    wait_until(lambda: "exports 'pool_leave'; it will be recorded if" in now(), "the shell has it not")
    child.stdin.write(b"\n")
    child.stdin.close()
    equal(child.wait(), 0, "status")
    check("no loaded object exports 'pool_leave'" not in now(), "but the program has: %r" % now())
    equal(now().count("at its start exports 'never_there'"), 1, "said of the first program alone: %r" % now())
    equal(record([target("pools"), "jumps"], "-q", "--wrap=alloc=never_there").stderr.count(b"at its start"), 0, "quiet")


def a_hostile_name_of_a_pool_is_text():
    hostile = "\033[31m\"</script>\n=1"
    recorded("jumps", options=["--wrap=" + POOL + ",name=" + hostile])
    equal(list(summary()["pools"]), [hostile], "its name")
    for argv in (["msdump", "--format=text", "t.mst"], ["msanalyze", "summary", "t.mst"]):
        r = run([os.path.join(BIN, argv[0]), *argv[1:]])
        check(b"\033" not in r.stdout and b"\\x1b[31m" in r.stdout, "escaped by %s" % argv[0])


def exceptions_pass_through_pools():
    gxx = next((c for c in ("g++", "clang++", "c++") if run(["which", c]).returncode == 0), None)
    if not gxx:
        raise recordings.Skip("no compiler")
    open("pool.cc", "w").write("#include <cstdlib>\n#include <new>\nextern \"C\" void *thrown(std::size_t n) {\n"
                               " if (n > 100) throw std::bad_alloc(); return std::malloc(n); }\n")
    open("main.cc", "w").write("#include <cstdio>\n#include <new>\nextern \"C\" void *thrown(std::size_t);\n"
                               "int main() { int n = 0; for (int i = 0; i < 5; i++) { thrown(9);\n"
                               " try { thrown(1000); } catch (std::bad_alloc &) { n++; } thrown(8); } return n; }\n")
    equal(run([gxx, "-shared", "-fPIC", "-o", "libthrown.so", "pool.cc"]).returncode, 0, "compiled")
    equal(run([gxx, "-o", "main", "main.cc", "./libthrown.so"]).returncode, 0, "compiled")
    r = record(["./main"], "--wrap=alloc=thrown")
    equal(r.returncode, 5, "status: %r" % r.stderr)
    pool = summary()["pools"]["thrown"]
    equal((pool["calls"], pool["allocated_bytes"]), (10, 85), "calls that returned")


def plugins_have_the_pools_that_are_their_own():
    gcc = next((c for c in ("gcc", "clang", "cc") if run(["which", c]).returncode == 0), None)
    if not gcc:
        raise recordings.Skip("no compiler")
    open("plugin.c", "w").write("#include <stdlib.h>\nvoid *plugin_get(size_t n) { return malloc(n + EXTRA); }\n"
                                "void plugin_put(void *p) { free(p); }\n"
                                "void use(void) { plugin_put(plugin_get(10)); }\n")
    open("host.c", "w").write("#include <dlfcn.h>\n#include <stddef.h>\n"
                              "int main(void) { for (int i = 0; i < 3; i++) for (int k = 0; k < 2; k++) {\n"
                              " void *h = dlopen(k ? \"./b.so\" : \"./a.so\", RTLD_NOW), *g = dlopen(\"./a.so\", RTLD_NOW);\n"
                              " if (!h || !g) return 1;\n"
                              " ((void (*)(void))dlsym(h, \"use\"))(); ((void (*)(void))dlsym(g, \"use\"))();\n"
                              " dlclose(h); dlclose(g); } return 0; }\n")
    for name, extra in (("a", "100"), ("b", "200")):
        equal(run([gcc, "-O0", "-shared", "-fPIC", "-DEXTRA=" + extra, "-o", name + ".so", "plugin.c"]).returncode, 0, "compiled")
    equal(run([gcc, "-o", "host", "host.c", "-ldl"]).returncode, 0, "compiled")
    r = record(["./host"], "--wrap=alloc=plugin_get,free=plugin_put")
    equal(r.returncode, 0, "status: %r" % r.stderr)
    sizes = [e["size"] for e in events() if e["op"] == "malloc" and e["size"] in (110, 210)]
    equal(sizes, [110, 110, 210, 110] * 3, "each plugin's own function is called")
    pool = summary()["pools"]["plugin_get"]
    equal((pool["allocations"], pool["frees"], pool["live_blocks"]), (12, 12, 0), "its blocks")
    verified()


if __name__ == "__main__":
    sys.exit(recordings.main(globals()))
