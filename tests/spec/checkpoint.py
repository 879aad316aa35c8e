"""The checkpoint: FORMAT.md §6.5 to §6.7. What lived, in the heap and in pools, and what was mapped when the events of the
file begin."""
import collections
import struct

from frames import M32, MAX_ID, MAX_PROCESS, Cursor, Damage, demand, unzigzag

Place = collections.namedtuple(
    "Place",
    "event alloc time live_blocks live_bytes alloc_bytes lost_events frees failed peak_bytes peak_event peak_time",
)
Block = collections.namedtuple("Block", "ordinal addr size stack thread time op")
Region = collections.namedtuple("Region", "event start size peak time stack file prot bits pieces")
CONTINUES = 1 << 5


class Checkpoint:
    """Its parts put together: where it is (None: there is none), and the blocks. Those of a pool are one like it, in `pools`;
    what processes had mapped is in `spaces`."""

    def __init__(self):
        self.place, self.blocks, self.next_block, self.has_gap = None, [], 0, False
        self.pools, self.last_pool = {}, None
        self.spaces, self.last_space, self.lacks_rows = {}, None, False

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

    def take_pool(self, f, payload):
        """§6.6"""
        demand(len(f.extension) >= 112, "an extension too short")
        (pool,) = struct.unpack("<I", f.extension[108:112])
        demand(1 <= pool <= MAX_ID, "a pool without a name")
        known = self.pools.get(pool, Checkpoint())
        demand(not self.place or known.header(f)[0].event == self.place.event, "of another checkpoint")
        known.take(f, payload)
        self.pools[pool] = known

    def take_space(self, f, payload):
        """§6.7"""
        demand(len(f.extension) >= 56, "an extension too short")
        event, peak, peak_time, own_peak, own_time, n_rows, first, process = struct.unpack("<5Q3I", f.extension[:52])
        demand(max(event, peak, peak_time, own_peak, own_time) < 2**63, "a number out of range")
        demand(1 <= process <= MAX_PROCESS and f.n_items <= 65536, "a number out of range")
        demand(first + f.n_items <= n_rows, "more rows than there are")
        demand(not self.place or event == self.place.event, "of another checkpoint")
        rows = read_regions(Cursor(payload), f.n_items)
        n_before, so_far = self.spaces.get(process, (n_rows, []))
        if process != self.last_space:
            self.end_space()
            so_far = []
        demand(n_before == n_rows and first >= len(so_far), "parts that do not agree")
        self.lacks_rows |= first != len(so_far)
        self.last_space, self.spaces[process] = process, (n_rows, so_far + rows)

    def end_space(self):
        if self.last_space is not None:
            n_rows, rows = self.spaces[self.last_space]
            self.lacks_rows |= len(rows) != n_rows

    def next_pool_block(self):
        """The ordinal that the next block of a pool must have; None: any."""
        return max((p.place.alloc for p in self.pools.values()), default=None)

    def dropped(self):
        """The number of events before it."""
        return self.place.event if self.place else 0

    def is_whole(self):
        p = self.place
        self.end_space()
        if self.lacks_rows or not all(pool.is_whole() for pool in self.pools.values()):
            return False
        return not p or (
            not self.has_gap
            and len(self.blocks) == p.live_blocks
            and sum(b.size for b in self.blocks) == p.live_bytes
        )


def running(c, n):
    """A column of deltas, each to the value before."""
    values, last = [], 0
    for u in c.varints(n):
        last = (last + unzigzag(u)) % 2**64
        values.append(last)
    return values


def read_regions(c, n):
    """The payload of a SPACE frame."""
    event, start, size, peak, time = running(c, n), running(c, n), c.varints(n), c.varints(n), running(c, n)
    stack, file, prot, bits = c.varints(n, 0, M32), c.varints(n, 0, MAX_ID), c.varints(n, 0, M32), c.take(n)
    counts = c.varints(n, 1, 65536)
    demand(max(event + time, default=0) < 2**63 and sum(counts) <= 65536, "a region out of range")
    demand(all(a + b < 2**64 for a, b in zip(start, size)), "a region out of range")
    total = sum(counts)
    deltas, sizes, events = c.varints(total), c.varints(total, 1), c.varints(total, 0, 2**63 - 1)
    c.finish()
    pieces, end = [], 0
    for delta, length, put in zip(deltas, sizes, events):
        begin = (end + unzigzag(delta)) % 2**64
        end = begin + length
        demand(end < 2**64, "a piece out of range")
        pieces.append((begin, end, put))
    ordered = sorted(pieces)
    demand(all(a[1] <= b[0] for a, b in zip(ordered, ordered[1:])), "pieces that overlap")
    rows = []
    for row in zip(event, start, size, peak, time, stack, file, prot, bits, counts):
        rows.append(Region(*row[:-1], pieces[: row[-1]]))
        del pieces[: row[-1]]
    return rows
