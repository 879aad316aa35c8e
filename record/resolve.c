/* See resolve.h. */
#include "resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "mstrace.h"
#include "names.h"
#include "out.h"
#include "report.h"

static int add_names(void *ctx, struct mst_amendment *a)
{
	const struct ms_names_trace trace = ms_names_of_amendment(a);
	return ms_names_add(&trace, NULL, NULL, ctx);
}

static void tell(const char *path, const struct ms_names_result *names, const struct mst_verify_result *found)
{
	if (found->loss.is_truncated || found->loss.places)
		ms_warn("'%s' is %s: what is intact was kept (msdump --verify tells the rest)", path,
			found->loss.places ? "damaged" : "cut off");
	if (names->problem[0])
		ms_info("no names for %u of %u files: %s", names->n_unread, names->n_modules, names->problem);
	ms_info("%u of %u addresses without a name have one now", names->n_named, names->n_codes);
}

int ms_resolve(const char *path, const char *output, bool is_forced)
{
	struct ms_names_result names = {0};
	struct mst_verify_result found = {0};
	struct mst_problem problem = {0};
	struct ms_out out;
	const char *why;
	int in = open(path, O_RDONLY | O_CLOEXEC);
	if (in < 0) {
		ms_error("cannot read '%s': %s", path, strerror(errno));
		return -1;
	}
	if (ms_out_open(&out, output ? output : path, output && !is_forced ? MS_OUT_NEW : 0, &why)) {
		ms_error("cannot write '%s': %s", output ? output : path, why);
		close(in);
		return -1;
	}
	int rc = mst_amend(in, out.fd, add_names, &names, &found, &problem);
	close(in);
	if (rc < 0) {
		ms_error("cannot resolve '%s': %s", path, problem.text[0] ? problem.text : mst_strerror(rc));
		ms_out_release(&out);
		return -1;
	}
	int error = ms_out_close(&out);
	if (error) {
		ms_error("cannot write '%s': %s", output ? output : path, strerror(error));
		return -1;
	}
	tell(path, &names, &found);
	return 0;
}
