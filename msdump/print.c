/* print.c - one event as a line of JSON, text or CSV.
 *
 * A trace has millions of events, so numbers are formatted here, straight into the sink's buffer, of which
 * one event takes less than RESERVE bytes (its stack apart). Call stacks repeat the same few thousand code
 * addresses over and over: the functions at each are spelled out once, escaped, and then copied.
 *
 * Numbers beyond 2^53 become JSON strings, as everywhere in these tools: most parsers would round them. */
#include "print.h"

#include "escape.h"
#include "json.h"
#include "print_mapping.h"
#include "room.h"

#include <stdlib.h>

enum { RESERVE = 1024 };

struct piece {
	size_t at, len; /* in printer.text; len 0 = not spelled out yet */
};

/* ---- numbers ---- */

static char *put_u64(char *p, uint64_t v)
{
	static const char pairs[] = "0001020304050607080910111213141516171819"
				    "2021222324252627282930313233343536373839"
				    "4041424344454647484950515253545556575859"
				    "6061626364656667686970717273747576777879"
				    "8081828384858687888990919293949596979899";
	char digits[20];
	size_t i = sizeof(digits);

	while (v >= 100) {
		i -= 2;
		memcpy(digits + i, pairs + v % 100 * 2, 2);
		v /= 100;
	}
	if (v >= 10) {
		i -= 2;
		memcpy(digits + i, pairs + v * 2, 2);
	} else {
		digits[--i] = (char)('0' + v);
	}
	memcpy(p, digits + i, sizeof(digits) - i);
	return p + sizeof(digits) - i;
}

static char *put_hex(char *p, uint64_t v)
{
	unsigned digits = 1;

	while (digits < 16 && v >> (4 * digits))
		digits++;
	*p++ = '0';
	*p++ = 'x';
	while (digits-- > 0)
		*p++ = "0123456789abcdef"[v >> (4 * digits) & 15];
	return p;
}

/* s is short and ours. */
static char *put(char *p, const char *s)
{
	size_t n = strlen(s);

	memcpy(p, s, n);
	return p + n;
}

/* ---- what an event says, whatever the format ---- */

static bool is_realloc(const struct mst_event *ev)
{
	return ev->op == MST_OP_REALLOC || ev->op == MST_OP_REALLOCARRAY || ev->op == MST_OP_REALLOC_END ||
	       ev->op == MST_OP_POOL_REALLOC;
}

static bool acquires(const struct mst_event *ev)
{
	return mst_op_acquires(ev->op) || ev->op == MST_OP_POOL_ALLOC || ev->op == MST_OP_POOL_REALLOC;
}

/* The block the event is about: the one it acquired, or else released. */
static uint64_t block_of(const struct mst_event *ev)
{
	if (ev->alloc)
		return ev->alloc;
	return is_realloc(ev) || ev->flags & MST_EV_FAILED ? 0 : ev->freed;
}

/* Of a release whose block was not seen the size is not known; nor of a pool's, whose blocks nobody keeps here. */
static bool has_size(const struct mst_event *ev)
{
	if (mst_op_pools(ev->op))
		return acquires(ev);
	return ev->size || ev->alloc || ev->flags & MST_EV_FAILED ||
	       (ev->freed && !(ev->flags & (MST_EV_FOREIGN | MST_EV_INHERITED)));
}

static char *put_op(char *p, unsigned op)
{
	const char *name = mst_op_name(op);

	return name ? put(p, name) : put_u64(put(p, "op-"), op);
}

/* ---- call stacks ---- */

static void spell_json(struct printer *p)
{
	struct ms_json j;

	for (size_t i = 0; i < p->frames.n; i++) {
		ms_json_init(&j, &p->text, false);
		if (i)
			ms_out_char(&p->text, ',');
		ms_callframe_json(&j, &p->frames.items[i]);
	}
}

static void spell_text(struct printer *p)
{
	for (size_t i = 0; i < p->frames.n; i++) {
		ms_out_str(&p->text, "    ");
		ms_callframe_text(&p->text, &p->frames.items[i]);
		ms_out_char(&p->text, '\n');
	}
}

