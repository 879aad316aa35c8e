"""What events do to the heap: FORMAT.md §7. Completes the events of a trace with what earlier ones tell."""
import collections

from event_frame import (
    BRK,
    FAILED,
    LATE,
    MADVISE,
    MAPPING,
    MMAP,
    MPROTECT,
    MREMAP,
    OPS,
    POOL,
    POOL_ALLOC,
    POOL_REALLOC,
    REALLOC_BEGIN,
    REALLOC_END,
    REALLOCS,
    RELEASES,
    SBRK,
    SIZED,
)
from frames import text

Block = collections.namedtuple("Block", "addr size process")


class Heap:
    """The blocks that have been acquired and not released by the process that acquired them, by ordinal.

    What a forked child inherits stays known when its owner has released it (§7).
    """

    def __init__(self, tables):
        self.blocks, self.last_alloc, self.inherits_below = {}, 0, {}
        self.copies = {}  # released by their owners when there had been forks
        self.forks = collections.deque(
            sorted((p.start_event, p.id) for p in tables.processes.values() if p.origin == 2)
        )

    def pass_forks(self, event):
        while self.forks and self.forks[0][0] <= event:
            self.inherits_below[self.forks.popleft()[1]] = self.last_alloc + 1

    def acquire(self, ordinal, block):
        self.blocks[ordinal], self.last_alloc = block, ordinal

    def release(self, process, ordinal):
        """The block if it is known, and "own", "inherited" or "foreign"."""
        block = self.blocks.get(ordinal)
        if block and (block.process == process or 0 in (block.process, process)):
            del self.blocks[ordinal]  # what a lost table does not tell is taken for the owner
            if self.inherits_below:
                self.copies[ordinal] = block
            return block, "own"
        if ordinal < self.inherits_below.get(process, 0):
            return block or self.copies.get(ordinal), "inherited"
        return block, "foreign"


