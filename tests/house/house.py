#!/usr/bin/env python3
"""The rules of the house that a machine can check (CONTRIBUTING "The house").

house.py SOURCE_DIR BUILD_DIR CC [includes|names|headers|exports]...

includes  a file includes only what its directory may see, and no two files include each other in a circle
names     file names are unique in the tree; no util, common, helpers, misc
headers   each header compiles on its own
exports   the capture library exports what it interposes and needs libc alone; the archive holds mst_ symbols only
allocators  every function of libc's headers that gives or takes heap blocks is interposed
hazards   CONTRIBUTING's table has all hazards, and the tests it names exist
"""
import os, re, subprocess, sys

SRC, BUILD, CC = sys.argv[1:4]
WANTED = sys.argv[4:] or ["includes", "names", "headers", "exports", "allocators", "hazards"]
failures = []

# directory -> (directories whose headers it may include in quotes, non-libc headers it may include in brackets)
THIRD_PARTY = {"zstd.h", "zstd_errors.h", "xxhash.h", "libelf.h", "gelf.h", "elfutils/libdw.h", "elfutils/libdwfl.h", "elfutils/libdwelf.h",
               "dwarf.h", "libiberty/demangle.h", "demangle.h"}
MAY_SEE = {
    "libmstrace/include": ([], set()),
    "libmstrace": (["libmstrace", "libmstrace/include"], {"zstd.h", "zstd_errors.h", "xxhash.h"}),
    "libmstrace/cli": (["libmstrace/cli", "libmstrace/include"], set()),
    "record/capture": (["record/capture", "record/wire.h", "record/arena.h"], set()),
    "record/capture/include/mstrace": ([], set()),
    "record/symbols": (["record/symbols"], THIRD_PARTY - {"zstd.h", "zstd_errors.h", "xxhash.h"}),
    "record": (["record", "record/symbols", "libmstrace/include", "libmstrace/cli"], set()),
    "msdump": (["msdump", "libmstrace/include", "libmstrace/cli"], set()),
    "msanalyze": (["msanalyze", "libmstrace/include", "libmstrace/cli"], set()),
    "msrender": (["msrender", "libmstrace/include", "libmstrace/cli"], set()),
}


def fail(text):
    failures.append(text)


