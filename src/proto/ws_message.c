#include "eventhub/proto/ws_message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "eventhub/base/err.h"
#include "eventhub/base/mem.h"
#include "eventhub/proto/utf8.h"

enum { ASSEMBLY_MIN = 256 };

/*
 * What waits for more bytes. It exists while at least one of these holds: a header is cut
 * (header_len > 0), a frame is cut (in_frame), a message has fragments to come (in_message), an
 * item made here is lent out.
 *
 *   header[]   the beginning of a header, until the rest is there
 *   control[]  payload of a control frame; apart, since it may stand between a message's fragments
 *   message    payload of the message so far, unmasked and checked
 */
struct ws_assembly {
  char *message;
  size_t message_len, message_cap;
  struct ws_frame frame; /* while in_frame */
  uint64_t frame_got;    /* bytes of its payload */
  struct utf8_state utf8;
  uint8_t opcode; /* of the message: WS_TEXT or WS_BINARY */
  uint8_t header_len;
  bool in_frame, in_message;
  bool is_compressed; /* the message */
  char header[WS_FRAME_CLIENT_HEADER_MAX];
  char control[WS_CONTROL_MAX];
};

/* One call of ws_decoder_feed. */
struct feeding {
  struct ws_decoder *decoder;
  const struct ws_limits *limits;
  char *at, *end; /* bytes not consumed yet */
  struct ws_item *item;
};

static struct ws_assembly *open_assembly(struct ws_decoder *decoder) {
  if (decoder->assembly == NULL) decoder->assembly = x_calloc(1, sizeof *decoder->assembly);
  return decoder->assembly;
}

void ws_decoder_done(struct ws_decoder *decoder) {
  if (decoder->assembly == NULL) return;
  free(decoder->assembly->message);
  free(decoder->assembly);
  decoder->assembly = NULL;
}

void ws_decoder_rest(struct ws_decoder *decoder) {
  const struct ws_assembly *assembly = decoder->assembly;
  if (assembly == NULL || assembly->in_frame || assembly->in_message || assembly->header_len > 0)
    return;
  ws_decoder_done(decoder);
}

size_t ws_decoder_memory(const struct ws_decoder *decoder) {
  const struct ws_assembly *assembly = decoder->assembly;
  return assembly == NULL ? 0 : sizeof *assembly + assembly->message_cap;
}

static size_t bytes_left(const struct feeding *feeding) {
  return (size_t)(feeding->end - feeding->at);
}

static enum ws_event fail(struct ws_item *item, enum ws_close_code code, const char *reason) {
  *item = (struct ws_item){.data = item->data, .close_code = (uint16_t)code, .reason = reason};
  return WS_EVENT_FAIL;
}

static enum ws_event fail_header(struct ws_item *item, int err) {
  if (err == ERR_TOO_BIG) return fail(item, WS_CLOSE_TOO_BIG, "message too big");
  return fail(item, WS_CLOSE_PROTOCOL, "invalid frame");
}

/* Close, RFC 6455 5.5.1: nothing, or a code of two bytes and a reason in UTF-8. */
static enum ws_event finish_close(struct ws_item *item) {
  if (item->len == 0) {
    item->close_code = WS_CLOSE_NO_STATUS;
    return WS_EVENT_CLOSE;
  }
  if (item->len == 1) return fail(item, WS_CLOSE_PROTOCOL, "invalid close frame");
  unsigned code = (unsigned)(uint8_t)item->data[0] << 8 | (uint8_t)item->data[1];
  if (!ws_close_code_is_valid(code)) return fail(item, WS_CLOSE_PROTOCOL, "invalid close code");
  item->close_code = (uint16_t)code;
  item->data += 2;
  item->len -= 2;
  if (utf8_is_valid(item->data, item->len)) return WS_EVENT_CLOSE;
  return fail(item, WS_CLOSE_BAD_DATA, "close reason is not UTF-8");
}

/* The whole unmasked payload of a control frame is in `data`. */
static enum ws_event finish_control(struct ws_item *item, unsigned opcode, char *data, size_t len) {
  *item = (struct ws_item){.data = data, .len = len};
  if (opcode == WS_CLOSE) return finish_close(item);
  return opcode == WS_PING ? WS_EVENT_PING : WS_EVENT_PONG;
}

static enum ws_event fail_utf8(struct ws_item *item) {
  return fail(item, WS_CLOSE_BAD_DATA, "text is not UTF-8");
}

