/* bytes.h - numbers <-> bytes, and the bounded cursor through which every byte of a file is read.
 *
 * Fixed-width integers are little-endian. A varint is LEB128: seven bits a byte, least significant first,
 * bit 7 set on all but the last; canonical only: at most 10 bytes, no last byte of 0 but for the number 0, no bit
 * beyond the 64th. Signed numbers are zigzagged (0, -1, 1, -2, ... -> 0, 1, 2, 3, ...) into unsigned ones.
 *
 * Reading. A struct mst_cursor never leaves its bytes and never forgets a failure: after the first bad read
 * it is empty, `failed` stays set and every read yields 0. Decoders are therefore straight code with one check
 * at the end (mst_cursor_finish), but a count read from it must still be checked before it sizes anything.
 *
 * Writing. mst_put_* store at p, where the caller has made room, and return the next position. */
#ifndef MST_BYTES_H
#define MST_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MST_VARINT_MAX 10u /* bytes of the longest varint */

/* ---- fixed width ---------------------------------------------------------------------------------------- */

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define MST_LE16(x) (x)
#define MST_LE32(x) (x)
#define MST_LE64(x) (x)
#else
#define MST_LE16(x) __builtin_bswap16(x)
#define MST_LE32(x) __builtin_bswap32(x)
#define MST_LE64(x) __builtin_bswap64(x)
#endif

static inline uint16_t mst_load16(const void *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return MST_LE16(v);
}

static inline uint32_t mst_load32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return MST_LE32(v);
}

static inline uint64_t mst_load64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return MST_LE64(v);
}

static inline void mst_store16(void *p, uint16_t v)
{
	v = MST_LE16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void mst_store32(void *p, uint32_t v)
{
	v = MST_LE32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void mst_store64(void *p, uint64_t v)
{
	v = MST_LE64(v);
	memcpy(p, &v, sizeof(v));
}

/* ---- zigzag --------------------------------------------------------------------------------------------- */

static inline uint64_t mst_zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

static inline int64_t mst_unzigzag(uint64_t v)
{
	return (int64_t)((v >> 1) ^ (0 - (v & 1)));
}

/* The difference a - b modulo 2^64 as a zigzag number, and its inverse: every pair of numbers has one. */
static inline uint64_t mst_delta(uint64_t a, uint64_t b)
{
	return mst_zigzag((int64_t)(a - b));
}

static inline uint64_t mst_undelta(uint64_t delta, uint64_t b)
{
	return b + (uint64_t)mst_unzigzag(delta);
}

/* ---- writing -------------------------------------------------------------------------------------------- */

static inline uint8_t *mst_put8(uint8_t *p, uint8_t v)
{
	*p = v;
	return p + 1;
}

static inline uint8_t *mst_put16(uint8_t *p, uint16_t v)
{
	mst_store16(p, v);
	return p + 2;
}

static inline uint8_t *mst_put32(uint8_t *p, uint32_t v)
{
	mst_store32(p, v);
	return p + 4;
}

static inline uint8_t *mst_put64(uint8_t *p, uint64_t v)
{
	mst_store64(p, v);
	return p + 8;
}

static inline uint8_t *mst_put_bytes(uint8_t *p, const void *src, size_t len)
{
	if (len != 0)
		memcpy(p, src, len);
	return p + len;
}

/* Room for MST_VARINT_MAX bytes always suffices. */
static inline uint8_t *mst_put_varint(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

static inline size_t mst_varint_size(uint64_t v)
{
	return (size_t)(70 - __builtin_clzll(v | 1)) / 7;
}

/* ---- reading -------------------------------------------------------------------------------------------- */

struct mst_cursor {
	const uint8_t *p;   /* next byte */
	const uint8_t *end; /* p <= end; p == end once failed */
	bool failed;
};

static inline struct mst_cursor mst_cursor_over(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	return (struct mst_cursor){p, len == 0 ? p : p + len, false};
}

static inline size_t mst_cursor_left(const struct mst_cursor *c)
{
	return (size_t)(c->end - c->p);
}

static inline void mst_cursor_fail(struct mst_cursor *c)
{
	c->p = c->end;
	c->failed = true;
}

/* True if every read succeeded and every byte was read: the end of a decoder. */
static inline bool mst_cursor_finish(const struct mst_cursor *c)
{
	return !c->failed && c->p == c->end;
}

/* The next len bytes, which live as long as the buffer; NULL (and failure) if there are fewer. */
static inline const uint8_t *mst_get_bytes(struct mst_cursor *c, size_t len)
{
	const uint8_t *p = c->p;

	if (mst_cursor_left(c) < len || c->failed) {
		mst_cursor_fail(c);
		return NULL;
	}
	if (len != 0)
		c->p += len;
	return p;
}

static inline uint8_t mst_get8(struct mst_cursor *c)
{
	const uint8_t *p = mst_get_bytes(c, 1);
	return p ? *p : 0;
}

static inline uint16_t mst_get16(struct mst_cursor *c)
{
	const uint8_t *p = mst_get_bytes(c, 2);
	return p ? mst_load16(p) : 0;
}

static inline uint32_t mst_get32(struct mst_cursor *c)
{
	const uint8_t *p = mst_get_bytes(c, 4);
	return p ? mst_load32(p) : 0;
}

static inline uint64_t mst_get64(struct mst_cursor *c)
{
	const uint8_t *p = mst_get_bytes(c, 8);
	return p ? mst_load64(p) : 0;
}

/* The varint that starts with a byte >= 0x80 at c->p, which is inside: the uncommon half of mst_get_varint. */
static inline uint64_t mst_get_long_varint(struct mst_cursor *c)
{
	const uint8_t *p = c->p;
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && p < c->end; shift += 7) {
		uint8_t byte = *p++;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte >= 0x80)
			continue;
		if (byte == 0 || (shift == 63 && byte > 1))
			break;
		c->p = p;
		return v;
	}
	mst_cursor_fail(c);
	return 0;
}

static inline uint64_t mst_get_varint(struct mst_cursor *c)
{
	if (c->p < c->end && *c->p < 0x80)
		return *c->p++;
	return mst_get_long_varint(c);
}

/* A varint that must not be greater than max. */
static inline uint64_t mst_get_varint_max(struct mst_cursor *c, uint64_t max)
{
	uint64_t v = mst_get_varint(c);

	if (v > max) {
		mst_cursor_fail(c);
		return 0;
	}
	return v;
}

static inline int64_t mst_get_zigzag(struct mst_cursor *c)
{
	return mst_unzigzag(mst_get_varint(c));
}
#endif
