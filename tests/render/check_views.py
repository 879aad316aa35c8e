"""Flamegraph and folded stacks of hand-made, random and hostile trees: geometry, escaping, bounds."""
import bisect, random, re, subprocess, sys, time
import xml.etree.ElementTree as ET

DRAW = sys.argv[1]
NS = "{http://www.w3.org/2000/svg}"
SMALL = b"""main;parse;alloc 600
main;parse;[inlined] grow;alloc 200
main;[inlined] grow 100
main 50
[cut stack];jit@anon 50
"""


def draw(kind, stacks=b""):
    return subprocess.run([DRAW, kind], input=stacks, stdout=subprocess.PIPE, check=True).stdout


def boxes(svg):
    """[(name, tooltip, class, x, y, w)] in drawing order."""
    out = []
    frames = [g for g in svg.iter(NS + "g") if "frames" in (g.get("class") or "").split()]
    assert len(frames) == 1
    for g in frames[0]:
        rect, title = g.find(NS + "rect"), g.find(NS + "title").text
        out.append((title.split("\n")[0], title, g.get("class"),
                    float(rect.get("x")), float(rect.get("y")), float(rect.get("width"))))
    return out


def assert_nested(svg, is_inverted=False):
    """Every box lies on a box that is at least as wide; boxes of a level do not overlap."""
    rows = {}
    for name, _, _, x, y, w in boxes(svg):
        rows.setdefault(y, []).append((x, x + w))
    order = sorted(rows, reverse=not is_inverted)
    assert len(rows[order[0]]) == 1
    for below, above in zip(order, order[1:]):
        assert abs(above - below) == 17
        carriers, carried = sorted(rows[below]), sorted(rows[above])
        assert all(a[1] <= b[0] + 0.001 for a, b in zip(carried, carried[1:]))
        for x0, x1 in carried:
            a, b = carriers[bisect.bisect(carriers, (x0 + 0.001, 1e9)) - 1]
            assert a - 0.001 <= x0 and x1 <= b + 0.001


def assert_harmless(svg):
    """One script, ours; no handler, no link, no style from names, nothing that leaves the file."""
    allowed = {"svg", "title", "style", "script", "rect", "text", "g"}
    assert {e.tag.replace(NS, "") for e in svg.iter()} <= allowed
    assert len(list(svg.iter(NS + "script"))) == 1
    for e in svg.iter():
        assert set(e.attrib) <= {"class", "x", "y", "width", "height", "fill", "viewBox"}, e.attrib


def check_small():
    svg = ET.fromstring(draw("flame", SMALL))
    by_name = {}
    for b in boxes(svg):
        by_name.setdefault(b[0], []).append(b)
    whole = by_name["all"][0][5]
    assert abs(whole - 1180) < 0.001
    assert abs(by_name["main"][0][5] / whole - 0.95) < 1e-4
    assert abs(by_name["parse"][0][5] / whole - 0.8) < 1e-4
    assert {b[2] for b in by_name["grow"]} == {"inl"} and len(by_name["grow"]) == 2
    assert by_name["[cut stack]"][0][2] == "cut"
    assert "950 B, 95.00 %, self 50 B" in by_name["main"][0][1]
    assert "inlined, 200 B" in [b for b in by_name["grow"] if b[5] > 150][0][1]
    assert "src/inl.h:42" in by_name["grow"][0][1]
    assert by_name["jit"][0][1].endswith("\nanon")
    assert_nested(svg)
    assert_harmless(svg)
    assert not any("folded into" in (t.text or "") for t in svg.iter(NS + "text"))
    icicle = ET.fromstring(draw("icicle", SMALL))
    assert_nested(icicle, True)
    assert boxes(icicle)[0][4] < boxes(icicle)[1][4] and boxes(svg)[0][4] > boxes(svg)[1][4]


def check_determinism():
    a, b = draw("flame", SMALL), draw("flame", b"other;thing 5\n" + SMALL)
    colour = lambda svg: dict(re.findall(rb'<title>(\w+)\n[^<]*</title><rect[^>]*fill="(#\w+)"', svg))
    assert draw("flame", SMALL) == a
    assert len(colour(a)) >= 4
    assert all(colour(b)[name] == fill for name, fill in colour(a).items())


def check_empty():
    svg = ET.fromstring(draw("flame"))
    assert [b[0] for b in boxes(svg)] == ["all"]
    assert draw("folded") == b""


def check_hostile():
    for kind in ("hostile", ):
        svg = ET.fromstring(draw(kind))
        assert_harmless(svg)
        assert len(boxes(svg)) > 40
    lines = draw("hostile-folded").decode().split("\n")[:-1]
    assert len(lines) > 35
    for line in lines:
        assert re.fullmatch(r"[^;]+ \d+000", line), line
        assert not re.search(r" [\d.]+ \d+$", line), line


def check_bounds():
    """200,000 different stacks: a small file that says what it left out; totals still add up."""
    rng = random.Random(7)
    lines = []
    for i in range(200000):
        stack = ["f%d" % rng.randrange(3) for _ in range(rng.randrange(7, 12))] + ["leaf%d" % i]
        lines.append(";".join(stack) + " %d" % rng.randrange(1, 1000))
    raw = draw("flame", "\n".join(lines).encode() + b"\n")
    svg = ET.fromstring(raw)
    assert len(raw) < 4 << 20, len(raw)
    assert len(boxes(svg)) <= 20000
    note = [t.text for t in svg.iter(NS + "text") if "folded into" in (t.text or "")]
    assert len(note) == 1 and re.match(r"[\d,]+ of [\d,]+ stack frames are lighter than ", note[0]), note
    assert any(b[2] == "rest" and "callees folded: " in b[1] for b in boxes(svg))
    assert_nested(svg)


def check_deep():
    """100,000 levels: no recursion, no quadratic time."""
    deep = b";".join(b"f%d" % i for i in range(100000)) + b" 5\n"
    svg = ET.fromstring(draw("flame", deep))
    assert len(boxes(svg)) == 1002
    assert any("or above level 1000" in (t.text or "") for t in svg.iter(NS + "text"))
    assert draw("folded", deep) == deep


def check_folded():
    out = draw("folded", SMALL.replace(b"[inlined] ", b"").replace(b"@anon", b""))
    assert sorted(out.split(b"\n")) == sorted(SMALL.replace(b"[inlined] ", b"").replace(b"@anon", b"").split(b"\n"))


for check in (check_small, check_determinism, check_empty, check_hostile, check_bounds, check_deep, check_folded):
    start = time.time()
    check()
    print("%-18s %.2f s" % (check.__name__, time.time() - start))
