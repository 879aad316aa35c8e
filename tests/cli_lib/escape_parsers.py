"""Hostile and random strings through every escaper, then through a real parser of that output."""
import csv, io, json, random, re, shutil, struct, subprocess, sys, unicodedata
import xml.etree.ElementTree as ET

FILTER = sys.argv[1]


def pack(strings):
    return b"".join(struct.pack("<I", len(s)) + s for s in strings)


def unpack(data):
    while data:
        (n,) = struct.unpack_from("<I", data)
        yield data[4 : 4 + n]
        data = data[4 + n :]


def run(kind, data=b""):
    return subprocess.run([FILTER, kind], input=data, stdout=subprocess.PIPE, check=True).stdout


def random_strings(rng, count):
    pieces = [b'"', b"\\", b"<", b"</script", b"&", b";", b" 7", b"\n", b"\r", b"\x1b[", b"\xc2", b"\xe2\x80",
              b"\xe2\x80\xae", b"\xee\xbe\x80", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\x00", b"=", b"abc"]
    for _ in range(count):
        if rng.random() < 0.5:
            yield bytes(rng.randrange(256) for _ in range(rng.randrange(40)))
        else:
            yield b"".join(rng.choice(pieces) for _ in range(rng.randrange(12)))


def from_json(text):
    """The documented way back: U+EF80..U+EFFF is one byte, everything else is UTF-8."""
    return b"".join(bytes([ord(c) & 0xFF]) if 0xEF80 <= ord(c) <= 0xEFFF else c.encode() for c in text)


def assert_showable(text, allowed=""):
    for c in text:
        assert c in allowed or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"), ascii(text)


def check_json(strings, output):
    lines = output.decode().split("\n")[:-1]
    assert len(lines) == len(strings)
    for s, line in zip(strings, lines):
        assert from_json(json.loads(line)) == s, (s, line)
        assert_showable(line)
        assert not re.search("</|<!|<script", line, re.I), line
    if shutil.which("jq"):
        out = subprocess.run(["jq", "-c", "."], input=output, stdout=subprocess.PIPE, check=True).stdout
        assert out.count(b"\n") == len(strings)


def check_xml(strings, output):
    root = ET.fromstring(output)
    assert len(root) == len(strings)
    for e in root:
        assert len(e) == 0 and set(e.attrib) == {"a", "b"} and (e.text or "") == e.get("a") == e.get("b")
        assert_showable(e.text or "")
    if shutil.which("xmllint"):
        subprocess.run(["xmllint", "--noout", "-"], input=output, check=True)


def check_csv(strings, output, is_machine):
    rows = list(csv.reader(io.StringIO(output.decode(), newline=""), strict=True))
    assert [r[1:] for r in rows] == [["end"]] * len(strings)
    for s, row in zip(strings, rows):
        assert_showable(row[0], "\t\r\n")
        assert is_machine or row[0][:1] not in tuple("=+-@\t\r"), row
        if is_machine and s.isascii() and s.decode().isprintable():
            assert row[0] == s.decode()


def check_folded(strings, output):
    lines = output.decode().split("\n")[:-1]
    assert len(lines) == len(strings)
    for line in lines:
        stack, weight = line.rsplit(" ", 1)
        frames = stack.split(";")
        assert weight == "42" and len(frames) == 2 and frames[0] and frames[1] == "leaf", line
        assert not re.search(r" [0-9.]+$", frames[0]), line
        assert_showable(line)


def check_text(strings, output):
    lines = output.decode().split("\n")[:-1]
    assert len(lines) == len(strings)
    for line in lines:
        assert_showable(line)


def main():
    rng = random.Random(20260)
    strings = list(unpack(run("raw-hostile"))) + list(random_strings(rng, 4000))
    assert len(strings) > 4030
    data = pack(strings)
    check_json(strings, run("json", data))
    check_xml(strings, run("xml", data))
    check_csv(strings, run("csv", data), False)
    check_csv(strings, run("csv-machine", data), True)
    check_folded(strings, run("folded", data))
    check_text(strings, run("text", data))


main()
