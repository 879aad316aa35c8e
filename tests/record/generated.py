#!/usr/bin/env python3
"""Names of generated code: generated.py BIN_DIR PROGRAMS_DIR WORK_DIR CASE

Each case is a function below, named after what it shows. Exit 0 or 1, 77 if a case cannot run here.
"""
import json, os, re, shutil, subprocess, sys

BIN, PROGRAMS, WORK = (os.path.abspath(p) for p in sys.argv[1:4])
TARGET = os.path.join(PROGRAMS, "target_generates")
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "calls_allocator.js")


class Skip(Exception):
    pass


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def run(tool, *args, **kw):
    r = subprocess.run([os.path.join(BIN, tool), *args], capture_output=True, timeout=600, **kw)
    if r.returncode == 77:
        raise Skip("no memory may be made executable")
    check(r.returncode == 0, "%s %r: %d %r" % (tool, args, r.returncode, r.stderr))
    return r.stdout.decode("utf-8", "surrogateescape")


def record(*command, options=()):
    return run("msrecord", "-q", "-f", "-o", "t.mst", *options, "--", *command)


def frames_of_generated_block(size=4321):
    for line in run("msdump", "--stacks", "--op=malloc", "t.mst").splitlines():
        e = json.loads(line)
        if e["size"] == size:
            return e["frames"], e.get("cut", False)
    raise AssertionError("the block of the generated function is not there")


def name_in(map_text, options=()):
    pid = record(TARGET, map_text, options=options).strip()
    if os.path.exists("/tmp/perf-%s.map" % pid):
        os.unlink("/tmp/perf-%s.map" % pid)
    frames, cut = frames_of_generated_block()
    check(not cut and frames[0]["module"] == "[jit]", frames)
    if not options:
        check(frames[1]["function"] == "main", "the frame pointer was not followed: %r" % frames)
    return frames[0]["function"]


def generated_code_has_the_name_its_program_gave_it():
    check(name_in("A 40 generated_alloc\n") == "generated_alloc", "no name")
    check(name_in("A 40 name with blanks \x1b[2J\n") == "name with blanks \x1b[2J", "not all of the name")


def last_line_for_an_address_counts():
    check(name_in("A 40 older\nA 40 newer\nB 40 other\n") == "newer", "not the last line")
    check(name_in("A 40 older\nA 4 beside\n") == "older", "a line that does not cover it")


def nonsense_in_the_map_is_passed_over():
    text = "A 40 good\nA\nA 40\nA 40 \nzz 40 bad\nA zz bad\n-A 40 bad\nA ffffffffffffffff bad\nA 0 bad\n\nA 40 bad"
    check(name_in(text[: -len("\nA 40 bad")] + "\nffffffffffffffffffff 40 bad\n") == "good", "nonsense was believed")


def without_a_name_generated_code_is_marked():
    check(name_in("-") is None, "a name from nowhere")
    check(name_in("B 40 elsewhere\n") is None, "a name of another place")
    check(name_in("A 40 name\n", options=("--no-symbols",)) is None, "a name though none was wanted")
    frames, _ = frames_of_generated_block()
    check(int(frames[0]["offset"], 16) > 4096, frames)


def map_is_that_of_the_programs_own_tmp():
    script = 'mount -t tmpfs none /tmp && exec "$0" "$1"'
    if BIN.startswith("/tmp/"):
        raise Skip("the program is in /tmp, and would not be seen there any more")
    unshare = ["unshare", "--map-root-user", "--mount", "--pid", "--fork"]
    probe = subprocess.run(unshare + ["sh", "-c", "mount -t tmpfs none /tmp"], capture_output=True)
    if probe.returncode:
        raise Skip("no namespaces here: %r" % probe.stderr)
    os.environ["TMPDIR"] = "/dev/shm"
    pid = record(*unshare, "sh", "-c", script, TARGET, "A 40 inside\n").strip()
    check(not os.path.exists("/tmp/perf-%s.map" % pid) or int(pid) > 100, "it had a /tmp of its own")
    frames, _ = frames_of_generated_block()
    check(frames[0]["function"] == "inside", frames)


def code_that_the_program_maps_from_a_file_has_the_files_names():
    target = os.path.join(PROGRAMS, "target_maps_code")
    record(target)
    frames, cut = frames_of_generated_block()
    check(not cut and frames[0]["module"] == target and frames[0]["function"] == "allocate_in_view", frames)
    check(frames[1]["function"] == "use", frames)
    frames, cut = frames_of_generated_block(4322)
    check(not cut and frames[0]["module"] == "[jit]" and frames[1]["function"] == "use", frames)


def chains_of_node(*flags):
    """For each block that calls_allocator.js counts: its chain by node itself, the names on its stack, and if it was cut."""
    node = shutil.which("node")
    if not node:
        raise Skip("no node")
    record(node, "--perf-basic-prof", "--interpreted-frames-native-stack", *flags, SCRIPT, "chains")
    names = re.compile(r"(JS|Function|LazyCompile):[*+~^']*(leaf|even|odd) ")  # what comes first changes with node's versions
    chains = [line.split() for line in open("chains").read().split("\n")]
    stacks = []
    for line in run("msdump", "--stacks", "--op=calloc", "t.mst").splitlines():
        if '"size":123457,' in line:
            e = json.loads(line)
            found = [names.match(f["function"] or "") for f in e["frames"]]
            stacks.append(([m.group(2) for m in found if m], e.get("cut", False)))
    check(len(stacks) == len(chains) == 500, (len(stacks), len(chains)))
    return [(chain, on_stack, cut) for chain, (on_stack, cut) in zip(chains, stacks)]


def functions_of_javascript_are_on_the_stacks_as_node_itself_says():
    n_whole = 0
    for _ in range(4):  # what lies on the stacks, and what it looks like, is a matter of chance
        for chain, on_stack, cut in chains_of_node("--no-opt"):
            check(on_stack == (chain[: len(on_stack)] if cut else chain), (chain, on_stack, cut))
            n_whole += not cut
        if n_whole > 250:
            return
    raise AssertionError("of 2000 stacks %d are whole" % n_whole)


def optimized_javascript_has_no_function_on_the_stacks_that_was_not_called():
    for chain, on_stack, cut in chains_of_node():
        rest = iter(chain)  # what was inlined has no frame
        check(all(name in rest for name in on_stack), (chain, on_stack, cut))


def main():
    directory = os.path.join(WORK, sys.argv[4])
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    os.chdir(directory)
    try:
        globals()[sys.argv[4]]()
    except Skip as why:
        print("skipped:", why)
        sys.exit(77)


main()