/* A message in one frame, all of it in the given bytes: nothing is copied. */
static enum ws_event finish_whole(struct feeding *feeding, const struct ws_frame *frame) {
  size_t len = (size_t)frame->payload_len;
  char *data = feeding->at;
  feeding->at += len;
  ws_frame_unmask(data, len, frame->mask, 0);
  if (ws_opcode_is_control(frame->opcode))
    return finish_control(feeding->item, frame->opcode, data, len);
  bool is_compressed = frame->rsv != 0;
  *feeding->item = (struct ws_item){.data = data, .len = len, .is_compressed = is_compressed};
  if (frame->opcode == WS_BINARY) return WS_EVENT_BINARY;
  return is_compressed || utf8_is_valid(data, len) ? WS_EVENT_TEXT : fail_utf8(feeding->item);
}

static bool in_message(const struct feeding *feeding) {
  const struct ws_assembly *assembly = feeding->decoder->assembly;
  return assembly != NULL && assembly->in_message;
}

/* Data that cannot be compressed grows by a few bytes for each stored block. */
static size_t max_payload(const struct feeding *feeding, bool is_compressed) {
  size_t max = feeding->limits->max_message;
  return is_compressed ? max + max / 1024 + 128 : max;
}

static bool fits(const struct feeding *feeding, const struct ws_frame *frame) {
  const struct ws_assembly *assembly = feeding->decoder->assembly;
  bool goes_on = in_message(feeding);
  size_t so_far = goes_on ? assembly->message_len : 0;
  size_t max = max_payload(feeding, goes_on ? assembly->is_compressed : frame->rsv != 0);
  return so_far <= max && frame->payload_len <= max - so_far;
}

/* What a header must satisfy beside being well-formed: RFC 6455 5.4, and our limits. */
static enum ws_event check_frame(const struct feeding *feeding, const struct ws_frame *frame) {
  struct ws_item *item = feeding->item;
  if (ws_opcode_is_control(frame->opcode)) return WS_EVENT_NONE;
  if (frame->opcode == WS_CONTINUATION && !in_message(feeding))
    return fail(item, WS_CLOSE_PROTOCOL, "continuation of nothing");
  if (frame->opcode != WS_CONTINUATION && in_message(feeding))
    return fail(item, WS_CLOSE_PROTOCOL, "message inside a message");
  if (frame->opcode == WS_BINARY && !feeding->limits->allow_binary)
    return fail(item, WS_CLOSE_UNSUPPORTED, "binary data");
  if (!fits(feeding, frame)) return fail(item, WS_CLOSE_TOO_BIG, "message too big");
  return WS_EVENT_NONE;
}

/* Where the next bytes of the current frame go. */
static char *payload_end(struct ws_assembly *assembly) {
  if (ws_opcode_is_control(assembly->frame.opcode)) return assembly->control + assembly->frame_got;
  return assembly->message + assembly->message_len;
}

/* How long the message can become, as far as is known. */
static size_t longest(const struct feeding *feeding) {
  const struct ws_assembly *assembly = feeding->decoder->assembly;
  if (!assembly->frame.fin) return max_payload(feeding, assembly->is_compressed);
  uint64_t missing = assembly->frame.payload_len - assembly->frame_got;
  return assembly->message_len + (size_t)missing;
}

/* Room for `more` bytes of the message. It doubles, so a client pays for memory in bytes sent. */
static void reserve(struct feeding *feeding, size_t more) {
  struct ws_assembly *assembly = feeding->decoder->assembly;
  size_t need = assembly->message_len + more, most = longest(feeding);
  if (need <= assembly->message_cap) return;
  size_t cap = assembly->message_cap < ASSEMBLY_MIN ? ASSEMBLY_MIN : assembly->message_cap * 2;
  if (cap < need) cap = need;
  if (cap > most) cap = most;
  assembly->message = x_realloc(assembly->message, cap);
  assembly->message_cap = cap;
}

static void begin_frame(struct feeding *feeding, const struct ws_frame *frame) {
  struct ws_assembly *assembly = open_assembly(feeding->decoder);
  assembly->frame = *frame;
  assembly->frame_got = 0;
  assembly->in_frame = true;
  if (ws_opcode_is_control(frame->opcode) || frame->opcode == WS_CONTINUATION) return;
  assembly->opcode = frame->opcode;
  assembly->in_message = true;
  assembly->is_compressed = frame->rsv != 0;
  assembly->message_len = 0;
  assembly->utf8 = (struct utf8_state){0};
}

static enum ws_event finish_message(struct ws_assembly *assembly, struct ws_item *item) {
  assembly->in_message = false;
  char *data = assembly->message == NULL ? assembly->control : assembly->message;
  *item = (struct ws_item){
      .data = data, .len = assembly->message_len, .is_compressed = assembly->is_compressed};
  if (assembly->opcode == WS_BINARY) return WS_EVENT_BINARY;
  return assembly->is_compressed || utf8_is_complete(&assembly->utf8) ? WS_EVENT_TEXT
                                                                      : fail_utf8(item);
}

