#ifndef EVENTHUB_SERVER_DAEMON_H
#define EVENTHUB_SERVER_DAEMON_H

/*
 * The daemon: start and stop order. Runs on the main thread, which does nothing but wait for
 * signals.
 *
 * Stopping (SIGTERM, SIGINT): not ready -> workers stop accepting and reading -> what was read is
 * done by the store and delivered -> every client gets close code 1001, spread over a moment ->
 * workers end -> store stops. A second signal ends the waiting. What takes longer than
 * SHUTDOWN_TIMEOUT is cut short.
 */

struct options;

/* Serves until a signal. The exit status: 0 after an orderly stop, 1 where it could not start, with
 * one line on stderr that says why. */
int daemon_run(const struct options *options);

#endif
