#!/usr/bin/env python3
"""What recording costs: workload x (native, ours, heaptrack where installed), paired in one run.

capture.py BIN_DIR [-n ROUNDS] [-w WORKLOAD,...] [--dir DIR] [--json FILE]

Every round runs native first, then each recorder; ratios are taken pair by pair and their median is printed, so that a
machine whose speed drifts gives the same figures. wall: until the command has ended, trace complete. cpu: user + system
of the whole tree, recorder included. ns/event: (recorded - native) wall or cpu by true events (allocations + frees, from
our own trace, which tests/system proves exact).
Inputs are generated; needs python3, and of jq, sqlite3, perl, git, node, g++, clang++ what is there.
"""
import argparse, json, os, resource, shlex, shutil, statistics, subprocess, sys, time

ap = argparse.ArgumentParser()
ap.add_argument("bin")
ap.add_argument("-n", type=int, default=5)
ap.add_argument("-w", default="")
ap.add_argument("--dir", default="capture-bench")
ap.add_argument("--json", default="")
ap.add_argument("--options", default="", help="more options for msrecord")
A = ap.parse_args()
BIN, DIR = os.path.abspath(A.bin), os.path.abspath(A.dir)
os.makedirs(DIR, exist_ok=True)
path = lambda n: os.path.join(DIR, n)


def once(name, make):
    if not os.path.exists(path(name)):
        make(path(name) + ".part")
        os.rename(path(name) + ".part", path(name))


def text(s):
    return lambda p: open(p, "w").write(s)


def records(n):
    def make(p):
        import random
        R = random.Random(20260)
        W = "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima".split()
        json.dump([{"id": i, "name": " ".join(R.choices(W, k=3)), "tags": R.choices(W, k=R.randint(1, 8)),
                    "pos": {"x": R.random() * 1000, "y": R.random() * 1000, "ok": R.random() > .5}, "note": "%x" % R.getrandbits(160)}
                   for i in range(n)], open(p, "w"))
    return make


HEADERS = "algorithm functional map memory optional regex set sstream string tuple unordered_map variant vector iostream".split()
UNIT = """
struct S%(i)d { int a; std::string s; double d; bool operator<(const S%(i)d&o) const { return std::tie(a,s,d)<std::tie(o.a,o.s,o.d);} };
template<int N> struct T%(i)d { std::map<S%(i)d, std::vector<std::variant<int,std::string,S%(i)d>>> m;
  std::unordered_map<std::string, std::function<int(const S%(i)d&, int)>> f;
  int run(int x) { S%(i)d k{x%%N, std::to_string(x), x/3.0}; auto &v=m[k]; v.emplace_back(x); v.emplace_back(k);
    f["a"+k.s]=[x,this](const S%(i)d&s,int y){ return s.a+y+x+(int)m.size(); };
    std::sort(v.begin(), v.end(), [](auto&p, auto&q){ return p.index()<q.index(); });
    std::set<std::tuple<int,std::string>> st; for (auto&[kk,vv]:m) st.emplace(kk.a, kk.s+std::to_string(vv.size()));
    return f["a"+k.s](k,(int)st.size()); } };
int fn%(i)d(int x){ T%(i)d<3> a; T%(i)d<7> b; std::ostringstream o; o<<a.run(x)<<b.run(x+1); return (int)o.str().size(); }
"""


def cpp(n):
    return "".join("#include <%s>\n" % h for h in HEADERS) + "".join(UNIT % {"i": i} for i in range(n)) + \
        "int main(){int t=0;" + "".join("t+=fn%d(t);" % i for i in range(n)) + "std::cout<<t;}\n"


