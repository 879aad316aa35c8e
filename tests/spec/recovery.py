"""The file: FORMAT.md §2 and §11. Finds all frames that can be used, and names and counts what is missing."""
import collections
import re
import struct

from checkpoint import Checkpoint
from event_frame import EventFrame, event_header
from frames import (
    CHECKPOINT,
    CODE,
    CRITICAL,
    END,
    EVT,
    HEADER,
    INDEX,
    API,
    LOSS,
    MAP,
    REGION,
    MODULE,
    POOL,
    PROC,
    REFUSE,
    SAMPLE,
    SPACE,
    STACK,
    STRING,
    SYM,
    SYNC,
    THREAD,
    Damage,
    Unsupported,
    decompress,
    demand,
    intact_header,
    xxh3,
)
import samples
from tables import Tables

NOT_ZERO = re.compile(rb"[^\0]")
Place = collections.namedtuple(
    "Place", "event alloc time live_blocks live_bytes bytes_before"
)  # between two event frames


def place_behind(f, e):
    """§6.1: what the next event frame must start with."""
    return Place(
        e.first_event + f.n_items,
        e.first_alloc + e.n_alloc,
        e.time_last << e.time_shift,
        e.live_blocks + e.n_alloc - e.n_free + e.n_unowned,
        e.live_bytes + e.alloc_bytes - e.freed_bytes,
        e.bytes_before + e.alloc_bytes,
    )


