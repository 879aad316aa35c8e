/* target_signals: says "ready", then "signal" at each signal it gets, and counts them; SIGTERM makes it print the counts
 * and exit 4. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile sig_atomic_t counts[65];

static void handle(int sig)
{
	counts[sig]++;
	(void)!write(STDOUT_FILENO, "signal\n", 7);
}

int main(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGQUIT, SIGCONT, SIGWINCH};
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		signal(signals[i], handle);
	free(malloc(10));
	puts("ready");
	fflush(stdout);
	while (!counts[SIGTERM])
		usleep(10000);
	usleep(50000);
	printf("INT %d TERM %d USR1 %d USR2 %d HUP %d\n", counts[SIGINT], counts[SIGTERM], counts[SIGUSR1],
		counts[SIGUSR2], counts[SIGHUP]);
	return 4;
}
