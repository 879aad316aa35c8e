#!/usr/bin/env python3
"""Programs that the recorder can not follow, started by one that it records: obstacles.py, as recordings.py.

Each must run as it does natively, and be named, with the reason, in the trace and at the end of the recording.
"""
import os, shutil, sys

import recordings
from recordings import BIN, MALLOCS, OWN_MALLOC, SHIM, Skip, check, compile_c, equal, facts, record, run, sound, target

UNRECORDED = 6
STATIC, LIBC, ABI, PRIVILEGE, SANITIZER, ENVIRONMENT, ALLOCATOR, MEMORY = range(1, 9)

PRINTS = ("#include <stdio.h>\n#include <stdlib.h>\nint main(int argc, char **argv) {\n\tchar *volatile p = malloc(100);\n\tfree(p);\n"
          "\tprintf(\"ran %d %s\\n\", argc, argc > 1 ? argv[1] : \"\");\n\treturn 3;\n}\n")
WAYS = ("execl", "execlp", "execle", "execv", "execvp", "execve", "execvpe", "execveat", "fexecve", "posix_spawn", "posix_spawnp")


def unrecorded(f):
    """The programs named in the trace as not recorded: (path, reason)"""
    return [(p["exe"], p["status"]) for p in f["processes"] if p["fate"] == UNRECORDED]


def runs_natively_and_is_named(command, name, reason, sentence, status=3):
    native = run(command)
    equal(native.returncode, status, "native status of %r: %r" % (command, native.stderr))
    quiet = record(command, "--quiet")
    warnings = [line for line in quiet.stderr.splitlines() if line.startswith(b"msrecord: ")]
    rest = [line for line in quiet.stderr.splitlines() if not line.startswith(b"msrecord: ")]
    equal((quiet.returncode, quiet.stdout, rest), (status, native.stdout, native.stderr.splitlines()), "what the program does")
    equal(len(warnings), 1, "warnings: %r" % warnings)
    check(("'%s' was not recorded: %s" % (name, sentence)).encode() in warnings[0], "message: %r" % warnings)
    f = facts()
    sound(f)
    equal(unrecorded(f), [(name, reason)], "unrecorded programs")
    p = next(p for p in f["processes"] if p["fate"] == UNRECORDED)
    check(p["pid"] and p["parent"], "its pid and parent: %r" % p)
    summary = run([os.path.join(BIN, "msanalyze"), "summary", "t.mst"])
    check(("%s (%s" % (name, sentence)).encode() in summary.stdout, "summary: %r" % summary.stdout)
    return f


def static_child_is_named_however_it_is_started():
    compile_c(PRINTS, "static", "-static")
    for way in WAYS:
        name = "./static" if way != "fexecve" else "/proc/self/fd/3"
        f = runs_natively_and_is_named([target("launcher"), way, "./static", "a b"], name, STATIC, "statically linked")
        p = next(p for p in f["processes"] if p["fate"] == UNRECORDED)
        check(p["cmdline"].endswith("\0a b"), "%s: its arguments: %r" % (way, p["cmdline"]))
    runs_natively_and_is_named([target("launcher"), "system", "./static 'a b'"], "./static", STATIC, "statically linked")


def static_child_is_found_in_the_path():
    os.mkdir("bin")
    compile_c(PRINTS, "bin/found", "-static-pie")
    os.environ["PATH"] = "/nonexistent:" + os.path.abspath("bin") + ":" + os.environ["PATH"]
    for way in ("execlp", "execvp", "execvpe", "posix_spawnp"):
        runs_natively_and_is_named([target("launcher"), way, "found"], os.path.abspath("bin/found"), STATIC, "statically linked")


def script_of_a_static_interpreter_is_named():
    compile_c(PRINTS, "static", "-static")
    open("script", "w").write("#! %s/static\n" % os.getcwd())
    os.chmod("script", 0o755)
    runs_natively_and_is_named([target("launcher"), "execv", "./script"], "./script", STATIC, "statically linked")


def sanitized_children_run_as_natively():
    """A runtime of AddressSanitizer ends its program when another library comes before it."""
    for kind in ("address", "thread", "leak"):
        compile_c(PRINTS, kind, "-fsanitize=" + kind)
        runs_natively_and_is_named([target("launcher"), "execv", "./" + kind, "x"], "./" + kind, SANITIZER, "built with a sanitizer")
        runs_natively_and_is_named([target("launcher"), "posix_spawn", "./" + kind, "x"], "./" + kind, SANITIZER, "built with a sanitizer")
    compile_c(PRINTS, "undefined", "-fsanitize=undefined")
    equal(record([target("launcher"), "execv", "./undefined"]).returncode, 3, "status")
    equal(unrecorded(facts()), [], "UBSan leaves malloc alone")