class Trace:
    """The intact frames of a file, its dictionaries, and what is wrong with it."""

    def __init__(self, data):
        self.data, self.damage, self.tables, self.samples = data, [], Tables(), []
        self.frames, self.event_frames, self.indexes, self.end = [], [], {}, None
        self.checkpoint = Checkpoint()
        self.unusable, self.n_events, self.lost_events, self.uncertain_blocks = set(), 0, 0, 0
        self.sums = collections.Counter()  # over all events, for --check
        first = self.find_header(0, None)
        if first is None:
            raise Unsupported("not a trace")
        self.file_id = intact_header(data, first).file_id
        self.truncated = True  # until an END frame is the last thing that was read
        self.scan()
        if not self.frames:
            raise Unsupported("nothing in it is intact")

    def report(self, offset, length, what):
        self.damage.append({"offset": offset, "length": length, "what": what})

    def gap(self, start, end, what):
        self.report(start, end - start, what)
        self.truncated = True

    def is_header_at(self, offset):
        f = intact_header(self.data, offset)
        return f is not None and f.file_id == self.file_id

    def find_header(self, offset, file_id):
        """The next offset with an intact header (of the file, if that is known), or None."""
        while (offset := self.data.find(SYNC, offset)) >= 0:
            f = intact_header(self.data, offset)
            if f and file_id in (None, f.file_id):
                return offset
            offset += 1
        return None

    def is_payload_intact(self, f):
        return (
            f.pad_at <= len(self.data)
            and xxh3(self.data[f.payload_at : f.pad_at], f.file_id) == f.payload_hash
        )

    def payload(self, f):
        return decompress(f.codec, self.data[f.payload_at : f.pad_at], f.raw_len)

    def scan(self):  # §11
        offset, size, expected, has_gap = 0, len(self.data), 0, False
        while offset < size:
            f = intact_header(self.data, offset)
            is_ours = f and f.file_id == self.file_id
            if f and self.is_payload_intact(f):
                offset = min(f.end, size)
                if not is_ours:  # 3
                    self.gap(f.offset, offset, "a frame of another trace")
                    continue
                if any(self.data[f.pad_at : f.end]):  # 5
                    offset = self.find_header(f.pad_at, self.file_id) or size
                    self.gap(f.pad_at, offset, "padding that is not zero")
                if f.seq < expected:  # 6
                    self.report(f.offset, offset - f.offset, "a frame stands here a second time, or too late")
                    continue
                if f.seq > expected and not has_gap:  # 7
                    behind = intact_header(self.data, f.end)
                    if behind and behind.file_id == self.file_id and expected <= behind.seq < f.seq:
                        self.report(f.offset, offset - f.offset, "a frame stands here too early")
                        continue
                    self.report(f.offset, 0, "frames are missing before this one")
                expected, has_gap = f.seq + 1, False
                self.use(f)
                continue
            if not f and not NOT_ZERO.search(self.data, offset):  # 2
                self.gap(offset, size, "nothing but zeros to the end of the file")
                return
            if is_ours and (f.end == size or self.is_header_at(f.end)):  # 4
                following, what = f.end, "payload checksum mismatch"
            else:
                following = self.find_header(offset + 1, self.file_id) or size
                what = "a frame that is cut or damaged" if is_ours else "no intact frame header"
            self.gap(offset, following, what)
            if is_ours and not has_gap and f.seq == expected:  # 8: the header tells what is lost
                expected += 1
                self.event_frames += [f] if f.kind == EVT else []
                if f.kind == CHECKPOINT and not self.event_frames:
                    self.checkpoint.try_place(f)
                self.unusable.add(f.seq)
            else:
                has_gap = True
            offset = following

    def use(self, f):
        """Read an intact frame in its place; event frames are only noted."""
        if f.flags & REFUSE:  # §3.2
            raise Unsupported("a frame with flags that this program does not know and needs")
        if not 1 <= f.kind <= SPACE and f.flags & CRITICAL:
            raise Unsupported("a frame of a kind that this program does not know and needs")
        self.frames.append(f)
        self.truncated = f.kind != END
        try:
            if f.kind == EVT:
                self.event_frames.append(f)
            elif f.kind == CHECKPOINT and not self.event_frames:
                self.checkpoint.take(f, self.payload(f))
            elif f.kind == POOL and not self.event_frames:
                self.checkpoint.take_pool(f, self.payload(f))
            elif f.kind == SPACE and not self.event_frames:
                self.checkpoint.take_space(f, self.payload(f))
            elif f.kind in (HEADER, PROC, THREAD, MODULE, STRING, STACK, LOSS, SYM, CODE, API, MAP, REGION):
                self.tables.read(f.kind, f.n_items, self.payload(f))
            elif f.kind == SAMPLE:
                self.samples += samples.read(self.payload(f), f.n_items)
            elif f.kind == INDEX:
                self.indexes[f.offset] = f
            elif f.kind == END:
                demand(len(f.extension) >= 104 and not f.raw_len, "an end frame too short")
                self.end = f
        except Damage as damage:
            self.spoil(f, damage)

    def spoil(self, f, damage):
        self.report(f.offset, f.end - f.offset, str(damage))
        self.frames = [g for g in self.frames if g is not f]
        self.unusable.add(f.seq)

    def end_totals(self):  # §9
        names = "index events allocs frees failed lost_events lost_bytes duration live_blocks live_bytes alloc_bytes overlaps exit_status end_flags"
        return (
            dict(zip(names.split(), struct.unpack("<12QiI", self.end.extension[:104]))) if self.end else None
        )

    def decoded(self):
        """Each event frame that can be used, as (Frame, EventFrame), counting what is missing."""
        c = self.checkpoint.place
        place = Place(*c[:6]) if c else Place(0, 1, 0, 0, 0, 0)
        if not self.checkpoint.is_whole() and not self.damage:
            self.report(0, 0, "a part of the checkpoint is missing")
        for f in self.event_frames:
            try:
                header = event_header(f)
                self.check_order(place, header)
                self.miss(place, header.first_event, header.first_alloc, header.live_blocks)
                if f.seq in self.unusable:  # its payload is lost, its header is not
                    self.lost_events += f.n_items
                    self.uncertain_blocks += header.n_free - header.n_unowned
                place = place_behind(f, header)
                if f.seq in self.unusable:
                    continue
            except Damage as damage:
                if f.seq not in self.unusable:
                    self.spoil(f, damage)
                continue
            try:
                events = EventFrame(f, self.payload(f))
            except Damage as damage:
                self.spoil(f, damage)
                self.lost_events += f.n_items
                continue
            self.n_events += f.n_items
            yield f, events
        if self.end and not self.truncated:
            totals = self.end_totals()
            self.miss(place, totals["events"], totals["allocs"] + 1, totals["live_blocks"])
            if totals["events"] < place.event:
                self.report(self.end.offset, 168, "the end frame counts fewer events than there are")

    @staticmethod
    def check_order(place, e):
        """§6.1: a frame must go on where the one before ended, or behind a gap."""
        missing = e.first_event - place.event
        demand(missing >= 0 and 0 <= e.first_alloc - place.alloc <= missing, "events or ordinals go back")
        demand(e.time_first << e.time_shift >= place.time, "time goes back")
        demand(
            missing
            or (e.live_blocks, e.live_bytes, e.bytes_before)
            == (place.live_blocks, place.live_bytes, place.bytes_before),
            "it does not go on where the frame before ended",
        )

    def miss(self, place, event, alloc, live_blocks):
        """§11, 8 and 9: what is missing between a place and the next that is known."""
        if event > place.event:
            self.lost_events += event - place.event
            self.uncertain_blocks += max(0, place.live_blocks + alloc - place.alloc - live_blocks)

    @property
    def is_incomplete(self):
        return bool(
            self.damage
            or self.truncated
            or self.lost_events
            or sum(loss.events for loss in self.tables.losses)
        )
