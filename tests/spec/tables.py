"""The dictionaries: FORMAT.md §5. Table frames in, entries by id out."""
import collections
import struct

from frames import (
    API,
    CODE,
    HEADER,
    LOSS,
    M32,
    M64,
    MAP,
    MAX_ID,
    MAX_MAP,
    MAX_PROCESS,
    MODULE,
    PROC,
    REGION,
    STACK,
    STRING,
    SYM,
    THREAD,
    Cursor,
    Unsupported,
    demand,
    unzigzag,
)

FACTS = {  # §5.1: tag -> name, layout; None is text
    0x8001: ("Version", "HHHH"),
    2: ("Time_Shift", "B"),
    3: ("Content", "I"),
    4: ("Stack_Depth", "I"),
    5: ("Start", "QQ"),
    6: ("Page_Size", "I"),
    7: ("N_Cpus", "I"),
    8: ("Tool", None),
    9: ("Host", None),
    10: ("Kernel", None),
    11: ("Arch", None),
    12: ("Clock", None),
    13: ("Cwd", None),
    14: ("Cmdline", None),
}
Process = collections.namedtuple(
    "Process",
    "id pid parent exe cmdline origin fate status start_time end_time start_event end_event lost_events lost_bytes stall_time",
)
Thread = collections.namedtuple("Thread", "id process tid name start_time end_time lost_events")
Mapping = collections.namedtuple("Mapping", "id process module start size bias load_time unload_time")
Region = collections.namedtuple("Region", "process start size prot offset name")
Loss = collections.namedtuple("Loss", "thread reason first_time last_time events bytes")
Annotation = collections.namedtuple("Annotation", "kind event time process thread name")
Module = collections.namedtuple("Module", "path build_id file_size mtime")
Symbol = collections.namedtuple("Symbol", "function file line inlined")