def children_of_other_sanitizer_runtimes_run_as_natively():
    if not shutil.which("clang"):
        raise Skip("no clang")
    open("prints.c", "w").write(PRINTS)
    libraries = run(["clang", "-print-resource-dir"]).stdout.decode().strip() + "/lib/linux"
    shared = ["-fsanitize=address", "-shared-libsan", "-Wl,-rpath," + libraries]
    if run(["clang", *shared, "-o", "shared", "prints.c"]).returncode == 0:
        runs_natively_and_is_named([target("launcher"), "execv", "./shared", "x"], "./shared", SANITIZER, "built with a sanitizer")
    for kind in ("address", "thread", "memory", "leak", "undefined"):
        if run(["clang", "-fsanitize=" + kind, "-o", kind, "prints.c"]).returncode:
            continue
        r = record([target("launcher"), "execv", "./" + kind, "x"], "--quiet")
        equal((r.returncode, r.stdout), (3, b"ran 2 x\n"), kind)
        if kind != "undefined":
            equal(record(["./" + kind]).returncode, 125, "itself as the command")


def child_of_another_libc_runs_and_is_named():
    if not shutil.which("musl-gcc"):
        raise Skip("no musl-gcc")
    open("prints.c", "w").write(PRINTS)
    equal(run(["musl-gcc", "-o", "musl", "prints.c"]).returncode, 0, "musl-gcc")
    runs_natively_and_is_named([target("launcher"), "execv", "./musl", "x"], "./musl", LIBC, "uses another libc than glibc")
    # started by somebody we are not in, it has the library in its environment, and must be able to load it
    compile_c(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "target_launcher.c")).read(), "static", "-static", "-D_GNU_SOURCE")
    for way in ("execv", "execve", "posix_spawn"):
        r = record(["sh", "-c", "./static %s ./musl x" % way], "--quiet")
        equal((r.returncode, r.stdout), (3, b"ran 2 x\n"), "under a static program: %r" % r.stderr)


def child_of_another_abi_runs_and_is_named():
    open("narrow.s", "w").write(".globl _start\n_start: movl $1,%eax\n movl $3,%ebx\n int $0x80\n")
    if run(["gcc", "-m32", "-nostdlib", "-static", "-o", "narrow", "narrow.s"]).returncode or run(["./narrow"]).returncode != 3:
        raise Skip("no 32-bit programs here")
    runs_natively_and_is_named([target("launcher"), "execv", "./narrow"], "./narrow", ABI, "built for another machine or ABI")
    r = record(["./narrow"])
    equal(r.returncode, 125, "itself as the command")
    check(b"another machine or ABI" in r.stderr, "message: %r" % r.stderr)


def privileged_child_is_named():
    if os.geteuid() != 0:
        raise Skip("needs root to make one")
    compile_c(PRINTS, "privileged")
    os.chown("privileged", 65534, 65534)
    os.chmod("privileged", 0o4755)
    runs_natively_and_is_named([target("launcher"), "execv", "./privileged"], "./privileged", PRIVILEGE, "gains privileges")


def child_with_a_malloc_of_its_own_is_named():
    compile_c(OWN_MALLOC.replace("malloc(10) == 0", "malloc(10) ? 3 : 0"), "own", "-fno-builtin", "-rdynamic")
    runs_natively_and_is_named([target("launcher"), "execv", "./own"], os.path.abspath("own"), ALLOCATOR, "brings its own malloc")


def address_of_malloc_is_no_malloc_of_its_own():
    compile_c("#include <stdlib.h>\nvoid *(*volatile f)(size_t) = malloc;\nint main(void) { return f(10) ? 3 : 0; }\n", "address", "-no-pie", "-fno-pic")
    equal(record([target("launcher"), "execv", "./address"]).returncode, 3, "status")
    f = facts()
    equal((unrecorded(f), f["ops"]["malloc"]), ([], 2), "what was recorded")


