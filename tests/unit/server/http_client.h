#ifndef EVENTHUB_TESTS_SERVER_HTTP_CLIENT_H
#define EVENTHUB_TESTS_SERVER_HTTP_CLIENT_H

/*
 * A client of plain HTTP at a broker_fixture. Include after cmocka.h.
 */

#include "broker_fixture.h"

#define HTTP_REQUEST(line, headers) line " HTTP/1.1\r\nHost: a\r\n" headers "\r\n"

/* Writes the text, and answers all that has come since the last time; the connection is opened
 * again where it was closed. */
static inline const char *http_ask(struct broker_fixture *fixture, struct peer *peer,
                                   const char *text) {
  if (peer->is_at_end) {
    peer_close(peer);
    broker_settle(fixture);
    peer_open(peer, &fixture->broker.workers[0].pool);
  }
  buf_clear(&peer->in);
  peer_write_text(peer, text);
  broker_settle(fixture);
  return peer_text(peer);
}

/* A POST with a body. `headers` are complete lines. */
static inline const char *http_post(struct broker_fixture *fixture, struct peer *peer,
                                    const char *target, const char *headers, const char *body) {
  AUTO(buf) struct buf text = BUF_INIT;
  buf_printf(&text, "POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %zu\r\n\r\n%s", target,
             headers, strlen(body), body);
  return http_ask(fixture, peer, text.data);
}

/* `Authorization: Bearer ...` with these claims; to be freed. */
static inline char *http_authorization(const char *claims) {
  AUTO(buf) struct buf line = BUF_INIT;
  char *token = make_token(claims);
  buf_printf(&line, "Authorization: Bearer %s\r\n", token);
  free(token);
  return x_strndup(line.data, line.len);
}

static inline bool http_is(const char *answer, int status) {
  char start[32];
  snprintf(start, sizeof start, "HTTP/1.1 %d ", status);
  return strncmp(answer, start, strlen(start)) == 0;
}

#define assert_has_text(answer, part) assert_non_null(strstr(answer, part))

#endif
