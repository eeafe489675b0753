/**
 * A client of the messaging service for browsers: one WebSocket that mends itself, no dependencies.
 *
 *   import { MessagingClient } from "./kilo-messaging.js";
 *   const client = new MessagingClient("ws://127.0.0.1:8888", { project: "demo" });
 *   await client.post("work", { job: 1 });
 *   for await (const message of client.follow("work", { cursor: "start" })) console.log(message.body);
 *
 * Options: `project`; `headers`, a function (it may be async) that says who asks, called at each
 * connection, such as `() => ({ "X-Auth-Token": token })`; `clientId`; `attempts` in a row after
 * which a call gives up (8); `WebSocket`, another class than the browser's.
 */

/** The service answered with an error: `status` is HTTP's, `code` a stable dotted text. */
export class RequestRefused extends Error {
  constructor(message, status, code) {
    super(message);
    this.name = "RequestRefused";
    this.status = status;
    this.code = code;
  }
}

/** Nothing answers, or the connection was cut; `code` is that of WebSocket, where there is one. */
export class ServiceUnreachable extends Error {
  constructor(message, code = 0) {
    super(message);
    this.name = "ServiceUnreachable";
    this.code = code;
  }
}

const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 10_000;
const MOST_WAITING = 1000; // messages that a slow reader leaves lying; then the topic is let go of

/** An open connection: requests with their answers, and who wants which pushes. */
class Link {
  constructor(socket) {
    this.socket = socket;
    this.requests = new Map();
    this.followers = new Map();
    this.number = 0;
    this.isOpen = true;
    socket.onmessage = (event) => this.#take(JSON.parse(event.data));
    socket.onclose = (event) => this.#end(event.code, event.reason);
  }

  static open(WebSocketClass, url) {
    return new Promise((resolve, reject) => {
      const fail = () => reject(new ServiceUnreachable(`No messaging service answers at ${url}`));
      let socket;
      try {
        socket = new WebSocketClass(url);
      } catch (fault) {
        reject(new ServiceUnreachable(fault.message));
        return;
      }
      socket.onopen = () => resolve(new Link(socket));
      socket.onerror = fail;
      socket.onclose = fail;
    });
  }

  ask(action, body, headers = {}) {
    return new Promise((resolve, reject) => {
      if (!this.isOpen) {
        reject(new ServiceUnreachable("The connection ended"));
        return;
      }
      const request_id = ++this.number;
      this.requests.set(request_id, { resolve, reject });
      this.socket.send(JSON.stringify({ action, headers, body, request_id }));
    });
  }

  #take(frame) {
    if (frame.request_id === undefined) {
      if (frame.cursor !== undefined) this.followers.get(frame.queue_name)?.take(frame);
      return;
    }
    const { resolve, reject } = this.requests.get(frame.request_id) ?? {};
    this.requests.delete(frame.request_id);
    if (frame.headers.status < 400) resolve?.(frame.body);
    else reject?.(new RequestRefused(frame.body?.error, frame.headers.status, frame.body?.code));
  }

  #end(code, reason) {
    this.isOpen = false;
    const why = new ServiceUnreachable(`The connection ended: ${code} ${reason}`.trim(), code);
    for (const { reject } of this.requests.values()) reject(why);
    for (const follower of this.followers.values()) follower.cut(why);
    this.requests.clear();
    this.followers.clear();
  }
}

/** What came of one topic and was not read yet. */
class Waiting {
  messages = [];
  fault = null;
  #wake = () => {};

  take(message) {
    if (this.messages.length >= MOST_WAITING) {
      this.cut(new ServiceUnreachable("The messages are not read"));
      return;
    }
    if (this.fault === null) this.messages.push(message);
    this.#wake();
  }

  cut(fault) {
    this.fault ??= fault;
    this.#wake();
  }

