#!/usr/bin/env python3
"""Real programs, recorded completely and unharmed.

programs.py BIN_DIR SHIM WORK_DIR [NAME...]

Each program runs natively, then under msrecord with an independent counting shim preloaded beside the capture
library. Demanded: the same output and exit status as native; per process, the trace's counts, bytes and live
blocks equal to the shim's exactly; nothing lost; msdump --verify finds the file sound. The deterministic
single-threaded ones are compared with valgrind's totals as well. Exit 0, 1, or 77 when nothing could run.
"""
import glob, json, os, re, shutil, struct, subprocess, sys, time

BIN, SHIM, WORK = (os.path.abspath(p) for p in sys.argv[1:4])
FIELDS = ["events", "allocations", "frees", "allocated_bytes", "freed_bytes", "live_blocks", "live_bytes", "failed"]


def tool(name, *args, **kw):
    return subprocess.run([os.path.join(BIN, name), *args], capture_output=True, text=True, **kw)


# ---- inputs: generated, deterministic ------------------------------------------------------------------------
def path(name):
    return os.path.join(WORK, name)


def write(name, text):
    with open(path(name), "w") as f:
        f.write(text)


def inputs():
    os.makedirs(WORK, exist_ok=True)
    write("records.json", json.dumps([{"id": i, "name": "record %d" % (i * 7919 % 10007), "tags": ["t%d" % k for k in range(i % 7)],
                                       "pos": {"x": i % 1000, "y": i / 7}} for i in range(8000)]))
    write("bulk.sql", "CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, g INTEGER);\n"
          "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<20000) INSERT INTO t SELECT i, printf('%08x', i*2654435761 & 4294967295), i%97 FROM c;\n"
          "CREATE INDEX t_k ON t(k);\nSELECT count(*), sum(length(x)) FROM (SELECT g, group_concat(upper(k)) x FROM t GROUP BY g);\n")
    write("wl.py", "import json, sys\na = json.load(open(sys.argv[1]))\nd = {}\nfor o in a:\n    d.setdefault(o['name'], []).append((o['id'], tuple(o['tags'])))\n"
          "print(len(d), sum(len(json.dumps(v)) for v in d.values()))\n")
    write("wl.pl", "my %h; for my $i (1..20000) { push @{$h{$i % 997}}, \"v$i\" x ($i % 5 + 1); }\n"
          "my $n = 0; for (sort keys %h) { $n += length join ',', map { s/v(\\d)/w$1/gr } @{$h{$_}}; } print \"$n\\n\";\n")
    write("wl.js", "const a = JSON.parse(require('fs').readFileSync(process.argv[2], 'utf8')); const zlib = require('zlib'); let t = 0;\n"
          "for (const o of a) { t += Buffer.alloc(600, o.id & 255).length; if (o.id % 50 == 0) t += zlib.deflateSync(JSON.stringify(o)).length; }\nconsole.log(t);\n")
    write("light.cpp", "#include <map>\n#include <string>\n#include <vector>\n#include <algorithm>\n#include <functional>\nint main(int c, char **) {\n"
          "  std::map<std::string, std::vector<std::function<int(int)>>> m; for (int i = 0; i < c; i++) m[std::to_string(i)].push_back([i](int x) { return x + i; });\n"
          "  int t = 0; for (auto &[k, v] : m) { std::sort(v.begin(), v.end(), [](auto &a, auto &b) { return a(1) < b(1); }); t += (int)v.size(); } return t; }\n")
    if not os.path.isdir(path("repo/.git")):
        env = dict(os.environ, GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@example.invalid", GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@example.invalid")
        git = lambda *a: subprocess.run(["git", "-C", path("repo"), *a], check=True, env=env, capture_output=True)
        os.makedirs(path("repo"), exist_ok=True)
        git("init", "-q")
        for c in range(30):
            for f in range(12):
                write("repo/f%d" % f, "\n".join("line %d %d" % (i, (i * f + c * (i % 13 == 0)) % 101) for i in range(200)))
            git("add", "-A")
            git("commit", "-qm", "change %d" % c)


