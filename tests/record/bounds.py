#!/usr/bin/env python3
"""Traces of bounded length: bounds.py, as recordings.py.

What a flight recorder keeps is compared with a whole recording of the same program.
"""
import json, os, random, signal, subprocess, sys, time

import recordings
from recordings import BIN, MSRECORD, check, equal, facts, record, run, sound, target, wait_until

ROUNDS = "200000"


def analyzed(what, trace, status=0):
    r = run([os.path.join(BIN, "msanalyze"), what, "--format=json", "--top=0", trace])
    equal(r.returncode, status, "msanalyze %s: %r" % (what, r.stderr))
    return json.loads(r.stdout), r.stderr.decode()


def leaks(trace, status=0):
    """What is never freed: (bytes, blocks, functions) of each call stack."""
    table, _ = analyzed("leaks", trace, status)
    rows = [(row["bytes"], row["blocks"], tuple(f["function"] for f in row["frames"])) for row in table["sites"]]
    check(len(rows) > 3 and all("main" in row[2] for row in rows), "stacks with names: %r" % rows)
    return sorted(rows)


def verified(trace):
    r = run([os.path.join(BIN, "msdump"), "--verify", "--format=json", trace])
    return json.loads(r.stdout)


def kept(rest, *options):
    """Records the same program whole and with options (resting so many microseconds); the latter's (facts, summary)."""
    native = run([target("churn"), ROUNDS]).stdout
    equal(record([target("churn"), ROUNDS], trace="whole.mst").stdout, native, "output, recorded whole")
    r = record([target("churn"), ROUNDS, rest], *options)
    equal((r.returncode, r.stdout), (0, native), "output under the flight recorder: %r" % r.stderr)
    equal(sorted(os.listdir(".")), ["t.mst", "whole.mst"], "files")
    f = facts()
    sound({**f, "events": f["end"]["events"]})
    equal(verified("t.mst")["sound"], True, "verify")
    whole, _ = analyzed("summary", "whole.mst")
    summary, note = analyzed("summary", "t.mst")
    dropped = summary["dropped_events"]
    check(dropped > 0, "events were dropped")
    equal(dropped + summary["events"], f["end"]["events"], "events dropped and kept")
    equal(f["end"]["events"], whole["events"], "events of the program")
    equal(max(summary["peak_bytes"], summary["dropped_peak_bytes"]) > 0, True, "peaks")
    for name in ("live_blocks", "live_bytes", "foreign_frees", "failed"):
        equal(summary[name], whole[name], name)
    check("%s events before these were dropped" % format(dropped, ",") in note, "the note: %r" % note)
    check(("kept: the last %s event" % format(summary["events"], ",")).encode() in r.stderr, "told: %r" % r.stderr)
    equal(leaks("t.mst"), leaks("whole.mst"), "leaks")
    return f, summary


def what_is_dropped_by_size_leaves_the_same_leaks():
    _, summary = kept("200", "--keep-last=1M")
    size = os.path.getsize("t.mst")
    check(size <= 1 << 20, "the length of the trace: %d" % size)
    check(summary["events"] > 10000, "the most recent events are there: %r" % summary)


def what_is_dropped_by_time_leaves_the_same_leaks():
    f, summary = kept("20000", "--keep-last=1s")
    r = run([os.path.join(BIN, "msdump"), "--limit=1", "t.mst"])
    first = json.loads(r.stdout.splitlines()[0])
    equal(first["event"], summary["dropped_events"], "the first event")
    check(summary["dropped_until_ns"] <= summary["duration_ns"] - 10**9, "nothing of the last second was dropped: %r" % summary)


