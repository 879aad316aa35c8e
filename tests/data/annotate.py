#!/usr/bin/env python3
"""annotate.py FILE.mst > FILE.mst.hex: bytes as hex, fields of frame headers named, so that a diff can be read."""
import struct
import sys

SYNC = b"\x8aMST\r\n\x1a\n"
KINDS = {1: "HEADER", 2: "PROC", 3: "THREAD", 4: "MODULE", 5: "STRING", 6: "STACK", 7: "EVT", 9: "LOSS", 10: "SYM",
         11: "SAMPLE", 12: "INDEX", 13: "CODE", 14: "CHECKPOINT", 15: "END", 16: "API", 18: "MAP", 19: "REGION", 20: "POOL",
         21: "SPACE"}
HEADER = [(8, "Sync"), (2, "Header_Len"), (1, "Kind"), (1, "Codec"), (4, "Flags"), (8, "File_Id"), (4, "Stream"),
          (4, "N_Items"), (4, "Stored_Len"), (4, "Raw_Len"), (8, "Seq"), (8, "Payload_Hash")]
EXTENSIONS = {
    7: [(8, n) for n in ("First_Event", "First_Alloc", "Time_Base", "Time_First", "Time_Last", "Live_Blocks",
                         "Live_Bytes", "Lost_Events", "Bytes_Before", "Alloc_Bytes", "Freed_Bytes")] +
       [(4, n) for n in ("N_Alloc", "N_Free", "N_Unowned", "N_Late", "N_Threads")] +
       [(1, "Time_Shift"), (3, "reserved")],
    12: [(8, "Previous")],
    14: [(8, n) for n in ("First_Event", "First_Alloc", "Time", "Live_Blocks", "Live_Bytes", "Lost_Events",
                          "Alloc_Bytes", "Frees", "Failed", "Peak_Bytes", "Peak_Event", "Peak_Time", "First_Block")] +
        [(1, "Time_Shift"), (7, "reserved")],
    20: [(8, n) for n in ("First_Event", "First_Alloc", "Time", "Live_Blocks", "Live_Bytes", "Lost_Events",
                          "Alloc_Bytes", "Frees", "Failed", "Peak_Bytes", "Peak_Event", "Peak_Time", "First_Block")] +
        [(1, "Time_Shift"), (3, "reserved"), (4, "Pool")],
    21: [(8, n) for n in ("First_Event", "Peak_Bytes", "Peak_Time", "Own_Peak_Bytes", "Own_Peak_Time")] +
        [(4, n) for n in ("N_Rows", "First_Row", "Process", "reserved")],
    15: [(8, n) for n in ("Index", "Events", "Allocs", "Frees", "Failed", "Lost_Events", "Lost_Bytes", "Duration",
                          "Live_Blocks", "Live_Bytes", "Alloc_Bytes", "Overlaps")] +
        [(4, "Exit_Status"), (4, "End_Flags")],
}


def number(data):
    return int.from_bytes(data, "little")


def line(data, comment):
    print("%-47s # %s" % (data.hex(" "), comment))


def rows(data, comment):
    for i in range(0, len(data), 16):
        line(data[i:i + 16], comment if i == 0 else "...")


def fields(data, at, layout, end):
    for size, name in layout:
        if at + size > end:
            break
        value = data[at:at + size]
        text = name if name in ("Sync", "reserved") else "%s %d" % (name, number(value))
        if name.endswith("Hash") or name == "File_Id":
            text = name
        line(value, text)
        at += size
    return at


def frame(data, at):
    """Prints the frame at `at`; returns where it ends, or None if there is none that is whole."""
    if data[at:at + 8] != SYNC or len(data) - at < 64:
        return None
    header_len, kind, stored = struct.unpack_from("<HB", data, at + 8) + struct.unpack_from("<I", data, at + 32)
    if header_len < 64 or header_len > 256 or at + header_len + stored > len(data):
        return None
    print("\n# ---- %s at %d" % (KINDS.get(kind, "kind %d" % kind), at))
    end = at + header_len - 8
    place = fields(data, fields(data, at, HEADER, end), EXTENSIONS.get(kind, []), end)
    rows(data[place:end], "extension")
    line(data[end:end + 8], "Header_Hash")
    place = at + header_len
    rows(data[place:place + stored], "payload")
    pad = -stored % 8
    if pad:
        line(data[place + stored:place + stored + pad], "pad")
    return place + stored + pad


def main():
    data = open(sys.argv[1], "rb").read()
    at = 0
    while at < len(data):
        after = frame(data, at)
        if after is None:
            print("\n# ---- not a whole frame, at %d" % at)
            rows(data[at:], "bytes")
            break
        at = after


main()
