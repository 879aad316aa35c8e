/* departures.c - calls after which the recorder may be out of reach: its socket is for its user alone, and below its
 * root. A forked child that has not attached by then (the parent's session is not its own) could not any more, so it
 * does first; what it starts later is told of in its stream (exec.c). Namespaces are left out: the socket has a path. */
#include "hook.h"
#include "real.h"
#include "thread.h"

#include <unistd.h>

static void depart(void *frame)
{
	ms_real_prepare();
	ms_attach_while_allowed((uintptr_t)frame);
}

HOOK int setuid(uid_t user)
{
	depart(__builtin_frame_address(0));
	return ms_real.setuid(user);
}

HOOK int seteuid(uid_t user)
{
	depart(__builtin_frame_address(0));
	return ms_real.seteuid(user);
}

HOOK int setreuid(uid_t real, uid_t effective)
{
	depart(__builtin_frame_address(0));
	return ms_real.setreuid(real, effective);
}

HOOK int setresuid(uid_t real, uid_t effective, uid_t saved)
{
	depart(__builtin_frame_address(0));
	return ms_real.setresuid(real, effective, saved);
}

HOOK int chroot(const char *path)
{
	depart(__builtin_frame_address(0));
	return ms_real.chroot(path);
}
