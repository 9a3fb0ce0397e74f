// The pointer over the scene: the value under it, and the measuring tape.

import { describe, pick, Tape } from "./probe.js";

const PAUSE_MS = 80, CLICK_PX = 5;

export class PointerReading {
  #place = null;
  #pressed = null;
  #timer = null;

  constructor(page, bubble, overlay) {
    this.page = page;
    this.bubble = bubble;
    this.tape = new Tape(overlay, page.stage);
    const { canvas } = page.stage;
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerleave", () => this.#hide());
    canvas.addEventListener("pointerdown", ({ offsetX, offsetY }) => { this.#pressed = [offsetX, offsetY]; });
    canvas.addEventListener("pointerup", (event) => this.#release(event));
  }

  /** The frame has changed under a pointer that rests. */
  refresh() {
    if (this.#place && !this.#timer) this.#timer = setTimeout(() => this.#read(), PAUSE_MS);
  }

  toggleTape() {
    const { tape, page } = this;
    if (page.frame && page.frame.header.depth.kind !== "metric") return;
    tape.active = !tape.active;
    if (!tape.active) tape.clear();
    page.stage.canvas.parentElement.classList.toggle("measuring", tape.active);
    document.getElementById("measure").setAttribute("aria-pressed", tape.active);
  }

  #move({ offsetX, offsetY, buttons }) {
    if (buttons) {
      this.#hide();
      return;
    }
    this.#place = [offsetX, offsetY];
    this.refresh();
  }

  #hide() {
    this.#place = null;
    this.bubble.hidden = true;
  }

  #release({ offsetX, offsetY, pointerType }) {
    const [x, y] = this.#pressed ?? [Infinity, Infinity];
    this.#pressed = null;
    if (Math.hypot(offsetX - x, offsetY - y) > CLICK_PX) return; // it was a turn of the view
    if (this.tape.active) this.#measure(offsetX, offsetY);
    if (pointerType !== "mouse") { // a finger cannot hover: a tap shows the value
      this.#place = [offsetX, offsetY];
      this.#read();
    }
  }

  #measure(x, y) {
    const found = this.#pick(x, y);
    if (found) this.tape.add(found.point);
    else this.page.say("There is no point here");
  }

  #pick(x, y) {
    const { page } = this;
    return page.frame ? pick(page.after, page.stage, x, y) : null;
  }

  #read() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (!this.#place) return;
    const [x, y] = this.#place, { frame, after, stage } = this.page, found = this.#pick(x, y);
    this.bubble.hidden = !found;
    if (!found) return;
    const [value, more] = describe(found, frame, after.map);
    const small = document.createElement("small");
    small.textContent = more;
    this.bubble.replaceChildren(value, small);
    const { x: wide, y: tall } = stage.size, { offsetWidth, offsetHeight } = this.bubble;
    this.bubble.style.left = `${Math.max(4, Math.min(x + 16, wide - offsetWidth - 4))}px`;
    this.bubble.style.top = `${y + 20 + offsetHeight > tall ? y - offsetHeight - 12 : y + 20}px`;
  }
}
