"""msrender on traces whose every number is known: values, report, escaping, gaps, exit statuses.

run_msrender.py MSRENDER MAKE_TRACE SCHEMA
"""
import json, os, re, subprocess, sys, tempfile
import xml.etree.ElementTree as ET

MSRENDER, MAKE_TRACE, SCHEMA = sys.argv[1:]
NS = "{http://www.w3.org/2000/svg}"
FOLDED = {
    "bytes": {"main;parse;grow;alloc": 640, "main;emit": 6000, "main;emit;resize": 3000, "[cut stack];0x7f001234": 50,
              "main;libfoo.so+0x1234": 7},
    "count": {"main;parse;grow;alloc": 4, "main;emit": 2, "main;emit;resize": 1, "[cut stack];0x7f001234": 1,
              "main;libfoo.so+0x1234": 1},
    "live": {"main;parse;grow;alloc": 440, "main;emit;resize": 3000, "[cut stack];0x7f001234": 50},
    "leaked": {"main;parse;grow;alloc": 440, "main;emit;resize": 3000, "[cut stack];0x7f001234": 50},
    "peak": {"main;parse;grow;alloc": 440, "main;emit": 5000, "main;emit;resize": 3000, "[cut stack];0x7f001234": 50},
    "temporary": {"main;emit": 1, "main;libfoo.so+0x1234": 1},
}


def run(*args, status=0, data=None, env=None):
    """Standard output and error; the status must be as stated."""
    p = subprocess.run([MSRENDER, *args], input=data, capture_output=True, env={**os.environ, **(env or {})})
    assert p.returncode == status, (args, p.returncode, p.stderr.decode())
    return p.stdout, p.stderr.decode()


def make(kind):
    subprocess.run([MAKE_TRACE, kind, kind + ".mst"], check=True)
    return kind + ".mst"


def folded(*args, **how):
    lines = run("folded", *args, **how)[0].decode().splitlines()
    return {line.rsplit(" ", 1)[0]: int(line.rsplit(" ", 1)[1]) for line in lines}


# A validator for the parts of JSON Schema that the schema uses; anything else in it is an error.
KNOWN = {"$schema", "$defs", "$ref", "title", "description", "type", "properties", "required", "additionalProperties",
         "items", "enum", "const", "anyOf", "minimum", "maximum", "pattern"}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int}


def validate(value, schema, root, where="$"):
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        validate(value, root["$defs"][schema["$ref"].split("/")[-1]], root, where)
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert any(type(value) is TYPES[t] for t in types), (where, value, types)
    if "const" in schema:
        assert value == schema["const"], (where, value)
    if "enum" in schema:
        assert value in schema["enum"], (where, value)
    if "pattern" in schema and isinstance(value, str):
        assert re.search(schema["pattern"], value), (where, value)
    if "minimum" in schema:
        assert schema["minimum"] <= value <= schema["maximum"], (where, value)
    if "anyOf" in schema:
        problems = []
        for option in schema["anyOf"]:
            try:
                validate(value, option, root, where)
                break
            except AssertionError as problem:
                problems.append(problem)
        else:
            raise AssertionError((where, value, problems))
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema.get("required", [])) <= set(value), (where, set(schema["required"]) - set(value))
        assert schema.get("additionalProperties", True) or set(value) <= set(schema["properties"]), \
            (where, set(value) - set(schema["properties"]))
        for key, member in value.items():
            validate(member, schema["properties"][key], root, where + "." + key)
    if isinstance(value, list) and "items" in schema:
        for i, member in enumerate(value):
            validate(member, schema["items"], root, "%s[%d]" % (where, i))


def report(*args, **how):
    out = json.loads(run("json", *args, **how)[0])
    with open(SCHEMA) as f:
        schema = json.load(f)
    validate(out, schema, schema)
    return out


def values_are_exact():
    trace = make("plain")
    for value, expected in FOLDED.items():
        assert folded("--value=" + value, trace) == expected, value
    assert folded(trace) == FOLDED["bytes"]


