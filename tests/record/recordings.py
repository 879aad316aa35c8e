#!/usr/bin/env python3
"""Programs recorded end to end: recordings.py BIN_DIR PROGRAMS_DIR SHIM WORK_DIR CASE...

Each case is a function below, named after what it shows. Programs are the target_*.c beside this file; what a trace
says is asked of trace_facts, which knows libmstrace only. Exit 0 or 1, 77 if a case cannot run here.
"""
import glob, json, os, random, shutil, signal, stat, struct, subprocess, sys, time

BIN, PROGRAMS, SHIM, WORK = (os.path.abspath(p) for p in sys.argv[1:5])
MSRECORD = os.path.join(BIN, "msrecord")
EXITED, KILLED, EXEC, UNRECORDED = 1, 2, 3, 6
START, FORK, BY_EXEC = 1, 2, 3
HANG_S = 600 # what takes that long will never come: the tests wait for events, not for times


class Skip(Exception):
    pass


def target(name):
    return os.path.join(PROGRAMS, "target_" + name)


def run(argv, **kw):
    kw.setdefault("timeout", HANG_S)
    kw.setdefault("capture_output", True)
    return subprocess.run(argv, **kw)


def record(command, *options, trace="t.mst", **kw):
    return run([MSRECORD, "-f", "-o", trace, *options, "--", *command], **kw)


def facts(trace="t.mst"):
    r = run([os.path.join(PROGRAMS, "trace_facts"), trace])
    check(r.returncode == 0, "trace_facts: %r" % r.stderr)
    return json.loads(r.stdout)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(got, expected, what):
    check(got == expected, "%s: %r, expected %r" % (what, got, expected))


def sound(f):
    equal(f["damaged"], 0, "damaged places")
    check(not f["truncated"] and f["end"]["clean"], "the trace is complete")
    equal(f["end"]["events"], f["events"], "events by END")
    equal(f["end"]["lost"], 0, "lost events")
    equal(f["end"]["overlaps"], 0, "blocks acquired where one lived")
    equal(f["backwards"], 0, "steps back in time")


def wait_until(condition, what):
    end = time.monotonic() + HANG_S
    while not condition():
        check(time.monotonic() < end, "waited in vain: " + what)
        time.sleep(0.01)


# ---- counts ------------------------------------------------------------------------------------------------------

def oracle(directory):
    """pid → [counters of each image]"""
    images = {}
    for name in sorted(glob.glob(directory + "/*.*")):
        values = struct.unpack("16Q", open(name, "rb").read(128))
        keys = ["events", "allocs", "frees", "allocated_bytes", "freed", "live_blocks", "live_bytes", "failed"]
        images.setdefault(int(os.path.basename(name).split(".")[0]), []).append(dict(zip(keys, values[2:10])))
    return images


def compare_with_oracle(command, **kw):
    os.mkdir("oracle")
    r = record(command, "--no-symbols", env=dict(os.environ, LD_PRELOAD=SHIM, ORACLE_DIR=os.path.abspath("oracle")), **kw)
    f = facts()
    sound(f)
    counted = oracle("oracle")
    for p in f["processes"]:
        check(p["pid"] in counted, "the shim saw process %d" % p["pid"])
        seen = {k: p[k] for k in ("allocs", "frees", "failed", "allocated_bytes", "live_blocks", "live_bytes")}
        check(any(all(c[k] == seen[k] for k in seen) for c in counted[p["pid"]]),
              "%s of %r, expected one of %r" % (seen, p["cmdline"], counted[p["pid"]]))
    return r, f


def every_function_is_counted_as_an_independent_shim_counts():
    r, f = compare_with_oracle([target("calls")])
    equal(r.returncode, 0, "status")
    for op in ("malloc", "calloc", "realloc", "reallocarray", "posix_memalign", "aligned_alloc", "memalign", "valloc", "pvalloc",
               "free", "realloc_free"):
        check(op in f["ops"], op + " is in the trace")


def forked_and_execed_processes_are_counted_alike():
    if not shutil.which("bash"): # dash vforks, which the shim counts as two processes and we as one
        raise Skip("no bash")
    r, f = compare_with_oracle(["bash", "-c", "ls / > /dev/null; (ls -d /; ls /tmp) | sort | head -1 >/dev/null; exec ls -d /"])
    check(len(f["processes"]) >= 4, "several processes")