  /** The next message; where there is none any more, the fault is thrown. */
  async next() {
    while (this.messages.length === 0) {
      if (this.fault !== null) throw this.fault;
      await new Promise((resolve) => (this.#wake = resolve));
    }
    return this.messages.shift();
  }
}

export class MessagingClient {
  #url;
  #options;
  #link = null;
  #isClosed = false;
  #following = new Set();
  #wakeUp = () => {};

  constructor(url, options = {}) {
    this.#url = url;
    this.#options = {
      headers: () => ({}),
      clientId: randomId(),
      attempts: 8,
      WebSocket: globalThis.WebSocket,
      ...options,
    };
  }

  /** Post messages, each once, also where the connection breaks meanwhile; a list of their ids. */
  async post(topic, ...bodies) {
    const messages = bodies.map((body) => ({ body, deduplication_id: randomId() }));
    const answer = await this.#try((link) => link.ask("message_post", { queue_name: topic, messages }));
    return answer.message_ids;
  }

  /** Any action of the service, such as "queue_get_stats"; the body of its answer. Tried once. */
  async ask(action, body = {}) {
    return (await this.#connect()).ask(action, body);
  }

  /**
   * Every message that is kept behind `cursor` ("start", "end", or that of a message), in order, and
   * then those that come: { body, ttl, queue_name, id, cursor, … }. Where the connection breaks it
   * goes on from there. It ends with `close`, or when the loop is left.
   */
  async *follow(topic, { cursor = "end" } = {}) {
    if (this.#following.has(topic)) throw new Error(`${topic} is followed already`);
    this.#following.add(topic);
    try {
      while (!this.#isClosed) {
        const waiting = new Waiting();
        try {
          cursor = await this.#try((link) => subscribe(link, topic, cursor, waiting));
          for (;;) {
            const message = await waiting.next();
            cursor = message.cursor;
            yield message;
          }
        } catch (fault) {
          if (this.#isClosed) return;
          if (!(fault instanceof ServiceUnreachable) || fault.isFinal) throw fault;
        }
      }
    } finally {
      this.#following.delete(topic);
      if (this.#link?.isOpen) await unsubscribe(this.#link, topic);
    }
  }

  /** End; what is under way ends too. */
  close() {
    this.#isClosed = true;
    this.#wakeUp();
    this.#link?.socket.close(1000);
  }

  async #try(work) {
    let pause = FIRST_PAUSE;
    for (let attempt = 1; ; attempt++) {
      const isNew = this.#link === null;
      try {
        return await work(await this.#connect());
      } catch (fault) {
        if (!(fault instanceof ServiceUnreachable)) throw fault;
        if (isNew || attempt >= this.#options.attempts || this.#isClosed) {
          fault.isFinal = true;
          throw fault;
        }
      }
      // Not all at once, where many come back to a server.
      await new Promise((resolve) => {
        this.#wakeUp = resolve;
        setTimeout(resolve, pause * (0.5 + Math.random() / 2));
      });
      pause = Math.min(2 * pause, LONGEST_PAUSE);
    }
  }

  #connecting = null;

  #connect() {
    if (this.#isClosed) return Promise.reject(new ServiceUnreachable("The client was closed"));
    if (this.#link?.isOpen) return Promise.resolve(this.#link);
    this.#connecting ??= this.#open().finally(() => (this.#connecting = null));
    return this.#connecting;
  }

  async #open() {
    const { project, clientId, headers, WebSocket } = this.#options;
    const names = { "Client-ID": clientId, ...(project && { "X-Project-ID": project }) };
    const all = { ...names, ...(await headers()) };
    const link = await Link.open(WebSocket, this.#url);
    await link.ask("authenticate", {}, all);
    this.#link = link;
    if (this.#isClosed) link.socket.close(1000);
    return link;
  }
}

async function subscribe(link, topic, cursor, waiting) {
  link.followers.set(topic, waiting);
  try {
    const answer = await link.ask("subscription_create", { queue_name: topic, cursor });
    waiting.id = answer.subscription_id;
    return answer.cursor;
  } catch (fault) {
    link.followers.delete(topic);
    throw fault;
  }
}

async function unsubscribe(link, topic) {
  const subscription_id = link.followers.get(topic)?.id;
  link.followers.delete(topic);
  if (!subscription_id) return;
  await link.ask("subscription_delete", { queue_name: topic, subscription_id }).catch(() => {});
}

/** A UUID; `crypto.randomUUID` is only there on pages that came over HTTPS or from this machine. */
function randomId() {
  const hex = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
}