static void spell_csv(struct printer *p)
{
	for (size_t i = 0; i < p->frames.n; i++) {
		ms_callframe_brief(&p->text, &p->frames.items[i]);
		ms_out_char(&p->text, '\n');
	}
}

/* The functions at a code address, spelled out. */
static struct piece piece_of(struct printer *p, uint32_t code)
{
	if (code >= p->n_pieces) {
		uint32_t n = mst_reader_n_codes(p->reader) + 1;

		if (code >= n)
			code = 0; /* not in the dictionary: nothing is known of it */
		if (n > p->n_pieces) {
			p->pieces = ms_room_zeroed(p->pieces, &p->cap_pieces, n, sizeof(*p->pieces));
			p->n_pieces = n;
		}
	}
	if (p->pieces[code].len)
		return p->pieces[code];
	p->frames.n = 0;
	ms_trace_add_code(p->reader, code, &p->frames);
	size_t at = p->text.len;

	if (p->format == FORMAT_JSONL)
		spell_json(p);
	else if (p->format == FORMAT_CSV)
		spell_csv(p);
	else
		spell_text(p);
	p->pieces[code] = (struct piece){at, p->text.len - at};
	return p->pieces[code];
}

/* Writes the pieces of a stack, separated, and returns whether it is cut. */
static bool write_stack(struct printer *p, struct ms_out *o, uint32_t stack, const char *separator)
{
	bool is_first = true;

	while (stack > MST_STACK_CUT) {
		const struct mst_stack *s = mst_reader_stack(p->reader, stack);

		if (!s || s->parent >= stack)
			return true; /* its entry is in a lost frame: so are its callers */
		struct piece piece = piece_of(p, s->code);

		if (!is_first)
			ms_out_str(o, separator);
		is_first = false;
		ms_out_write(o, p->text.buf + piece.at, piece.len);
		stack = s->parent;
	}
	return stack == MST_STACK_CUT;
}

/* ---- JSON ---- */

static char *put_json_u64(char *p, uint64_t v)
{
	if (v <= MS_JSON_MAX_NUMBER)
		return put_u64(p, v);
	*p++ = '"';
	p = put_u64(p, v);
	*p++ = '"';
	return p;
}

static char *put_json_u64_or_null(char *p, uint64_t v, bool is_known)
{
	return is_known ? put_json_u64(p, v) : put(p, "null");
}

static char *put_json_addr(char *p, uint64_t addr)
{
	if (addr == 0)
		return put(p, "null");
	*p++ = '"';
	p = put_hex(p, addr);
	*p++ = '"';
	return p;
}

static char *put_json_extras(char *p, const struct mst_event *ev)
{
	if (is_realloc(ev)) {
		p = put_json_addr(put(p, ",\"old_addr\":"), ev->old_addr);
		p = put_json_u64_or_null(put(p, ",\"old_alloc\":"), ev->freed, ev->freed != 0);
	}
	if (ev->align)
		p = put_u64(put(p, ",\"align\":"), ev->align);
	if (ev->flags & MST_EV_WRONG_SIZE)
		p = put_json_u64(put(p, ",\"said_size\":"), ev->said_size);
	if (ev->flags & MST_EV_FAILED)
		p = put(p, ",\"failed\":true");
	if (ev->err)
		p = put_u64(put(p, ",\"errno\":"), ev->err);
	if (ev->flags & MST_EV_LATE)
		p = put(p, ",\"late\":true");
	if (ev->flags & MST_EV_FOREIGN)
		p = put(p, ",\"foreign\":true");
	if (ev->flags & MST_EV_INHERITED)
		p = put(p, ",\"inherited\":true");
	return p;
}

static void write_json_stack(struct printer *p, uint32_t stack)
{
	ms_out_str(p->out, ",\"frames\":[");
	bool is_cut = write_stack(p, p->out, stack, ",");

	ms_out_str(p->out, is_cut ? "],\"cut\":true" : "]");
}

static void json_pool(struct printer *p)
{
	size_t n;
	const char *name = mst_reader_string(p->reader, p->pool_call->pool, &n);

	ms_out_str(p->out, ",\"pool\":");
	if (n == 0) {
		ms_out_str(p->out, "null");
		return;
	}
	ms_out_char(p->out, '"');
	ms_escape_json(p->out, name, n);
	ms_out_char(p->out, '"');
}

