/* A buffered byte sink with a latched error, and the one way our tools create files.
 *
 * Everything the tools print goes through a struct ms_out: writes never fail at the call, the first
 * error is kept, and ms_out_close() tells it. So output code is straight, and a full disk is still
 * noticed, once, at the end, by everyone.
 *
 * A named file appears under its name only when it is complete: it has no name at all before (O_TMPFILE), or,
 * where that is not possible, a random one beside it (O_EXCL, O_NOFOLLOW); ms_out_close() renames. Mode 0600.
 * A pre-planted symbolic link, FIFO, device or directory under the name is refused unless the caller forces
 * it.
 *
 * One thread per sink. Out of memory ends the process (tools may die; the format library does not
 * use this). */
#ifndef MS_CLI_OUT_H
#define MS_CLI_OUT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct ms_out {
	char *buf;       /* bytes not yet written; all bytes of a memory sink */
	size_t len;      /* used bytes of buf */
	size_t cap;      /* size of buf; doubles for a memory sink, fixed for a file */
	int fd;          /* where full buffers go; -1 for a memory sink */
	int error;       /* errno of the first failed write, 0 while all is well */
	uint64_t n_written; /* bytes already handed to the system */
	char *path;      /* final name of a file under construction, or NULL */
	char *temp_path; /* its name until ms_out_close(); NULL when it has none or is written in place */
	bool is_unnamed; /* it has none */
	bool is_new_only; /* the name must not exist at the end either */
	bool owns_fd;
};

enum ms_out_flags {
	MS_OUT_NEW = 1,	  /* fail if the name exists; without it a regular file is replaced */
	MS_OUT_FORCE = 2, /* write through symbolic links and into FIFOs and devices, as a shell's > does */
};

/* The status with which the process ends when there is no memory for a sink; 2 unless it is set. */
void ms_out_no_memory_status(int status);

/* A sink that collects in memory. Release with ms_out_release(). */
void ms_out_init_memory(struct ms_out *o);

/* A sink over fd, which stays the caller's. */
void ms_out_init_fd(struct ms_out *o, int fd);

/* A sink for the file path, or for standard output when path is NULL or "-".
 * Returns 0, or -1 with a sentence for the user in *why (static storage); then there is nothing to close.
 * flags: enum ms_out_flags. */
int ms_out_open(struct ms_out *o, const char *path, unsigned flags, const char **why);

/* Flushes; a named file gets its name now. Releases everything either way.
 * Returns 0, or the errno of the first failure; a temporary is then removed, the old file stays. */
int ms_out_close(struct ms_out *o);

/* Gives up: a named file is removed, or never appears. Also frees a memory sink. */
void ms_out_release(struct ms_out *o);

/* Writes out what is buffered. Returns 0 or the latched errno. A memory sink: nothing. */
int ms_out_flush(struct ms_out *o);

/* The collected bytes of a memory sink, NUL-terminated; valid until the next write. */
const char *ms_out_text(struct ms_out *o);

/* Forgets the bytes of a memory sink and keeps its room. */
void ms_out_clear(struct ms_out *o);

/* Makes room for n more bytes in buf (n at most 4096 for a file sink). */
void ms_out_reserve(struct ms_out *o, size_t n);

void ms_out_write(struct ms_out *o, const void *bytes, size_t n);
void ms_out_printf(struct ms_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ms_out_vprintf(struct ms_out *o, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* n times the byte c. */
void ms_out_fill(struct ms_out *o, char c, size_t n);

/* Decimal and lower-case hexadecimal without prefix: the two formats hot enough to avoid printf. */
void ms_out_u64(struct ms_out *o, uint64_t v);
void ms_out_hex(struct ms_out *o, uint64_t v);

static inline void ms_out_char(struct ms_out *o, char c)
{
	if (o->len == o->cap)
		ms_out_reserve(o, 1);
	o->buf[o->len++] = c;
}

static inline void ms_out_str(struct ms_out *o, const char *s)
{
	ms_out_write(o, s, strlen(s));
}

#endif