def repository(p):
    import random
    R = random.Random(7)
    os.makedirs(p)
    git = subprocess.Popen(["git", "-C", p, "fast-import", "--quiet"], stdin=subprocess.PIPE) if not subprocess.run(["git", "init", "-q", p]).returncode else None
    files = {"src/f%03d.txt" % i: ["line %d" % R.randint(0, 999) for _ in range(200)] for i in range(120)}
    for c in range(1500):
        git.stdin.write(b"commit refs/heads/main\ncommitter A <a@example.invalid> %d +0000\ndata 1\nx\n" % (1500000000 + c * 600))
        for name in (R.sample(sorted(files), 4) if c else sorted(files)):
            for _ in range(8):
                files[name][R.randrange(200)] = "word %d" % R.randint(0, 99999)
            b = "\n".join(files[name]).encode()
            git.stdin.write(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(b), b))
    git.stdin.close()
    git.wait()


def cc1plus():
    r = subprocess.run(["g++", "-###", "-O2", "-S", "-o", "/dev/null", path("heavy.cpp")], capture_output=True, text=True)
    return next((shlex.split(l) for l in r.stderr.splitlines() if "cc1plus" in l and l.startswith(" ")), ["cc1plus-not-here"])


def inputs():
    once("big.json", records(200000))
    once("small.json", records(40000))
    once("heavy.cpp", text(cpp(4)))
    once("light.cpp", text(cpp(2)))
    once("bulk.sql", text("""PRAGMA temp_store=MEMORY;
CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, g INTEGER, v REAL, doc TEXT);
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<250000)
INSERT INTO t SELECT i, printf('%08x-%s', (i*2654435761)&4294967295, hex(i*7919)), i%997, (i*37)%1009/7.0,
  json_object('i',i,'s',replace(printf('%d',i),'1','one'),'a',json_array(i,i+1,i+2)) FROM c;
CREATE INDEX t_k ON t(k);
CREATE INDEX t_gv ON t(g,v);
SELECT count(*), sum(length(x)) FROM (SELECT g, group_concat(upper(k)||json_extract(doc,'$.s'),',') x FROM t GROUP BY g);
SELECT count(DISTINCT substr(k,1,5)||json_extract(doc,'$.a[1]')) FROM t;
SELECT sum(n) FROM (SELECT count(*) n, avg(v) FROM t GROUP BY substr(k,1,4) ORDER BY 2);
"""))
    once("wl.py", text('''import json, sys
a = json.load(open(sys.argv[1]))
idx = {}
for o in a:
    idx.setdefault(o["name"].split()[0], []).append((o["id"], tuple(o["tags"]), {k: str(v) for k, v in o["pos"].items()}))
print(sum(len(v) for v in idx.values()) + len(json.dumps(a[::4])))
'''))
    once("wl.pl", text('''my %h; for my $r (1..4) { for my $i (1..150000) { push @{$h{"k" . $i % 4999}}, "v$i" x ($i % 5 + 1); }
my $n = 0; for (sort keys %h) { $n += length join ",", map { s/v(\\d)/w$1/gr } @{$h{$_}}; } print "$n\\n"; %h = (); }
'''))
    once("wl.js", text('''const a = JSON.parse(require('fs').readFileSync(process.argv[2], 'utf8')), zlib = require('zlib'); let t = 0, keep = [];
for (let r = 0; r < 2; r++) for (let i = 0; i < a.length; i++) { const b = Buffer.alloc(5000 + (i % 4000), i); t += b[7];
  if (i % 16 == 0) t += zlib.deflateSync(Buffer.from(JSON.stringify(a[i]))).length;
  if (i % 4 == 0) keep[i % 2048] = new Uint32Array(600 + i % 64); }
console.log(t);
'''))
    if shutil.which("git"):
        once("repo", repository)


PY = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
inputs()
WORK = {
    "sqlite3": ["sqlite3", "-batch", ":memory:", "-init", path("bulk.sql"), ".quit"],
    "jq": ["jq", "-c", "[.[]|{id,t:(.tags|length),s:.name}]|group_by(.t)|map(length)", path("big.json")],
    "python": ["env", "PYTHONMALLOC=malloc", PY, path("wl.py"), path("big.json")],
    "perl": ["perl", path("wl.pl")],
    "cc1plus": cc1plus(),
    "clang": ["clang++", "-std=c++17", "-O1", "-c", "-o", "/dev/null", path("light.cpp")],
    "git-log": ["git", "-C", path("repo"), "--no-pager", "log", "-p", "--stat", "--no-color", "main"],
    "node": ["node", path("wl.js"), path("small.json")],
}


