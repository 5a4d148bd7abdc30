#include "eventhub/proto/http_body.h"

#include <stdbool.h>

enum state {
  BY_LENGTH,
  SIZE,      /* of a chunk, in hex */
  EXTENSION, /* rest of its line */
  SIZE_LF,   /* end of its line */
  CHUNK,     /* its data */
  CHUNK_CR,  /* ... and the line end behind that */
  CHUNK_LF,
  TRAILER, /* beginning of a line of the trailer section */
  TRAILER_NAME,
  TRAILER_VALUE,
  TRAILER_LF,
  LAST_LF, /* of the empty line behind the trailers */
  END,
  BAD
};

enum { SIZE_DIGITS_MAX = 16 };

void http_body_begin(struct http_body *body, const struct http_request *request) {
  *body = (struct http_body){
      .left = request->chunked ? 0 : request->content_length,
      .state = request->chunked ? SIZE : BY_LENGTH,
  };
}

static int hex_value(unsigned char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  unsigned char lower = byte | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool is_text(unsigned char byte) {
  return byte == '\t' || (byte >= ' ' && byte != 0x7f);
}

static enum state take_size(struct http_body *body, unsigned char byte) {
  int digit = hex_value(byte);
  if (digit >= 0) {
    if (body->digits == SIZE_DIGITS_MAX || body->left >> 59 != 0) return BAD;
    body->digits++;
    body->left = body->left << 4 | (unsigned)digit;
    return SIZE;
  }
  if (body->digits == 0) return BAD;
  if (byte == '\r') return SIZE_LF;
  return byte == ';' ? EXTENSION : BAD;
}

/* The line of a chunk is over. */
static enum state take_size_end(struct http_body *body, unsigned char byte) {
  if (byte != '\n') return BAD;
  body->line_len = 0;
  return body->left > 0 ? CHUNK : TRAILER;
}

static enum state take_chunk_end(struct http_body *body, unsigned char byte) {
  if (byte != '\n') return BAD;
  body->line_len = body->digits = 0;
  return SIZE;
}

static enum state expect(unsigned char byte, unsigned char wanted, enum state next) {
  return byte == wanted ? next : BAD;
}

static enum state take_value(unsigned char byte) {
  if (byte == '\r') return TRAILER_LF;
  return is_text(byte) ? TRAILER_VALUE : BAD;
}

static enum state step(struct http_body *body, unsigned char byte) {
  switch (body->state) {
  case SIZE: return take_size(body, byte);
  case EXTENSION:
    if (byte == '\r') return SIZE_LF;
    return is_text(byte) ? EXTENSION : BAD;
  case SIZE_LF: return take_size_end(body, byte);
  case CHUNK_CR: return expect(byte, '\r', CHUNK_LF);
  case CHUNK_LF: return take_chunk_end(body, byte);
  case TRAILER:
    if (byte == '\r') return LAST_LF;
    return http_is_token_char((char)byte) ? TRAILER_NAME : BAD;
  case TRAILER_NAME:
    if (byte == ':') return TRAILER_VALUE;
    return http_is_token_char((char)byte) ? TRAILER_NAME : BAD;
  case TRAILER_VALUE: return take_value(byte);
  case TRAILER_LF: return expect(byte, '\n', TRAILER);
  case LAST_LF: return expect(byte, '\n', END);
  default: return BAD;
  }
}

static bool is_too_long(const struct http_body *body) {
  size_t max = body->state >= TRAILER ? HTTP_TRAILERS_MAX : HTTP_CHUNK_LINE_MAX;
  return body->line_len > max;
}

/* One byte that is not data. */
static void take_byte(struct http_body *body, unsigned char byte) {
  body->line_len++;
  enum state next = is_too_long(body) ? BAD : step(body, byte);
  body->state = (uint8_t)next;
}

static bool in_data(const struct http_body *body) {
  return body->state == BY_LENGTH || body->state == CHUNK;
}

static struct slice take_data(struct http_body *body, const char *bytes, size_t len) {
  size_t count = body->left < len ? (size_t)body->left : len;
  body->left -= count;
  return slice_of(bytes, count);
}

enum http_body_event http_body_feed(struct http_body *body, const char *bytes, size_t len,
                                    size_t *ret_consumed, struct slice *ret_data) {
  size_t at = 0;
  enum http_body_event event = HTTP_BODY_MORE;
  while (event == HTTP_BODY_MORE) {
    if (in_data(body) && body->left == 0) {
      body->state = body->state == CHUNK ? CHUNK_CR : END;
    } else if (body->state == END) {
      event = HTTP_BODY_END;
    } else if (body->state == BAD) {
      event = HTTP_BODY_BAD;
    } else if (at == len) {
      break;
    } else if (in_data(body)) {
      *ret_data = take_data(body, bytes + at, len - at);
      at += ret_data->len;
      event = HTTP_BODY_DATA;
    } else {
      take_byte(body, (unsigned char)bytes[at++]);
    }
  }
  *ret_consumed = at;
  return event;
}
