"""Event frames: FORMAT.md §6. One frame's payload in, one list per field out."""
import collections
import struct

from frames import M32, M64, Cursor, Unsupported, column_of_varints, decompress, demand, unzigzag

OPS = {
    1: "malloc",
    2: "calloc",
    3: "realloc",
    4: "reallocarray",
    5: "posix_memalign",
    6: "aligned_alloc",
    7: "memalign",
    8: "valloc",
    9: "pvalloc",
    10: "free",
    11: "free_sized",
    12: "free_aligned_sized",
    13: "cfree",
    14: "realloc_free",
    15: "realloc_begin",
    16: "realloc_end",
    17: "new",
    18: "new_array",
    19: "new_nothrow",
    20: "new_array_nothrow",
    21: "delete",
    22: "delete_array",
    23: "delete_sized",
    24: "delete_array_sized",
    32: "mmap",
    33: "munmap",
    34: "mremap",
    35: "brk",
    36: "sbrk",
    37: "madvise",
    38: "mprotect",
    48: "pool_alloc",
    49: "pool_free",
    50: "pool_realloc",
    51: "pool_realloc_free",
}
ACQUIRES = {*range(1, 10), 16, *range(17, 21)}  # §6.2
RELEASES = {3, 4, *range(10, 16), *range(21, 25)}
SIZED = {11, 12, 23, 24}
REFERS = RELEASES | {16}  # §6.4.5
MAPPING = range(32, 48)  # §6.2: the mapping layer
POOL = range(48, 64)  # §6.2: the pool layer
POOL_ALLOC, POOL_FREE, POOL_REALLOC, POOL_REALLOC_FREE = range(48, 52)
MMAP, MREMAP, BRK, SBRK, MADVISE, MPROTECT = 32, 34, 35, 36, 37, 38
REALLOC_BEGIN, REALLOC_END = 15, 16
REALLOCS = {3, 4, 16}
LATE, FAILED = 64, 128
EVT_FIELDS = (
    "first_event first_alloc time_base time_first time_last live_blocks live_bytes lost_events bytes_before alloc_bytes freed_bytes"
    " n_alloc n_free n_unowned n_late n_threads time_shift"
)
EventHeader = collections.namedtuple("EventHeader", EVT_FIELDS)
MappingRow = collections.namedtuple("MappingRow", "addr length old_addr more prot flags fd file span")
PoolRow = collections.namedtuple("PoolRow", "pool addr size block old_addr old_block")
KNOWN_COLUMNS = range(1, 20)
(
    C_THREAD,
    C_RUN_SLOT,
    C_RUN_LENGTH,
    C_SITE_CODE,
    C_SITE_INDEX,
    C_SITE_OP,
    C_SITE_STACK,
    C_TIME_SMALL,
    C_TIME_LARGE,
    C_SIZE,
    C_REF,
    C_REF_CROSS,
    C_REF_OLD,
    C_REF_ADDR,
    C_ADDR_CODE,
    C_ADDR_ESCAPE,
    C_EXTRA,
    C_MAPPING,
    C_POOL,
) = KNOWN_COLUMNS


def event_header(frame):
    """§6.1, what a frame can say of itself alone."""
    demand(len(frame.extension) >= 112, "an extension too short")
    e = EventHeader(*struct.unpack("<11Q5IB", frame.extension[:109]))
    n = frame.n_items
    demand(1 <= n <= 65536 and frame.codec == 0, "an event frame out of range")
    demand(
        e.first_event < 2**63 - n and 1 <= e.first_alloc <= 2**40,
        "a number of an event or block out of range",
    )
    demand(e.time_shift <= 30 and e.time_first <= e.time_last < 2**63 >> e.time_shift, "times out of range")
    demand(
        e.n_alloc <= n and e.n_unowned <= e.n_free <= n and e.n_late <= n and 1 <= e.n_threads <= n,
        "counts out of range",
    )
    demand(e.live_bytes < 2**63, "live bytes out of range")
    demand(
        e.live_blocks + e.n_alloc >= e.n_free - e.n_unowned and e.live_bytes + e.alloc_bytes >= e.freed_bytes,
        "a heap of less than nothing",
    )
    return e


