// Keeps the top of the page up to date: badge, figures, facts, and the card that says what is wrong.

import { facts, figures, stateOf } from "./words.js";

const RATE_MS = 2000, AGES = 15, LONG_AGO_MS = 3600e3;

const $ = (id) => document.getElementById(id);

export class StateLine {
  #shown = [];
  #ages = [];
  #counted = { frames: 0, bytes: 0, at: performance.now() };

  constructor(page) {
    this.page = page;
  }

  /** Note that `frame` is shown now. */
  count({ header }, connection) {
    const now = performance.now(), stamp = header.timestamp ?? header.published;
    this.#shown.push(now);
    const sent = stamp.sec * 1e3 + stamp.nsec / 1e6;
    const age = performance.timeOrigin + now + connection.clockAhead - sent;
    // What was converted long ago has no age that anybody wants to know.
    if (age > LONG_AGO_MS) this.#ages = [];
    else this.#ages.push(age);
    if (this.#ages.length > AGES) this.#ages.shift();
  }

  update() {
    const { page } = this, { connection, frame, status } = page;
    const { state, title, text, busy } = stateOf(page);
    const card = $("card"), badge = $("badge");
    badge.textContent = badge.dataset.state = document.body.dataset.state = state;
    card.hidden = !title;
    card.dataset.state = state;
    card.classList.toggle("still", !busy);
    card.classList.toggle("alone", !frame);
    if (title) [$("card-title").textContent, $("card-text").textContent] = [title, text];
    $("view").classList.toggle("dim", state === "gone" && frame !== null);
    const now = performance.now();
    this.#shown = this.#shown.filter((moment) => now - moment < RATE_MS);
    const ages = [...this.#ages].sort((a, b) => a - b);
    $("figures").textContent = frame ? figures({
      status, shownFps: this.#shown.length / (RATE_MS / 1000), dropped: connection.counts.dropped,
      latencyMs: state === "live" && ages.length ? ages[ages.length >> 1] : null, captured: frame.header.timestamp !== null,
    }) : "";
    $("facts").textContent = $("facts").title = frame ? facts(frame) : "";
    this.#updateLink(connection, now);
    page.updateNotes();
  }

  #updateLink({ counts }, now) {
    const before = this.#counted, seconds = (now - before.at) / 1000;
    if (seconds < 1) return;
    const frames = counts.frames - before.frames, bytes = counts.bytes - before.bytes;
    this.#counted = { frames: counts.frames, bytes: counts.bytes, at: now };
    $("link-note").textContent = frames
      ? `${(bytes / frames / 1e6).toFixed(2)} MB a frame, ${(bytes / seconds / 1e6).toFixed(1)} MB/s` : "nothing comes";
  }
}