class Tables:
    """What the table frames of a trace say, by id."""

    def __init__(self):
        self.facts, self.strings, self.modules, self.codes, self.stacks, self.symbols = {}, {}, {}, {}, {}, {}
        self.processes, self.threads, self.maps, self.losses, self.annotations = {}, {}, {}, [], []
        self.regions = []

    def read(self, kind, n, payload):
        """Take over the n entries of a frame: all, or none and Damage."""
        c = Cursor(payload)
        if kind == HEADER:
            self.header(c, n)
            return
        demand(n <= len(payload), "more entries than bytes")
        if kind in (STRING, MODULE, CODE, STACK, SYM):
            first, entries = {
                STRING: self.string,
                MODULE: self.module,
                CODE: self.code,
                STACK: self.stack,
                SYM: self.symbol,
            }[kind](c, n)
            c.finish()
            demand(first + n - 1 <= (MAX_PROCESS if kind == MODULE else MAX_ID), "an id out of range")
            self.merge(kind, first, entries)
            return
        if kind == API:
            self.annotate(c, n)
            return
        rows = [
            {
                PROC: self.process,
                THREAD: self.thread,
                MAP: self.mapping,
                LOSS: self.loss,
                REGION: self.region,
            }[kind](c)
            for _ in range(n)
        ]
        c.finish()
        if kind in (LOSS, REGION):
            {LOSS: self.losses, REGION: self.regions}[kind].extend(rows)
        else:
            {PROC: self.processes, THREAD: self.threads, MAP: self.maps}[kind].update(
                (row.id, row) for row in rows
            )

    def merge(self, kind, first, entries):
        table = {
            STRING: self.strings,
            MODULE: self.modules,
            CODE: self.codes,
            STACK: self.stacks,
            SYM: self.symbols,
        }[kind]
        if kind == SYM:  # the last one counts; no symbols say nothing
            table.update((i, e) for i, e in enumerate(entries, first) if e)
            return
        for i, entry in enumerate(entries, first):
            demand(table.get(i, entry) == entry, "an entry differs from what was said before")
        table.update(enumerate(entries, first))

    def header(self, c, n):  # §5.1
        demand(len(c.data) <= 1 << 20, "a header too large")
        facts, seen = {}, set()
        for i in range(n):
            tag, length = c.fixed("HI")
            value = c.take(length)
            demand(tag not in seen and (i or tag == 0x8001), "a header's facts out of order")
            seen.add(tag)
            if tag not in FACTS:
                if tag & 0x8000:
                    raise Unsupported("its header has a fact that this program does not know and needs")
                continue
            name, layout = FACTS[tag]
            if layout is None:
                facts[name] = value
                continue
            demand(length >= struct.calcsize("<" + layout), "a fact too short")
            facts[name] = Cursor(value).fixed(layout)
            if name == "Version" and (facts[name][0] > 1 or facts[name][2:] > (1, 0)):
                raise Unsupported("it was written for a newer reader (§12)")
            demand(name != "Time_Shift" or facts[name][0] <= 30, "a unit of time out of range")
        c.finish()
        self.facts = self.facts or facts  # the first one counts

    @staticmethod
    def string(c, n):  # §5.2
        first, lengths = c.varint(1, MAX_ID), c.varints(n, 0, 65536)
        return first, [c.take(length) for length in lengths]

    @staticmethod
    def module(c, n):  # §5.3
        def row():
            path, build_id_len = c.varint(0, MAX_ID), c.u8()
            demand(build_id_len <= 32, "a build id too long")
            return Module(path, c.take(build_id_len), c.varint(), c.varint())

        return c.varint(1, MAX_PROCESS), [row() for _ in range(n)]

    @staticmethod
    def code(c, n):  # §5.4
        first, modules, offset, offsets = c.varint(1, MAX_ID), c.varints(n, 0, MAX_PROCESS), 0, []
        for delta in c.varints(n):
            offset = (offset + unzigzag(delta)) & M64
            offsets.append(offset)
        return first, list(zip(modules, offsets))

    @staticmethod
    def stack(c, n):  # §5.5: (parent, code)
        first, following, entries = c.varint(2, MAX_ID), c.varint(0, MAX_ID), []
        parents = c.varints(n)
        for own, k, difference in zip(range(first, first + n), parents, c.varints(n)):
            parent = k if k < 2 else own - (k - 1)
            demand(k < 2 or parent >= 2, "a stack entry's parent does not stand before it")
            code = following + unzigzag(difference)
            demand(1 <= code <= MAX_ID, "a code id out of range")
            following = max(following, code + 1)
            entries.append((parent, code))
        return first, entries

    @staticmethod
    def symbol(c, n):  # §5.10
        first, counts = c.varint(1, MAX_ID), c.varints(n, 0, 256)
        total = sum(counts)
        functions, files, lines = (
            c.varints(total, 0, MAX_ID),
            c.varints(total, 0, MAX_ID),
            c.varints(total, 0, 2 * M32 + 1),
        )
        symbols = iter(
            [Symbol(f, file, line >> 1, line & 1) for f, file, line in zip(functions, files, lines)]
        )
        return first, [[next(symbols) for _ in range(count)] for count in counts]

    @staticmethod
    def process(c):  # §5.6
        own = c.varint(1, MAX_PROCESS)
        p = Process(
            own,
            c.varint(0, M32),
            c.varint(0, own - 1),
            c.varint(0, MAX_ID),
            c.varint(0, MAX_ID),
            c.u8(),
            c.u8(),
            unzigzag(c.varint()),
            c.varint(),
            c.varint(),
            c.varint(),
            c.varint() - 1,
            c.varint(),
            c.varint(),
            c.varint(),
        )
        demand(
            1 <= p.origin <= 4 and p.fate <= 6 and -(2**31) <= p.status < 2**31, "a process out of range"
        )
        demand(p.fate or not p.end_time, "a process that has an end and has none")
        return p

    @staticmethod
    def thread(c):  # §5.7
        return Thread(
            c.varint(1, MAX_PROCESS),
            c.varint(1, MAX_PROCESS),
            c.varint(0, M32),
            c.varint(0, MAX_ID),
            c.varint(),
            c.varint() - 1,
            c.varint(),
        )

    @staticmethod
    def mapping(c):  # §5.8
        own, process, module, start = (
            c.varint(1, MAX_MAP),
            c.varint(1, MAX_PROCESS),
            c.varint(1, MAX_PROCESS),
            c.varint(),
        )
        size = c.varint(0, M64 - start)
        return Mapping(
            own,
            process,
            module,
            start,
            size,
            (start - unzigzag(c.varint())) & M64,
            c.varint(),
            c.varint() - 1,
        )

    def annotate(self, c, n):  # §5.11
        rows, last = [], self.annotations[-1].event if self.annotations else 0
        for _ in range(n):
            kind = c.varint()
            row = Cursor(c.take(c.varint()))
            if not 1 <= kind <= 3:
                continue
            a = Annotation(
                kind,
                row.varint(0, 2**63 - 1),
                row.varint(0, 2**63 - 1),
                row.varint(0, MAX_PROCESS),
                row.varint(0, MAX_PROCESS),
                row.varint(0, MAX_ID),
            )
            demand(a.event >= last, "an annotation goes back")
            last = a.event
            rows.append(a)
        c.finish()
        self.annotations += rows

    @staticmethod
    def region(c):  # §5.13
        process, start = c.varint(1, MAX_PROCESS), c.varint()
        return Region(process, start, c.varint(0, M64 - start), c.u8(), c.varint(), c.varint(0, MAX_ID))

    @staticmethod
    def loss(c):  # §5.9
        thread, reason, first = c.varint(0, MAX_PROCESS), c.varint(), c.varint()
        return Loss(thread, reason, first, first + c.varint(), c.varint(), c.varint())
