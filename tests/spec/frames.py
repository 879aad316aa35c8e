"""Numbers and frames: FORMAT.md §1 and §3. What both rest on: a frame is believed only after its hashes."""
import collections
import struct

from native import unzstd, xxh3

SYNC = b"\x8aMST\r\n\x1a\n"
M32, M64 = 2**32 - 1, 2**64 - 1
MAX_RAW, MAX_STORED = 8 << 20, (8 << 20) + (64 << 10)
NONE = M64  # "none", where a u64 is an offset
MAX_ID, MAX_PROCESS, MAX_MAP = M32 - 1, 1 << 20, 1 << 24

(
    HEADER,
    PROC,
    THREAD,
    MODULE,
    STRING,
    STACK,
    EVT,
    CLOCK,
    LOSS,
    SYM,
    SAMPLE,
    INDEX,
    CODE,
    CHECKPOINT,
    END,
    API,
    METRIC,
    MAP,
    REGION,
    POOL,
    SPACE,
) = range(1, 22)
CRITICAL = 1 << 0  # §3.2
REFUSE = 0xFFFF << 16


class Damage(Exception):
    """This frame must not be used (§1)."""


class Unsupported(Exception):
    """This file needs a newer reader (§12), or is no trace."""


# ---- §1 numbers ----
def unzigzag(u):
    return (u >> 1) ^ -(u & 1)


def demand(condition, what):
    if not condition:
        raise Damage(what)


class Cursor:
    """Reads numbers from bytes, never beyond their end."""

    def __init__(self, data):
        self.data, self.pos = data, 0

    def take(self, n):
        demand(n <= len(self.data) - self.pos, "an entry goes beyond the end")
        self.pos += n
        return self.data[self.pos - n : self.pos]

    def fixed(self, layout):
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def u8(self):
        return self.take(1)[0]

    def varint(self, low=0, high=M64):
        value = shift = 0
        while True:
            demand(shift < 70, "a number of more than 10 bytes")
            byte = self.u8()
            value |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
        demand((byte or not shift) and value <= M64, "a number that is not canonical")
        demand(low <= value <= high, "a number out of range")
        return value

    def varints(self, n, low=0, high=M64):
        demand(n <= len(self.data) - self.pos, "fewer entries than stated")
        return [self.varint(low, high) for _ in range(n)]

    def at_end(self):
        return self.pos == len(self.data)

    def finish(self):
        demand(self.at_end(), "bytes behind the last entry")


def column_of_varints(data):
    if not data or max(data) < 128:
        return list(data)
    cursor, values = Cursor(data), []
    while not cursor.at_end():
        values.append(cursor.varint())
    return values


def text(data):
    """UTF-8 as it is; a byte b that is none becomes U+EF00 + b, so that nothing is lost."""
    return "".join(
        chr(0xEF00 + (ord(c) & 0xFF)) if 0xDC80 <= ord(c) <= 0xDCFF else c
        for c in data.decode("utf-8", "surrogateescape")
    )


# ---- §3 frames ----
FrameFields = collections.namedtuple(
    "FrameFields", "kind codec flags file_id stream n_items stored_len raw_len seq payload_hash"
)


class Frame(FrameFields):
    """An intact header and where its frame lies."""

    def place(self, data, offset, header_len):
        self.offset, self.payload_at = offset, offset + header_len
        self.pad_at = self.payload_at + self.stored_len
        self.end = self.payload_at + (self.stored_len + 7) // 8 * 8
        self.extension = data[offset + 56 : offset + header_len - 8]
        return self


def intact_header(data, offset):
    """The frame whose header stands at offset, or None."""
    fixed = data[offset : offset + 64]
    if len(fixed) < 64 or fixed[:8] != SYNC:
        return None
    header_len = int.from_bytes(fixed[8:10], "little")
    if not 64 <= header_len <= 256 or header_len % 8 or offset + header_len > len(data):
        return None
    f = Frame(*struct.unpack("<BBIQIIIIQQ", fixed[10:56]))
    header = data[offset : offset + header_len]
    if int.from_bytes(header[-8:], "little") != xxh3(header[:-8], f.file_id):
        return None
    if (
        not f.file_id
        or f.stored_len > MAX_STORED
        or f.seq >= 2**62 - (0 if f.kind in (INDEX, END) else 65536)
        or (f.codec == 0 and f.raw_len != f.stored_len)
        or (f.codec == 1 and f.raw_len > MAX_RAW)
    ):
        return None
    return f.place(data, offset, header_len)


def decompress(codec, stored, raw_len):
    """§3.1: what a payload or column says."""
    if codec == 0:
        demand(len(stored) == raw_len, "stored bytes of another length than stated")
        return stored
    if codec > 1:
        raise Unsupported("a compression that this program does not know")
    raw = unzstd(stored, raw_len, MAX_RAW)
    demand(raw is not None, "it does not decompress to what is stated")
    return raw