def malloc_that_passes_calls_on_is_recorded():
    compile_c("#include <dlfcn.h>\n#include <stdlib.h>\nvoid *malloc(size_t n) {\n\tstatic void *(*next)(size_t);\n\tif (!next)\n"
              "\t\tnext = (void *(*)(size_t))dlsym(RTLD_NEXT, \"malloc\");\n\treturn next(n);\n}\n"
              "int main(void) { return malloc(10) ? 3 : 0; }\n", "passing", "-D_GNU_SOURCE", "-fno-builtin", "-rdynamic")
    r = record([target("launcher"), "execv", "./passing"], "--quiet")
    equal((r.returncode, r.stderr), (3, b""), "status and messages")
    f = facts()
    equal((unrecorded(f), f["ops"]["malloc"]), ([], 2), "what was recorded")


def exec_that_fails_leaves_no_name_behind():
    compile_c(PRINTS, "alien", "-static")
    data = bytearray(open("alien", "rb").read())
    data[18] = 183 # another machine
    open("alien", "wb").write(data)
    r = record([target("launcher"), "execv", "./alien"], "--quiet")
    equal((r.returncode, r.stderr), (98, b""), "status and messages")
    equal(unrecorded(facts()), [], "unrecorded programs")


def cleared_environment_is_named():
    runs_natively_and_is_named(["env", "-i", target("launcher"), "system", "exit 3"], target("launcher"), ENVIRONMENT,
                               "started without MSTRACE_SOCKET")


def preload_set_by_the_command_comes_behind_ours():
    r = record(["env", "LD_PRELOAD=" + SHIM, "ORACLE_DIR=/nonexistent", "env"], "--quiet")
    preload = next(line for line in r.stdout.splitlines() if line.startswith(b"LD_PRELOAD=")).decode()
    check(preload.endswith("libmscapture.so:" + SHIM), "ours, then the command's: " + preload)
    equal(len(facts()["processes"]), 2, "processes recorded")
    r = record(["env", "-u", "LD_PRELOAD", target("calls")], "--quiet")
    check("aligned_alloc" in facts()["ops"], "with LD_PRELOAD taken away")


def memory_that_does_not_come_from_malloc_is_noticed():
    compile_c("#include <string.h>\n#include <sys/mman.h>\nint main(void) {\n\tfor (int i = 0; i < 300; i++)\n"
              "\t\tmemset(mmap(NULL, 1 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, 1 << 20);\n\treturn 3;\n}\n", "grows", "-D_GNU_SOURCE")
    r = record(["./grows"], "--quiet")
    equal(r.returncode, 3, "status")
    check(b"memory grew to 3" in r.stderr and b"an allocator of its own" in r.stderr, "message: %r" % r.stderr)
    equal(record(["ls"], "--quiet").stderr, b"", "nothing grew")


def memory_that_the_buffer_takes_is_not_the_programs():
    # 48 MiB of units while msrecord is stopped, beside memory that is not quite enough to be noticed
    compile_c("#include <signal.h>\n#include <stdlib.h>\n#include <string.h>\n#include <sys/mman.h>\n#include <unistd.h>\nvoid *volatile p;\n"
              "int main(void) {\n\tmemset(mmap(NULL, 100 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, 100 << 20);\n"
              "\tkill(getppid(), SIGSTOP);\n\tfor (int i = 0; i < (48 << 20) / 64; i++)\n\t\tp = malloc(9), free(p);\n"
              "\tkill(getppid(), SIGCONT);\n\treturn 3;\n}\n", "buffered", "-D_GNU_SOURCE")
    r = record(["./buffered"], "--quiet", "--buffer=64M")
    equal((r.returncode, r.stderr), (3, b""), "status and messages")
    check(facts()["end"]["lost"] == 0, "nothing is lost")


# ---- limits ----------------------------------------------------------------------------------------------------------

def address_space_too_small_for_the_segment_is_named():
    compile_c(PRINTS, "prints")
    r = record(["sh", "-c", "ulimit -v 60000; ./prints x"], "--quiet")
    equal((r.returncode, r.stdout), (3, b"ran 2 x\n"), "what the program does")
    check(b"prints' was not recorded: the segment shared with the recorder could not be mapped (see ulimit -v)" in r.stderr, "message: %r" % r.stderr)
    equal([reason for _, reason in unrecorded(facts())], [MEMORY], "unrecorded programs")
    for limit in (65536, 400000):
        r = run(["sh", "-c", "ulimit -v %d; exec %s -f -o t.mst ./prints x" % (limit, recordings.MSRECORD)])
        equal((r.returncode, r.stdout), (3, b"ran 2 x\n"), "what the program does")
        check(b"nothing was recorded" in r.stderr and b"ulimit -v" in r.stderr, "message: %r" % r.stderr)
        check(b"no event lost" not in r.stderr, "praise of nothing: %r" % r.stderr)
        r = run(["sh", "-c", "ulimit -v %d; exec %s -f -q -o t.mst sort /dev/null" % (limit, recordings.MSRECORD)])
        equal(r.returncode, 125, "no trace is no success")


