#ifndef EVENTHUB_SERVER_EXCHANGE_H
#define EVENTHUB_SERVER_EXCHANGE_H

/*
 * One plain HTTP request while its head is handled, and the answers that can be given right then.
 * What is answered later is a struct post (http_post.h) or a stream (sse.h).
 */

#include "eventhub/base/buf.h"
#include "eventhub/base/slice.h"
#include "eventhub/server/connection.h"
#include "eventhub/server/metrics.h"

struct worker;

struct exchange {
  struct worker *worker;
  struct connection *connection;
  const struct http_request *request;
  struct buf headers; /* of the answer: CORS and what the route adds; complete lines */
};

/* Whom a browser may show the answer to (Fetch, CORS protocol): goes into the headers. */
void exchange_add_cors(struct exchange *exchange);

bool exchange_is_head(const struct exchange *exchange);

/* Decodes the path into the topic or pattern that it names; `is_valid` says which (name.h). False:
 * it names none, and the request is refused. */
bool exchange_read_topic(struct exchange *exchange, bool (*is_valid)(struct slice topic),
                         struct buf *ret);

void exchange_respond(struct exchange *exchange, int status, struct slice content_type,
                      struct slice body);
void exchange_respond_json(struct exchange *exchange, int status, struct slice body);
/* Answers {"error": message} and closes; a 503 tells when to try again. */
void exchange_refuse(struct exchange *exchange, int status, struct slice message);
/* The same with what the message is about behind it. */
void exchange_refuse_about(struct exchange *exchange, int status, const char *message,
                           struct slice about);
/* The same for a request that was not let in: it is counted, under a reason. */
void exchange_reject(struct exchange *exchange, int status, enum metric reason,
                     struct slice message);

#endif