def cc1plus():
    r = subprocess.run(["g++", "-###", "-O1", "-S", "-o", "/dev/null", path("light.cpp")], capture_output=True, text=True)
    import shlex
    return next((shlex.split(l) for l in r.stderr.splitlines() if "cc1plus" in l and l.startswith(" ")), ["cc1plus"])


def own_cxx():
    """A program of C++ built here: the input of the compilers, called with arguments enough to have work."""
    if shutil.which("g++"):
        subprocess.run(["g++", "-O1", "-o", path("light"), path("light.cpp")], check=True, capture_output=True)
    return [path("light"), *map(str, range(2000))]


def python():
    return "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


PROGRAMS = {
    "jq": dict(argv=lambda: ["jq", "-c", "group_by(.tags|length)|map(length)", path("records.json")], valgrind=True),
    "sqlite3": dict(argv=lambda: ["sqlite3", "-batch", ":memory:", "-init", path("bulk.sql"), ".quit"], valgrind=True),
    "python3": dict(argv=lambda: [python(), "-S", path("wl.py"), path("records.json")], env={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}),
    "perl": dict(argv=lambda: ["perl", path("wl.pl")], env={"PERL_HASH_SEED": "0"}),     # perl copies the environment, so valgrind's count differs
    "git": dict(argv=lambda: ["git", "-C", path("repo"), "--no-pager", "log", "-p", "--stat", "--no-color"]),
    "cc1plus": dict(argv=cc1plus),
    "own_cxx": dict(argv=own_cxx, valgrind=True),
    "g++": dict(argv=lambda: ["g++", "-O1", "-c", "-o", path("light.o"), path("light.cpp")]),
    "node": dict(argv=lambda: ["node", path("wl.js"), path("records.json")]),
    "redis-server": dict(argv=lambda: ["redis-server", "--port", "0", "--unixsocket", path("redis.sock"), "--save", "", "--dir", WORK,
                                       "--logfile", path("redis.log"), "--appendonly", "no"], driver="redis", anyoutput=True),
}


# ---- running ---------------------------------------------------------------------------------------------------
def drive_redis(p):
    cli = ["redis-cli", "-s", path("redis.sock")]
    ask = lambda *words: subprocess.run(cli + list(words), capture_output=True, text=True).stdout
    while p.poll() is None and ask("ping").strip() != "PONG":
        time.sleep(0.05)
    subprocess.run(["redis-benchmark", "-s", path("redis.sock"), "-q", "-n", "20000", "-r", "5000", "-d", "100", "-t", "set,get,lpush,hset"],
                   check=True, capture_output=True)
    # a background save forks: the child inherits the whole heap
    subprocess.run(cli + ["bgsave"], check=True, capture_output=True)
    while p.poll() is None and "rdb_bgsave_in_progress:0" not in ask("info", "persistence"):
        time.sleep(0.05)
    ask("shutdown", "nosave")


def run(argv, env, driver=None):
    p = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=WORK)
    if driver:
        drive_redis(p)
    out, err = p.communicate(timeout=800)
    return p.returncode, out, err, p.pid


def shim_counts(d):
    """pid -> sums over its images."""
    pids = {}
    for f in glob.glob(os.path.join(d, "*.*")):
        v = struct.unpack("16Q", open(f, "rb").read())
        if v[0] == 0x4F5241434C453031 and v[2]:
            s = pids.setdefault(v[1], [0] * 8)
            pids[v[1]] = [a + b for a, b in zip(s, v[2:10])]
    return pids


MAPPING_LAYER = {"mmap", "munmap", "mremap", "brk", "sbrk", "madvise", "mprotect"}


def heap_events(summary):
    """The shim counts heap calls; a trace has those of the mapping layer as well."""
    return summary["events"] - sum(c["calls"] for c in summary["calls"] if c["function"] in MAPPING_LAYER)


def failed_mappings(summary):
    return sum(c["failed"] for c in summary["calls"] if c["function"] in MAPPING_LAYER)


