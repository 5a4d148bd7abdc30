#include "eventhub/proto/http_response.h"

#include "eventhub/base/cleanup.h"
#include "eventhub/base/json_escape.h"

static const struct {
  int status;
  const char *text;
} statuses[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *http_status_text(int status) {
  for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
    if (statuses[i].status == status) return statuses[i].text;
  }
  return "Unknown";
}

static bool has_no_body(int status) {
  return status < 200 || status == 204;
}

static void append_header(struct buf *out, const char *name, struct slice value) {
  buf_append_str(out, name);
  buf_append_slice(out, value);
  buf_append_str(out, "\r\n");
}

static void append_status_line(struct buf *out, int status) {
  buf_append_str(out, "HTTP/1.1 ");
  buf_append_u64(out, (uint64_t)status);
  buf_append_char(out, ' ');
  buf_append_str(out, http_status_text(status));
  buf_append_str(out, "\r\n");
}

static void append_content_length(struct buf *out, size_t len) {
  buf_append_str(out, "Content-Length: ");
  buf_append_u64(out, len);
  buf_append_str(out, "\r\n");
}

void http_response_encode(struct buf *out, const struct http_response *response) {
  bool bodiless = has_no_body(response->status);
  append_status_line(out, response->status);
  if (response->content_type.len > 0) append_header(out, "Content-Type: ", response->content_type);
  if (!bodiless) append_content_length(out, response->body.len);
  append_header(out, "Connection: ", response->keep_alive ? SLICE("keep-alive") : SLICE("close"));
  buf_append_slice(out, response->extra_headers);
  buf_append_str(out, "\r\n");
  if (!bodiless && !response->head_only) buf_append_slice(out, response->body);
}

void http_stream_head_encode(struct buf *out, struct slice content_type,
                             struct slice extra_headers) {
  append_status_line(out, 200);
  append_header(out, "Content-Type: ", content_type);
  buf_append_str(out, "Cache-Control: no-store\r\nConnection: close\r\nX-Accel-Buffering: no\r\n");
  buf_append_slice(out, extra_headers);
  buf_append_str(out, "\r\n");
}

void http_error_body(struct buf *out, struct slice message) {
  buf_append_str(out, "{\"error\":");
  buf_append_json_string(out, message);
  buf_append_char(out, '}');
}

void http_error_encode(struct buf *out, int status, struct slice extra_headers,
                       struct slice message) {
  AUTO(buf) struct buf headers = BUF_INIT;
  buf_append_str(&headers, "Cache-Control: no-store\r\n");
  buf_append_slice(&headers, extra_headers);

  AUTO(buf) struct buf body = BUF_INIT;
  http_error_body(&body, message);

  struct http_response response = {.status = status,
                                   .content_type = SLICE("application/json"),
                                   .extra_headers = buf_slice(&headers),
                                   .body = buf_slice(&body)};
  http_response_encode(out, &response);
}
