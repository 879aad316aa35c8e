#!/usr/bin/env python3
"""Pauses and marks: pauses.py, as recordings.py. The program is target_annotated.c."""
import json, os, signal, subprocess, sys, time

import recordings
from recordings import BIN, HANG_S, KILLED, MSRECORD, check, equal, facts, record, run, sound, target, wait_until

UNFINISHED = 5
OPTIONS = ["--no-symbols", "--sample=0"]


def lines(trace="t.mst"):
    return [json.loads(l) for l in run([os.path.join(BIN, "msdump"), trace]).stdout.splitlines()]


def annotations(trace="t.mst"):
    return [o for o in lines(trace) if "annotation" in o]


def control(*words, trace="t.mst"):
    return run([MSRECORD, "--control", trace, *words])


def controlled(*words, trace="t.mst"):
    r = control(*words, trace=trace)
    equal((r.returncode, r.stderr), (0, b""), "--control %s" % " ".join(words))
    return dict(line.split(": ") for line in r.stdout.decode().splitlines())


def events_now(trace="t.mst"):
    return int(controlled("status", trace=trace)["events"])


def nothing_comes_any_more(trace="t.mst"):
    """What had been acquired before a pause has been released, and told: there is no event left to come."""
    before = events_now(trace)
    time.sleep(0.3)
    status = controlled("status", trace=trace)
    return (status["live bytes"], int(status["events"])) == ("0", before)


def loop(*options):
    """A recording of a program that goes on until it is ended."""
    p = subprocess.Popen([MSRECORD, "-f", "-q", *OPTIONS, "-o", "t.mst", *options, "--", target("annotated"), "loop"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    equal(p.stdout.readline(), b"on\n", "the program runs")
    return p


def finish(p):
    p.send_signal(signal.SIGTERM)
    _, err = p.communicate(timeout=HANG_S)
    equal(p.returncode, 128 + signal.SIGTERM, "status: %r" % err)


def what_is_freed_in_a_pause_is_no_leak():
    n_inherited = 0
    for seed in "1234":
        r = record([target("annotated"), "oracle", seed], *OPTIONS)
        equal(r.returncode, 0, "status")
        check(b"nobody is known to have acquired" not in r.stderr, "no suspicion: %r" % r.stderr)
        f = facts()
        sound(f)
        parent, child = f["processes"]
        equal(parent["live_blocks"], int(r.stdout), "blocks acquired while recorded that live")
        equal(child["live_blocks"], 0, "blocks of the child of a pause")
        told = lines()
        n_inherited += sum("inherited" in o for o in told)
        check(sum(o.get("annotation") == "pause" for o in told) > 2, "pauses are in the trace")
    check(n_inherited > 10, "the children release what they inherited: %d" % n_inherited)


def marks_of_many_threads_keep_their_order():
    equal(record([target("annotated"), "marks"], *OPTIONS).returncode, 0, "status")
    names = [tuple(map(int, a["name"].split())) for a in annotations()]
    equal(len(names), 800, "marks")
    for t in range(8):
        equal([i for thread, i in names if thread == t], list(range(100)), "marks of thread %d" % t)


def annotated_program_runs_natively_as_well():
    equal(run([target("annotated"), "marks"]).returncode, 0, "status")
    check(int(run([target("annotated"), "oracle", "1"]).stdout) > 0, "it counts as when it is recorded")


def commands_reach_a_running_recording():
    p = loop("--paused")
    status = controlled("status")
    equal((status["state"], status["events"]), ("paused", "0"), "at the start")
    controlled("mark", "still paused")
    controlled("start")
    wait_until(lambda: events_now() > 0, "events come")
    controlled("mark", "\x1b[31m name\n")
    controlled("stop")
    equal(controlled("status")["state"], "paused", "state")
    wait_until(nothing_comes_any_more, "no event comes in a pause, when what lived has been released")
    n = events_now()
    os.rename("t.mst", "moved.mst")
    os.symlink("moved.mst", "t.mst")
    controlled("start")
    wait_until(lambda: events_now() > n + 10, "events come again")
    finish(p)
    equal([(a["annotation"], a.get("name")) for a in annotations("moved.mst")],
          [("pause", None), ("mark", "still paused"), ("resume", None), ("mark", "\x1b[31m name\n"), ("pause", None),
           ("resume", None)], "what the trace says")
    sound(facts("moved.mst"))


def refused_commands_say_why():
    p = loop()
    for words, why in ((["mark", "x" * 256], b"longer than 255 bytes"), (["mark"], b"needs one NAME"), (["halt"], b"no command 'halt'"),
                       ([], b"start, stop, mark NAME or status?"), (["start", "now"], b"needs nothing else")):
        r = control(*words)
        equal(r.returncode, 125, "status of %r" % words)
        check(why in r.stderr, "%r: %r" % (words, r.stderr))
    controlled("mark", "x" * 255)
    finish(p)
    for trace, why in (("t.mst", b"no recording of it is running"), ("none.mst", b"No such file"), ("/dev/null", b"not a regular file")):
        r = control("status", trace=trace)
        equal(r.returncode, 125, "status")
        check(why in r.stderr, "%s: %r" % (trace, r.stderr))


def signal_pauses_and_resumes_and_stays_with_the_recorder():
    p = loop("--signal=USR2")
    for state in ("paused", "recording"):
        p.send_signal(signal.SIGUSR2)  # the program would die of it
        wait_until(lambda: controlled("status")["state"] == state, state)
    finish(p)
    equal([a["annotation"] for a in annotations()], ["pause", "resume"], "what the trace says")


def recording_of_a_duration_is_complete_while_the_program_goes_on():
    p = loop("--delay=0.3s", "--duration=2s")
    wait_until(lambda: control("status").returncode == 125, "the recording ends")
    wait_until(lambda: run([os.path.join(BIN, "msdump"), "--verify", "t.mst"]).returncode == 0, "the trace is complete")
    check(p.poll() is None, "the program goes on")
    f = facts()
    sound(f)
    equal(f["processes"][0]["fate"], UNFINISHED, "fate")
    pause, resume = annotations()
    check(resume["time_ns"] >= 300000000, "the delay")
    times = [o["time_ns"] for o in lines() if o.get("op") == "malloc"]
    check(times and times[0] >= resume["time_ns"], "nothing before it")
    summary = json.loads(run([os.path.join(BIN, "msanalyze"), "summary", "--format=json", "t.mst"]).stdout)
    check(summary["duration_ns"] - resume["time_ns"] >= 1999000000, "the duration: %r" % summary)
    finish(p)


def killed_while_paused_all_of_it_is_known():
    p = loop()
    wait_until(lambda: events_now() > 20, "events come")
    controlled("stop")
    wait_until(nothing_comes_any_more, "what lived is released")
    os.kill(int(controlled("status")["command"]), signal.SIGKILL)
    _, err = p.communicate(timeout=HANG_S)
    equal(p.returncode, 128 + signal.SIGKILL, "status: %r" % err)
    f = facts()
    sound(f)
    equal(f["processes"][0]["live_blocks"], 0, "what was released in the pause is")
    equal((f["processes"][0]["fate"], f["processes"][0]["status"]), (KILLED, signal.SIGKILL), "fate")


if __name__ == "__main__":
    sys.exit(recordings.main(globals()))