def layers(trace):
    """What is never released of pools, and never unmapped, with the peaks that do not depend on the order of two processes."""
    left = {}
    for pool in ("pool_get", "slabs"):
        r = run([os.path.join(BIN, "msanalyze"), "leaks", "--pool=" + pool, "--format=json", "--top=0", trace])
        equal(r.returncode, 0, "leaks of %s: %r" % (pool, r.stderr))
        rows = json.loads(r.stdout)["sites"]
        check(rows, "the pool has blocks: %r" % rows)
        left[pool] = sorted((row["bytes"], row["blocks"], tuple(f["function"] for f in row["frames"])) for row in rows)
    maps, _ = analyzed("maps", trace)
    left["maps"] = sorted((row["size_bytes"], row["peak_bytes"], row["live_bytes"], row["kind"], row["prot"],
                           tuple(f["function"] for f in row["frames"])) for row in maps["maps"]
                          if row["live_bytes"] and not row["initial"])
    check(len(left["maps"]) > 5, "regions: %r" % left["maps"])
    left["bytes"] = maps["live_bytes"]
    return left


def what_is_dropped_leaves_the_same_pools_and_mappings():
    wraps = ["--wrap=alloc=pool_get:2,free=pool_put:2", "--wrap=alloc=slab_get,free=slab_put,name=slabs"]
    record([target("churn"), ROUNDS, "0", "layers"], *wraps, trace="whole.mst")
    equal(record([target("churn"), ROUNDS, "200", "layers"], "--keep-last=1M", *wraps).returncode, 0, "status")
    sound({**facts(), "events": facts()["end"]["events"]})
    equal(verified("t.mst")["sound"], True, "verify")
    summary, _ = analyzed("summary", "t.mst")
    whole, _ = analyzed("summary", "whole.mst")
    check(summary["dropped_events"] > whole["events"] / 2, "events were dropped: %r" % summary)
    equal(layers("t.mst"), layers("whole.mst"), "pools and mappings")
    for now, then in zip(sorted(summary["pools"], key=lambda p: p["pool"]), sorted(whole["pools"], key=lambda p: p["pool"])):
        for name in ("pool", "live_blocks", "live_bytes", "foreign_frees"):
            equal(now[name], then[name], "%s of %s" % (name, now["pool"]))
    with open("t.mst", "rb") as pipe:
        r = run([os.path.join(BIN, "msanalyze"), "maps", "--format=json", "--top=0", "-"], stdin=pipe)
    equal(r.returncode, 0, "by pipe: %r" % r.stderr)
    by_pipe = sum(row["live_bytes"] for row in json.loads(r.stdout)["maps"] if not row["initial"])
    equal(by_pipe, layers("t.mst")["bytes"], "mapped at the end, by pipe")


def every_tool_reads_what_is_left():
    record([target("churn"), ROUNDS, "100"], "--keep-last=1M")
    for command in (["msdump", "t.mst"], ["msdump", "--info", "t.mst"], ["msanalyze", "top", "t.mst"],
                    ["msanalyze", "peak", "t.mst"], ["msrender", "flamegraph", "-o", "f.svg", "t.mst"]):
        r = run([os.path.join(BIN, command[0]), *command[1:]])
        equal(r.returncode, 0, "%r: %r" % (command, r.stderr))
        check(b"were dropped (flight recorder)" in r.stderr, "%r says so: %r" % (command, r.stderr))
    maps, note = analyzed("maps", "t.mst")
    check(maps["dropped_events"] > 0 and "not known" not in note, "maps: %r" % note)
    with open("t.mst", "rb") as pipe:
        r = run([os.path.join(BIN, "msanalyze"), "leaks", "--format=json", "--top=0", "-"], stdin=pipe)
    equal(r.returncode, 0, "by pipe: %r" % r.stderr)
    by_pipe = sorted((row["bytes"], row["blocks"]) for row in json.loads(r.stdout)["sites"])
    equal(by_pipe, sorted(row[:2] for row in leaks("t.mst")), "leaks by pipe")
    equal(run([os.path.join(BIN, "msdump"), "--salvage=s.mst", "t.mst"]).returncode, 0, "salvage")
    equal(leaks("s.mst"), leaks("t.mst"), "leaks of the salvaged trace")
    equal(run([MSRECORD, "--resolve", "t.mst"]).returncode, 0, "resolve")
    equal(verified("t.mst")["sound"], True, "the resolved trace")


