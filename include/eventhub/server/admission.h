#ifndef EVENTHUB_SERVER_ADMISSION_H
#define EVENTHUB_SERVER_ADMISSION_H

/*
 * Who may come in, by whatever way: the origin (403), the token (401), and whether there is room
 * (503). The checks refuse the request themselves and return false.
 *
 * And the opening handshake of a WebSocket with every refusal of the protocol's table: what is
 * looked at first is the request itself (400, 426).
 */

#include <stdbool.h>

#include "eventhub/server/exchange.h"

struct broker;
struct connection;
struct token;

/* A phrase for a client: what is wrong with a token of which token_verify has answered that. */
struct slice admission_text_of_bad_token(int err);

bool admission_allows_origin(struct exchange *exchange);
/* `protocol_token` comes from a WebSocket's subprotocols, else empty. The reference in `ret_token`
 * is the caller's; NULL where authentication is off. */
bool admission_verifies(struct exchange *exchange, struct slice protocol_token,
                        struct token **ret_token);
/* Not stopping? */
bool admission_is_open(struct exchange *exchange);
/* Takes one of the places for connections that stay, the process' and the address', until
 * admission_give_place. */
bool admission_takes_place(struct exchange *exchange);
void admission_give_place(struct broker *broker, const struct connection *connection);

/* Does the request try to become a WebSocket, well-formed or not? */
bool admission_is_asked(const struct http_request *request);
/* Upgrades the connection and opens its session, or refuses. */
void admission_upgrade(struct exchange *exchange);

#endif