def selections_are_exact():
    trace = make("plain")
    assert folded("--value=live", "--at=4.5ms", trace) == {"main;parse;grow;alloc": 400}
    assert folded("--pid=200", trace) == {"main;parse;grow;alloc": 40}
    assert folded("--pid=100", "--value=count", trace)["main;parse;grow;alloc"] == 3
    assert "no process 7 in 'plain.mst': it has 2: 100, 200" in run("folded", "--pid=7", trace, status=2)[1]


def pipes_and_files_agree():
    trace = make("plain")
    with open(trace, "rb") as f:
        data = f.read()
    for kind in ("folded", "flamegraph", "json"):
        assert run(kind, "-", data=data)[0] == run(kind, trace)[0], kind
        run(kind, trace, "-o", "file." + kind)
        with open("file." + kind, "rb") as f:
            assert f.read() == run(kind, trace, "-o", "-")[0]


def flamegraph_shows_the_facts():
    svg = ET.fromstring(run("flamegraph", "--value=peak", make("plain"))[0])
    texts = " ".join(t.text or "" for t in svg.iter(NS + "text"))
    assert "Bytes live at the peak (at 11.0 ms): app --fast" in texts, texts
    assert "8.29 KiB in all" in texts and "2 processes, 2 threads" in texts, texts
    assert "gaps" not in texts
    titles = [t.text for t in svg.iter(NS + "title")]
    grow = [t for t in titles if t.startswith("grow\n")][0]
    assert "inlined, 440 B" in grow and "src/app.c:7" in grow and "/opt/app/bin/app" in grow, grow
    assert any(t.startswith("[cut stack]\n50 B") for t in titles)
    wide = ET.fromstring(run("flamegraph", "--width=2000", "--inverted", make("plain"))[0])
    assert wide.get("width") == "2000"


def report_has_every_number():
    r = report(make("plain"))
    s = r["summary"]
    assert (s["allocations"], s["frees"], s["failed"], s["events"]) == (9, 4, 1, 13), s
    assert (s["allocated_bytes"], s["freed_bytes"], s["live_bytes"], s["live_blocks"]) == (9697, 6207, 3490, 5), s
    assert (s["peak_bytes"], s["peak_time_ns"]) == (8490, 11000000), s
    assert (s["processes"], s["threads"], s["exit"], s["temporary"]) == (2, 2, 0, 2), s
    assert r["trace"]["command"] == ["app", "--fast"] and r["trace"]["start_realtime_ns"] == "1700000000000000001"
    assert r["trace"]["complete"] and r["selection"] == {"pid": None, "at_ns": None}
    assert [(p["pid"], p["origin"], p["command"], p["live_bytes"]) for p in r["processes"]["rows"]] == \
        [(100, "start", ["app", "--fast"], 3450), (200, "fork", ["child"], 40)]
    assert [(t["tid"], t["name"], t["end_ns"]) for t in r["threads"]["rows"]] == [(100, "app", None), (200, "child", None)]
    assert [row["value"] for row in r["sites"]["rows"]] == [6000, 3000, 640, 50, 7]
    assert r["sites"]["total"] == 9697 and r["leaks"]["total"] == 3490 and r["peak"]["total"] == 8490
    parse = [row for row in r["sites"]["rows"] if row["value"] == 640][0]
    assert [(f["function"], f["inlined"], f["line"]) for f in parse["frames"]] == \
        [("alloc", False, 42), ("grow", True, 7), ("parse", False, 42), ("main", False, 42)]
    cut = [row for row in r["sites"]["rows"] if row["value"] == 50][0]
    assert cut["cut"] and not parse["cut"]
    assert cut["frames"] == [{"function": None, "file": None, "line": None, "module": "[jit]", "offset": "0x7f001234",
                              "inlined": False}]


def top_says_what_it_leaves_out():
    r = report("--top=2", "--value=count", make("plain"))
    assert [row["value"] for row in r["sites"]["rows"]] == [4, 2]
    assert (r["sites"]["rows_left_out"], r["sites"]["value_left_out"], r["sites"]["unit"]) == (3, 3, "allocations")
    assert r["leaks"]["rows_left_out"] == 1 and r["leaks"]["value_left_out"] == 50


