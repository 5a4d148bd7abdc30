/* JSON-RPC 2.0 over texts: reads requests, single or in a batch, and writes the replies.
 *
 *   AUTO(jsonrpc_reader) struct jsonrpc_reader reader = {0};
 *   int code = jsonrpc_open(&reader, text);
 *   if (code != 0) -> one reply: error `code` with id null
 *   while (jsonrpc_next(&reader, &request, &code))
 *     code != 0 -> a reply: error `code` with request.id
 *     else run request.method; reply if request.id.ptr
 *
 * Whoever calls puts the replies to a batch into one array, and sends nothing where none are due.
 *
 * Ids are never interpreted: a reply carries the very bytes of the request, so 1e2 stays 1e2 and
 * 2^53+1 does not become 2^53.
 *
 * Pure functions of their arguments; a reader belongs to one thread at a time.
 */
#ifndef EVENTHUB_PROTO_JSONRPC_H
#define EVENTHUB_PROTO_JSONRPC_H

#include <stdbool.h>
#include <stddef.h>

#include "eventhub/base/buf.h"
#include "eventhub/base/cleanup.h"
#include "eventhub/base/slice.h"
#include "eventhub/proto/json.h"

enum {
  JSONRPC_DEPTH_MAX = 64,     /* levels in the whole text, the batch's array included */
  JSONRPC_BATCH_MAX = 10000,  /* requests in a batch */
  JSONRPC_ID_MAX_BYTES = 1024 /* an id as written, quotes included */
};

/* JSON-RPC 2.0, 5.1 */
enum jsonrpc_code {
  JSONRPC_PARSE_ERROR = -32700,
  JSONRPC_INVALID_REQUEST = -32600,
  JSONRPC_METHOD_NOT_FOUND = -32601,
  JSONRPC_INVALID_PARAMS = -32602,
  JSONRPC_INTERNAL_ERROR = -32603,
};

struct jsonrpc_request {
  struct slice id;     /* JSON text as written, in the reader's text; ptr NULL if there is none */
  struct slice method; /* decoded; valid until the next jsonrpc_next or the reader's end */
  struct json_value params;           /* array or object, else JSON_NULL: absent or null */
  const struct json_members *members; /* for json_members_select with params; the reader's */
};

struct jsonrpc_reader {
  bool is_batch;
  size_t count; /* requests in the text, valid or not */

  /* private */
  size_t taken;
  struct json_value root;
  struct json_iter iter;
  struct json_outline outline;
  struct buf method; /* of the current request, where its name is written with escapes */
};

/* Checks `text`, which must be UTF-8 and outlive the reader. 0, or the code to answer once, with
 * id null:
 *   JSONRPC_PARSE_ERROR      not JSON
 *   JSONRPC_INVALID_REQUEST  neither object nor array; an empty batch or one of more than
 *                            JSONRPC_BATCH_MAX; nested deeper than JSONRPC_DEPTH_MAX
 * The reader is initialised in any case; end it with jsonrpc_reader_done. */
int jsonrpc_open(struct jsonrpc_reader *reader, struct slice text);

/* The next request; false when all were read. ret_code says what it is:
 *   0                        a request, or where id.ptr is NULL a notification: never answered
 *   JSONRPC_INVALID_REQUEST  always answered, with id (ptr NULL: with null); method and params are
 *                            not to be used
 * Valid is an object with "jsonrpc" equal to "2.0", "method" a string, "id" absent or a string,
 * number or null of at most JSONRPC_ID_MAX_BYTES, "params" absent or an array, object or null.
 * Other members are ignored; of members with the same name the last one counts. */
bool jsonrpc_next(struct jsonrpc_reader *reader, struct jsonrpc_request *ret, int *ret_code);

/* The text of a batch was copied from `old` to `text`, which outlives the reader from now on: what
 * is still to be read is read there. Requests that were read already point into the old one. */
void jsonrpc_reader_move(struct jsonrpc_reader *reader, const char *old, const char *text);

/* Frees what the reader holds; also after a failed jsonrpc_open, and twice. */
void jsonrpc_reader_done(struct jsonrpc_reader *reader);

static inline void jsonrpc_reader_cleanup(struct jsonrpc_reader *reader) {
  jsonrpc_reader_done(reader);
}

/* The standard's phrase for a code, "Server error" for any other. */
const char *jsonrpc_code_text(int code);

/* {"id":I,"jsonrpc":"2.0","result":R}. `id` and `result` are JSON texts; an id with ptr NULL is
 * written as null. */
void jsonrpc_append_result(struct buf *out, struct slice id, struct slice result);

/* {"error":{"code":C,"message":M,"data":D},"id":I,"jsonrpc":"2.0"}. `data` is UTF-8 for people and
 * gets escaped; with ptr NULL it is left out. */
void jsonrpc_append_error(struct buf *out, struct slice id, int code, struct slice data);

#endif
