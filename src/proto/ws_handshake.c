#include "eventhub/proto/ws_handshake.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "eventhub/base/cleanup.h"

enum {
  KEY_DIGITS = 22, /* of a key; then "==" */
  SWITCHING = 101,
  BAD_REQUEST = 400,
  UPGRADE_REQUIRED = 426
};

static const struct slice auth_prefix = SLICE_INIT("eventhub.auth.");

bool ws_handshake_is_upgrade(const struct http_request *request) {
  return http_request_has_token(request, SLICE("Upgrade"), SLICE("websocket"));
}

static bool is_base64_digit(unsigned char byte) {
  bool is_letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
  return is_letter || (byte >= '0' && byte <= '9') || byte == '+' || byte == '/';
}

/* Spare bits in the last digit may be set: clients that draw 22 random digits do so, and RFC
 * 4648 3.5 leaves it to the decoder. */
static bool key_is_valid(struct slice key) {
  if (key.len != WS_KEY_LEN || key.ptr[KEY_DIGITS] != '=' || key.ptr[KEY_DIGITS + 1] != '=')
    return false;
  for (size_t i = 0; i < KEY_DIGITS; i++) {
    if (!is_base64_digit((unsigned char)key.ptr[i])) return false;
  }
  return true;
}

static bool is_get(const struct http_request *request) {
  return slice_equal(request->method, SLICE("GET"));
}

static bool is_http_1_1(const struct http_request *request) {
  return request->minor >= 1;
}

static bool connection_upgrades(const struct http_request *request) {
  return http_request_has_token(request, SLICE("Connection"), SLICE("upgrade"));
}

/* The bytes behind the head are frames already. */
static bool is_bodiless(const struct http_request *request) {
  return !request->has_body;
}

static bool has_one_version(const struct http_request *request) {
  return http_request_header_count(request, SLICE("Sec-WebSocket-Version")) <= 1;
}

static bool has_known_version(const struct http_request *request) {
  return slice_equal(http_request_header(request, SLICE("Sec-WebSocket-Version")), SLICE("13"));
}

static bool has_one_key(const struct http_request *request) {
  return http_request_header_count(request, SLICE("Sec-WebSocket-Key")) == 1;
}

static bool has_valid_key(const struct http_request *request) {
  return key_is_valid(http_request_header(request, SLICE("Sec-WebSocket-Key")));
}

/* RFC 6455 4.2.1, in the order in which they are looked at. */
static const struct {
  bool (*holds)(const struct http_request *request);
  int status;
  const char *reason;
} requirements[] = {
    {is_get, BAD_REQUEST, "a WebSocket handshake is a GET request"},
    {is_http_1_1, BAD_REQUEST, "a WebSocket handshake needs HTTP/1.1"},
    {ws_handshake_is_upgrade, BAD_REQUEST, "Upgrade does not name websocket"},
    {connection_upgrades, BAD_REQUEST, "Connection does not name upgrade"},
    {is_bodiless, BAD_REQUEST, "a WebSocket handshake has no body"},
    {has_one_version, BAD_REQUEST, "more than one Sec-WebSocket-Version"},
    {has_known_version, UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13"},
    {has_one_key, BAD_REQUEST, "there must be one Sec-WebSocket-Key"},
    {has_valid_key, BAD_REQUEST, "Sec-WebSocket-Key is not base64 of 16 bytes"},
};

/* base64(SHA-1(key + GUID)) */
void ws_accept_compute(struct slice key, char ret_accept[WS_ACCEPT_LEN + 1]) {
  static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  unsigned char text[WS_KEY_LEN + sizeof guid - 1], digest[SHA_DIGEST_LENGTH];
  memcpy(text, key.ptr, WS_KEY_LEN);
  memcpy(text + WS_KEY_LEN, guid, sizeof guid - 1);
  SHA1(text, sizeof text, digest);
  EVP_EncodeBlock((unsigned char *)ret_accept, digest, sizeof digest);
}

static void read_offer(struct slice offer, struct ws_handshake *ret) {
  if (slice_equal(offer, SLICE("eventhub.v1"))) ret->offers_v1 = true;
  if (ret->protocol_token.len > 0 || !slice_starts_with(offer, auth_prefix)) return;
  ret->protocol_token = slice_of(offer.ptr + auth_prefix.len, offer.len - auth_prefix.len);
}

static void read_offers(const struct http_request *request, struct ws_handshake *ret) {
  for (size_t i = 0; i < request->header_count; i++) {
    struct slice rest = request->headers[i].value, offer;
    if (!slice_equal_nocase(request->headers[i].name, SLICE("Sec-WebSocket-Protocol"))) continue;
    while (slice_next_token(&rest, ',', &offer))
      read_offer(slice_trim(offer), ret);
  }
  if (!ret->offers_v1) ret->protocol_token = slice_of(NULL, 0);
}

int ws_handshake_check(const struct http_request *request, struct ws_handshake *ret) {
  memset(ret, 0, sizeof *ret);
  for (size_t i = 0; i < ARRAY_LEN(requirements); i++) {
    if (requirements[i].holds(request)) continue;
    ret->reason = requirements[i].reason;
    return requirements[i].status;
  }
  ws_accept_compute(http_request_header(request, SLICE("Sec-WebSocket-Key")), ret->accept);
  read_offers(request, ret);
  return SWITCHING;
}

void ws_handshake_encode(struct buf *out, const struct ws_handshake *handshake) {
  buf_append_str(out, "HTTP/1.1 101 Switching Protocols\r\n"
                      "Upgrade: websocket\r\n"
                      "Connection: Upgrade\r\n"
                      "Sec-WebSocket-Accept: ");
  buf_append(out, handshake->accept, WS_ACCEPT_LEN);
  buf_append_str(out, "\r\n");
  if (handshake->offers_v1) buf_append_str(out, "Sec-WebSocket-Protocol: eventhub.v1\r\n");
  ws_deflate_append_header(out, &handshake->deflate);
  buf_append_str(out, "\r\n");
}
