#ifndef EVENTHUB_SERVER_RELOAD_H
#define EVENTHUB_SERVER_RELOAD_H

/*
 * What is read from files again while the daemon runs: the keys of tokens and the certificates.
 * Whatever is loaded is good before it takes the place of what is there; connections that exist go
 * on with what they have. Main thread.
 */

#include "eventhub/server/certificates.h"

struct broker;

/* `mark` is what the certificates' files looked like when they were last read, all zero at first.
 */

/* At the start: 0, or an error with a line on stderr. */
int reload_first(struct broker *broker, struct certificates_mark *mark);
void reload_done(struct broker *broker);

/* SIGHUP: all of it, or nothing. */
void reload_all(struct broker *broker, struct certificates_mark *mark);
/* The certificates, if their files have changed. */
void reload_changed_certificates(struct broker *broker, struct certificates_mark *mark);

#endif
