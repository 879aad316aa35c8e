"""The two things FORMAT.md takes as given: XXH3-64 with a seed, and a zstd decoder, from the system's libraries."""
import ctypes

_xxhash = ctypes.CDLL("libxxhash.so.0")
_xxhash.XXH3_64bits_withSeed.restype = ctypes.c_uint64
_xxhash.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]

_zstd = ctypes.CDLL("libzstd.so.1")
_zstd.ZSTD_decompress.restype = ctypes.c_size_t
_zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
_zstd.ZSTD_findFrameCompressedSize.restype = ctypes.c_size_t
_zstd.ZSTD_findFrameCompressedSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
_zstd.ZSTD_getFrameContentSize.restype = ctypes.c_uint64
_zstd.ZSTD_getFrameContentSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
_zstd.ZSTD_getDictID_fromFrame.restype = ctypes.c_uint
_zstd.ZSTD_getDictID_fromFrame.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


def xxh3(data, seed):
    """XXH3-64 of bytes."""
    return _xxhash.XXH3_64bits_withSeed(data, len(data), seed)


def _window(frame):
    """The window size a zstd frame asks for (RFC 8878, 3.1.1.1), or 0 if its content is its window."""
    if len(frame) < 6 or frame[4] & 0x20:
        return 0
    base = 1 << (10 + (frame[5] >> 3))
    return base + base // 8 * (frame[5] & 7)


def unzstd(frame, raw_len, max_window):
    """The content of exactly one zstd frame of exactly raw_len bytes; None if it is anything else."""
    if frame[:4] != b"\x28\xb5\x2f\xfd" or _window(frame) > max_window:
        return None
    if _zstd.ZSTD_getFrameContentSize(frame, len(frame)) != raw_len or _zstd.ZSTD_getDictID_fromFrame(
        frame, len(frame)
    ):
        return None
    if _zstd.ZSTD_findFrameCompressedSize(frame, len(frame)) != len(frame):
        return None
    raw = ctypes.create_string_buffer(max(raw_len, 1))
    if _zstd.ZSTD_decompress(raw, raw_len, frame, len(frame)) != raw_len:
        return None
    return raw.raw[:raw_len]