def huge_numbers_stay_exact():
    r = report(make("huge"))
    assert r["summary"]["live_bytes"] == str(3 * (2**53 - 1))
    assert r["sites"]["rows"][0]["value"] == str(3 * (2**53 - 1))
    ET.fromstring(run("flamegraph", make("huge"))[0])


def empty_trace_gives_empty_outputs():
    trace = make("empty")
    assert folded(trace) == {}
    r = report(trace)
    assert r["summary"]["events"] == 0 and r["sites"]["rows"] == [] and r["sites"]["total"] == 0
    ET.fromstring(run("flamegraph", trace)[0])


def hostile_names_stay_names():
    trace = make("hostile")
    svg = ET.fromstring(run("flamegraph", trace)[0])
    assert len(list(svg.iter(NS + "script"))) == 1 and not [e for e in svg.iter() if e.tag.endswith("img")]
    r = report("--top=100", trace)
    names = {f["function"] for row in r["sites"]["rows"] for f in row["frames"]}
    assert "</script><img src=x onerror=alert(1)>" in names or "<!--<script>" in names
    raw = run("json", "--top=100", trace)[0]
    assert b"</script" not in raw and not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", raw)
    for line in run("folded", trace)[0].decode().splitlines():
        assert re.fullmatch(r"[^;]+ \d+", line), line
    out, err = run("folded", "/no/such\x1b[2J\nfile", status=2)
    assert err.count("\n") == 1 and "\x1b" not in err and "\\x1b[2J\\x0afile" in err


def damage_is_told():
    with open(make("plain"), "rb") as f:
        data = f.read()
    seen = set()
    for cut in range(len(data) * 3 // 4, len(data), 7):
        with open("cut.mst", "wb") as f:
            f.write(data[:cut])
        for kind in ("folded", "flamegraph", "json"):
            out, err = run(kind, "cut.mst", status=3)
            assert "msrender: warning: 'cut.mst': " in err, err
            if kind == "json":
                r = json.loads(out)
                assert not r["trace"]["complete"]
                seen.add(r["summary"]["events"])
            elif kind == "flamegraph":
                assert "The trace has gaps" in out.decode()
                ET.fromstring(out)
    assert 13 in seen, seen


def failures_are_one_line_and_status_2():
    trace = make("plain")
    with open("text", "w") as f:
        f.write("not a trace\n" * 100)
    open("nothing", "w").close()
    os.symlink("victim", "link")
    os.mkfifo("fifo")
    for args in (["folded", "text"], ["folded", "nothing"], ["json", "no-such-file"], ["json", "."],
                 ["flamegraph", trace, "-o", "link"], ["flamegraph", trace, "-o", "fifo"],
                 ["flamegraph", trace, "-o", "no/dir/x.svg"], ["json", trace, "-o", "."],
                 ["json", trace, "-o", trace], ["folded", trace, "--force", "-o", "/dev/full"]):
        out, err = run(*args, status=2)
        assert err.startswith("msrender: cannot ") and err.count("\n") == 1, (args, err)
        assert out == b""
    assert not os.path.exists("victim") and not [f for f in os.listdir(".") if f.endswith(".tmp")]
    assert folded(trace) == FOLDED["bytes"]
    for args in ([], ["nonsense", trace], ["folded"], ["folded", "--value=foo", trace], ["folded", "--width=1", trace],
                 ["flamegraph", "--width=1", trace]):
        run(*args, status=2)


def forced_output_goes_through_links():
    trace = make("plain")
    run("folded", trace, "--force", "-o", "link")
    assert os.path.islink("link") and os.path.exists("victim")


CHECKS = [values_are_exact, selections_are_exact, pipes_and_files_agree, flamegraph_shows_the_facts,
          report_has_every_number, top_says_what_it_leaves_out, huge_numbers_stay_exact, empty_trace_gives_empty_outputs,
          hostile_names_stay_names, damage_is_told, failures_are_one_line_and_status_2, forced_output_goes_through_links]

MSRENDER, MAKE_TRACE, SCHEMA = map(os.path.abspath, (MSRENDER, MAKE_TRACE, SCHEMA))
with tempfile.TemporaryDirectory() as scratch:
    os.chdir(scratch)
    for check in CHECKS:
        check()
        print("ok", check.__name__)
    os.chdir("/")
