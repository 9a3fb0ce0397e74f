// The WebSocket: comes back by itself, holds the newest frame alone, and asks for the next when that one was taken.

import { readPacket } from "./frame.js";

const FIRST_WAIT_MS = 500, LONGEST_WAIT_MS = 5000, PING_MS = 5000, SILENT_MS = 6000;

const LOCAL = /^(localhost|127\.|\[::1\])/.test(location.hostname);

export class Connection extends EventTarget {
  /** connecting, open or gone. */
  state = "connecting";
  feed = null;
  quality = LOCAL ? "full" : "light";
  /** Milliseconds that the server's clock is ahead of ours. */
  clockAhead = 0;
  /** What was received, for the state line. */
  counts = { frames: 0, bytes: 0, dropped: 0 };
  /** When the next attempt is made, by performance.now(). */
  retryAt = 0;
  #socket = null;
  #newest = null;
  #wait = FIRST_WAIT_MS;
  #last = { session: null, sequence: -1 };
  #heard = 0;

  constructor() {
    super();
    setInterval(() => this.#check(), 1000);
    setInterval(() => this.send({ type: "ping", sent: performance.now() }), PING_MS);
    this.#open();
  }

  send(wish) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(wish));
  }

  /** Choose feed and quality; anything already here is forgotten. */
  follow(feed, quality) {
    Object.assign(this, { feed, quality });
    this.send({ type: "follow", feed, quality });
    this.discard();
  }

  /** Take the newest frame, or null; the server then sends the next. */
  take() {
    const frame = this.#newest;
    this.#newest = null;
    if (frame) this.send({ type: "ready" });
    return frame;
  }

  /** Ask for a fresh frame instead of one that has been waiting. */
  discard() {
    this.take()?.picture?.bitmap?.close();
  }

  #open() {
    this.#set("connecting");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = (this.#socket = new WebSocket(`${scheme}://${location.host}/feed`));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#wait = FIRST_WAIT_MS;
      this.#heard = performance.now();
      this.#newest = null;
      this.#set("open");
      this.send({ type: "follow", feed: this.feed, quality: this.quality });
      this.send({ type: "ping", sent: performance.now() });
      // Over a long way one frame more may be under way, or the way itself would set the rate.
      this.send({ type: "ready", frames: LOCAL ? 1 : 2 });
    };
    socket.onmessage = ({ data }) => {
      this.#heard = performance.now();
      if (typeof data === "string") this.#read(JSON.parse(data));
      else this.#receive(data, socket);
    };
    socket.onclose = () => {
      if (socket !== this.#socket) return;
      this.retryAt = performance.now() + this.#wait;
      this.#set("gone");
      setTimeout(() => this.#open(), this.#wait);
      this.#wait = Math.min(LONGEST_WAIT_MS, this.#wait * 1.6);
    };
  }

  #set(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }

  #read(message) {
    if (message.type === "pong") {
      const now = performance.now(), way = (now - message.sent) / 2;
      this.clockAhead = message.now + way - (performance.timeOrigin + now);
    } else {
      this.dispatchEvent(new MessageEvent(message.type, { data: message }));
    }
  }

  async #receive(buffer, socket) {
    let frame;
    try {
      frame = await readPacket(buffer);
    } catch (error) {
      console.warn("a frame was not understood:", error);
      this.send({ type: "ready" });
      return;
    }
    if (socket !== this.#socket) return;
    const { session, sequence } = frame.header, last = this.#last;
    if (session === last.session && sequence > last.sequence) this.counts.dropped += sequence - last.sequence - 1;
    this.#last = { session, sequence };
    this.counts.frames++;
    this.counts.bytes += frame.bytes;
    if (this.#newest) this.discard(); // two were under way; its place is taken
    this.#newest = frame;
  }

  /** A network that went away without a word is noticed by its silence: the server tells how it goes twice a second. */
  #check() {
    if (this.state === "open" && performance.now() - this.#heard > SILENT_MS) this.#socket.close();
  }
}