def files(*endings):
    out = subprocess.run(["git", "-C", SRC, "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True).stdout.split("\n")
    return [f for f in out if f.endswith(endings) and os.path.exists(os.path.join(SRC, f))]


def read(f):
    return open(os.path.join(SRC, f), encoding="utf-8", errors="replace").read()


def product():
    return [f for f in files(".c", ".h") if os.path.dirname(f) in MAY_SEE]


def includes():
    by_name = {}
    for f in product():
        by_name.setdefault(os.path.basename(f), f)
    graph = {}
    for f in product():
        see, third = MAY_SEE[os.path.dirname(f)]
        for bracket, name in re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)', read(f), re.M):
            if bracket == "<":
                if name in THIRD_PARTY and name not in third:
                    fail("%s: may not include <%s>" % (f, name))
                continue
            target = by_name.get(os.path.basename(name))
            if not target:
                if not name.endswith(".inc"):
                    fail('%s: "%s" is no file of the product' % (f, name))
                continue
            if os.path.dirname(target) not in see and target not in see:
                fail('%s: may not include "%s"' % (f, target))
            if target.endswith(".c"):
                fail("%s: includes a .c file" % f)
            graph.setdefault(f, set()).add(target)
    state = {}

    def visit(f, trail):
        if state.get(f) == 2:
            return
        if f in trail:
            fail("circle of includes: " + " -> ".join(trail[trail.index(f):] + [f]))
            return
        for g in graph.get(f, ()):
            visit(g, trail + [f])
        state[f] = 2
    for f in graph:
        visit(f, [])


def names():
    seen = {}
    for f in files(".c", ".h", ".py", ".sh"):
        base = os.path.basename(f)
        if base in seen and not f.startswith("tests/cli/"):
            fail("%s: the same name as %s" % (f, seen[base]))
        seen[base] = f
        if re.search(r"(^|_)(utils?|common|helpers?|misc)(_|\.)", base):
            fail("%s: say which noun it holds" % f)


def headers():
    for f in product():
        if not f.endswith(".h"):
            continue
        dirs = {os.path.dirname(f)} | {os.path.dirname(d) if d.endswith(".h") else d for d in MAY_SEE[os.path.dirname(f)][0]}
        cmd = [CC, "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"] + ["-I" + os.path.join(SRC, d) for d in sorted(dirs)]
        r = subprocess.run(cmd + ["-include", os.path.join(SRC, f), "-x", "c", "/dev/null"], capture_output=True, text=True)
        if r.returncode:
            fail("%s: does not compile on its own: %s" % (f, r.stderr.strip()[:400]))


def nm(*args):
    out = subprocess.run(["nm", *args], capture_output=True, text=True, check=True).stdout
    return [l.split() for l in out.splitlines() if l and not l.endswith(":")]


def exports():
    so = os.path.join(BUILD, "lib/libmscapture.so")
    hooks = "".join(read(f) for f in product() if os.path.dirname(f) == "record/capture")
    wanted = set(re.findall(r"^HOOK [^;{]*?\b(\w+)\s*\(", hooks, re.M))
    if not wanted:
        fail("record/capture: no HOOK definitions found")
    have = {l[2].split("@")[0] for l in nm("-D", "--defined-only", so)}
    for s in sorted(have ^ wanted):
        fail("libmscapture.so: %s is %s" % (s, "exported but not interposed" if s in have else "interposed but not exported"))
    needed = re.findall(r"NEEDED.*\[(.*)\]", subprocess.run(["readelf", "-d", so], capture_output=True, text=True).stdout)
    for lib in needed:
        if not re.match(r"(libc\.so\.6|ld-linux.*)$", lib):
            fail("libmscapture.so: needs " + lib)
    relocs = subprocess.run(["readelf", "-r", so], capture_output=True, text=True).stdout
    for r in re.findall(r"R_X86_64_(TLSDESC|DTPMOD64|DTPOFF64)", relocs):
        fail("libmscapture.so: dynamic thread-local storage (R_X86_64_%s): its first access may allocate" % r)
    for l in nm("-g", "--defined-only", os.path.join(BUILD, "lib/libmstrace.a")):
        if len(l) == 3 and l[1] in "TDBRVW" and not l[2].startswith("mst_") and not l[2].startswith("__odr_asan"):
            fail("libmstrace.a: %s does not start with mst_" % l[2])


def allocators():
    """By libc's own marks: a list of names would miss a new one."""
    source = "#include <malloc.h>\n#include <stdlib.h>\n"
    text = subprocess.run([CC, "-E", "-P", "-D_GNU_SOURCE", "-x", "c", "-"], input=source, capture_output=True, text=True, check=True).stdout
    text = re.sub(r"\s+", " ", text)
    declared = set()
    for declaration in text.split(";"):
        name = re.search(r"(\w+) ?\([^()]*\)", re.sub(r"__attribute__ ?\(\(.*", "", declaration))
        gives = "extern void *" in declaration and re.search("__(malloc|alloc_size|alloc_align)__", declaration)
        if name and (gives or re.match(r".*\bextern (void|int) (free|posix_memalign|cfree)\b", declaration)):
            declared.add(name.group(1))
    hooks = set(re.findall(r"^HOOK [^;{]*?\b(\w+)\s*\(", read("record/capture/interpose.c"), re.M))
    if not {"malloc", "free", "memalign"} <= declared: # clang is shown fewer marks than gcc
        fail("libc's headers: only %s found" % sorted(declared))
    for name in sorted(declared - hooks):
        fail("libc's headers declare %s, which is not interposed" % name)


def hazards():
    known = set()
    for directory, _, names_there in os.walk(BUILD):
        if "CTestTestfile.cmake" in names_there:
            text = open(os.path.join(directory, "CTestTestfile.cmake")).read()
            known |= set(re.findall(r"^add_test\((?:\[=\[|\")?([\w.]+)", text, re.M))
    table = re.search(r"^## Hazards.*?(?=^## )", read("CONTRIBUTING.md"), re.M | re.S)
    rows = re.findall(r"^\| *([^|]+?) *\| *([^|]+?) *\| *([^|]+?) *\|$", table.group(0) if table else "", re.M)
    numbers = [int(r[0]) for r in rows if r[0].isdigit()]
    if numbers != list(range(1, 35)):
        fail("CONTRIBUTING: the table of hazards has the numbers %r, not 1 to 34" % numbers)
    for number, hazard, tests in rows:
        named = re.findall(r"`([\w.]+)`", tests)
        for test in named:
            if test not in known:
                fail("CONTRIBUTING: hazard %s: there is no test %s" % (number, test))
        if not named and number != "#" and not set(number) <= {"-"} and "not tested" not in tests:
            fail("CONTRIBUTING: hazard %s names neither a test nor why there is none" % number)


for w in WANTED:
    {"includes": includes, "names": names, "headers": headers, "exports": exports, "allocators": allocators, "hazards": hazards}[w]()
print("\n".join(failures) or "the house is in order")
sys.exit(1 if failures else 0)
