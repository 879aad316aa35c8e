#!/usr/bin/env python3
"""What is recorded of C++ programs is what they say of themselves.

cxx.py BIN_DIR VICTIM_DIR LIBRARY_DIR NAME: runs one of the programs of victim_cxx.cc, or one of CASES, under msrecord. Each prints its
calls in order, as "operation size alignment ok|failed" or, where the order is not one, as "count operation size n"; the trace must have
exactly these among the calls of such sizes, no frame of the capture library in any stack, and no mismatch."""
import collections, json, os, subprocess, sys, tempfile

BIN, VICTIMS, LIBRARIES, NAME = sys.argv[1:5]
failures = []


def fail(text):
    failures.append(text)


def events(trace):
    r = subprocess.run([os.path.join(BIN, "msdump"), "--stacks", trace], capture_output=True, text=True)
    if r.returncode:
        fail("msdump: %d %s" % (r.returncode, r.stderr))
    return [json.loads(line) for line in r.stdout.splitlines()]


def is_told(size):
    """Of the sizes that victims use; libstdc++'s own 72,704 bytes are not."""
    return 20000 <= size < 31000 or size == 300000 or size >= 40 << 20


def record(argv, preload=None):
    """Output lines, events."""
    with tempfile.TemporaryDirectory() as d:
        trace = os.path.join(d, "t.mst")
        env = dict(os.environ, **({"LD_PRELOAD": preload} if preload else {}))
        r = subprocess.run([os.path.join(BIN, "msrecord"), "--quiet", "-o", trace, "--", *argv], env=env, capture_output=True, text=True, timeout=600)
        if r.returncode or r.stderr:
            fail("exit %d: %s" % (r.returncode, r.stderr))
        m = subprocess.run([os.path.join(BIN, "msanalyze"), "mismatches", "--fail", trace], capture_output=True, text=True)
        if m.returncode:
            fail("mismatches: exit %d\n%s%s" % (m.returncode, m.stdout, m.stderr))
        return r.stdout.splitlines(), events(trace)


def call_of(e):
    """As the victims say it."""
    return "%s %d %d %s" % (e["op"], int(e["size"]), e.get("align", 0), "failed" if e.get("failed") else "ok")


def compare(want, got):
    if want != got:
        at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
        fail("call %d of %d:\n  said     %s\n  recorded %s" % (at, len(want), want[at:at + 5], got[at:at + 5]))


def check(argv, preload=None, want=None, innermost=None):
    lines, all_events = record(argv, preload)
    told = [e for e in all_events if is_told(int(e["size"] or 0))]
    counts = [l.split() for l in lines if l.startswith("count ")]
    if counts:
        have = collections.Counter((e["op"], int(e["size"])) for e in told)
        for _, op, size, n in counts:
            if have[op, int(size)] != int(n):
                fail("%s of %s: %d recorded, %s made" % (op, size, have[op, int(size)], n))
    else:
        compare(lines if want is None else want, [call_of(e) for e in told])
    for e in all_events:
        modules = [f.get("module") or "" for f in e["frames"]]
        if any(m.endswith("libmscapture.so") for m in modules):
            fail("event %d: our own frames: %s" % (e["event"], e["frames"]))
        if e.get("failed") and e.get("errno") != 12:
            fail("event %d failed with errno %s" % (e["event"], e.get("errno")))
    for e in told if innermost else []:
        if not e["frames"] or e["frames"][0].get("function") != innermost:
            fail("event %d, %s: called from %s, not %s" % (e["event"], e["op"], e["frames"][:1], innermost))


def pairs(*calls):
    """Three rounds of acquisition and release, as program `uses` makes them."""
    return ["%s %d 0 ok" % (op, size) for _ in range(3) for acquire, release, size in calls for op in (acquire, release)]


victim = os.path.join(VICTIMS, "victim_cxx")
library = lambda kind: os.path.join(LIBRARIES, "libown_operators_%s.so" % kind)
uses = [victim, "uses"]
as_malloc = pairs(("malloc", "free", 20081), ("malloc", "free", 20082), ("malloc", "free", 20083))
CASES = {
    "own_operators_of_a_library": lambda: check(
        uses, library("malloc"), pairs(("new", "delete", 20081), ("new_array", "delete_array", 20082), ("new", "delete_sized", 20083))),
    "own_operators_of_the_program": lambda: check([victim + "_own", "uses"], None, as_malloc),
    "own_operators_with_a_header": lambda: check(
        uses, library("header"), pairs(("malloc", "free", 20145), ("malloc", "free", 20146), ("malloc", "free", 20147))),
    "own_operators_with_a_trailer": lambda: check(
        uses, library("trailer"), pairs(("malloc", "free", 20089), ("malloc", "free", 20090), ("malloc", "free", 20091))),
    "own_operators_with_a_pool": lambda: check(uses, library("pool"), ["malloc 300000 0 ok"]),
    "plugins": lambda: [check([os.path.join(VICTIMS, "loads_cxx"), os.path.join(LIBRARIES, name)])
                        for name in ("libcxx_plugin.so", "libcxx_plugin_own.so")],
    "forms": lambda: check([victim, "forms"], innermost="forms()"),
}
CASES.get(NAME, lambda: check([victim, NAME]))()
print("\n".join(failures[:20]) or "as said")
sys.exit(1 if failures else 0)