static void print_json(struct printer *p, const struct mst_event *ev, uint32_t pid, uint32_t tid)
{
	ms_out_reserve(p->out, RESERVE);
	char *s = p->out->buf + p->out->len;

	s = put_json_u64(put(s, "{\"event\":"), ev->number);
	s = put_json_u64(put(s, ",\"time_ns\":"), ev->time_ns);
	s = put_json_u64_or_null(put(s, ",\"pid\":"), pid, pid != 0);
	s = put_json_u64_or_null(put(s, ",\"tid\":"), tid, tid != 0);
	s = put_op(put(s, ",\"op\":\""), ev->op);
	s = put_json_addr(put(s, "\",\"addr\":"), ev->addr);
	s = put_json_u64_or_null(put(s, ",\"size\":"), ev->size, has_size(ev) || p->call);
	s = put_json_u64_or_null(put(s, ",\"alloc\":"), block_of(ev), block_of(ev) != 0);
	s = put_u64(put(s, ",\"stack\":"), ev->stack);
	s = put_json_extras(s, ev);
	p->out->len = (size_t)(s - p->out->buf);
	if (p->call)
		print_mapping_json(p->out, p->reader, ev, p->call);
	if (p->pool_call)
		json_pool(p);
	if (p->with_stacks)
		write_json_stack(p, ev->stack);
	ms_out_str(p->out, "}\n");
}

/* ---- text ---- */

static char *put_text_addr(char *p, uint64_t addr)
{
	return addr ? put_hex(p, addr) : put(p, "?");
}

static char *put_text_block(char *p, uint64_t alloc)
{
	return alloc ? put_u64(put(p, " #"), alloc) : p;
}

/* "malloc(24) = 0x55d0 #7", "realloc(0x55d0 #7, 48) = 0x5600 #8", "free(0x55d0 #7) 24 bytes" */
static char *put_call(char *p, const struct mst_event *ev)
{
	p = put(put_op(p, ev->op), "(");
	if (acquires(ev)) {
		if (is_realloc(ev)) {
			p = ev->old_addr || ev->freed ? put_text_addr(p, ev->old_addr) : put(p, "NULL");
			p = put(put_text_block(p, ev->freed), ", ");
		}
		p = put(put_u64(p, ev->size), ") = ");
		if (ev->flags & MST_EV_FAILED)
			return put(p, "NULL");
		return put_text_block(put_text_addr(p, ev->addr), ev->alloc);
	}
	p = put(put_text_block(put_text_addr(p, ev->addr), ev->freed), ")");
	return has_size(ev) ? put(put_u64(put(p, " "), ev->size), " bytes") : p;
}

static char *put_text_extras(char *p, const struct mst_event *ev)
{
	if (ev->align)
		p = put_u64(put(p, " align "), ev->align);
	if (ev->flags & MST_EV_WRONG_SIZE)
		p = put(put_u64(put(p, " said to have "), ev->said_size), " bytes");
	if (ev->flags & MST_EV_FAILED)
		p = put_u64(put(p, " failed, errno "), ev->err);
	if (ev->flags & MST_EV_LATE)
		p = put(p, " late");
	if (ev->flags & MST_EV_FOREIGN)
		p = put(p, " foreign");
	if (ev->flags & MST_EV_INHERITED)
		p = put(p, " inherited");
	return ev->stack ? put_u64(put(p, " stack "), ev->stack) : p;
}

/* Seconds with nine decimals. */
static char *put_seconds(char *p, uint64_t ns)
{
	char decimals[20];
	char *end = put_u64(decimals, ns % 1000000000 + 1000000000); /* ten digits, the first one a 1 */

	p = put_u64(p, ns / 1000000000);
	*p++ = '.';
	memcpy(p, decimals + 1, (size_t)(end - decimals) - 1);
	return p + (end - decimals) - 1;
}

static char *put_id(char *p, uint32_t id)
{
	return id ? put_u64(p, id) : put(p, "?");
}

static void text_pool(struct printer *p)
{
	size_t n;
	const char *name = mst_reader_string(p->reader, p->pool_call->pool, &n);

	ms_out_str(p->out, " pool ");
	if (n)
		ms_escape_text(p->out, name, n);
	else
		ms_out_char(p->out, '?');
}