class Player:
    """Turns the columns of event frames into what msdump prints, and adds up what --check compares."""

    def __init__(self, trace, is_check=False):
        self.is_check = is_check
        self.trace, self.tables, self.heap = trace, trace.tables, Heap(trace.tables)
        self.begin(trace.checkpoint)
        self.begun = {}  # thread -> (ordinal, block) between realloc_begin and realloc_end
        self.unowned = self.freed_bytes = 0  # in this frame
        self.last_pool_block = None if trace.checkpoint.place else 0
        if trace.checkpoint.next_pool_block():
            self.last_pool_block = trace.checkpoint.next_pool_block() - 1

    def begin(self, checkpoint):
        """§6.5: what lived before the first event."""
        place = checkpoint.place
        if not place:
            return
        for b in checkpoint.blocks:
            self.heap.acquire(b.ordinal, Block(b.addr, b.size, self.who(b.thread)[0]))
        self.heap.last_alloc = place.alloc - 1
        self.trace.sums.update(
            allocs=place.alloc - 1, frees=place.frees, alloc_bytes=place.alloc_bytes, failed=place.failed
        )

    def who(self, thread_id):
        """(process id, pid, tid) of a thread, as far as known."""
        thread = self.tables.threads.get(thread_id)
        process = self.tables.processes.get(thread.process) if thread else None
        return (
            thread.process if process else 0,
            process.pid if process else None,
            thread.tid if thread else None,
        )

    def released(self, frame, i, process):
        """(address, ordinal, size, what the release is) of the block to which event i refers."""
        ref, op, thread = frame.ref[i], frame.op[i], frame.thread[i]
        if ref is None:
            return None, None, None, "none"
        if ref[0] == "addr":
            is_release = op in RELEASES and not frame.flags[i] & FAILED
            return ref[1], None, None, "foreign" if is_release else "none"
        ordinal, kind = ref[1], "none"
        if op == REALLOC_END:
            begun, block = self.begun.pop(thread, (0, None))
            block = block if begun == ordinal else None
        else:
            block, kind = self.heap.release(process, ordinal)
            if op == REALLOC_BEGIN:
                self.begun[thread] = ordinal, block
        if (
            block is None and ordinal >= frame.header.first_alloc
        ):  # its address is in the frame itself (§6.4.6)
            block = Block(frame.addr[frame.acquirer[ordinal - frame.header.first_alloc]], None, process)
        return (block.addr, ordinal, block.size, kind) if block else (None, ordinal, None, kind)

    def event(self, frame, i):
        op, flags = frame.op[i], frame.flags[i]
        self.heap.pass_forks(frame.header.first_event + i)
        process, pid, tid = self.who(frame.thread[i])
        old_addr, old_alloc, old_size, kind = self.released(frame, i, process)
        event = {
            "event": frame.header.first_event + i,
            "time_ns": frame.time[i],
            "pid": pid,
            "tid": tid,
            "op": OPS.get(op, "op-%d" % op),
            "addr": frame.addr[i],
            "size": frame.size[i],
            "alloc": frame.alloc[i],
            "stack": frame.stack[i],
        }
        if op in REALLOCS:
            event.update(old_addr=old_addr, old_alloc=old_alloc)
        elif op in RELEASES and not flags & FAILED:
            event.update(addr=old_addr, alloc=old_alloc, size=old_size if kind == "own" else old_size or None)
        if frame.alloc[i] is not None:
            self.heap.acquire(frame.alloc[i], Block(frame.addr[i], frame.size[i], process))
        for key in ("addr", "old_addr"):
            if key in event:
                event[key] = "0x%x" % event[key] if event[key] else None
        if i in frame.mappings:
            self.mapping(event, op, frame.mappings[i], event["event"])
        if i in frame.pools:
            kind = self.pool(event, op, frame.pools[i], flags & FAILED)
        extras, failed, late = frame.extras.get(i, {}), flags & FAILED, flags & LATE
        for name, value in (
            ("align", extras.get(1)),
            ("said_size", extras.get(3) if op in SIZED else None),
            ("failed", failed and True),
            ("errno", extras.get(2)),
            ("late", late and True),
            ("foreign", kind == "foreign"),
            ("inherited", kind == "inherited"),
        ):
            if value or (name == "said_size" and value is not None):
                event[name] = value
        if i in frame.pools:
            name = self.tables.strings.get(frame.pools[i].pool)
            event["pool"] = text(name) if name else None
            return event
        self.unowned += kind in ("foreign", "inherited")
        self.freed_bytes += old_size if kind == "own" else 0
        return event

    def mapping(self, event, op, row, number):
        """What a call of the mapping layer says (§6.4.8)."""
        event.update(addr="0x%x" % row.addr if row.addr else None, size=row.length)
        if op in (MREMAP, BRK, SBRK):
            event["old_addr"] = "0x%x" % row.old_addr if row.old_addr else None
        if op == MREMAP:
            event["old_size"] = row.more
        if op in (MMAP, MPROTECT):
            event["prot"] = row.prot
        if op in (MMAP, MREMAP):
            event["flags"] = row.flags
        if op == MADVISE:
            event["advice"] = row.flags
        if op == MMAP and not row.flags & 0x20:
            name = self.tables.strings.get(row.file)
            event.update(fd=row.fd, offset=row.more, file=text(name) if name else None)
        if row.span:
            event["begun"] = max(number - row.span, 0)

    def pool(self, event, op, row, failed):
        """What a call of the pool layer says (§6.4.9), and what its release is."""
        acquires, released = op in (POOL_ALLOC, POOL_REALLOC), None
        if op == POOL_REALLOC:
            released = row.old_addr, row.old_block
        elif not acquires:
            released = row.addr, row.block
        event.update(
            addr="0x%x" % row.addr if row.addr else None,
            size=row.size if acquires else None,
            alloc=row.block or None if not failed else None,
        )
        if op == POOL_REALLOC:
            event["old_addr"] = "0x%x" % row.old_addr if row.old_addr else None
            event["old_alloc"] = (row.old_block or None) if not failed else None
        return "foreign" if not failed and released and released[0] and not released[1] else "none"

    def add_up(self, f, frame):
        sums, e, trace = self.trace.sums, frame.header, self.trace
        sums.update(
            allocs=e.n_alloc,
            frees=e.n_free,
            alloc_bytes=e.alloc_bytes,
            failed=sum(
                flags & FAILED != 0 and op not in MAPPING and op not in POOL for op, flags in zip(frame.op, frame.flags)
            ),
        )
        sums["duration"] = max(sums["duration"], *frame.time)
        sums["live_blocks"] = e.live_blocks + e.n_alloc - e.n_free + e.n_unowned
        sums["live_bytes"] = e.live_bytes + e.alloc_bytes - e.freed_bytes
        found = self.is_check and (frame.disagreement() or self.whole_disagreement(frame))
        if found:
            trace.report(f.offset, f.end - f.offset, found)

    def whole_disagreement(self, frame):
        """What holds only while nothing is lost: all ids are explained (§1), and the heap is known (§6.1)."""
        e, tables = frame.header, self.tables
        if self.trace.lost_events or self.trace.damage:
            return None
        if set(frame.thread) - tables.threads.keys() or set(frame.stack) - tables.stacks.keys() - {0, 1}:
            return "a thread or stack that is in no table"
        if {row.file for row in frame.mappings.values()} - tables.strings.keys() - {0}:
            return "a file that is in no table"
        if {row.pool for row in frame.pools.values()} - tables.strings.keys() - {0}:
            return "a pool that is in no table"
        acquired = [
            row.block
            for i, row in sorted(frame.pools.items())
            if frame.op[i] in (POOL_ALLOC, POOL_REALLOC) and not frame.flags[i] & FAILED
        ]
        expected, self.last_pool_block = self.last_pool_block, (acquired or [self.last_pool_block])[-1]
        if expected is None and acquired:  # behind a checkpoint any number may come first
            expected = acquired[0] - 1
        if acquired and acquired != list(range(expected + 1, expected + 1 + len(acquired))):
            return "blocks of pools that are not numbered one behind the other (§7.2)"
        found, stated = (self.unowned, self.freed_bytes), (e.n_unowned, e.freed_bytes)
        return (
            "blocks not owned and bytes released: %s, not %s" % (found, stated) if found != stated else None
        )

    def events(self):
        for f, frame in self.trace.decoded():
            self.unowned = self.freed_bytes = 0
            for i in range(frame.n):
                yield self.event(frame, i)
            self.add_up(f, frame)