FILLS = r"""
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    int n = 0;
    for (int i = atoi(argv[1]); i > 0; i--)
        n += malloc(1 << 20) != NULL;
    return printf("%d MiB\n", n) < 0;
}
"""


def program_has_the_address_space_its_limit_leaves_it():
    compile_c(FILLS, "fills")
    for limit in (200, 400, 1000, 3000):
        want = limit * 15 // 16 - 10
        command = ["sh", "-c", "ulimit -v %d; exec ./fills %d" % (limit << 10, want)]
        equal(run(command).stdout, b"%d MiB\n" % want, "natively")
        r = record(command, "--quiet", "--no-symbols")
        equal((r.stdout, r.stderr), (b"%d MiB\n" % want, b""), "recorded, limit of %d MiB" % limit)
        f = facts()
        sound(f)
        check(f["ops"]["malloc"] >= want, "calls: %r" % f["ops"])


ALIVE = r"""
#include <pthread.h>
#include <stdlib.h>
static pthread_barrier_t all;
static void *work(void *arg) {
    pthread_barrier_wait(&all);
    for (int i = 0; i < 1000; i++)
        free(realloc(malloc(100), 200));
    pthread_barrier_wait(&all);
    return arg;
}
int main(void) {
    pthread_t threads[60];
    pthread_attr_t small;
    pthread_barrier_init(&all, NULL, 60);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    for (int i = 0; i < 60; i++)
        if (pthread_create(&threads[i], &small, work, NULL))
            return 1;
    for (int i = 0; i < 60; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
"""


def threads_beyond_what_a_limit_has_room_for_are_counted():
    compile_c(ALIVE, "alive", "-pthread", "-fno-builtin")
    r = record(["sh", "-c", "ulimit -v %d; exec ./alive" % (192 << 10)], "--quiet", "--no-symbols")
    f = facts()
    lost = f["end"]["lost"]
    equal(r.returncode, 0, "exit status: %r" % r.stderr)
    equal(r.stderr, b"msrecord: warning: %d events were lost; the trace says where\n" % lost, "messages")
    check(10 * 3000 <= f["ops"]["malloc"] + f["ops"]["realloc"] + f["ops"]["free"] <= 50 * 3000, "some were recorded: %r" % f["ops"])
    calls = sum(f["ops"].values()) + lost
    check(180000 <= calls <= 180000 + 1000, "%d calls" % calls)


def few_descriptors_are_enough_or_named():
    compile_c(PRINTS, "prints")
    for limit in (5, 6, 8, 9, 10, 12, 20):
        r = run(["sh", "-c", "ulimit -n %d; exec %s -f --no-symbols -o t.mst ./prints x" % (limit, recordings.MSRECORD)])
        if r.returncode == 125:
            check(b"Too many open files" in r.stderr and r.stdout == b"", "message: %r" % r.stderr)
        else:
            equal((r.returncode, r.stdout), (3, b"ran 2 x\n"), "what the program does with %d: %r" % (limit, r.stderr))
            check(b"ulimit -n" in r.stderr or facts()["ops"]["malloc"] > 0, "recorded or not: %r" % r.stderr)
        r = record(["sh", "-c", "ulimit -n %d; exec ./prints x" % limit], "--quiet", "--no-symbols")
        equal((r.returncode, r.stdout, r.stderr), (3, b"ran 2 x\n", b""), "a program with %d" % limit)
        sound(facts())


# ---- sandboxes ---------------------------------------------------------------------------------------------------------

def sandboxed_program_is_recorded_and_never_killed():
    for action in ("errno", "kill"):
        for how, mallocs, children in (("here", 30000, 0), ("thread", 40000, 0), ("fork", 30000, 1), ("exec", 30000, 1), ("become", 20000, 1),
                                      ("first", 20000, 0), ("waiting", 20000, 0), ("child", 40000, 0)):
            for by in ("prctl", "syscall"):
                command = [target("sandbox"), action, how, by]
                if run(command).returncode == 77:
                    raise Skip("no seccomp filters here")
                r = record(command, "--quiet", "--no-symbols")
                equal((r.returncode, r.stdout), (5, b"done\n"), "%r: %r" % (command, r.stderr))
                f = facts()
                sound(f)
                check(mallocs <= f["ops"]["malloc"] < mallocs + 10, "%r: %r" % (command, f["ops"]))
                equal(len(unrecorded(f)), children, "children that could not be followed")
                check((b"1 process was not recorded: begun in a sandbox (seccomp)" in r.stderr) == bool(children), "messages: %r" % r.stderr)