static void print_text(struct printer *p, const struct mst_event *ev, uint32_t pid, uint32_t tid)
{
	ms_out_reserve(p->out, RESERVE);
	char *s = p->out->buf + p->out->len;

	s = put(put_u64(s, ev->number), " ");
	s = put(put_seconds(s, ev->time_ns), " ");
	s = put(put_id(s, pid), "/");
	s = put(put_id(s, tid), " ");
	if (p->call) {
		p->out->len = (size_t)(s - p->out->buf);
		print_mapping_text(p->out, p->reader, ev, p->call);
		ms_out_reserve(p->out, RESERVE);
		s = p->out->buf + p->out->len;
	} else {
		s = put_call(s, ev);
	}
	s = put_text_extras(s, ev);
	p->out->len = (size_t)(s - p->out->buf);
	if (p->pool_call)
		text_pool(p);
	ms_out_char(p->out, '\n');
	if (p->with_stacks && write_stack(p, p->out, ev->stack, ""))
		ms_out_str(p->out, "    (callers unknown)\n");
}

/* ---- CSV ---- */

static char *put_field(char *p, uint64_t v, bool is_known)
{
	*p++ = ',';
	return is_known ? put_u64(p, v) : p;
}

static char *put_addr_field(char *p, uint64_t addr)
{
	*p++ = ',';
	return addr ? put_hex(p, addr) : p;
}

static char *put_flag_field(char *p, const struct mst_event *ev, unsigned flag)
{
	return put(p, ev->flags & flag ? ",true" : ",false");
}

static void write_csv_stack(struct printer *p, uint32_t stack)
{
	p->scratch.len = 0;
	if (write_stack(p, &p->scratch, stack, ""))
		ms_out_str(&p->scratch, "(callers unknown)\n");
	ms_out_char(p->out, ',');
	ms_escape_csv(p->out, p->scratch.buf, p->scratch.len ? p->scratch.len - 1 : 0, false);
}

static void csv_pool(struct printer *p)
{
	size_t n = 0;
	const char *name = p->pool_call ? mst_reader_string(p->reader, p->pool_call->pool, &n) : NULL;

	ms_out_char(p->out, ',');
	ms_escape_csv(p->out, name, n, false);
}

static void print_csv(struct printer *p, const struct mst_event *ev, uint32_t pid, uint32_t tid)
{
	ms_out_reserve(p->out, RESERVE);
	char *s = p->out->buf + p->out->len;

	s = put_u64(s, ev->number);
	s = put_field(s, ev->time_ns, true);
	s = put_field(s, pid, pid != 0);
	s = put_field(s, tid, tid != 0);
	s = put_op(put(s, ","), ev->op);
	s = put_addr_field(s, ev->addr);
	s = put_field(s, ev->size, has_size(ev) || p->call);
	s = put_field(s, block_of(ev), block_of(ev) != 0);
	s = put_field(s, ev->stack, true);
	s = put_addr_field(s, ev->flags & MST_EV_WRONG_SIZE ? 0 : ev->old_addr);
	s = put_field(s, ev->freed, is_realloc(ev) && ev->freed);
	s = put_field(s, ev->align, ev->align != 0);
	s = put_flag_field(s, ev, MST_EV_FAILED);
	s = put_field(s, ev->err, ev->err != 0);
	s = put_flag_field(s, ev, MST_EV_LATE);
	s = put_flag_field(s, ev, MST_EV_FOREIGN);
	s = put_flag_field(s, ev, MST_EV_INHERITED);
	s = put_field(s, ev->said_size, ev->flags & MST_EV_WRONG_SIZE);
	p->out->len = (size_t)(s - p->out->buf);
	print_mapping_csv(p->out, p->reader, ev, p->call);
	csv_pool(p);
	if (p->with_stacks)
		write_csv_stack(p, ev->stack);
	ms_out_str(p->out, "\r\n");
}

