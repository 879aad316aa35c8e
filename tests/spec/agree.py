#!/usr/bin/env python3
"""Do decode.py, written from FORMAT.md alone, and msdump make the same of a trace?

  agree.py corpus MSDUMP DATA_DIR              all good, bad and unsupported files of tests/data
  agree.py damage MSDUMP DATA_DIR WORK_DIR     seeded flips, cuts, removals and insertions of a small trace
  agree.py smallest DATA_DIR FORMAT.md         the dump in FORMAT.md §14 is the file it claims to be
  agree.py recorded BIN_DIR WORK_DIR [OPTION… --] COMMAND…  what msrecord writes of a command

Compared are: every event, with --stacks every stack frame (as parsed JSON); the exit status; of --verify the
verdict, frames, events and losses; of --info the facts and the sizes of dictionaries.
"""
import contextlib
import glob
import io
import itertools
import json
import os
import random
import re
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
import decode
from event_frame import event_header
from frames import EVT, SYNC, intact_header, xxh3
from recovery import Trace


# ---- the two programs ----
def ours(*args):
    """(exit status, lines) of decode.py."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        status = decode.main(list(args))
    return status, out.getvalue().splitlines()


def theirs(msdump, *args):
    """(exit status, lines) of msdump."""
    run = subprocess.run([msdump, *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return run.returncode, run.stdout.decode().splitlines()


def assert_equal(what, a, b):
    if a != b:
        sys.exit("%s:\n  decode.py: %s\n  msdump:    %s" % (what, a, b))


def compare_events(msdump, path, *options):
    """Both print the same events and end alike; returns how many and how."""
    status, lines = ours(*options, path)
    their_status, their_lines = theirs(msdump, *options, path)
    if status != 2:  # refused: what was printed before does not matter
        for line, their_line in itertools.zip_longest(lines, their_lines, fillvalue="null"):
            if line != their_line:
                assert_equal(path, json.loads(line), json.loads(their_line))
    assert_equal(path + ": exit status", status, their_status)
    return len(lines), status


def compare_verdict(msdump, path):
    status, lines = ours("--check", path)
    their_status, their_lines = theirs(msdump, "--verify", "--format=json", path)
    assert_equal(path + ": exit status of the check\n%s\n%s" % (lines, their_lines), status, their_status)
    if status == 2:
        return None
    verdict, verify = json.loads(lines[-1]), json.loads("\n".join(their_lines))
    for key in verdict:
        assert_equal("%s: %s\n%s\n%s" % (path, key, lines, their_lines), verdict[key], verify[key])
    return verdict["sound"]


def compare_tables(msdump, path):
    tables, info = json.loads(ours("--tables", path)[1][0]), json.loads(
        "\n".join(theirs(msdump, "--info", "--format=json", path)[1])
    )
    facts, end = tables["facts"], tables["end"]
    found = {
        "frames": tables["frames"],
        "processes": len(tables["processes"]),
        "threads": len(tables["threads"]),
        "modules": len(tables["modules"]),
        "codes": len(tables["codes"]),
        "stacks": len(tables["stacks"]),
        "mappings": len(tables["maps"]),
        "events": end["events"] - tables["dropped"],
        "duration_ns": end["duration"],
        "format": "%d.%d" % tuple(facts["Version"][:2]),
    }
    for key, name in (
        ("tool", "Tool"),
        ("host", "Host"),
        ("kernel", "Kernel"),
        ("arch", "Arch"),
        ("clock", "Clock"),
        ("cwd", "Cwd"),
    ):
        found[key] = facts.get(name, "")
    if "Start" in facts:  # then all facts are there
        found.update(
            time_unit_ns=1 << facts["Time_Shift"][0],
            addresses=bool(facts["Content"][0] & 1),
            free_stacks=bool(facts["Content"][0] & 2),
            stack_depth=facts["Stack_Depth"][0],
            page_size=facts["Page_Size"][0],
            cpus=facts["N_Cpus"][0],
            start_realtime_ns=facts["Start"][0],
        )
    for key, value in found.items():
        theirs_value = info[key] if info[key] is not None else ""
        assert_equal("%s: %s" % (path, key), str(value), str(theirs_value))


# ---- the corpus ----
def corpus(msdump, data_dir):
    paths = sorted(glob.glob(os.path.join(data_dir, "*.mst")))
    for path in paths:
        name = os.path.basename(path)
        n, status = compare_events(msdump, path)
        compare_events(msdump, path, "--stacks")
        compare_events(msdump, path, "--samples")
        is_sound = compare_verdict(msdump, path)
        if name.startswith("good-"):
            assert is_sound and n > 0 and status in (0, 3), "%s is not found sound" % name
            compare_tables(msdump, path)
        elif name.startswith("bad-"):
            assert is_sound is False and status == 3, "%s is not found damaged" % name
        else:
            assert name.startswith("unsupported-") and is_sound is None and status == 2, (
                "%s is not refused" % name
            )
    assert len(paths) >= 24, "the corpus is not there"
    print("%d files" % len(paths))


# ---- damage ----
def damages(data, rng):
    """Damaged forms of a file, each with a name."""
    for i in range(50):
        at, bit = rng.randrange(len(data)), rng.randrange(8)
        yield "bit %d of byte %d flipped" % (bit, at), data[:at] + bytes([data[at] ^ 1 << bit]) + data[
            at + 1 :
        ]
    for at in rng.sample(range(64, len(data)), 20):
        yield "cut at %d" % at, data[:at]
    for i in range(15):
        at, n = rng.randrange(64, len(data)), rng.randrange(1, 200)
        yield "%d bytes at %d removed" % (n, at), data[:at] + data[at + n :]
        yield "%d bytes at %d inserted" % (n, at), data[:at] + rng.randbytes(n) + data[at:]
        yield "%d bytes at %d zeroed" % (n, at), data[:at] + bytes(len(data[at : at + n])) + data[at + n :]


def damage(msdump, data_dir, work_dir):
    os.makedirs(work_dir, exist_ok=True)
    path, rng, n = os.path.join(work_dir, "damaged.mst"), random.Random(20261101), 0
    for source in ("good-every-table.mst", "good-checkpoint.mst", "good-checkpoint-layers.mst"):
        with open(os.path.join(data_dir, source), "rb") as file:
            data = file.read()
        for what, damaged in damages(data, rng):
            if damaged == data:
                continue
            with open(path, "wb") as file:
                file.write(damaged)
            try:
                _, status = compare_events(msdump, path, "--stacks")  # which makes both read the tables first
                compare_events(msdump, path, "--samples")
                is_nothing_left = len(damaged) < intact_header(data, 0).pad_at
                is_sound = compare_verdict(msdump, path)
                assert (status, is_sound) == (
                    (2, None) if is_nothing_left else (3, False)
                ), "the damage is not noticed"
            except (SystemExit, AssertionError) as why:
                sys.exit("%s, %s: %s" % (source, what, why))
            n += 1
    print("%d damaged files" % n)


# ---- FORMAT.md §14 ----
def cells(text):
    """The bytes of a row: cells between bars; "00 x 8" repeats; "2a 00 ..." is filled up with zeros to a u64."""
    data = b""
    for cell in text.split("|"):
        words = cell.split()
        if "x" in words:
            data += bytes.fromhex(words[0]) * int(words[2])
        elif words[-1] == "...":
            data += bytes.fromhex("".join(words[:-1])).ljust(8, b"\0")
        else:
            data += bytes.fromhex("".join(words))
    return data


def dump_of(document):
    """[(offset, bytes as text, meaning)] of the dump in §14; a row without offset continues the meaning."""
    block = re.search(r"^## 14 .*?^```\n(.*?)^```", document, re.M | re.S).group(1)
    rows = []
    for line in block.splitlines():
        match = re.match(r" {,3}(\d+) {4}(\S.*?)(?: {2,}(\S.*))?$", line)
        if match:
            rows.append((int(match[1]), match[2], match[3] or ""))
        elif rows and line.strip() and "----" not in line and not line.startswith("offset"):
            rows[-1] = rows[-1][:2] + (rows[-1][2] + " " + line.strip(),)
    return rows


def field(name, meaning):
    match = re.search(r"\b%s ([\d,]+)" % name, meaning)
    return int(match[1].replace(",", "")) if match else 0


def file_of(rows):
    """The file the rows spell out. "..." stands for what is as in the first frame, and for what the meaning says."""
    data, frames = {}, []
    for offset, text, meaning in rows:
        if text.startswith("... "):
            stored_len = field("Stored_Len", meaning)
            frames.append(offset)
            row = SYNC + bytes.fromhex(re.sub(r"[^0-9a-f]", "", text))
            row += bytes(data[at] for at in range(16, 28)) + struct.pack(
                "<IIIQ", field("N_Items", meaning), stored_len, stored_len, field("Seq", meaning)
            )
        else:
            row = cells(text)
        for at, byte in enumerate(row, offset):
            assert data.setdefault(at, byte) == byte, "byte %d is said twice, differently" % at
    for start in frames:  # the hashes that are not spelt out
        header_len = data[start + 8] + 256 * data[start + 9]
        stored_len = int.from_bytes(bytes(data[start + 32 + i] for i in range(4)), "little")
        seed = int.from_bytes(bytes(data[16 + i] for i in range(8)), "little")
        payload = bytes(data[start + header_len + i] for i in range(stored_len))
        for at, byte in enumerate(struct.pack("<Q", xxh3(payload, seed)), start + 48):
            assert data.setdefault(at, byte) == byte, "the payload's hash at %d" % at
        header = bytes(data[start + i] for i in range(header_len - 8))
        for at, byte in enumerate(struct.pack("<Q", xxh3(header, seed)), start + header_len - 8):
            assert data.setdefault(at, byte) == byte, "the header's hash at %d" % at
    assert sorted(data) == list(range(len(data))), "bytes are missing"
    return bytes(data[at] for at in range(len(data)))


def fields_of(data):
    """offset of a field -> (name, value), for the fields with numbers that headers have."""
    fields = {}

    def put(at, layout, names):
        values = struct.unpack_from("<" + layout, data, at)
        for name, value, letter in zip(names.split(), values, layout):
            fields[at] = name, value
            at += struct.calcsize("<" + letter)

    offset = 0
    while offset < len(data):
        f = intact_header(data, offset)
        put(
            offset + 8,
            "HBBIQIIIIQ",
            "Header_Len Kind Codec Flags File_Id Stream N_Items Stored_Len Raw_Len Seq",
        )
        if f.kind == EVT:
            put(
                offset + 56,
                "11Q5IB".replace("11Q", "Q" * 11).replace("5I", "I" * 5),
                "First_Event First_Alloc Time_Base Time_First Time_Last Live_Blocks Live_Bytes Lost_Events Bytes_Before Alloc_Bytes Freed_Bytes"
                " N_Alloc N_Free N_Unowned N_Late N_Threads Time_Shift",
            )
            event_header(f)
        elif len(f.extension) == 104:
            put(
                offset + 56,
                "Q" * 12 + "i",
                "Index Events Allocs Frees Failed Lost_Events Lost_Bytes Duration Live_Blocks Live_Bytes Alloc_Bytes"
                " Overlaps Exit_Status",
            )
        offset = f.end
    return fields


def smallest(data_dir, format_md):
    with open(format_md, encoding="utf-8") as file:
        rows = dump_of(file.read())
    with open(os.path.join(data_dir, "good-smallest.mst"), "rb") as file:
        expected = file.read()
    data = file_of(rows)
    for at in (at for at in range(len(expected)) if data[at : at + 1] != expected[at : at + 1]):
        sys.exit("byte %d: the dump says %s, the file %02x" % (at, data[at : at + 1].hex(), expected[at]))
    assert data == expected, "the dump is longer than the file"

    n_said, fields = 0, fields_of(data)
    for (offset, _, meaning), (end, _, _) in zip(rows, rows[1:] + [(len(data), "", "")]):
        for at, (name, value) in fields.items():
            if offset <= at < end and re.search(r"\b%s [\d,]+" % name, meaning):
                assert field(name, meaning) == value, "%s at %d is %d, but the dump says %s" % (
                    name,
                    at,
                    value,
                    meaning,
                )
                n_said += 1
    assert n_said > 40, "the meanings are not understood"

    trace = Trace(data)
    events = list(decode.Player(trace, True).events())
    who = {"pid": 42, "tid": 42, "addr": "0x5555000012a0", "size": 100, "alloc": 1, "stack": 0}
    assert events == [
        {"event": 0, "time_ns": 1024, "op": "malloc", **who},
        {"event": 1, "time_ns": 2560, "op": "free", **who},
    ], events
    assert not trace.damage and not trace.truncated and trace.tables.facts["Tool"] == b"hand"
    print("%d rows, %d bytes, %d fields with names" % (len(rows), len(data), n_said))


# ---- recordings ----
def recorded(bin_dir, work_dir, *command):
    msdump, path = os.path.join(bin_dir, "msdump"), os.path.join(work_dir, "recorded.mst")
    os.makedirs(work_dir, exist_ok=True)
    options = ["--sample=10ms"] if "--" in command else ["--sample=10ms", "--"]
    subprocess.run(
        [os.path.join(bin_dir, "msrecord"), "-q", "-f", "-o", path, *options, *command],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    n, status = compare_events(msdump, path)
    assert status == 0 and n > 1000, "%d events, exit status %d" % (n, status)
    if n < 100_000:
        compare_events(msdump, path, "--stacks")
    n_samples, _ = compare_events(msdump, path, "--samples")
    assert n_samples > 0, "no samples"
    assert compare_verdict(msdump, path), "the recording is not found sound"
    compare_tables(msdump, path)
    print("%d events in %d bytes" % (n, os.path.getsize(path)))


if __name__ == "__main__":
    {"corpus": corpus, "damage": damage, "smallest": smallest, "recorded": recorded}[sys.argv[1]](
        *sys.argv[2:]
    )