def threads_handing_blocks_to_each_other_are_in_a_possible_order():
    threads, blocks = 64, 5000
    equal(record([target("threads"), str(threads), str(blocks)]).returncode, 0, "status")
    f = facts()
    sound(f)
    equal(len(f["threads"]), threads + 1, "threads")
    equal(f["ops"]["malloc"], threads * blocks, "mallocs")
    # one in many is split in two, when another thread gets the old block's place before its caller has told
    equal(f["ops"]["realloc"] + f["ops"].get("realloc_end", 0), threads * ((blocks + 15) // 16), "reallocs")
    equal(f["ops"].get("realloc_begin", 0), f["ops"].get("realloc_end", 0), "halves of reallocs")
    equal(f["processes"][0]["foreign"], 0, "frees of unknown blocks")
    equal(f["processes"][0]["live_blocks"], f["processes"][0]["allocs"] - f["processes"][0]["frees"], "live blocks")
    check(all(t["has_ended"] for t in f["threads"]), "threads end")


def threads_keep_the_time_at_which_they_began():
    """A thread is told of when it begins, and again at its end, seconds later."""
    equal(record(["sh", "-c", "sleep 3; :"], "--no-symbols").returncode, 0, "status")
    f = facts()
    sh = next(t for t in f["threads"] if t["name"] == "sh")
    check(sh["end_ns"] - sh["start_ns"] >= 3e9, "it lived for three seconds: %r" % sh)
    end_ns = {p["pid"]: p["end_ns"] for p in json.loads(run([os.path.join(BIN, "msanalyze"), "processes", "--format=json", "t.mst"]).stdout)["processes"]}
    check(all(t["end_ns"] <= end_ns[t["tid"]] for t in f["threads"]), "no thread outlives its process: %r, %r" % (f["threads"], end_ns))
    first = json.loads(run([os.path.join(BIN, "msdump"), "--limit=1", "t.mst"]).stdout)
    check(sh["tid"] == first["tid"] and sh["start_ns"] < first["time_ns"] + 256, "it began before its first call: %r" % sh)


def threads_that_seldom_get_to_run_are_in_order_and_lose_nothing():
    """Of hundreds on one processor some are kept from it for a second in the middle of a unit, or while they wait for room.
    msrecord waits 4 s for a unit, and a thread 5 s for room. Where others leave the processor so seldom that this is not
    enough, what is lost is still counted."""
    if not shutil.which("taskset"):
        raise Skip("no taskset")
    threads, blocks, patience_ms = 500, 5000, 4000
    reallocs = threads * ((blocks + 15) // 16)
    calls = 2 * threads * blocks + reallocs
    cpu = str(min(os.sched_getaffinity(0)))
    r = record(["taskset", "-c", cpu, target("threads"), str(threads), str(blocks), "longest"], "--no-symbols")
    equal(r.returncode, 0, "status")
    f = facts()
    lost = sum(t["lost"] for t in f["threads"])
    equal(f["end"]["lost"], lost, "lost events, of all threads")
    # a realloc that is lost is two, its begin and its end; libc and taskset call, too
    check(calls <= f["events"] + lost <= calls + (lost and reallocs) + 4 * threads, "%d recorded, %d lost, %d made" % (f["events"], lost, calls))
    equal((f["damaged"], f["truncated"], f["end"]["clean"], f["backwards"]), (0, False, True, 0), "damage, the end, steps back in time")
    if int(r.stdout) < patience_ms:
        sound(f)
        equal(f["late"], 0, "late events")
        equal(f["processes"][-1]["foreign"], 0, "frees of unknown blocks")


def a_unit_whose_thread_is_kept_from_the_processor_is_waited_for():
    r = record([target("preempted")], "--no-symbols")
    if r.returncode == 77:
        raise Skip("no thread can be held between its stamp and its publication here")
    equal(r.returncode, 0, "status: %r" % r.stderr)
    f = facts()
    sound(f)
    held_ms = int(r.stdout)
    check(held_ms >= 900, "it was held for %d ms: the test is too weak" % held_ms)
    if held_ms < 3500: # more than 4 s are too long, and the machine that busy
        equal(f["late"], 0, "late events")


def ten_thousand_short_threads_pass_through():
    equal(record([target("shortlived"), "10000"], "--no-symbols").returncode, 0, "status")
    f = facts()
    sound(f)
    equal(len(f["threads"]), 10001, "threads")
    equal(f["ops"]["malloc"], 10000, "mallocs")
    equal(sum(t["lost"] for t in f["threads"]), 0, "lost")


def stacks_reach_main_by_name():
    equal(record([target("calls")]).returncode, 0, "status")
    f = facts()
    check("main" in f["functions"] and "acquire_in_every_way" in f["functions"], "functions: %r" % f["functions"])
    equal(f["unstacked"], 0, "events without a stack")


def without_symbols_or_stacks_there_are_none():
    equal(record([target("calls")], "--no-symbols").returncode, 0, "status")
    equal(facts()["functions"], [], "functions")
    equal(record([target("calls")], "--stack-depth=0").returncode, 0, "status")
    f = facts()
    equal(f["unstacked"], f["events"], "events without a stack")
    equal(record([target("calls")], "--no-free-stacks").returncode, 0, "status")
    f = facts()
    check(0 < f["unstacked"] < f["events"], "only releases are without a stack")


def resolved_later_a_trace_has_the_names_it_would_have_had():
    equal(record([target("calls")], "--no-symbols").returncode, 0, "status")
    bare = open("t.mst", "rb").read()
    events = facts()["events"]
    r = run([MSRECORD, "--resolve", "t.mst", "-o", "full.mst"])
    equal(r.returncode, 0, "status: %r" % r.stderr)
    equal(open("t.mst", "rb").read(), bare, "the old file")
    f = facts("full.mst")
    sound(f)
    equal((f["events"], f["end"]["exit"]), (events, 0), "events and status")
    check("main" in f["functions"] and "acquire_in_every_way" in f["functions"], "functions: %r" % f["functions"])
    equal(run([MSRECORD, "--resolve", "t.mst"]).returncode, 0, "in its own place")
    equal(facts()["functions"], f["functions"], "functions")
    equal(run([MSRECORD, "--resolve", "t.mst", "-o", "full.mst"]).returncode, 125, "an existing file is kept")
    equal(run([MSRECORD, "--resolve", "t.mst", "touch", "ran"]).returncode, 125, "a command beside --resolve")


def cut_trace_is_resolved_as_far_as_it_goes():
    equal(record([target("threads"), "1", "100000"], "--no-symbols").returncode, 0, "status")
    data = open("t.mst", "rb").read()
    open("cut.mst", "wb").write(data[:len(data) * 2 // 3])
    r = run([MSRECORD, "--resolve", "cut.mst"])
    equal(r.returncode, 0, "status: %r" % r.stderr)
    check(b"'cut.mst' is cut off" in r.stderr or b"'cut.mst' is damaged" in r.stderr, "warning: %r" % r.stderr)
    f = facts("cut.mst")
    check("main" in f["functions"] and f["events"] > 0 and not f["end"]["clean"], "names, events, not clean")
    open("text", "w").write("no trace\n" * 100)
    equal(run([MSRECORD, "--resolve", "text"]).returncode, 125, "something else")
    equal(open("text").read(), "no trace\n" * 100, "its content")


# ---- processes ---------------------------------------------------------------------------------------------------

def family(how, n, *options):
    equal(record([target("family"), how], "--no-symbols", *options).returncode, 0, "status")
    f = facts()
    sound(f)
    equal(len(f["processes"]), n, "processes of " + how)
    return f["processes"]


def forked_child_inherits_what_lives():
    parent, child = family("fork", 2)
    equal((parent["origin"], parent["fate"], parent["live_blocks"]), (START, EXITED, 2), "parent")
    equal((child["origin"], child["parent"], child["frees"], child["foreign"]), (FORK, parent["id"], 1, 0), "child")
    equal((child["live_bytes"], child["fate"], child["status"]), (500, EXITED, 0), "child")


def vforked_and_spawned_programs_are_processes():
    for how in ("vfork", "spawn"):
        parent, child = family(how, 2)
        equal((child["origin"], child["parent"], child["live_bytes"]), (BY_EXEC, parent["id"], 44), how)


def exec_ends_one_process_and_starts_another():
    before, after = family("exec", 2)
    equal((before["fate"], before["live_bytes"], before["end_event"]), (EXEC, 100, 1), "before")
    equal((after["origin"], after["parent"], after["pid"], after["start_event"]), (BY_EXEC, before["id"], before["pid"], 1), "after")


def grandchild_inherits_through_a_child_that_does_nothing():
    processes = family("grandchild", 3)
    equal((processes[2]["parent"], processes[2]["frees"], processes[2]["foreign"]), (processes[1]["id"], 1, 0), "grandchild")


def daemon_is_recorded_to_its_end():
    processes = family("daemon", 2)
    equal((processes[1]["allocs"], processes[1]["fate"]), (100, EXITED), "daemon")


def daemon_that_sleeps_first_is_waited_for():
    """It calls the heap for the first time when the command has ended seconds ago."""
    go = os.path.abspath("go")
    p = subprocess.Popen([MSRECORD, "-f", "--no-symbols", "-o", "t.mst", "--", target("family"), "daemon", go], stderr=subprocess.PIPE)
    line = p.stderr.readline()
    check(b"the command has ended; 1 process it started still runs" in line, line)
    open(go, "w").close()
    equal((p.wait(timeout=HANG_S), len(facts()["processes"])), (0, 2), "status and processes")
    equal(facts()["processes"][1]["allocs"], 100, "calls of the daemon")


def who_runs_on_and_is_not_selected_is_not_waited_for():
    go = os.path.abspath("go")
    r = record(["sh", "-c", '"$0" daemon "$1"; cat /dev/null', target("family"), go], "--no-symbols", "--only=cat")
    equal((r.returncode, len(facts()["processes"])), (0, 1), "status and processes: %r" % r.stderr)
    open(go, "w").close()
    wait_until(lambda: not os.path.exists(go), "the daemon gets to its end")


def daemon_is_left_alone_with_no_wait():
    """It calls the heap when the recording is over."""
    go = os.path.abspath("go")
    equal(record([target("family"), "daemon", go], "--no-symbols", "--no-wait").returncode, 0, "status")
    f = facts()
    sound(f)
    equal(len(f["processes"]), 1, "processes")
    open(go, "w").close()
    wait_until(lambda: not os.path.exists(go), "the daemon gets to its end")


def follow_decides_who_is_recorded():
    for follow, how, n in (("none", "fork", 1), ("fork", "fork", 2), ("exec", "fork", 1), ("none", "spawn", 1), ("fork", "spawn", 1),
                           ("exec", "spawn", 2), ("none", "exec", 1), ("exec", "exec", 2)):
        family(how, n, "--follow=" + follow)


def _recorded_with_only(*patterns, command='cp "$0" copy; ./copy; "$0"; cat /dev/null; :'):
    """The recorded processes' programs, in the order in which they began, and what msrecord said."""
    r = record(["sh", "-c", command, target("calls")], "--no-symbols", *("--only=" + p for p in patterns))
    equal(r.returncode, 0, "status: %r" % r.stderr)
    f = facts()
    sound(f)
    return [os.path.basename(p["exe"]) for p in f["processes"]], r.stderr


def only_names_the_programs_that_are_recorded():
    shell = os.path.basename(os.path.realpath("/bin/sh"))
    for patterns, names in ((["*"], [shell, "cp", "copy", "target_calls", "cat"]), (["target_calls"], ["target_calls"]),
                            (["sh"], [shell]), (["c?", "target_*"], ["cp", "target_calls"]), (["c?*"], ["cp", "copy", "cat"]),
                            ([target("calls")], ["target_calls"]), ([os.path.dirname(target("calls")) + "/*"], ["target_calls"])):
        equal(_recorded_with_only(*patterns)[0], names, "recorded with --only %r" % patterns)


def only_goes_by_what_a_program_was_called_too():
    names, _ = _recorded_with_only("nickname", command='bash -c \'exec -a nickname "$0"\' "$0"; "$0"')
    equal(names, ["target_calls"], "recorded")


def only_takes_forks_with_their_program():
    r = record(["sh", "-c", '"$@"; :', "sh", target("family"), "fork"], "--no-symbols", "--only=*family")
    equal(r.returncode, 0, "status: %r" % r.stderr)
    f = facts()
    equal([p["origin"] for p in f["processes"]], [BY_EXEC, FORK], "origins")
    equal(f["processes"][1]["parent"], f["processes"][0]["id"], "the child's parent")


def only_says_so_when_nothing_was_named():
    names, said = _recorded_with_only("target")
    equal(names, [], "recorded")
    check(b"no program of those that --only names" in said, said)
    r = record(["true"], "--only=")
    check(r.returncode == 125 and b"--only needs a pattern" in r.stderr, r.stderr)


def fork_storm_loses_no_child():
    n = 2000
    equal(record([target("family"), "storm", str(n)], "--no-symbols").returncode, 0, "status")
    f = facts()
    sound(f)
    equal(f["late"], 0, "late events")
    children = [p for p in f["processes"] if p["origin"] == FORK]
    equal(len(children), n, "children")
    equal({(p["live_bytes"], p["foreign"]) for p in children}, {(33, 0)}, "what each keeps")


# ---- the command is left alone ---------------------------------------------------------------------------------------

def exit_statuses_are_the_commands():
    for script, status in (("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -11 $$", 139), ("kill -9 $$", 137)):
        equal(record(["sh", "-c", script]).returncode, status, script)
        f = facts()
        equal(f["end"]["exit"], status, "status in the trace")
        p = f["processes"][0]
        equal((p["fate"], p["status"]), (KILLED, status - 128) if status in (137, 139) else (EXITED, status), script)


def input_and_output_pass_through_unchanged():
    data = random.Random(1).randbytes(3000000)
    r = record(["sh", "-c", "cat; echo error >&2"], "--quiet", input=data)
    check(r.stdout == data, "standard output")
    equal(r.stderr, b"error\n", "standard error")


def environment_is_the_users_but_for_two_variables():
    os.environ["MARK"] = "1 2"
    native = run(["env"]).stdout.splitlines()
    r = record(["env"], env=dict(os.environ, LD_PRELOAD=SHIM, ORACLE_DIR="/nonexistent"))
    there = r.stdout.splitlines()
    extra = sorted(line.split(b"=")[0] for line in set(there) - set(native))
    equal(extra, [b"LD_PRELOAD", b"MSTRACE_SOCKET", b"ORACLE_DIR"], "variables added")
    preload = next(line for line in there if line.startswith(b"LD_PRELOAD=")).decode()
    check(preload.endswith("libmscapture.so:" + SHIM), "ours, then the user's: " + preload)


def descriptors_signals_and_limits_are_native():
    script = "ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status; ulimit -n -H -S; nice; umask"
    native, there = run(["sh", "-c", script]), record(["sh", "-c", script], "--quiet")
    equal(there.stdout, native.stdout, "what the program sees")


def program_sees_itself_as_natively():
    command = [target("onlooker"), "argument"]
    for options in ((), ("--no-free-stacks", "--on-full=drop"), ("--stack-depth=0",)):
        native, there = run(command), record(command, "--quiet", *options)
        equal(there.returncode, native.returncode, "status")
        check(native.stdout.count(b"\n") > 300, "it looks around: %d lines" % native.stdout.count(b"\n"))
        for line, same in zip(there.stdout.splitlines(), native.stdout.splitlines()):
            equal(line, same, "what the program sees")
        equal(there.stdout, native.stdout, "what the program sees")


def library_path_with_blanks_and_colons_still_preloads():
    os.mkdir("odd : dir")
    lib = os.path.join("odd : dir", "libmscapture.so")
    shutil.copy(glob.glob(os.path.join(BIN, "../lib/libmscapture.so"))[0], lib)
    equal(record([target("calls")], env=dict(os.environ, MSTRACE_CAPTURE_LIB=lib)).returncode, 0, "status")
    check(facts()["events"] > 0, "events")


PLUGIN = "#include <stdlib.h>\nvoid *plugin_answer(void);\nvoid *plugin_answer(void) { return malloc(4321); }\n"
HOST = ("#include <dlfcn.h>\n#include <stdio.h>\n#include <stdlib.h>\nint main(void) {\n"
        "void *h = dlopen(\"libplugin.so\", RTLD_NOW); if (!h) { puts(dlerror()); return 1; }\n"
        "void *(*answer)(void) = (void *(*)(void))dlsym(h, \"plugin_answer\");\nfor (int i = 0; i < 100; i++) free(answer());\n"
        "return 0; }\n")


def plugin_named_by_its_hosts_runpath_loads():
    os.mkdir("plugins")
    compile_c(PLUGIN, "plugins/libplugin.so", "-shared", "-fPIC", "-g")
    compile_c(HOST, "host", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/plugins")
    command = [os.path.abspath("host")]
    equal(run(command, cwd="/").returncode, 0, "status, natively")
    r = record(command, trace=os.path.abspath("t.mst"), cwd="/")
    equal((r.returncode, r.stdout), (0, b""), "status and output")
    f = facts()
    sound(f)
    check("plugin_answer" in f["functions"], "the plugin is on the stacks: %r" % f["functions"])


def long_command_lines_are_whole():
    arguments = ["%04d" % i + "x" * 400 for i in range(100)]
    equal(record([target("calls"), *arguments], "--no-symbols").returncode, 0, "status")
    check(all(a in facts()["processes"][0]["cmdline"] for a in arguments), "the command's own")
    equal(record(["sh", "-c", 'true; exec "$0" "$@"', target("calls"), *arguments], "--no-symbols").returncode, 0, "status")
    check(all(a in facts()["processes"][-1]["cmdline"] for a in arguments), "that of a program it executes")


def meeting_place_is_private_and_cannot_be_guessed():
    places = []
    for i in range(2):
        r = record(["sh", "-c", 'd=${MSTRACE_SOCKET%/*}; stat -c "%a %u" "$d"; echo "$d"'], "--quiet", "--no-symbols")
        mode, place = r.stdout.decode().splitlines()
        equal(mode, "700 %d" % os.geteuid(), "mode and owner of " + place)
        check(not os.path.exists(place), "it is gone afterwards")
        places.append(place)
    check(places[0] != places[1], "another name every time")


def recordings_beside_and_inside_each_other_do_not_mix():
    command = [MSRECORD, "-f", "-q", "--no-symbols", "-o"]
    both = [subprocess.Popen([*command, "%d.mst" % i, "--", target("threads"), "4", str(20000 * (i + 1))]) for i in range(2)]
    equal([p.wait(timeout=HANG_S) for p in both], [0, 0], "statuses")
    for i in range(2):
        f = facts("%d.mst" % i)
        sound(f)
        equal((len(f["processes"]), f["ops"]["malloc"]), (1, 4 * 20000 * (i + 1)), "processes and mallocs of recording %d" % i)
    equal(record([*command, "inner.mst", "--", target("calls")], "--no-symbols", trace="outer.mst").returncode, 0, "status")
    inner, outer = facts("inner.mst"), facts("outer.mst")
    sound(inner)
    sound(outer)
    equal((len(inner["processes"]), inner["events"]), (1, 24), "the inner one has the command alone")
    check("msrecord" in outer["processes"][0]["exe"] and outer["events"] > 24, "the outer one has the inner msrecord")


# ---- signals ---------------------------------------------------------------------------------------------------------

def started_signals_program(*options):
    p = subprocess.Popen([MSRECORD, "-f", "-q", "-o", "t.mst", *options, "--", target("signals")], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, start_new_session=True)
    equal(p.stdout.readline(), b"ready\n", "first line")
    return p


def signals_to_msrecord_alone_are_passed_on_once():
    p = started_signals_program()
    for sig in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        p.send_signal(sig)
        equal(p.stdout.readline(), b"signal\n", "it arrives")
    out, err = p.communicate(timeout=HANG_S)
    equal(out, b"INT 1 TERM 1 USR1 1 USR2 1 HUP 1\n", "signals that arrived")
    equal((p.returncode, err), (4, b""), "status and messages")
    sound(facts())


def interrupt_from_the_terminal_reaches_the_command_once():
    """The terminal sends to the foreground group: a pseudo-terminal of our own does it for us."""
    import pty
    pid, master = pty.fork()
    if pid == 0:
        os.execv(MSRECORD, [MSRECORD, "-f", "-q", "-o", "t.mst", "--", target("signals")])
    out = b""
    while b"ready" not in out:
        out += os.read(master, 1000)
    os.write(master, b"\x03")
    while b"signal" not in out:
        out += os.read(master, 1000)
    time.sleep(0.2) # for a second one, which must not come
    os.kill(pid, signal.SIGTERM)
    while b"HUP" not in out:
        out += os.read(master, 1000)
    status = os.waitpid(pid, 0)[1]
    check(b"INT 1 TERM 1 " in out, "signals that arrived: %r" % out)
    equal(os.waitstatus_to_exitcode(status), 4, "status")
    sound(facts())


def hangup_of_the_terminal_reaches_the_command():
    """The kernel tells the leader of the session alone, which is msrecord where the command would be."""
    import pty
    pid, master = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        script = "trap 'exit 9' HUP; echo ready; for i in $(seq %d); do sleep 0.01; done; exit 8" % (HANG_S * 20)
        os.execv(MSRECORD, [MSRECORD, "-f", "-q", "-o", "t.mst", "--", "sh", "-c", script])
    while b"ready" not in os.read(master, 1000):
        pass
    os.close(master)
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 9, "status")
    sound(facts())


def interrupt_ends_waiting_for_a_daemon():
    script = "sleep %d > /dev/null 2>&1 & echo $!; exit 3" % HANG_S
    p = subprocess.Popen([MSRECORD, "-f", "-o", "t.mst", "--", "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    sleeper = int(p.stdout.readline())
    line = p.stderr.readline()
    check(b"still runs and is recorded: Ctrl-C ends that" in line, "the notice: %r" % line)
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=HANG_S)
    os.kill(sleeper, signal.SIGKILL)
    equal(p.returncode, 3, "the command's status")
    check(b"went on unrecorded" in err, "what became of it: %r" % err)
    sound(facts())


def interrupt_cuts_the_lookup_of_names_short():
    for delay in (0.02, 0.05, 0.1, 0.2, 0.4):
        if os.path.exists("done"):
            os.unlink("done")
        p = subprocess.Popen([MSRECORD, "-f", "-o", "t.mst", "--", "sh", "-c", sys.executable + " -c pass; echo > done"], stderr=subprocess.PIPE)
        wait_until(lambda: os.path.exists("done"), "the command ends")
        time.sleep(delay)
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=HANG_S)
        check(p.returncode in (0, 130), "status %d" % p.returncode)
        sound(facts())
        if b"was cut short" in err:
            check(b"msrecord --resolve t.mst completes it" in err, "what to do: %r" % err)
            r = run([MSRECORD, "--resolve", "t.mst"])
            equal(r.returncode, 0, "status")
            check(b"without a name have one now" in r.stderr, "names: %r" % r.stderr)
            sound(facts())
            return
    raise Skip("the lookup was over each time")


# ---- deaths ----------------------------------------------------------------------------------------------------------

def told(n):
    values = struct.unpack("128Q", open("told", "rb").read(1024))
    return sum(values[0:2 * n:2]), sum(values[1:2 * n:2])


def killed_program_loses_no_call_that_had_returned():
    rng = random.Random(5)
    for i in range(60):
        threads = rng.choice((1, 1, 3))
        if os.path.exists("told"):
            os.unlink("told")
        p = subprocess.Popen([MSRECORD, "-f", "-q", "--no-symbols", "-o", "t.mst", "--", target("counter"), "told", str(threads)])
        wait_until(lambda: os.path.exists("told") and os.path.getsize("told") >= 1024 and told(threads)[0] > 0, "the program runs")
        time.sleep(rng.random() * 0.05)
        child = int(open("/proc/%d/task/%d/children" % (p.pid, p.pid)).read().split()[0])
        os.kill(child, signal.SIGKILL)
        equal(p.wait(timeout=HANG_S), 137, "status")
        f = facts()
        sound(f)
        acquired, released = told(threads)
        allocs, frees = f["ops"]["malloc"], f["ops"].get("free", 0)
        check(acquired <= allocs <= acquired + threads, "mallocs: %d of which %d had returned" % (allocs, acquired))
        check(released <= frees <= released + threads, "frees: %d of which %d had returned" % (frees, released))


def _tell_to_stop():
    with open("told", "r+b") as f:
        f.seek(1016)
        f.write(b"stop")


def _counter(*arguments, options=(), names=("--no-symbols",), trace="t.mst"):
    """A recording of target_counter, which has begun; without CALLS it goes on until it is told."""
    if os.path.exists("told"):
        os.unlink("told")
    p = subprocess.Popen([MSRECORD, "-f", "-q", *names, "-o", trace, *options, "--", target("counter"), "told", *arguments],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: _told_so_far() > 0, "the program runs")
    return p


def _told_so_far():
    """Blocks acquired by the first two threads."""
    return told(2)[0] if os.path.exists("told") and os.path.getsize("told") >= 1024 else 0


def _wait_for_calls(n):
    first = _told_so_far()
    wait_until(lambda: _told_so_far() > first + n, "the program goes on")


def _stop(recorder):
    recorder.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, recorder.pid, os.WSTOPPED | os.WNOWAIT)


def _resume(recorder):
    """The recorder, when the program has got to its end without it; it then gets to its own."""
    equal(recorder.stdout.readline(), b"done\n", "output")
    recorder.send_signal(signal.SIGCONT)
    equal(recorder.wait(timeout=HANG_S), 5, "status")
    return recorder.stderr.read()


def _all_calls_are_accounted_for(f):
    acquired, released = told(2)
    counted = f["ops"]["malloc"] + f["ops"]["free"] + f["end"]["lost"]
    check(acquired + released <= counted <= acquired + released + 100, "events and losses %d are all calls %d" % (counted, acquired + released))


def _children(pid):
    """As far as it still runs."""
    try:
        return [int(c) for c in open("/proc/%d/task/%d/children" % (pid, pid)).read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _reader_ahead(p):
    """(pid of the process that reads ahead, pids of its parsers), as soon as it has some."""
    reader = next(c for c in _children(p.pid) if os.readlink("/proc/%d/exe" % c) == os.path.realpath(MSRECORD))
    wait_until(lambda: _children(reader), "something is read ahead")
    return reader, _children(reader)


def _stacks():
    r = run([os.path.join(BIN, "msdump"), "--stacks", "--limit=20000", "t.mst"])
    equal(r.returncode, 0, "status of msdump")
    return {json.dumps(json.loads(line).get("frames")) for line in r.stdout.splitlines()}


def names_read_ahead_are_those_looked_up_afterwards():
    p = _counter("1", names=())
    reader, _ = _reader_ahead(p)
    _wait_for_calls(100000) # _stacks looks at the first of them
    _tell_to_stop()
    equal(p.wait(timeout=HANG_S), 5, "status")
    check(not os.path.exists("/proc/%d" % reader), "the reader has ended, too")
    sound(facts())
    early = _stacks()
    p = _counter("1")
    _wait_for_calls(100000)
    equal(len(_children(p.pid)), 1, "processes besides msrecord: the program")
    _tell_to_stop()
    equal(p.wait(timeout=HANG_S), 5, "status")
    equal(run([MSRECORD, "--resolve", "t.mst"]).returncode, 0, "status of --resolve")
    equal(_stacks(), early, "stacks")
    check(any("work" in s for s in early), "functions: %r" % early)


def a_reader_ahead_that_is_killed_costs_no_names():
    for victim in range(2):
        p = _counter("1", names=())
        reader, parsers = _reader_ahead(p)
        for pid in parsers if victim else [reader]:
            os.kill(pid, signal.SIGKILL)
        _tell_to_stop()
        equal(p.wait(timeout=HANG_S), 5, "status")
        f = facts()
        sound(f)
        check("work" in f["functions"], "functions: %r" % f["functions"])


def whoever_reads_ahead_ends_with_a_killed_recorder():
    p = _counter("1", names=())
    reader, parsers = _reader_ahead(p)
    p.kill()
    for pid in (reader, *parsers): # a zombie is whose child it has become now
        wait_until(lambda: not os.path.exists("/proc/%d" % pid) or ") Z " in open("/proc/%d/stat" % pid).read(), "it ends")
    _tell_to_stop()
    equal(p.stdout.read(), b"done\n", "the pipe ends with the program")
    p.wait()


def killed_recorder_leaves_program_and_trace_alone():
    """How far it may be behind: tests/system/kill_campaign --recorder."""
    has_an_event = lambda: run([os.path.join(BIN, "msdump"), "--limit=1", "t.mst"]).stdout
    is_long = lambda: os.path.getsize("t.mst") >= 100000
    for delay, until in ((0.1, None), (0.5, None), (0, has_an_event), (0, is_long)):
        for name in ("out", "t.mst", "told"):
            if os.path.exists(name):
                os.unlink(name)
        script = "%s told 2 > out; echo $? >> out" % target("counter")
        p = subprocess.Popen([MSRECORD, "-q", "-o", "t.mst", "--", "sh", "-c", script])
        wait_until(lambda: _told_so_far() > 0, "the program runs")
        time.sleep(delay)
        if until:
            wait_until(until, "the trace grows")
        p.kill()
        p.wait()
        _wait_for_calls(100000)
        _tell_to_stop()
        wait_until(lambda: open("out").read().endswith("5\n"), "the program ends by itself")
        equal(open("out").read(), "done\n5\n", "its output and status")
        f = facts()
        check(f["truncated"] and f["damaged"] == 0, "cut, not damaged")
        check(f["events"] > 0 or not until, "what was written is there")
    equal(record([target("calls")]).returncode, 0, "the next recording")
    stale = [d for d in glob.glob("msrecord-*") if os.path.isdir(d)]
    equal(stale, [], "directories left behind")


# More than there is room for while nobody reads.
TOO_MANY = 4000000


def buffer_is_what_the_program_has_more_at_most():
    for size, options in ((1, []), (8, ["--buffer=8M"])):
        p = _counter("1", options=options)
        _stop(p)
        _wait_for_calls(TOO_MANY)
        status = open("/proc/%d/status" % _children(p.pid)[0]).read()
        mib = int(status.split("RssShmem:")[1].split()[0]) / 1024
        check(size <= mib <= size + 0.5, "%.2f MiB shared with a recorder that takes nothing, expected %d" % (mib, size))
        _tell_to_stop()
        _resume(p)


def stopped_recorder_stops_nobody_for_long():
    p = _counter("1")
    _stop(p)
    _wait_for_calls(TOO_MANY)
    _tell_to_stop()
    check(b"events were lost" in _resume(p), "it is told")
    f = facts()
    check(not f["truncated"] and f["damaged"] == 0 and f["end"]["clean"], "the trace is complete in itself")
    check(f["end"]["lost"] > 0, "something was lost: else the test is too weak")
    _all_calls_are_accounted_for(f)


def recorder_stopped_for_twenty_seconds_loses_nothing_that_had_room():
    p = _counter("2", "300000", options=["--buffer=64M"])
    _stop(p)
    time.sleep(20)
    equal(_resume(p), b"", "messages")
    f = facts()
    sound(f)
    _all_calls_are_accounted_for(f)
    equal(told(2)[0], 600000, "calls of the program")
    equal((f["processes"][0]["fate"], f["processes"][0]["status"]), (EXITED, 5), "fate and status")


FORKS_AND_ENDS = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int main(void) {
    free(malloc(10));
    if (fork())
        _exit(5);
    alarm(100); /* in vain */
    while (access("looked", F_OK))
        usleep(1000);
    for (int i = 0; i < 1000; i++)
        free(malloc(20));
    close(open("called", O_CREAT | O_WRONLY, 0600));
    return 0;
}
"""


def who_is_missed_by_one_look_through_proc_is_waited_for():
    """The shim makes that look, and the child calls the heap for the first time while it lasts."""
    compile_c(FORKS_AND_ENDS, "daemon", "-fno-builtin")
    r = record(["./daemon"], "--no-symbols", env=dict(os.environ, LD_PRELOAD=os.path.join(os.path.dirname(SHIM), "libstale_proc.so")))
    equal(r.returncode, 5, "status: %r" % r.stderr)
    check(os.path.exists("nobody"), "nobody looked through /proc: the test is too weak")
    f = facts()
    sound(f)
    equal((len(f["processes"]), f["ops"]["malloc"]), (2, 1001), "processes and calls")


def _start_while_the_recorder_is_stopped(*command):
    """msrecord, stopped, when the command, a child of sh, has waited for it in vain."""
    p = subprocess.Popen([MSRECORD, "-f", "-q", "--no-symbols", "-o", "t.mst", "--", "sh", "-c",
                          'echo ready; read x; "$@"; echo done; read x', "sh", *command],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    equal(p.stdout.readline(), b"ready\n", "output")
    _stop(p)
    p.stdin.write(b"\n")
    p.stdin.flush()
    return p


def _is_told_of_as_unanswered(p, name):
    equal(p.wait(timeout=HANG_S), 125, "status")
    message = p.stderr.read()
    check(("%s' was not recorded: the recorder did not answer it in time" % name).encode() in message, message)
    equal([(os.path.basename(q["exe"]), q["status"]) for q in facts()["processes"] if q["fate"] == UNRECORDED],
          [(name, 12)], "told of in the trace")


def who_came_in_vain_while_the_recorder_was_stopped_is_told_of():
    p = _start_while_the_recorder_is_stopped(target("counter"), "told", "1")
    wait_until(lambda: _told_so_far() > 0, "the program has waited for some seconds, and runs")
    p.send_signal(signal.SIGCONT)
    _tell_to_stop()
    p.stdin.write(b"\n")
    p.stdin.close()
    _is_told_of_as_unanswered(p, "target_counter")


def who_came_in_vain_and_has_ended_since_is_told_of():
    p = _start_while_the_recorder_is_stopped(target("calls"))
    equal(p.stdout.readline(), b"done\n", "output: it has ended")
    p.send_signal(signal.SIGCONT)
    p.stdin.write(b"\n")
    p.stdin.close()
    _is_told_of_as_unanswered(p, "target_calls")


def program_that_scribbles_over_the_segment_is_survived():
    for seed in range(1, 4):
        r = record([target("scribbler"), str(seed)], "--no-symbols")
        equal(r.returncode, 6, "status: %r" % r.stderr)
        f = facts()
        check(f["damaged"] == 0 and f["end"]["clean"], "the trace is sound")


# ---- where the trace goes ---------------------------------------------------------------------------------------------

def trace_is_named_after_program_and_pid_and_private():
    old = os.umask(0)
    equal(run([MSRECORD, "-q", target("calls")]).returncode, 0, "status")
    os.umask(old)
    names = glob.glob("target_calls.*.mst")
    equal(len(names), 1, "traces")
    equal(stat.S_IMODE(os.stat(names[0]).st_mode), 0o600, "mode")
    equal("target_calls.%d.mst" % facts(names[0])["processes"][0]["pid"], names[0], "name")


def existing_file_is_kept_unless_forced():
    open("t.mst", "w").write("precious")
    r = run([MSRECORD, "-o", "t.mst", "touch", "ran"])
    equal(r.returncode, 125, "status")
    check(b"exists already" in r.stderr, "message: %r" % r.stderr)
    equal(open("t.mst").read(), "precious", "content")
    check(not os.path.exists("ran"), "the command did not run")
    os.rename("t.mst", "old")
    os.symlink("old", "t.mst")
    r = run([MSRECORD, "-f", "-o", "t.mst", "true"])
    equal((r.returncode, open("old").read()), (125, "precious"), "a symbolic link is not followed, even by force")
    os.unlink("t.mst")
    os.rename("old", "t.mst")
    equal(record(["ls"]).returncode, 0, "with --force")
    sound(facts())


def standard_output_can_take_the_trace():
    with open("t.mst", "wb") as out:
        r = run([MSRECORD, "-q", "-o", "-", "--", "sh", "-c", "ls -d /; exit 7"], capture_output=False, stdout=out, stderr=subprocess.PIPE)
    equal((r.returncode, r.stderr), (7, b"/\n"), "the command's output goes to standard error")
    sound(facts())
    p = subprocess.Popen([MSRECORD, "-q", "-o", "-", "--", target("calls")], stdout=subprocess.PIPE)
    open("piped.mst", "wb").write(p.stdout.read())
    equal(p.wait(), 0, "status")
    sound(facts("piped.mst"))


def full_disk_ends_the_recording_not_the_program():
    r = record(["touch", "ran"], trace="/dev/full")
    equal(r.returncode, 125, "status")
    check(b"cannot write '/dev/full': No space left on device" in r.stderr, "message: %r" % r.stderr)
    check(not os.path.exists("ran"), "a trace that cannot even begin is an error before the start")
    os.mkdir("small")
    if run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", "small"]).returncode:
        raise Skip("cannot mount a small file system")
    try:
        p = _counter("1", trace="small/t.mst")
        said = p.stderr.readline()
        _tell_to_stop() # not before: the command must still run to go on
        equal((p.wait(timeout=HANG_S), p.stdout.read()), (5, b"done\n"), "the program")
        check(b"cannot write 'small/t.mst': No space left on device; the trace ends here, the command goes on" in said, "message: %r" % said)
        f = facts("small/t.mst")
        check(f["truncated"] and f["events"] > 0, "what was written is there")
        r = record([target("threads"), "1", "2000000"], "--no-symbols", trace="small/t.mst")
        equal(r.returncode, 125, "half a trace is no success")
    finally:
        run(["umount", "small"])


def trace_removed_meanwhile_is_told():
    r = record(["rm", "t.mst"])
    equal(r.returncode, 125, "no trace is no success")
    check(b"cannot complete 't.mst': No such file" in r.stderr and b"next:" not in r.stderr, "message: %r" % r.stderr)
    r = record(["mv", "t.mst", "moved.mst"])
    equal(r.returncode, 0, "status of a trace that was moved: %r" % r.stderr)


def limit_on_file_sizes_that_the_segment_exceeds_is_told():
    import resource
    r = record([target("counter"), "told", "1", "1000"], "--no-symbols",
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000)))
    equal((r.returncode, r.stdout), (5, b"done\n"), "the program")
    check(b"nothing was recorded" in r.stderr and b"File too large" in r.stderr and b"ulimit -f" in r.stderr, "message: %r" % r.stderr)
    equal((facts()["events"], facts()["damaged"]), (0, 0), "events and damage")


def unreadable_proc_costs_names_not_events():
    hidden = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"]
    if run(hidden + ["true"]).returncode:
        raise Skip("cannot hide /proc")
    r = run(hidden + [MSRECORD, "-o", "t.mst", "--", target("threads"), "4", "5000"],
            env=dict(os.environ, MSTRACE_CAPTURE_LIB=os.path.join(BIN, "../lib/libmscapture.so")))
    equal(r.returncode, 0, "status: %r" % r.stderr)
    f = facts()
    sound(f)
    equal((f["ops"]["malloc"], len(f["threads"])), (20000, 5), "mallocs and threads")


def reader_that_goes_away_ends_the_recording_not_the_program():
    p = subprocess.Popen([MSRECORD, "-q", "-o", "-", "--", target("counter"), "told", "1", "2000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.read(1000)
    p.stdout.close()
    err = p.stderr.read()
    equal(p.wait(timeout=HANG_S), 5, "status")
    check(b"Broken pipe" in err and b"done" in err, "messages: %r" % err)


def unwritable_place_is_said_before_the_start():
    r = record(["touch", "ran"], trace="/nonexistent/dir/t.mst")
    equal(r.returncode, 125, "status")
    check(b"cannot write '/nonexistent/dir/t.mst': No such file" in r.stderr, "message: %r" % r.stderr)
    check(not os.path.exists("ran"), "the command did not run")


# ---- commands that cannot be recorded -----------------------------------------------------------------------------------

def failing_commands_have_the_statuses_of_env():
    open("plain", "w").write("#!/bin/sh\n")
    open("odd", "w").write("#!/nonexistent/interpreter\n")
    os.chmod("odd", 0o755)
    for command, status, message in (("nonexistent-command", 127, "no such command in PATH"), ("./nonexistent", 127, "no such file"),
                                     ("./plain", 126, "Permission denied"), ("/", 126, "Is a directory"), ("./odd", 127, "No such file")):
        r = record([command])
        equal(r.returncode, status, command)
        check(message.encode() in r.stderr and r.stderr.count(b"\n") == 1, "message: %r" % r.stderr)
        check(not os.path.exists("t.mst"), "no trace is left")


def compile_c(source, output, *flags):
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        raise Skip("no compiler")
    open(output + ".c", "w").write(source)
    if run([compiler, "-o", output, output + ".c", *flags]).returncode:
        raise Skip("cannot build with %r" % (flags,))


MALLOCS = "#include <stdlib.h>\nint main(void) { char *volatile p = malloc(10); return p == 0; }\n"
OWN_MALLOC = ("#include <stddef.h>\nstatic char pool[1 << 20]; static size_t at;\nvoid *malloc(size_t n) { void *p = pool + at; at += (n + 15) & ~15ul; "
              "return p; }\nvoid free(void *p) { (void)p; }\nint main(void) { return malloc(10) == 0; }\n")


def refused(command, word):
    r = record([command])
    equal(r.returncode, 125, "status of " + command)
    check(r.stderr.startswith(b"msrecord: cannot record '") and b"': it " in r.stderr, "message: %r" % r.stderr)
    check(word.encode() in r.stderr and r.stderr.count(b"\n") == 1, "message: %r" % r.stderr)
    check(not os.path.exists("t.mst"), "no trace is left")


def static_program_is_refused():
    compile_c(MALLOCS, "static", "-static")
    refused("./static", "statically linked")
    deep = "/".join(["d" * 250] * 8)
    os.makedirs(deep)
    shutil.copy("static", deep)
    refused(deep + "/static", "link it dynamically")


def sanitized_program_is_refused():
    compile_c(MALLOCS, "sanitized", "-fsanitize=address")
    refused("./sanitized", "-fsanitize=address")


def program_for_another_abi_is_refused():
    open("narrow.s", "w").write(".globl _start\n_start: hlt\n") # without a libc, of which there may be none
    if run(["gcc", "-m32", "-nostdlib", "-static", "-o", "narrow", "narrow.s"]).returncode:
        raise Skip("no 32-bit programs are made here")
    refused("./narrow", "another machine or ABI")


def privileged_program_is_refused():
    if os.geteuid() != 0:
        raise Skip("needs root to make one")
    compile_c(MALLOCS, "privileged")
    os.chown("privileged", 65534, 65534)
    os.chmod("privileged", 0o4755)
    refused("./privileged", "gains privileges")


def script_is_judged_by_its_interpreter():
    compile_c(MALLOCS, "static", "-static")
    open("script", "w").write("#!%s/static\n" % os.getcwd())
    os.chmod("script", 0o755)
    refused("./script", "statically linked")


def program_with_its_own_malloc_runs_under_a_warning():
    compile_c(OWN_MALLOC, "own")
    r = record(["./own"])
    equal(r.returncode, 0, "status")
    check(b"warning: './own' brings its own malloc" in r.stderr, "message: %r" % r.stderr)


def empty_trace_is_explained():
    r = record(["env", "-i", "/bin/true"])
    equal(r.returncode, 0, "status")
    r = record(["sh", "-c", "exec env -i ls"], "--follow=all", env={"PATH": os.environ["PATH"], "MSTRACE_CAPTURE_LIB": target("calls")})
    check(b"nothing was recorded" in r.stderr, "message: %r" % r.stderr)


def missing_library_is_said_before_the_start():
    r = record(["touch", "ran"], env=dict(os.environ, MSTRACE_CAPTURE_LIB="/nonexistent.so"))
    equal(r.returncode, 125, "status")
    check(b"libmscapture.so" in r.stderr and not os.path.exists("ran"), "message: %r" % r.stderr)


# ---- messages -----------------------------------------------------------------------------------------------------------

def summary_is_five_lines_with_the_next_commands():
    r = record([target("calls")])
    lines = r.stderr.decode().splitlines()
    equal(len(lines), 5, "lines: %r" % lines)
    check("24 events of 1 process" in lines[0] and "14 allocations" in lines[0] and "8 frees" in lines[0], lines[0])
    check("peak: 98.1 KiB" in lines[1] and "6 blocks" in lines[1] and "no event lost" in lines[1], lines[1])
    check("t.mst" in lines[2] and "bytes per event" in lines[2], lines[2])
    check("msanalyze leaks t.mst" in lines[3] and "msrender flamegraph t.mst" in lines[4], "commands")


def quiet_says_nothing():
    equal(record([target("calls")], "--quiet").stderr, b"", "messages")


def drop_mode_counts_what_it_drops():
    p = _counter("2", options=["--on-full=drop"])
    _stop(p)
    _wait_for_calls(TOO_MANY)
    _tell_to_stop()
    check(b"events were lost" in _resume(p), "it is told")
    f = facts()
    check(f["end"]["lost"] > 0, "something was dropped")
    _all_calls_are_accounted_for(f)


# ---- mappings ----------------------------------------------------------------------------------------------------

def maps_of(trace="t.mst", *options):
    r = run([os.path.join(BIN, "msanalyze"), "maps", "--format=json", "--top=0", *options, trace])
    check(r.returncode == 0, "msanalyze maps: %r" % r.stderr)
    return json.loads(r.stdout)


def mapped_bytes_agree_with_proc():
    for seed in range(1, 4):
        for steps in (0, 1, 7, 40, 200, 1000, 4000):
            r = record([target("mapper"), str(seed), str(steps)], "--no-symbols")
            said = dict(line.split() for line in r.stdout.decode().splitlines())
            regions = [m for m in maps_of()["maps"] if not m["initial"]]
            live = {kind: sum(m["live_bytes"] for m in regions if m["kind"] == kind)
                    for kind in ("anonymous", "file", "heap")}
            where = "seed %d after %d steps: " % (seed, steps)
            equal(live["anonymous"] + live["file"], int(said["window"]), where + "bytes in the window")
            equal(live["heap"], int(said["heap"]), where + "bytes below the break")
            check(all((m["file"] or "").endswith("target_mapper") == (m["kind"] == "file") for m in regions),
                  where + "mapped files have their paths")
            check(all(m["frames"] for m in regions), where + "regions have owners")
    sound(facts())
    initial = [m for m in maps_of()["maps"] if m["initial"]]
    check(any(m["kind"] == "stack" for m in initial) and any((m["file"] or "").endswith("libc.so.6") for m in initial),
          "what was there before the start is there")


def a_second_view_of_a_region_is_one_like_it():
    record([target("mapper"), "views", "3"], "--no-symbols")
    answer = maps_of()
    rows = sorted((m["kind"], m["prot"], m["shared"], m["live_bytes"]) for m in answer["maps"] if not m["initial"])
    equal(rows, [("anonymous", "---", False, 3 * 4096)] * 2 + [("file", "r--", True, 3 * 4096)] * 2, "regions")
    equal((answer["regions"], answer["bytes"]), (4, 4 * 3 * 4096), "their number and bytes")


def threads_that_map_do_not_unmap_each_others_regions():
    r = record([target("mapper"), "threads", "3000"], "--no-symbols")
    held = int(r.stdout.split()[1])
    answer = maps_of()
    equal(answer["live_bytes"], held, "bytes not unmapped")
    equal(answer["regions"], 12000, "regions")
    check(answer["peak_bytes"] >= held, "the peak is at least what is left")
    sound(facts())


def a_forked_child_inherits_what_was_mapped():
    code = ("import mmap,os; m=mmap.mmap(-1,5<<20); n=mmap.mmap(-1,6<<20); pid=os.fork()\n"
            "if pid: os.waitpid(pid,0)\nelse: m.close(); k=mmap.mmap(-1,7<<20); os._exit(0)")
    record([sys.executable, "-c", code], "--no-symbols")
    of = {}
    for m in maps_of()["maps"]:
        if not m["initial"] and m["size_bytes"] in (5 << 20, 6 << 20, 7 << 20):
            of.setdefault(m["size_bytes"] >> 20, []).append(m["pid"])
    parent, child = of[5][0], of[7][0]
    equal(of, {5: [parent], 6: [parent], 7: [child]}, "each region is of the process that mapped it")
    check(parent != child, "the child is another process")


def module_with_a_relative_name_has_its_functions():
    os.mkdir("plugins")
    compile_c(PLUGIN, "plugins/libplugin.so", "-shared", "-fPIC", "-g", "-Wl,--build-id")
    compile_c(HOST, "host")
    env = dict(os.environ, LD_LIBRARY_PATH="./plugins")
    equal(record(["./host"], env=env).returncode, 0, "status")
    f = facts()
    sound(f)
    check("plugin_answer" in f["functions"], "the plugin is on the stacks: %r" % f["functions"])
    equal(record(["./host"], "--no-symbols", env=env).returncode, 0, "status without names")
    equal(run([MSRECORD, "--resolve=" + os.path.abspath("t.mst")], cwd="/").returncode, 0, "status of the lookup")
    check("plugin_answer" in facts()["functions"], "the plugin is on the stacks afterwards")


def module_loaded_from_another_directory_has_its_functions():
    os.mkdir("elsewhere")
    compile_c(PLUGIN, "elsewhere/libplugin.so", "-shared", "-fPIC", "-g")
    source = HOST.replace("void *h", "if (chdir(\"elsewhere\")) return 2;\nvoid *h", 1).replace("libplugin", "./libplugin", 1)
    source = source.replace("for (", "if (chdir(\"/\")) return 3;\nfor (", 1)
    compile_c("#include <unistd.h>\n" + source, "host")
    equal(record(["./host"]).returncode, 0, "status")
    f = facts()
    sound(f)
    check("plugin_answer" in f["functions"], "the plugin is on the stacks: %r" % f["functions"])
    dump = run([os.path.join(BIN, "msdump"), "--stacks", "t.mst"]).stdout.decode()
    modules = {e["frames"][0]["module"] for e in map(json.loads, dump.splitlines())
               if e["op"] == "malloc" and e["size"] == 4321}
    equal(modules, {os.path.realpath("elsewhere/libplugin.so")}, "where it was")


def a_plugin_where_another_was_has_its_own_names_and_times():
    plugins = [os.path.join(PROGRAMS, "libreload_%s.so" % name) for name in ("first", "second")]
    r = record([target("reloads"), *plugins])
    equal(r.returncode, 0, "exit status")
    places = r.stdout.decode().split()
    sound(facts())
    dump = run([os.path.join(BIN, "msdump"), "--stacks", "t.mst"]).stdout.decode()
    found = [(e["size"], e["frames"][0]["function"], os.path.basename(e["frames"][0]["module"]))
             for e in map(json.loads, dump.splitlines()) if e["op"] == "malloc" and e["size"] in (7001, 7002, 7003)]
    first, second = "work_of_first", "work_of_second"
    equal(found, [(7001, first, "libreload_first.so"), (7002, second, "libreload_second.so")] * 2 +
          [(7003, second, "libreload_second.so")], "whose calls they were, all of them unloaded by now")
    listed = json.loads(run([os.path.join(BIN, "msanalyze"), "modules", "--format=json", "--top=0", "t.mst"]).stdout)
    loads = [m for m in listed["modules"] if "libreload_" in (m["path"] or "")]
    equal([os.path.basename(m["path"])[10:-3] for m in loads], ["first", "second"] * 2 + ["second"], "loads in order")
    for m, place, after in zip(loads, places, loads[1:] + [None]):
        equal(m["start"], "0x" + place, "where it was")
        check(m["loaded_ns"] < m["unloaded_ns"] and (not after or m["unloaded_ns"] <= after["loaded_ns"]),
              "it was loaded before it was unloaded, and that before the next came: %r" % m)
    check(len(set(places)) < len(places), "none came where another was: the test is too weak: %r" % places)


def main(cases):
    for name in sys.argv[5:]:
        work = os.path.join(WORK, name)
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        os.chdir(work)
        os.environ["TMPDIR"] = work if len(work) < 60 else "/tmp"
        try:
            cases[name]()
        except Skip as why:
            print("%s: skipped: %s" % (name, why))
            return 77
        except AssertionError as why:
            print("%s: %s" % (name, why))
            return 1
        os.chdir("/")
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(globals()))