static enum ws_event finish_frame(struct ws_assembly *assembly, struct ws_item *item) {
  const struct ws_frame *frame = &assembly->frame;
  assembly->in_frame = false;
  if (ws_opcode_is_control(frame->opcode))
    return finish_control(item, frame->opcode, assembly->control, (size_t)frame->payload_len);
  return frame->fin ? finish_message(assembly, item) : WS_EVENT_NONE;
}

/* Unmasks and checks what has just been copied in. */
static int accept_payload(struct ws_assembly *assembly, char *data, size_t len) {
  ws_frame_unmask(data, len, assembly->frame.mask, assembly->frame_got);
  assembly->frame_got += len;
  if (ws_opcode_is_control(assembly->frame.opcode)) return 0;
  assembly->message_len += len;
  bool is_text = assembly->opcode == WS_TEXT && !assembly->is_compressed;
  return is_text ? utf8_feed(&assembly->utf8, data, len) : 0;
}

static enum ws_event feed_payload(struct feeding *feeding) {
  struct ws_assembly *assembly = feeding->decoder->assembly;
  uint64_t missing = assembly->frame.payload_len - assembly->frame_got;
  size_t len = missing < bytes_left(feeding) ? (size_t)missing : bytes_left(feeding);
  if (len > 0) {
    if (!ws_opcode_is_control(assembly->frame.opcode)) reserve(feeding, len);
    char *data = payload_end(assembly);
    memcpy(data, feeding->at, len);
    feeding->at += len;
    if (accept_payload(assembly, data, len) < 0) return fail_utf8(feeding->item);
  }
  return len < missing ? WS_EVENT_NONE : finish_frame(assembly, feeding->item);
}

static int parse_header(const struct feeding *feeding, const char *bytes, size_t len,
                        struct ws_frame *ret) {
  return ws_frame_parse(bytes, len, feeding->limits->allow_compressed ? WS_RSV1 : 0, ret);
}

/* The header begins in what an earlier call left over. */
static int take_cut_header(struct feeding *feeding, struct ws_frame *ret) {
  struct ws_assembly *assembly = feeding->decoder->assembly;
  size_t had = assembly->header_len, more = sizeof assembly->header - had;
  if (more > bytes_left(feeding)) more = bytes_left(feeding);
  memcpy(assembly->header + had, feeding->at, more);
  int err = parse_header(feeding, assembly->header, had + more, ret);
  if (err == ERR_AGAIN) {
    assembly->header_len = (uint8_t)(had + more);
    feeding->at += more;
  }
  if (err < 0) return err;
  assert(ret->header_len > had);
  assembly->header_len = 0;
  feeding->at += ret->header_len - had;
  return 0;
}

static void keep_cut_header(struct feeding *feeding) {
  struct ws_assembly *assembly = open_assembly(feeding->decoder);
  assembly->header_len = (uint8_t)bytes_left(feeding);
  memcpy(assembly->header, feeding->at, assembly->header_len);
  feeding->at = feeding->end;
}

static int take_header(struct feeding *feeding, struct ws_frame *ret) {
  const struct ws_assembly *assembly = feeding->decoder->assembly;
  if (assembly != NULL && assembly->header_len > 0) return take_cut_header(feeding, ret);
  int err = parse_header(feeding, feeding->at, bytes_left(feeding), ret);
  if (err == ERR_AGAIN) keep_cut_header(feeding);
  if (err == 0) feeding->at += ret->header_len;
  return err;
}

static enum ws_event feed_frame(struct feeding *feeding) {
  struct ws_frame frame;
  int err = take_header(feeding, &frame);
  if (err == ERR_AGAIN) return WS_EVENT_NONE;
  if (err < 0) return fail_header(feeding->item, err);
  enum ws_event event = check_frame(feeding, &frame);
  if (event != WS_EVENT_NONE) return event;
  bool is_alone = frame.fin && frame.opcode != WS_CONTINUATION;
  if (is_alone && frame.payload_len <= bytes_left(feeding)) return finish_whole(feeding, &frame);
  begin_frame(feeding, &frame);
  return feed_payload(feeding);
}

enum ws_event ws_decoder_feed(struct ws_decoder *decoder, const struct ws_limits *limits,
                              char *bytes, size_t len, size_t *ret_consumed, struct ws_item *ret) {
  struct ws_item item = {.data = bytes};
  struct feeding feeding = {
      .decoder = decoder, .limits = limits, .at = bytes, .end = bytes + len, .item = &item};
  enum ws_event event = WS_EVENT_NONE;
  ws_decoder_rest(decoder);
  while (event == WS_EVENT_NONE && feeding.at < feeding.end) {
    bool in_frame = decoder->assembly != NULL && decoder->assembly->in_frame;
    event = in_frame ? feed_payload(&feeding) : feed_frame(&feeding);
  }
  *ret_consumed = len - bytes_left(&feeding);
  if (event != WS_EVENT_NONE) *ret = item;
  return event;
}