def check(name, spec):
    argv = spec["argv"]()
    if not shutil.which(argv[0]):
        print("%-14s skipped: %s is not here" % (name, argv[0]))
        return None
    bad = []
    env = dict(os.environ, **spec.get("env", {}))
    native = run(argv, env, spec.get("driver"))
    counts, trace = path(name + ".counts"), path(name + ".mst")
    shutil.rmtree(counts, ignore_errors=True)
    os.makedirs(counts)
    t = time.time()
    rec = run([os.path.join(BIN, "msrecord"), "--quiet", "--force", "-o", trace, "--"] + argv,
              dict(env, LD_PRELOAD=SHIM, ORACLE_DIR=counts), spec.get("driver"))
    t = time.time() - t
    if rec[0] != native[0]:
        bad.append("exit status %d, native %d: %s" % (rec[0], native[0], rec[2].decode(errors="replace")[-300:]))
    if not spec.get("anyoutput") and (rec[1] != native[1] or rec[2] != native[2]):
        bad.append("output differs from native: %r" % rec[2][-300:])
    v = tool("msdump", "--verify", trace)
    if v.returncode:
        bad.append("msdump --verify: %d %s" % (v.returncode, v.stdout + v.stderr))
    shim = shim_counts(counts)
    total = 0
    for pid, want in sorted(shim.items()):
        r = tool("msanalyze", "summary", "--format=json", "--pid", str(pid), trace)
        if r.returncode:
            bad.append("pid %d: summary: %d %s" % (pid, r.returncode, r.stderr))
            continue
        s = json.loads(r.stdout)
        got = [heap_events(s)] + [s[k] for k in FIELDS[1:-1]] + [s["failed"] - failed_mappings(s)]
        total += got[0]
        if s["lost_events"]:
            bad.append("pid %d: %d events lost" % (pid, s["lost_events"]))
        for k, a, b in zip(FIELDS, got, want):
            if a != b:
                bad.append("pid %d: %s %d, the shim counted %d" % (pid, k, a, b))
    r = tool("msanalyze", "summary", "--format=json", trace)
    if r.returncode == 0 and heap_events(json.loads(r.stdout)) != total:
        bad.append("the trace has %d heap events, %d of processes the shim knows" % (heap_events(json.loads(r.stdout)), total))
    if not shim:
        bad.append("the shim counted nothing")
    if spec.get("valgrind") and shutil.which("valgrind") and not bad:
        bad += against_valgrind(argv, env, trace)
    print("%-14s %8d events in %d processes, %.1f s%s" % (name, total, len(shim), t, ": FAILED" if bad else ""))
    for b in bad:
        print("    " + b)
    return not bad


def against_valgrind(argv, env, trace):
    # recorded again without the shim: its own start-up would not be in valgrind's run
    t2 = trace + ".plain"
    r = tool("msrecord", "--quiet", "--force", "-o", t2, "--", *argv, env=env, cwd=WORK, stdin=subprocess.DEVNULL)
    s = json.loads(tool("msanalyze", "summary", "--format=json", t2).stdout)
    log = path("valgrind.log")
    subprocess.run(["valgrind", "--run-libc-freeres=no", "--run-cxx-freeres=no", "--log-file=" + log, *argv], env=env, cwd=WORK,
                   stdin=subprocess.DEVNULL, capture_output=True)
    m = re.search(r"in use at exit: ([\d,]+) bytes in ([\d,]+) blocks.*?total heap usage: ([\d,]+) allocs, ([\d,]+) frees, ([\d,]+) bytes", open(log).read(), re.S)
    want = [int(x.replace(",", "")) for x in m.groups()]
    got = [s[k] for k in ("live_bytes", "live_blocks", "allocations", "frees", "allocated_bytes")]
    return [] if got == want else ["valgrind: live bytes, blocks, allocs, frees, bytes %r, ours %r" % (want, got)]


inputs()
results = [check(n, PROGRAMS[n]) for n in (sys.argv[4:] or PROGRAMS)]
done = [r for r in results if r is not None]
print("%d passed, %d failed" % (done.count(True), done.count(False)))
sys.exit(77 if not done else 0 if all(done) else 1)