def killed_flight_recorder_leaves_one_readable_trace():
    rng = random.Random(7)
    dropped = 0
    for i in range(8):
        child = subprocess.Popen([MSRECORD, "-q", "-f", "-o", "t.mst", "--keep-last=1M", target("churn"), "50000000", "50"],
                                 stdout=subprocess.PIPE, start_new_session=True)
        wait_until(lambda: os.path.exists("t.mst") and os.path.getsize("t.mst") > 100000, "the trace grows")
        first = os.stat("t.mst").st_ino
        time.sleep(rng.uniform(0, 2))
        if i == 0:
            wait_until(lambda: os.stat("t.mst").st_ino != first, "the first copy takes its place")
        child.send_signal(signal.SIGKILL)
        child.wait()
        equal(os.listdir("."), ["t.mst"], "files")
        v = verified("t.mst")
        cut = [d for d in v["damage"] if d["offset"] + d["length"] == v["bytes"]] # it may have been killed in the middle of write
        check(v["truncated"] and len(cut) == v["damaged_places"], "cut at its end, no more: %r" % v)
        check(os.path.getsize("t.mst") <= 1 << 20, "the bound")
        summary = json.loads(run([os.path.join(BIN, "msanalyze"), "summary", "--format=json", "t.mst"]).stdout)
        equal(summary["foreign_frees"], 0, "releases of unknown blocks")
        dropped += summary["dropped_events"] > 0
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.stdout.close()
        os.unlink("t.mst")
    check(dropped > 0, "the first at least had dropped events")


def flight_recorder_is_reached_after_its_file_was_replaced():
    p = subprocess.Popen([MSRECORD, "-q", "-f", "-o", "t.mst", "--no-symbols", "--keep-last=1M", target("churn"), "50000000", "0"],
                         stdout=subprocess.PIPE)
    wait_until(lambda: os.path.exists("t.mst"), "there is a trace")
    first = os.stat("t.mst").st_ino
    wait_until(lambda: os.stat("t.mst").st_ino != first, "the first copy takes its place")
    # it may be replaced between the look at its number and the call
    wait_until(lambda: run([MSRECORD, "--control", "t.mst", "status"]).returncode == 0, "the recording answers")
    p.terminate()
    p.communicate()


def full_trace_ends_the_recording_not_the_program():
    native = run([target("churn"), ROUNDS]).stdout
    r = record([target("churn"), ROUNDS], "--max-size=1M")
    equal((r.returncode, r.stdout), (0, native), "what the program does")
    check(b"has reached --max-size" in r.stderr, "told: %r" % r.stderr)
    f = facts()
    sound(f)
    size = os.path.getsize("t.mst")
    check(1 << 18 < size <= 1 << 20, "the length of the trace: %d" % size)
    summary, note = analyzed("summary", "t.mst")
    equal((summary["limited"], summary["complete"]), (True, True), "the summary")
    check("ended at the size set for it" in note, "the note: %r" % note)
    leaks("t.mst")


def trace_below_its_bound_is_as_without():
    record([target("churn"), "3000"], "--max-size=10M")
    summary, note = analyzed("summary", "t.mst")
    equal((summary["limited"], summary["dropped_events"], note), (False, 0, ""), "below --max-size")
    whole = leaks("t.mst")
    record([target("churn"), "3000"], "--keep-last=10M")
    summary, note = analyzed("summary", "t.mst")
    equal((summary["limited"], summary["dropped_events"], note), (False, 0, ""), "below --keep-last")
    equal(leaks("t.mst"), whole, "leaks")


if __name__ == "__main__":
    sys.exit(recordings.main(globals()))
