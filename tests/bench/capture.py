#!/usr/bin/env python3
"""What recording costs: workload x (native, ours, heaptrack where installed), paired in one run.

capture.py BIN_DIR [-n ROUNDS] [-w WORKLOAD,...] [--dir DIR] [--json FILE] [--options OPTIONS] [--no-heaptrack]

Every round runs native first, then each recorder; figures of a recorder are taken against the native run of the same
round, and the median over the rounds is printed, so that a machine whose speed drifts gives the same ones.

wall     seconds until the command has ended and its trace is complete, and by what factor that is longer
cpu      user + system time of the whole tree, by what factor it is more
ns/ev    (recorded - native) by true events (allocations + frees): wall, CPU of all, CPU of the program alone
rss      MiB that the program itself has more (ours only; a greatest value, as the next)
late     ms from the program's end until the trace is complete, symbols and all
B/ev     bytes of trace by event
added    wall and CPU that we add by what heaptrack adds
"ours" has a stack on every event. "alike" is the same without the stacks of releases (--no-free-stacks), as all peers record.
The program is timed by `timed`; heaptrack follows no children, so its program is not. Inputs are generated; needs
python3, and of jq, sqlite3, perl, git, node, g++, clang++ what is there.
"""
import argparse, json, os, resource, shlex, shutil, statistics, subprocess, time
import capture_workloads

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument("bin", help="directory of msrecord, msanalyze and the benchmark's own programs")
ap.add_argument("-n", type=int, default=5, help="rounds (5)")
ap.add_argument("-w", default="", help="workloads, separated by commas (all)")
ap.add_argument("--dir", default="capture-bench", help="where inputs and traces go (capture-bench)")
ap.add_argument("--json", default="", help="all measurements go to this file as well")
ap.add_argument("--options", default="", help="more options for msrecord")
ap.add_argument("--no-heaptrack", action="store_true", help="leave heaptrack out")
A = ap.parse_args()
BIN, DIR = os.path.abspath(A.bin), os.path.abspath(A.dir)
os.makedirs(DIR, exist_ok=True)
path = lambda name: os.path.join(DIR, name)
med = statistics.median
OURS = {"ours": [], "alike": ["--no-free-stacks"]}


def recorders(name, cmd):
    """(recorder, argv, its trace) for a workload."""
    timed = [os.path.join(BIN, "timed"), path("program.times")]
    yield "native", timed + cmd, None
    for recorder, options in OURS.items():
        trace = path(recorder + ".mst")
        yield recorder, [os.path.join(BIN, "msrecord"), "--quiet", "--force", "-o", trace, *options, *shlex.split(A.options), "--", *timed, *cmd], trace
    # Debian's 1.4.0 dies on cc1plus and the micro-benchmarks, and takes them along.
    if shutil.which("heaptrack") and not A.no_heaptrack and name != "cc1plus" and not name.startswith(("micro", "4-th")):
        env, rest = ([cmd[0], cmd[1]], cmd[2:]) if cmd[0] == "env" else ([], cmd)
        yield "heaptrack", env + ["heaptrack", "-o", path("ht"), *rest], path("ht.zst")


def run(argv):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if os.path.exists(path("program.times")):
        os.remove(path("program.times"))
    start = time.monotonic()
    with open(path("out.log"), "wb") as log:
        status = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=DIR).returncode
    end = time.monotonic()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    r = dict(status=status, wall=end - start, cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    if os.path.exists(path("program.times")):
        user, system, kib, ended = map(float, open(path("program.times")).read().split())
        r.update(program=user + system, rss=kib / 1024, late=1e3 * (end - ended))
    return r


def events_of(trace):
    out = subprocess.run([os.path.join(BIN, "msanalyze"), "summary", "--format=json", trace], capture_output=True, text=True).stdout
    s = json.loads(out)
    return s["allocations"] + s["frees"], s["lost_events"]


def measure(name, cmd):
    """recorder -> its runs, round by round; trace sizes; true events and lost ones."""
    rows, size, events, lost = {}, {}, 0, 0
    for number in range(A.n):
        for recorder, argv, trace in recorders(name, cmd):
            rows.setdefault(recorder, []).append(run(argv))
            if trace and os.path.exists(trace):
                size[recorder] = os.path.getsize(trace)
            if recorder == "ours" and number == 0:
                events, lost = events_of(trace)
    return rows, size, events, lost


COLUMNS = "%-9s %-9s %7s %6s %6s %7s %7s %8s %6s %6s %6s  %s"


def line(name, recorder, rows, size, events):
    native, mine = rows["native"], rows[recorder]
    added = lambda key: med([r[key] - n[key] for r, n in zip(mine, native) if key in r])
    factor = lambda key: "%.2f" % med([r[key] / n[key] for r, n in zip(mine, native)])
    has_program = recorder in OURS and all("program" in r for r in mine)
    wall = "%.2f" % med([r["wall"] for r in mine])
    if recorder == "native":
        return COLUMNS % (name, recorder, wall, "", "", "", "", "", "%.0f" % med([r["rss"] for r in mine]), "", "", "%.2fM events" % (events / 1e6))
    per_event = lambda key: "%.0f" % (added(key) * 1e9 / events)
    note = ""
    if recorder in OURS and "heaptrack" in rows:
        against = lambda key: med([(r[key] - n[key]) / (h[key] - n[key]) for r, n, h in zip(mine, native, rows["heaptrack"])])
        note = "%.2f wall, %.2f CPU" % (against("wall"), against("cpu"))
    if any(r["status"] != n["status"] for r, n in zip(mine, native)):
        note += " EXIT STATUS DIFFERS"
    return COLUMNS % (name, recorder, wall, factor("wall"), factor("cpu"), per_event("wall"), per_event("cpu"),
                      per_event("program") if has_program else "", "+%.0f" % added("rss") if has_program else "",
                      "%.0f" % med([r["late"] for r in mine]) if has_program else "",
                      "%.3f" % (size[recorder] / events) if recorder in size else "", note)


results = {}
print(COLUMNS % ("workload", "recorder", "wall s", "wall x", "cpu x", "ns/ev", "cpu", "program", "rss", "late", "B/ev", "added, of heaptrack's"))
for name, cmd in capture_workloads.workloads(BIN, DIR).items():
    if A.w and name not in A.w.split(",") or not shutil.which(cmd[0]) or (cmd[0] == "env" and not shutil.which(cmd[2])):
        continue
    rows, size, events, lost = measure(name, cmd)
    for recorder in rows:
        print(line(name, recorder, rows, size, events) + (" %d EVENTS LOST" % lost if lost and recorder == "ours" else ""), flush=True)
    results[name] = dict(events=events, lost=lost, rows=rows, size=size)
if A.json:
    json.dump(results, open(A.json, "w"), indent=1)