def columns_of(frame, payload):
    """§6.4: column id -> bytes, and the encoding of TIME_SMALL."""
    c = Cursor(payload)
    (count,) = c.fixed("I")
    demand(count <= 255, "too many columns")
    directory = [c.fixed("BBBBII") for _ in range(count)]
    demand(all(a[0] < b[0] for a, b in zip(directory, directory[1:])), "columns out of order")
    demand(all(entry[5] for entry in directory), "an empty column")
    demand(sum(entry[5] for entry in directory) <= 128 * frame.n_items + 65536, "columns too large")
    columns, bits = collections.defaultdict(bytes), 0
    for column, encoding, codec, flags, stored_len, raw_len in directory:
        stored = c.take(stored_len)
        if column not in KNOWN_COLUMNS:
            if flags & 1:
                raise Unsupported("a column that this program does not know and needs")
            continue
        if encoding not in ((2, 4, 8) if column == C_TIME_SMALL else (0,)):
            raise Unsupported("an encoding that this program does not know")
        columns[column] = decompress(codec, stored, raw_len)
        bits = encoding if column == C_TIME_SMALL else bits
    c.finish()
    return columns, bits


class Column:
    """The values of a column, used one by one and all of them."""

    def __init__(self, name, values):
        self.name, self.values, self.used = name, values, 0

    def next(self):
        demand(self.used < len(self.values), "column %s is too short" % self.name)
        self.used += 1
        return self.values[self.used - 1]

    def finish(self):
        demand(self.used == len(self.values), "column %s is too long" % self.name)


def size_class(size):
    """§6.4.6: c(size), and the number of its list."""
    c = 32 if size <= 24 else (size + 23) & ~15
    return c, 1023 if size >= 16360 else c // 16


