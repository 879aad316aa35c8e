/* obstacle.c - why a process is in the trace by name only. */
#include "mstrace.h"

#include <stddef.h>

const char *mst_obstacle_text(unsigned obstacle)
{
	static const char *const texts[MST_OBSTACLES] = {
		[MST_OBSTACLE_STATIC] = "statically linked",
		[MST_OBSTACLE_LIBC] = "uses another libc than glibc",
		[MST_OBSTACLE_ABI] = "built for another machine or ABI",
		[MST_OBSTACLE_PRIVILEGE] = "gains privileges when it starts",
		[MST_OBSTACLE_SANITIZER] = "built with a sanitizer",
		[MST_OBSTACLE_ENVIRONMENT] = "started without MSTRACE_SOCKET in its environment",
		[MST_OBSTACLE_ALLOCATOR] = "brings its own malloc",
		[MST_OBSTACLE_MEMORY] = "the segment shared with the recorder could not be mapped (see ulimit -v)",
		[MST_OBSTACLE_CLOCK] = "forbidden to read the time stamp counter (PR_SET_TSC)",
		[MST_OBSTACLE_SANDBOX] = "begun in a sandbox (seccomp)",
		[MST_OBSTACLE_REACH] = "begun as another user, or below another root, where the recorder is out of reach",
		[MST_OBSTACLE_SILENCE] = "the recorder did not answer it in time (was it stopped?)",
	};

	return obstacle < MST_OBSTACLES ? texts[obstacle] : NULL;
}
