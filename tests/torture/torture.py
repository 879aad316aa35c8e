#!/usr/bin/env python3
"""Programs that ill-treat the capture library, under msrecord: torture.py BIN_DIR PROGRAMS_DIR WORK_DIR [--full] [SUBJECT...]

Each subject is a program torture_SUBJECT.c beside this file. It must finish, its output and status must be the
native ones, and every size that it alone asks for must be in the trace as often as it says. The small scale takes
seconds and runs in ./check; --full is the scale of a real storm, a minute or two each, and prints what it took. Exit
0 or 1, 77 if a subject cannot run here.
"""
import json, os, resource, shutil, subprocess, sys, time

ARGS = [a for a in sys.argv[1:] if a != "--full"]
BIN, PROGRAMS, WORK = (os.path.abspath(p) for p in ARGS[:3])
IS_FULL = "--full" in sys.argv
TIMEOUT = 800 # a hang
MAY_SAY = {"execs": "was not recorded: started without MSTRACE_SOCKET"} # msrecord, of a subject
FORK = 2 # origin of a process

# subject -> (small scale, full scale)
SCALES = {
    "forks": (400, 20000),
    "signals": (400, 20000),
    "jumps": (4000, 1000000),
    "cancels": (500, 20000),
    "short_threads": (2000, 100000),
    "alive": (300, 5000),
    "modules": (3, 50),
    "coroutines": (640, 64000),
    "small_stacks": (200, 5000),
    "execs": (1, 100),
}


class Skip(Exception):
    pass


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def prepare(subject):
    if subject == "modules":
        for i in range(100):
            shutil.copy(os.path.join(PROGRAMS, "torture_module.so"), "module-%d" % i)
    if subject == "alive" and IS_FULL:
        most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        if most != resource.RLIM_INFINITY and most < 6000:
            raise Skip("only %d threads are allowed" % most)


def truth(path):
    """size -> [acquired, released, failed], lines of one size added up"""
    counts = {}
    for line in open(path):
        size, *values = line.split()
        counts[size] = [a + int(b) for a, b in zip(counts.get(size, [0, 0, 0]), values)]
    return counts


def run(command, **kw):
    start = time.monotonic()
    r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT, **kw)
    return r, time.monotonic() - start


def torture(subject):
    scale = SCALES[subject][IS_FULL]
    program = os.path.join(PROGRAMS, "torture_" + subject)
    prepare(subject)
    native, native_s = run([program, str(scale), "native-truth"])
    there, there_s = run([os.path.join(BIN, "msrecord"), "-f", "-q", "-o", "t.mst", "--no-symbols", "--",
                          program, str(scale), "truth"])
    check(there.returncode == native.returncode == 0, "status %d, natively %d: %r" % (there.returncode, native.returncode, there.stderr))
    said = [line for line in there.stderr.decode().splitlines() if not (subject in MAY_SAY and MAY_SAY[subject] in line)]
    check((there.stdout, "\n".join(said)) == (native.stdout, native.stderr.decode()), "output %r %r, natively %r %r" %
          (there.stdout, there.stderr, native.stdout, native.stderr))
    expected = truth("truth")
    facts = json.loads(subprocess.run([os.path.join(PROGRAMS, "trace_facts"), "t.mst", *expected], capture_output=True, check=True).stdout)
    check(facts["damaged"] == 0 and not facts["truncated"] and facts["end"]["clean"], "the trace is not complete")
    check(facts["end"]["lost"] == 0, "%d events lost" % facts["end"]["lost"])
    check(facts["end"]["overlaps"] == 0, "%d blocks acquired where one lived" % facts["end"]["overlaps"])
    check(facts["backwards"] == 0, "%d steps back in time" % facts["backwards"])
    check(facts["sizes"] == expected, "acquired, released, failed by size: %r, truth %r" % (facts["sizes"], expected))
    for p in facts["processes"]:
        if subject == "forks" and p["origin"] == FORK:
            check((p["allocs"], p["frees"]) == (1, 2), "child %d acquired %d, released %d" % (p["id"], p["allocs"], p["frees"]))
    if subject == "forks":
        check(len(facts["processes"]) == scale + 1, "%d processes" % len(facts["processes"]))
    print("%-14s scale %7d: %9d events, %6d processes, %6d threads; native %.1f s, recorded %.1f s, trace %d bytes; %s" %
          (subject, scale, facts["events"], len(facts["processes"]), len(facts["threads"]), native_s, there_s, os.path.getsize("t.mst"),
           there.stdout.decode().split("\n")[0]), flush=True)


def main():
    failed = skipped = 0
    subjects = ARGS[3:] or list(SCALES)
    for subject in subjects:
        work = os.path.join(WORK, subject)
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        os.chdir(work)
        try:
            torture(subject)
        except Skip as why:
            skipped += 1
            print("%s: skipped: %s" % (subject, why))
        except (AssertionError, subprocess.TimeoutExpired) as why:
            failed += 1
            print("%s: %s" % (subject, why))
            continue
        os.chdir("/")
        shutil.rmtree(work, ignore_errors=True)
    return 1 if failed else 77 if skipped == len(subjects) else 0


if __name__ == "__main__":
    sys.exit(main())