class EventFrame:
    """The columns of a frame, turned into one list per field, in total order.

    thread, op, flags, stack, time (ns), size (None: has none), alloc (None: acquires nothing), addr (acquired),
    ref: None, ("block", ordinal) or ("addr", address); extras: {event: {kind: value}}
    """

    def __init__(self, frame, payload):
        self.n, self.header = frame.n_items, event_header(frame)
        self.columns, self.time_bits = columns_of(frame, payload)
        self.threads()
        self.sites()
        self.times()
        self.sizes()
        self.references()
        self.addresses()
        self.read_extras()
        self.read_mappings()
        self.read_pools()
        demand(self.header.n_alloc == len(self.acquirer), "acquisitions are not as many as the header says")

    def column(self, column, name):
        return Column(name, column_of_varints(self.columns[column]))

    def octets(self, column, name, n):
        data = self.columns[column]
        demand(len(data) == n, "column %s is not of %d bytes" % (name, n))
        return data

    def threads(self):  # §6.4.1
        ids = self.column(C_THREAD, "THREAD").values
        demand(1 <= len(ids) <= self.n and all(1 <= i <= M32 for i in ids), "threads out of range")
        slots, lengths = (
            self.column(C_RUN_SLOT, "RUN_SLOT").values,
            self.column(C_RUN_LENGTH, "RUN_LENGTH").values,
        )
        if len(ids) == 1:
            demand(not slots and not lengths, "runs of a single thread")
            slots, lengths = [0], [self.n - 1]
        demand(
            len(slots) == len(lengths) and sum(lengths) + len(lengths) == self.n,
            "runs do not sum up to the events",
        )
        demand(max(slots) < len(ids), "a run of an unknown thread")
        self.slot = [slot for slot, length in zip(slots, lengths) for _ in range(length + 1)]
        self.thread = [ids[slot] for slot in self.slot]
        self.by_thread = [[] for _ in ids]  # thread order
        for event, slot in enumerate(self.slot):
            self.by_thread[slot].append(event)
        self.n_threads = len(ids)

    def thread_order(self):
        return (event for events in self.by_thread for event in events)

    def sites(self):  # §6.4.2
        codes = self.octets(C_SITE_CODE, "SITE_CODE", self.n)
        index, ops = self.column(C_SITE_INDEX, "SITE_INDEX"), self.columns[C_SITE_OP]
        n_sites = codes.count(5)
        self.octets(C_SITE_OP, "SITE_OP", n_sites)
        deltas = self.column(C_SITE_STACK, "SITE_STACK").values
        demand(len(deltas) == n_sites, "column SITE_STACK is not as long as there are sites")
        stacks, stack = [], 0
        for delta in deltas:
            stack += unzigzag(delta)
            demand(0 <= stack <= M32, "a stack id out of range")
            stacks.append(stack)
        demand(all(op & 63 for op in ops), "an op of 0")

        pair_first, pair_second = [0] * 16384, [0] * 16384
        last_first, last_second = [0] * max(n_sites, 1), [0] * max(n_sites, 1)
        self.site, self.by_site, met, position = [0] * self.n, [[] for _ in range(n_sites)], 0, 0
        for events in self.by_thread:
            s1 = s2 = 0
            for event in events:
                h = ((s1 * 0x9E3779B1 + s2 * 0x85EBCA6B) & M32) >> 18
                code = codes[position]
                position += 1
                if code == 0:
                    site = pair_first[h]
                elif code == 1:
                    site = pair_second[h]
                elif code == 2:
                    site = last_first[s1]
                elif code == 3:
                    site = last_second[s1]
                elif code == 4:
                    site = met - 1 - index.next()
                else:
                    demand(code == 5, "a site code out of range")
                    site = met
                    met += 1
                demand(0 <= site < met, "a site before it was met")
                if pair_first[h] != site:
                    pair_first[h], pair_second[h] = site, pair_first[h]
                if last_first[s1] != site:
                    last_first[s1], last_second[s1] = site, last_first[s1]
                s1, s2 = site, s1
                self.site[event] = site
                self.by_site[site].append(event)
        index.finish()
        for events in self.by_site:  # site order: within a site, total order
            events.sort()
        self.op = [ops[site] & 63 for site in self.site]
        self.flags = [ops[site] & (LATE | FAILED) for site in self.site]
        self.stack = [stacks[site] for site in self.site]

    def site_order(self):
        return (event for events in self.by_site for event in events)

    def times(self):  # §6.4.3
        e, bits = self.header, self.time_bits
        small = self.columns[C_TIME_SMALL]
        demand(bits and len(small) == (self.n * bits + 7) // 8, "column TIME_SMALL is of a wrong length")
        large, escape, per_byte = self.column(C_TIME_LARGE, "TIME_LARGE"), (1 << bits) - 1, 8 // bits
        difference = [0] * self.n
        for i, event in enumerate(self.site_order()):
            value = small[i // per_byte] >> i % per_byte * bits & escape
            difference[event] = value if value < escape else escape + large.next()
        large.finish()
        self.time, before = [], e.time_base
        for event in range(self.n):
            is_late = self.flags[event] & LATE
            time = before + (unzigzag(difference[event]) if is_late else difference[event])
            demand(0 <= time < 2**63 >> e.time_shift, "a time out of range")
            self.time.append(time << e.time_shift)
            before = before if is_late else time

    def sizes(self):  # §6.4.4
        column = self.column(C_SIZE, "SIZE")
        self.size = [None] * self.n
        for event in self.site_order():
            if self.flags[event] & FAILED or self.op[event] in ACQUIRES:
                self.size[event] = column.next()
        column.finish()

    def references(self):  # §6.4.5
        e = self.header
        self.alloc, acquired_before, n_acquired = [None] * self.n, [0] * self.n, 0
        for event in range(self.n):
            acquired_before[event] = n_acquired
            if self.op[event] in ACQUIRES and not self.flags[event] & FAILED:
                self.alloc[event] = e.first_alloc + n_acquired
                n_acquired += 1
        self.acquirer = [event for event in range(self.n) if self.alloc[event] is not None]

        codes, column = [0] * self.n, self.column(C_REF, "REF")
        for event in self.site_order():
            if self.op[event] in REFERS:
                codes[event] = column.next()
        column.finish()

        cross, old, addr = (
            self.column(C_REF_CROSS, "REF_CROSS"),
            self.column(C_REF_OLD, "REF_OLD"),
            self.column(C_REF_ADDR, "REF_ADDR"),
        )
        old_at_site, last_addr = [e.first_alloc] * len(self.by_site), 0
        self.ref = [None] * self.n
        for events in self.by_thread:
            live = []  # ordinals of this thread, newest last
            for event in events:
                ref = codes[event]
                demand(ref < 2 or not self.flags[event] & FAILED, "a failed call that releases")
                if ref == 1:
                    last_addr = (last_addr + unzigzag(addr.next())) & M64
                    self.ref[event] = "addr", last_addr
                elif ref == 2:
                    ordinal = old_at_site[self.site[event]] + unzigzag(old.next())
                    demand(1 <= ordinal < e.first_alloc, "an earlier block out of range")
                    old_at_site[self.site[event]] = ordinal
                    self.ref[event] = "block", ordinal
                elif ref == 3:
                    back = cross.next()
                    demand(back < acquired_before[event], "a block that is not acquired before")
                    self.ref[event] = "block", e.first_alloc + acquired_before[event] - 1 - back
                elif ref >= 4:
                    demand(self.op[event] in RELEASES and ref - 4 < len(live), "a rank that no block has")
                    self.ref[event] = "block", live.pop(3 - ref)
                if self.alloc[event] is not None:
                    live.append(self.alloc[event])
        for used in (cross, old, addr):
            used.finish()

    def in_frame(self, event):
        """The event of this frame that acquired the block which event releases, or None."""
        if self.ref[event] is None or self.ref[event][0] != "block" or self.op[event] not in RELEASES:
            return None
        index = self.ref[event][1] - self.header.first_alloc
        return self.acquirer[index] if index >= 0 else None

    def addresses(self):  # §6.4.6
        self.addr = [None] * self.n
        if not self.columns[C_ADDR_CODE]:
            demand(not self.columns[C_ADDR_ESCAPE], "column ADDR_ESCAPE is too long")
            return
        data, codes = self.octets(C_ADDR_CODE, "ADDR_CODE", len(self.acquirer)), [0] * self.n
        for code, event in zip(data, (e for e in self.site_order() if self.alloc[e] is not None)):
            codes[event] = code
        escape = self.column(C_ADDR_ESCAPE, "ADDR_ESCAPE")
        free, latest = collections.defaultdict(list), collections.defaultdict(int)
        bump, top = [0] * 64, [0] * 64
        for event in range(self.n):
            t, released = self.slot[event] % 64, self.in_frame(event)
            if self.alloc[event] is not None:
                c, number = size_class(self.size[event])
                stack, base, code = free[t, number], latest[t, number] or bump[t], codes[event]
                if code <= 15:
                    demand(code < len(stack), "an address out of an empty list")
                    address = stack.pop(-1 - code)
                elif code == 16:
                    address = bump[t]
                elif code == 17:
                    address = top[t]
                elif code == 18:
                    address = (base // 16 + unzigzag(escape.next())) * 16 & M64
                elif code == 19:
                    address = base + unzigzag(escape.next()) & M64
                else:
                    demand(
                        code == 20 and released is not None and self.addr[released], "an address of nothing"
                    )
                    address = self.addr[released]
                self.addr[event] = latest[t, number] = address
                bump[t] = (address + c) & M64
                top[t] = max(top[t], bump[t])
            if released is not None and self.addr[released] not in (0, self.addr[event]):
                free[t, size_class(self.size[released])[1]].append(self.addr[released])
        escape.finish()

    def read_extras(self):  # §6.4.7
        self.extras, c, event, before, rows = {}, Cursor(self.columns[C_EXTRA]), 0, (-1, 0), 0
        while not c.at_end():
            event += c.varint()
            kind, value = c.u8(), c.varint()
            rows += 1
            demand(
                event < self.n and kind and (event, kind) > before and rows <= 2 * self.n,
                "an extra fact out of order",
            )
            before = event, kind
            self.extras.setdefault(event, {})[kind] = value

    def read_mappings(self):  # §6.4.8
        self.mappings, c, last = {}, Cursor(self.columns[C_MAPPING]), 0
        if c.at_end():
            return
        for event in (i for i in range(self.n) if self.op[i] in MAPPING):
            addr = last = (last + unzigzag(c.varint())) & M64
            length, old_addr, more = c.varint(), (addr + unzigzag(c.varint())) & M64, c.varint()
            prot, flags, fd = c.varint(0, M32), c.varint(0, M32), unzigzag(c.varint(0, M32))
            self.mappings[event] = MappingRow(
                addr, length, old_addr, more, prot, flags, fd, c.varint(0, M32 - 1), c.varint(0, M32)
            )
        c.finish()

    def read_pools(self):  # §6.4.9
        self.pools, c, last_addr, last_block = {}, Cursor(self.columns[C_POOL]), 0, 0
        if c.at_end():
            return
        for event in (i for i in range(self.n) if self.op[i] in POOL):
            pool = c.varint(0, M32 - 1)
            addr = last_addr = (last_addr + unzigzag(c.varint())) & M64
            size = c.varint(0, 2**63 - 1)
            block = last_block = (last_block + unzigzag(c.varint())) & M64
            old_addr = (addr + unzigzag(c.varint())) & M64
            old_block = (block + unzigzag(c.varint())) & M64
            demand(block < 2**40 and old_block < 2**40, "a block of a pool out of range")
            self.pools[event] = PoolRow(pool, addr, size, block, old_addr, old_block)
        c.finish()

    def disagreement(self):
        """§6.1: what the header says otherwise than the payload, or None. (The frame can be used nevertheless.)"""
        e, n = self.header, range(self.n)
        held = [t >> e.time_shift for t, flags in zip(self.time, self.flags) if not flags & LATE]
        n_free = sum(
            self.op[i] in RELEASES and self.ref[i] is not None and not self.flags[i] & FAILED for i in n
        )
        found = {
            "n_free": n_free,
            "n_late": self.n - len(held),
            "n_threads": self.n_threads,
            "alloc_bytes": sum(self.size[i] for i in self.acquirer),
            "time_base": self.time[0] >> e.time_shift,
        }
        if held:
            found.update(time_first=held[0], time_last=held[-1])
        return next(
            (
                "%s is %d, not %d" % (name, value, getattr(e, name))
                for name, value in found.items()
                if value != getattr(e, name)
            ),
            None,
        )
