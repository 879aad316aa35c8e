#!/usr/bin/env python3
"""What samples say of recorded programs: sampled.py BIN_DIR PROGRAMS_DIR WORK_DIR CASE

Each case is a function below, named after what it shows. Exit 0 or 1.
"""
import json, os, shutil, subprocess, sys

BIN, PROGRAMS, WORK = (os.path.abspath(p) for p in sys.argv[1:4])
MIB = 1 << 20


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def run(tool, *args):
    r = subprocess.run([os.path.join(BIN, tool), *args], capture_output=True, timeout=600)
    check(r.returncode == 0, "%s %r: %d %r" % (tool, args, r.returncode, r.stderr))
    return r.stdout.decode(), r.stderr.decode()


def record(*command, sample="10ms", trace="t.mst"):
    command = (os.path.join(PROGRAMS, command[0]), *command[1:])
    return run("msrecord", "-f", "-o", trace, "--no-symbols", "--sample=" + sample, "--", *command)[1]


def samples(kind="process", trace="t.mst"):
    lines = run("msdump", "--samples", trace)[0].splitlines()
    return [s for s in map(json.loads, lines) if s["sample"] == kind and "rss" in s]


def heap_at(trace="t.mst"):
    """Live bytes of each process after each event, by plain arithmetic over the events as they are printed."""
    live, size_of, after = {}, {}, []
    for e in map(json.loads, run("msdump", trace)[0].splitlines()):
        if "op" not in e:
            continue
        pid = e["pid"]
        if e.get("alloc") and e["op"] not in ("free",):
            size_of[e["alloc"]] = (pid, e["size"])
            live[pid] = live.get(pid, 0) + e["size"]
        gone = e["alloc"] if e["op"] == "free" else e.get("old_alloc")
        if gone in size_of and size_of[gone][0] == pid:
            live[pid] -= size_of.pop(gone)[1]
        after.append(dict(live))
    return after


def resident_memory_follows_what_the_program_does():
    record("target_grows", "16", "100000") # slow enough for a sampler that does not get the processor at once
    run("msdump", "--verify", "t.mst")
    got = samples()
    check(len(got) >= 8, "only %d samples" % len(got))
    check(got[0]["time_ns"] < got[-1]["time_ns"], "time goes on")
    check(max(s["rss"] for s in got) - min(s["rss"] for s in got) > 10 * MIB, "RSS does not show 16 MiB")
    for s in got:
        check(s["threads"] == 1 and s["minor_faults"] > 0 and s["cost_ns"] > 0, s)
        check("pss" not in s or s["pss"] <= s["rss"], "PSS above RSS: %r" % s)
        check("pss" not in s or s["private_dirty"] <= s["rss"], s)
    check(any("pss" in s for s in got), "PSS was never read")


def live_heap_at_a_sample_is_that_of_the_events_before_it():
    record("target_grows", "16", "100000", "fork")
    after = heap_at()
    table = json.loads(run("msanalyze", "memory", "--format=json", "--points=0", "t.mst")[0])
    got = samples()
    check(len(table["samples"]) == len(got) and len({s["pid"] for s in got}) == 2, "%d samples" % len(got))
    for row, s in zip(table["samples"], got):
        heap = after[s["event"] - 1].get(s["pid"], 0) if s["event"] else 0
        check((row["time_ns"], row["pid"], row["rss_bytes"]) == (s["time_ns"], s["pid"], s["rss"]), (row, s))
        check(row["heap_bytes"] == heap, "live heap %d, replay says %d: %r" % (row["heap_bytes"], heap, s))
    check(max(row["heap_bytes"] for row in table["samples"]) >= 8 * MIB, "the heap was never seen grown")


def without_sampling_there_are_no_samples_of_memory():
    record("target_grows", "4", "1000", sample="0")
    check(samples() == [], "samples without being asked for")


def short_program_is_measured_once_at_least():
    record("target_grows", "1", "300000", sample="1h")
    check(len(samples()) == 1, "%d samples" % len(samples()))


def recording_tells_what_it_has_cost():
    record("target_shortlived", "20", "5", sample="0")
    record("target_calls", sample="0", trace="u.mst")
    for trace in "t.mst", "u.mst":
        costs = [json.loads(l) for l in run("msdump", "--samples", trace)[0].splitlines()]
        of_process = [c for c in costs if c["sample"] == "process"]
        of_recorder = [c for c in costs if c["sample"] == "recorder"]
        check(len(of_process) == 1 and len(of_recorder) == 1 and costs[-1] == of_recorder[0], costs)
        check(of_process[0]["lost_events"] == 0 and of_process[0]["arena_peak"] % 32768 == 0, costs)
        check(of_recorder[0]["peak_rss"] >= MIB and of_recorder[0]["cpu_ns"] > 0, costs)
        run("msdump", "--verify", trace)


def calls_are_timed_one_in_a_thousand_or_so():
    program = "for i in $(seq 20000); do :; done"
    run("msrecord", "-q", "-f", "-o", "t.mst", "--no-symbols", "--", "bash", "-c", program)
    summary = json.loads(run("msanalyze", "summary", "--format=json", "t.mst")[0])
    if summary["events"] < 20000:
        return  # a shell with an allocator of its own
    check(summary["events"] / 4000 < summary["hooks_timed"] < summary["events"] / 200, summary)
    check(0 < summary["hook_ns"] < 100000, summary)


def main():
    case = sys.argv[4]
    directory = os.path.join(WORK, case)
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    os.chdir(directory)
    globals()[case]()


main()
