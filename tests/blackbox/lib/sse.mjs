// A reader of server-sent events on a raw socket, after the standard (WHATWG HTML 9.2.6).
import assert from 'node:assert/strict';
import { parseHead, requestText } from './http.mjs';
import { RawSocket } from './socket.mjs';

/** A topic or pattern as a path. */
export const pathOf = (filter) => `/${filter.split('/').map(encodeURIComponent).join('/')}`;

export class EventStream {
  /** Opens `path`; a refusal is an error with {status, body}. */
  static async open(port, path, { headers = {}, host } = {}) {
    const raw = await RawSocket.connect(port, host);
    await raw.write(requestText('GET', path, { Accept: 'text/event-stream', ...headers }));
    const head = await raw.read(() => {
      const found = parseHead(raw.bytes);
      if (found) raw.take(found.length);
      return found;
    }, 'head of the answer');
    if (head.status !== 200) {
      const body = (await raw.readToEnd()).toString();
      raw.destroy();
      throw Object.assign(new Error(`refused with ${head.status} ${body}`), {
        status: head.status,
        headers: head.headers,
        body,
      });
    }
    return new EventStream(raw, head);
  }

  constructor(raw, head) {
    this.raw = raw;
    this.head = head;
    this.text = '';
    this.lastEventId = '';
  }

  /** The next block of lines, up to a blank one; undefined when the stream has ended. */
  async nextBlock(ms) {
    try {
      return await this.raw.read(
        () => {
          const end = this.raw.bytes.indexOf('\n\n');
          return end < 0 ? undefined : this.raw.take(end + 2).toString('utf8');
        },
        'event',
        ms,
      );
    } catch (error) {
      if (this.raw.isEnded) return undefined;
      throw error;
    }
  }

  /** The next event: {type, id, data}; comments and retry hints are noted and passed over. */
  async next(ms) {
    for (;;) {
      const block = await this.nextBlock(ms);
      if (block === undefined) return undefined;
      const event = this.parse(block);
      if (event) return event;
    }
  }

  parse(block) {
    const event = { type: 'message', data: [] };
    for (const line of block.split(/\r\n|\r|\n/)) {
      if (line === '') continue;
      const [, name, value] = /^([^:]*):? ?([^]*)$/.exec(line);
      if (name === '') this.comment = value;
      else if (name === 'data') event.data.push(value);
      else if (name === 'id') this.lastEventId = value;
      else if (name === 'event') event.type = value;
      else if (name === 'retry') this.retry = Number(value);
      else assert.fail(`field ${JSON.stringify(line)}`);
    }
    if (event.data.length === 0) return undefined;
    return { type: event.type, id: this.lastEventId, data: event.data.join('\n') };
  }

  async take(count) {
    const events = [];
    while (events.length < count) {
      const event = await this.next();
      assert.ok(event, `the stream ended after ${events.length} of ${count} events`);
      events.push(event);
    }
    return events;
  }

  close() {
    this.raw.destroy();
  }
}

/** A stream for the length of one function. */
export async function withStream(port, path, run, options) {
  const stream = await EventStream.open(port, path, options);
  try {
    return await run(stream);
  } finally {
    stream.close();
  }
}
