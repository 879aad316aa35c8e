#!/usr/bin/env python3
"""A second decoder of .mst traces, written from spec/FORMAT.md alone; § marks its sections.

  decode.py TRACE            every event as a JSON line, with the keys and values of msdump
  decode.py --stacks TRACE   the same with the functions of each call stack
  decode.py --tables TRACE   the header's facts and all dictionaries, one JSON object
  decode.py --samples TRACE  the samples as JSON lines, as msdump --samples
  decode.py --check TRACE    every rule of the format: each damaged place as a JSON line, then a summary

"-" reads standard input. Exit status: 0 all is well, 1 --check found damage, 2 not a trace or one for a newer reader,
3 events printed, but some are missing.

It proves that the specification suffices, and shows how to read the format; read it in this order:

  frames.py       §1, §3: numbers, frames, hashes
  tables.py       §5: dictionaries
  samples.py      §5.12: measurements
  event_frame.py  §6: the columns of an event frame, turned into lists
  recovery.py     §2, §11: all frames of a file, damaged or not
  checkpoint.py   §6.5 to §6.7: what lived and was mapped before the first event
  heap.py         §7: what the events do to the heap
  decode.py       §8, §9: index and totals; output

Plainness comes before speed.
"""
import collections
import json
import mmap
import struct
import sys

sys.dont_write_bytecode = True
from event_frame import event_header
from frames import END, EVT, INDEX, M32, NONE, Cursor, Damage, Unsupported, demand, text
from heap import Player
from recovery import Trace
from samples import FIELDS
from tables import Symbol


# ---- --check: §8, §9 ----
def check_index(trace, f):
    """§8: the entries of an INDEX frame are sound in themselves and, in a whole file, describe what stands before it."""
    demand(len(f.extension) >= 8 and f.n_items <= 65536, "an index out of range")
    c, rows = Cursor(trace.payload(f)), []
    end = seq = event = last = 0
    for _ in range(f.n_items):
        kind, n_items = c.u8(), c.varint(0, M32)
        start = end + c.varint()
        end = start + c.varint(64, 8454400)
        number = seq + c.varint()
        seq, row = number + 1, (kind, n_items, start, end, number)
        if kind == EVT:
            first_event = event + c.varint()
            time_first = last + c.varint()
            event, last = first_event + n_items, time_first + c.varint()
            row += first_event, time_first, last
        demand(max(end, seq, event, last) < 2**63 and end <= f.offset, "index entries out of range")
        rows.append(row)
    c.finish()
    (previous,) = struct.unpack("<Q", f.extension[:8])
    if previous != NONE:
        demand(previous < f.offset and previous in trace.indexes, "an index that goes on nowhere")
        demand(trace.indexes[previous].n_items == 65536, "an index that is not full before another one")
        rows = check_index(trace, trace.indexes[previous]) + rows
    return rows


def index_row(f):
    row = f.kind, f.n_items, f.offset, f.end, f.seq
    if f.kind == EVT:
        e = event_header(f)
        row += e.first_event, e.time_first << e.time_shift, e.time_last << e.time_shift
    return row


def check(trace):
    """Report what is against the rules in a file that may be read nevertheless."""
    is_whole = not trace.damage
    for f in trace.indexes.values():
        try:
            rows = check_index(trace, f)
            described = [
                index_row(g) for g in trace.frames if g.offset < f.offset and g.kind not in (INDEX, END)
            ]
            demand(not is_whole or rows == described, "an index of other frames")
        except Damage as damage:
            trace.report(f.offset, f.end - f.offset, str(damage))
    if trace.end and is_whole:
        totals, sums, losses = trace.end_totals(), trace.sums, trace.tables.losses
        sums.update(
            events=trace.checkpoint.dropped() + trace.n_events,
            lost_events=sum(l.events for l in losses),
            lost_bytes=sum(l.bytes for l in losses),
        )
        for name in (
            "events",
            "allocs",
            "frees",
            "failed",
            "lost_events",
            "lost_bytes",
            "duration",
            "live_blocks",
            "live_bytes",
            "alloc_bytes",
        ):
            if totals[name] != sums[name]:
                trace.report(
                    trace.end.offset,
                    168,
                    "the end frame says %d %s, not %d" % (totals[name], name, sums[name]),
                )
        if totals["index"] != NONE and totals["index"] not in trace.indexes:
            trace.report(trace.end.offset, 168, "an end frame that leads to no index")


# ---- output ----
def line(event):
    return json.dumps(
        {k: str(v) if type(v) is int and v > 2**53 else v for k, v in event.items()}, separators=(",", ":")
    )


def annotation(tables, a):
    """§5.11: a mark, pause or resume as an object."""
    process, thread = tables.processes.get(a.process), tables.threads.get(a.thread)
    plain = {
        "annotation": ("mark", "pause", "resume")[a.kind - 1],
        "before_event": a.event,
        "time_ns": a.time,
        "pid": process.pid if process and process.pid else None,
        "tid": thread.tid if thread and thread.tid else None,
    }
    return {**plain, "name": text(tables.strings.get(a.name, b""))} if a.kind == 1 else plain


