"""What capture.py records: programs, and the inputs that it makes for them."""
import json, os, shlex, shutil, subprocess, sys

PY = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
DIR = ""


def path(name):
    return os.path.join(DIR, name)


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


def workloads(bin_dir, directory):
    """name -> command, after its inputs have been made in directory."""
    global DIR
    DIR = directory
    inputs()
    churn = os.path.join(bin_dir, "churn")
    return {
        "micro-5": [churn, "1", "5", "4000000"],
        "micro-20": [churn, "1", "20", "4000000"],
        "micro-60": [churn, "1", "60", "4000000"],
        "4-threads": [churn, "4", "20", "1000000"],
        "sqlite3": ["sqlite3", "-batch", ":memory:", "-init", path("bulk.sql"), ".quit"],
        "jq": ["jq", "-c", "[.[]|{id,t:(.tags|length),s:.name}]|group_by(.t)|map(length)", path("big.json")],
        "python": ["env", "PYTHONMALLOC=malloc", PY, path("wl.py"), path("big.json")],
        "perl": ["perl", path("wl.pl")],
        "cc1plus": cc1plus(),
        "clang": ["clang++", "-std=c++17", "-O1", "-c", "-o", "/dev/null", path("light.cpp")],
        "git-log": ["git", "-C", path("repo"), "--no-pager", "log", "-p", "--stat", "--no-color", "main"],
        "node": ["node", path("wl.js"), path("small.json")],
    }
