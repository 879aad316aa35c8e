/* spawn.h - the command: started with our library, left alone otherwise, and waited for.
 *
 * The child is forked before msrecord has threads, handlers or raised limits, so that it starts with exactly
 * what msrecord was given, and waits at a gate until all is ready (its pid names the trace). Signals that are
 * sent to msrecord alone are passed on to it; those the terminal sends reach it by themselves, as they go to
 * the whole foreground group, and msrecord outlives them. */
#ifndef MS_SPAWN_H
#define MS_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ms_child {
	pid_t pid;
	int gate;     /* write end: a byte opens it */
	int report;   /* read end: errno of a failed exec, or end of file */
	bool has_run; /* exec succeeded */
	bool has_ended;
	int wait_status; /* with has_ended, and: */
	uint64_t max_rss_bytes; /* the most that it, or a process it waited for, had in memory */
};

struct ms_spawn {
	char **argv;		  /* of the command, NULL-terminated */
	const char *preload;	  /* LD_PRELOAD puts it before what the user has there */
	const char *variable;	  /* "NAME=value", added to the environment */
	bool is_stdout_to_stderr; /* the trace has stdout: the program writes to stderr instead */
};

/* Forks the child up to the gate. 0 or a negative errno. */
int ms_child_fork(const struct ms_spawn *spawn, struct ms_child *c);
/* Opens the gate. 0 once the command runs, or the negative errno of exec: the child is then reaped. */
int ms_child_go(struct ms_child *c);
/* Lets the child end without ever having run the command. */
void ms_child_abandon(struct ms_child *c);
/* Looks whether it has ended, without waiting; true once it has. */
bool ms_child_poll(struct ms_child *c);
/* Waits for the end. */
void ms_child_wait(struct ms_child *c);
/* What a shell would say: exit status, or 128 + signal. */
int ms_child_exit_status(const struct ms_child *c);

/* From now on signals are handled as said above; `wake` is called after each from the handler, also for
 * SIGCHLD. The child must exist. After its end INT, QUIT, TERM and HUP set the flag that ms_signals_stop
 * reads. */
void ms_signals_install(const struct ms_child *c, void (*wake)(void *ctx), void *ctx);
bool ms_signals_stop(void);
/* The signal that is not passed on when some process sends it to us, but counted; 0: none. Before the install. */
void ms_signals_reserve(int sig);
/* How often it has come since the last call. */
unsigned ms_signals_take_reserved(void);
/* Any of INT, QUIT, TERM and HUP since the call of forget, whatever became of it. */
bool ms_signals_urged(void);
void ms_signals_forget_urge(void);
/* To be called when the child has been reaped: its pid may be another's now. */
void ms_signals_forget_child(void);

#endif