def annotated(trace, events):
    """The events, and the annotations in their places among them."""
    waiting = collections.deque(trace.tables.annotations)
    for event in events:
        while waiting and waiting[0].event <= event["event"]:
            yield annotation(trace.tables, waiting.popleft())
        yield event
    for a in waiting:
        yield annotation(trace.tables, a)


class Namer:
    """The functions of call stacks."""

    def __init__(self, tables):
        self.tables, self.known = tables, {}

    def string(self, i):
        return text(self.tables.strings.get(i, b"")) or None

    def frames_at(self, code):
        t = self.tables
        module, offset = t.codes.get(code, (0, 0))
        path = self.string(t.modules[module].path) if module in t.modules else None
        if code in t.codes and module == 0:
            path = "[jit]"  # as the tools call what is in no module
        frames = []
        for s in t.symbols.get(code) or [Symbol(0, 0, 0, 0)]:
            frame = {
                "function": self.string(s.function),
                "file": self.string(s.file),
                "line": s.line or None,
                "module": path,
                "inlined": bool(s.inlined),
            }
            frames.append(frame if frame["function"] or not offset else {**frame, "offset": "0x%x" % offset})
        return frames

    def stack(self, i):
        """(frames, whether callers are missing)"""
        if i not in self.known:
            frames, walk = [], i
            while walk in self.tables.stacks:
                walk, code = self.tables.stacks[walk]
                frames += self.frames_at(code)
            self.known[i] = frames, walk != 0
        return self.known[i]


def tables_object(trace):
    """Everything the dictionaries hold, with text for bytes."""

    def plain(value):
        if isinstance(value, bytes):
            return text(value)
        if hasattr(value, "_asdict"):
            return {k: plain(v) if k != "build_id" else v.hex() for k, v in value._asdict().items()}
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value

    kinds = collections.Counter(f.kind for f in trace.frames)
    return {
        "frames": len(trace.frames),
        "kinds": kinds,
        "end": trace.end_totals(),
        "dropped": trace.checkpoint.dropped(),
        **{name: plain(table) for name, table in vars(trace.tables).items()},
    }


def sample_object(trace, s):
    """A sample with the keys of msdump."""
    process = trace.tables.processes.get(s.process)
    return {
        "sample": "process" if s.process else "group" if s.group else "recorder",
        "time_ns": s.time,
        "event": s.event,
        "process": s.process or None,
        "pid": process.pid if process else None,
        "group": text(trace.tables.strings.get(s.group, b"")) or None,
        "cost_ns": s.cost,
        **{FIELDS[field]: value for field, value in sorted(s.values.items()) if field in FIELDS},
    }


def run(mode, path):
    if path == "-":
        data = sys.stdin.buffer.read()
    else:
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.seek(0, 2) else b""
    trace = Trace(data)
    if mode == "--tables":
        print(json.dumps(tables_object(trace)))
        return 3 if trace.is_incomplete else 0
    namer = Namer(trace.tables)
    for event in annotated(trace, Player(trace, mode == "--check").events()):
        if "annotation" in event:
            if mode not in ("--check", "--samples"):
                print(line(event))
            continue
        if mode == "--samples":
            continue  # read for what is wrong with them
        if mode == "--stacks":
            event["frames"], is_cut = namer.stack(event["stack"])
            if is_cut:
                event["cut"] = True
        if mode != "--check":
            print(line(event))
    for sample in trace.samples if mode == "--samples" else ():
        print(line(sample_object(trace, sample)))
    if mode != "--check":
        for place in sorted(trace.damage, key=lambda d: d["offset"]):
            print(
                "decode.py: damaged at byte %(offset)d, %(length)d bytes: %(what)s" % place, file=sys.stderr
            )
        return 3 if trace.is_incomplete else 0
    check(trace)
    for place in sorted(trace.damage, key=lambda d: d["offset"]):
        print(json.dumps(place))
    is_sound = not (trace.damage or trace.truncated or trace.lost_events)
    print(
        json.dumps(
            {
                "sound": is_sound,
                "truncated": trace.truncated,
                "frames": len(trace.frames),
                "events": trace.n_events,
                "lost_events": trace.lost_events,
                "uncertain_blocks": trace.uncertain_blocks,
            }
        )
    )
    return 0 if is_sound else 1


def main(args):
    mode = args.pop(0) if args and args[0] in ("--stacks", "--tables", "--samples", "--check") else ""
    if len(args) != 1 or args[0].startswith("--"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return run(mode, args[0])
    except (Unsupported, OSError) as why:
        print("decode.py: cannot read '%s': %s" % (args[0], why), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
