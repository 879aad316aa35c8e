#include "problem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *mst_strerror(int code)
{
	static const char *const names[] = {
		"success",
		"input or output failed",
		"not a trace",
		"damaged data",
		"needs a newer reader",
		"out of memory or beyond a limit of the format",
		"invalid argument",
		"as long as allowed",
	};
	size_t i = (size_t)(code <= 0 ? -(long)code : (long)code);

	return i < sizeof(names) / sizeof(names[0]) && code <= 0 ? names[i] : "unknown error";
}

int mst_problem_set(struct mst_problem *p, int code, uint64_t offset, uint64_t frame, const char *format, ...)
{
	va_list args;

	if (!p)
		return code;
	p->code = code;
	p->os_errno = 0;
	p->offset = offset;
	p->frame = frame;
	va_start(args, format);
	vsnprintf(p->text, sizeof(p->text), format, args);
	va_end(args);
	return code;
}

int mst_problem_os(struct mst_problem *p, uint64_t offset, const char *call)
{
	int os_errno = errno;
	char reason[100] = "";

	if (!p)
		return MST_EIO;
	/* GNU strerror_r may return a static string instead of filling the buffer. */
	mst_problem_set(p, MST_EIO, offset, MST_NO_FRAME, "%s failed: %s", call,
		strerror_r(os_errno, reason, sizeof(reason)));
	p->os_errno = os_errno;
	return MST_EIO;
}

int mst_problem_memory(struct mst_problem *p)
{
	return mst_problem_set(p, MST_ENOMEM, 0, MST_NO_FRAME, "not enough memory");
}
