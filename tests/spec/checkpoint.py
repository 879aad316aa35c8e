"""The checkpoint: FORMAT.md §6.5. What lived when the events of the file begin."""
import collections
import struct

from frames import M32, Cursor, Damage, demand, unzigzag

Place = collections.namedtuple(
    "Place",
    "event alloc time live_blocks live_bytes alloc_bytes lost_events frees failed peak_bytes peak_event peak_time",
)
Block = collections.namedtuple("Block", "ordinal addr size stack thread time op")


class Checkpoint:
    """Its parts put together: where it is (None: there is none), and the blocks."""

    def __init__(self):
        self.place, self.blocks, self.next_block, self.has_gap = None, [], 0, False

    def header(self, f):
        """(place, number of the first block, unit of time) as the header of a part says."""
        demand(len(f.extension) >= 112, "an extension too short")
        event, alloc, time, blocks, size, lost, acquired, frees, failed, peak, peak_event, peak_time, first, shift = (
            struct.unpack("<13QB", f.extension[:105])
        )
        p = Place(event, alloc, time, blocks, size, acquired, lost, frees, failed, peak, peak_event, peak_time)
        demand(max(event, time, size, lost, acquired, peak, peak_time) < 2**63, "a number out of range")
        demand(1 <= alloc <= min(2**40, event + 1) and blocks < alloc and size <= acquired, "counts that do not fit")
        demand(max(frees, failed) <= event and shift <= 30, "counts that do not fit")
        demand(f.n_items <= 65536 and first + f.n_items <= blocks, "more blocks than there are")
        demand(self.place in (None, p), "parts that do not agree")
        return p, first, shift

    def try_place(self, f):
        """The payload of f is lost; its header may tell the place."""
        try:
            self.place = self.header(f)[0]
        except Damage:
            pass

    def take(self, f, payload):
        self.place, first, shift = self.header(f)
        n, c = f.n_items, Cursor(payload)
        columns = [c.varints(n, 1, 2**40)] + [c.varints(n) for _ in range(5)] + [c.take(n), c.take(n)]
        c.finish()
        for k in (1, 3, 5):
            columns[k] = [unzigzag(u) for u in columns[k]]
        rows, ordinal, addr, stack, time = [], 0, 0, 0, 0
        for step, to_addr, size, to_stack, thread, to_time, op, align in zip(*columns):
            ordinal, addr = ordinal + step, (addr + to_addr) % 2**64
            stack, time = (stack + to_stack) % 2**64, (time + to_time) % 2**64
            demand(size < 2**63 and max(stack, thread) <= M32, "a block out of range")
            demand(time << shift < 2**63 and 1 <= op <= 63 and align <= 32, "a block out of range")
            rows.append(Block(ordinal, addr, size, stack, thread, time << shift, op))
        demand(ordinal < self.place.alloc, "a block of the future")
        demand(sum(b.size for b in rows) <= self.place.live_bytes, "blocks too large")
        demand(first >= self.next_block, "parts that overlap")
        demand(not (rows and self.blocks) or rows[0].ordinal > self.blocks[-1].ordinal, "blocks not in order")
        self.has_gap |= first != self.next_block
        self.next_block = first + n
        self.blocks += rows

    def dropped(self):
        """The number of events before it."""
        return self.place.event if self.place else 0

    def is_whole(self):
        p = self.place
        return not p or (
            not self.has_gap
            and len(self.blocks) == p.live_blocks
            and sum(b.size for b in self.blocks) == p.live_bytes
        )