void print_header(struct printer *p)
{
	if (p->format != FORMAT_CSV)
		return;
	ms_out_str(p->out,
		"event,time_ns,pid,tid,op,addr,size,alloc,stack,old_addr,old_alloc,align,failed,errno,late,"
		"foreign,inherited,said_size" MAPPING_CSV_FIELDS ",pool");
	ms_out_str(p->out, p->with_stacks ? ",frames\r\n" : "\r\n");
}

/* A pool's call as if the pool were the heap. */
static struct mst_event as_of_heap(const struct mst_event *ev, const struct mst_pool_call *call)
{
	struct mst_event as = *ev;
	uint64_t released = ev->op == MST_OP_POOL_REALLOC ? call->old_addr : acquires(ev) ? 0 : call->addr;

	as.alloc = call->alloc;
	as.freed = call->freed;
	if (released && !call->freed && !(ev->flags & MST_EV_FAILED))
		as.flags |= MST_EV_FOREIGN;
	return as;
}

void print_event(struct printer *p, const struct mst_event *ev, uint32_t pid, uint32_t tid)
{
	struct mst_event as;

	p->call = mst_op_maps(ev->op) ? mst_reader_map_call(p->reader, ev) : NULL;
	p->pool_call = mst_op_pools(ev->op) ? mst_reader_pool_call(p->reader, ev) : NULL;
	if (p->pool_call) {
		as = as_of_heap(ev, p->pool_call);
		ev = &as;
	}
	if (p->format == FORMAT_JSONL)
		print_json(p, ev, pid, tid);
	else if (p->format == FORMAT_CSV)
		print_csv(p, ev, pid, tid);
	else
		print_text(p, ev, pid, tid);
}

/* ---- annotations ---- */

static const char *annotation_name(uint32_t kind)
{
	return kind == MST_ANNOTATION_MARK ? "mark" : kind == MST_ANNOTATION_PAUSE ? "pause" : "resume";
}

static void annotation_json(struct printer *p, const struct mst_annotation *a, uint32_t pid, uint32_t tid)
{
	size_t len = 0;
	const char *name = mst_reader_string(p->reader, a->name, &len);

	ms_out_reserve(p->out, RESERVE);
	char *s = p->out->buf + p->out->len;

	s = put(put(put(s, "{\"annotation\":\""), annotation_name(a->kind)), "\"");
	s = put_json_u64(put(s, ",\"before_event\":"), a->event);
	s = put_json_u64(put(s, ",\"time_ns\":"), a->time_ns);
	s = put_json_u64_or_null(put(s, ",\"pid\":"), pid, pid != 0);
	s = put_json_u64_or_null(put(s, ",\"tid\":"), tid, tid != 0);
	p->out->len = (size_t)(s - p->out->buf);
	if (a->kind == MST_ANNOTATION_MARK) {
		ms_out_str(p->out, ",\"name\":\"");
		ms_escape_json(p->out, name, len);
		ms_out_char(p->out, '"');
	}
	ms_out_str(p->out, "}\n");
}

static void annotation_text(struct printer *p, const struct mst_annotation *a, uint32_t pid, uint32_t tid)
{
	size_t len = 0;
	const char *name = mst_reader_string(p->reader, a->name, &len);

	ms_out_reserve(p->out, RESERVE);
	char *s = p->out->buf + p->out->len;

	s = put(put_seconds(put(s, "- "), a->time_ns), " ");
	s = pid ? put_u64(s, pid) : put(s, "all");
	s = put(tid ? put_u64(put(s, "/"), tid) : s, " ");
	s = put(s, annotation_name(a->kind));
	p->out->len = (size_t)(s - p->out->buf);
	if (a->kind == MST_ANNOTATION_MARK) {
		ms_out_char(p->out, ' ');
		ms_escape_text(p->out, name, len);
	}
	ms_out_char(p->out, '\n');
}

void print_annotation(struct printer *p, const struct mst_annotation *a, uint32_t pid, uint32_t tid)
{
	if (p->format == FORMAT_JSONL)
		annotation_json(p, a, pid, tid);
	else if (p->format == FORMAT_TEXT)
		annotation_text(p, a, pid, tid);
}

void printer_release(struct printer *p)
{
	free(p->pieces);
	free(p->frames.items);
	ms_out_release(&p->text);
	ms_out_release(&p->scratch);
}