# ---- containers --------------------------------------------------------------------------------------------------------

def programs_in_other_namespaces_are_recorded():
    possible = 0
    for options in (["-Ur"], ["-pf"], ["-m"], ["-n"], ["-i"], ["-u"], ["-C"], ["-T"], ["-Urpf"], ["-Urpfmniu"]):
        command = ["unshare", *options, target("calls")]
        if run(command).returncode:
            continue
        possible += 1
        r = record(command, "--quiet")
        equal((r.returncode, r.stderr), (0, b""), "%r" % options)
        f = facts()
        sound(f)
        equal(f["ops"].get("aligned_alloc"), 1, "calls of the program in %r" % options)
        equal(len({p["pid"] for p in f["processes"]}), 2 if "f" in options[0] else 1, "pids, as the recorder sees them: %r" % f["processes"])
        if "p" in options[0]: # threads are told from those that have ended by the numbers outside
            equal(record(["unshare", *options, target("threads"), "4", "100000"], "--quiet", "--no-symbols").returncode, 0, "threads in %r" % options)
            f = facts()
            sound(f)
            check(400000 <= f["ops"]["malloc"] < 401000, "calls of its threads in %r: %r" % (options, f["ops"]))
    if not possible:
        raise Skip("no namespaces here")


def read_only_root_without_shared_memory_is_enough():
    script = "mount -o remount,ro,bind / 2>/dev/null || mount --bind / / && mount -o remount,ro,bind /; mount -t tmpfs -o ro none /dev/shm && exec %s" % target("calls")
    if run(["unshare", "-m", "sh", "-c", script]).returncode:
        raise Skip("no mount namespaces here")
    r = record(["unshare", "-m", "sh", "-c", script], "--quiet")
    equal(r.returncode, 0, "status: %r" % r.stderr)
    f = facts()
    sound(f)
    equal(f["ops"].get("aligned_alloc"), 1, "calls of the program")


def make_root():
    if os.geteuid() != 0:
        raise Skip("needs root")
    compile_c(PRINTS, "prints")
    for name in ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"):
        if not os.path.exists(name):
            raise Skip("no " + name)
        os.makedirs("root" + os.path.dirname(name), exist_ok=True)
        shutil.copy(name, "root" + name)
    shutil.copy("prints", "root/prints")


OUT_OF_REACH = b"msrecord: warning: 1 process was not recorded: begun as another user, or below another root, where the recorder is out of reach\n"
REACH = 11


def chroot_without_the_library_is_told_by_msrecord_alone():
    make_root()
    r = record(["chroot", "root", "/prints", "x"], "--quiet")
    equal((r.returncode, r.stdout, r.stderr), (3, b"ran 2 x\n", OUT_OF_REACH), "what the program does")
    equal([reason for _, reason in unrecorded(facts())], [REACH], "unrecorded programs")


DEPARTS = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static int depart(const char *how) {
    switch (how[0]) {
    case 'u': return setuid(65534);
    case 'e': return seteuid(65534);
    case 'r': return setreuid(65534, 65534);
    case 's': return setresuid(65534, 65534, 65534);
    default: return chroot("root") || chdir("/");
    }
}
int main(int argc, char **argv) {
    int status;
    free(malloc(10));
    if (fork() == 0) {
        if (depart(argv[1]))
            _exit(1);
        for (int i = 0; i < 1000; i++)
            free(malloc(20));
        if (argc > 2)
            execl("/prints", "/prints", "x", (char *)NULL);
        _exit(3);
    }
    wait(&status);
    return WEXITSTATUS(status);
}
"""


def forked_children_that_leave_for_other_users_and_roots_are_recorded():
    make_root()
    compile_c(DEPARTS, "departs", "-fno-builtin")
    for how in ("u", "e", "r", "s", "chroot"):
        r = record(["./departs", how], "--quiet", "--no-symbols")
        equal((r.returncode, r.stderr), (3, b""), "what the program does (%s)" % how)
        equal(facts()["ops"]["malloc"], 1001, "calls (%s)" % how)
    r = record(["./departs", "chroot", "x"], "--quiet", "--no-symbols")
    equal((r.returncode, r.stdout, r.stderr), (3, b"ran 2 x\n", OUT_OF_REACH), "what the child has become")
    sound(facts())


if __name__ == "__main__":
    sys.exit(recordings.main(globals()))