def recorders(cmd):
    yield "native", cmd, None
    yield "ours", [os.path.join(BIN, "msrecord"), "--quiet", "--force", "-o", path("t.mst"), *shlex.split(A.options), "--", *cmd], path("t.mst")
    if shutil.which("heaptrack") and cmd[0] != WORK["cc1plus"][0]:     # Debian's 1.4.0 dies on cc1plus and takes it along
        env, rest = ([cmd[0], cmd[1]], cmd[2:]) if cmd[0] == "env" else ([], cmd)
        yield "heaptrack", env + ["heaptrack", "-o", path("ht"), *rest], path("ht.zst")


def run(cmd):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    t = time.monotonic()
    with open(path("out.log"), "wb") as log:
        rc = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=DIR).returncode
    t = time.monotonic() - t
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return dict(rc=rc, wall=t, cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def events_of(trace):
    r = subprocess.run([os.path.join(BIN, "msanalyze"), "summary", "--format=json", trace], capture_output=True, text=True)
    s = json.loads(r.stdout)
    return s["allocations"] + s["frees"], s["lost_events"]


med = statistics.median
results = {}
print("%-9s %-10s %2s %8s %7s %7s %9s %9s %8s %8s %s" % ("workload", "recorder", "n", "wall s", "wall x", "cpu x", "ns/ev", "ns/ev cpu", "trace MB", "B/event", "added wall ours/heaptrack"))
for name in [w for w in WORK if not A.w or w in A.w.split(",")]:
    cmd = WORK[name]
    if not shutil.which(cmd[0]) or (cmd[0] == "env" and not shutil.which(cmd[2])):
        continue
    rows = {}
    size = {}
    events = lost = 0
    for rnd in range(A.n):
        for rec, argv, trace in recorders(cmd):
            r = run(argv)
            rows.setdefault(rec, []).append(r)
            if trace and os.path.exists(trace):
                size[rec] = os.path.getsize(trace)
            if rec == "ours" and rnd == 0:
                events, lost = events_of(trace)
    nat = rows["native"]
    added = {rec: [r["wall"] - n["wall"] for r, n in zip(R, nat)] for rec, R in rows.items()}
    for rec, R in rows.items():
        wall = med([r["wall"] for r in R])
        cpu = [r["cpu"] - n["cpu"] for r, n in zip(R, nat)]
        note = ""
        if rec == "ours" and "heaptrack" in rows:
            note = "%.2f" % med([a / b for a, b in zip(added["ours"], added["heaptrack"])])
        if any(r["rc"] != n["rc"] for r, n in zip(R, nat)):
            note += " exit status differs!"
        if rec == "ours" and lost:
            note += " %d events lost!" % lost
        print("%-9s %-10s %2d %8.2f %7s %7s %9s %9s %8s %8s %s" % (name, rec, len(R), wall,
            "%.2f" % med([r["wall"] / n["wall"] for r, n in zip(R, nat)]), "%.2f" % med([r["cpu"] / n["cpu"] for r, n in zip(R, nat)]),
            "%.0f" % (med(added[rec]) * 1e9 / events) if events and rec != "native" else "", "%.0f" % (med(cpu) * 1e9 / events) if events and rec != "native" else "",
            "%.1f" % (size[rec] / 1e6) if rec in size else "", "%.3f" % (size[rec] / events) if rec in size and events else ("%.2fM ev" % (events / 1e6) if rec == "native" else ""), note), flush=True)
    results[name] = dict(events=events, rows=rows, size=size)
if A.json:
    json.dump(results, open(A.json, "w"), indent=1)
