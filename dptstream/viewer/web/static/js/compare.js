// Before and after of one filter: a line across the picture, left of it the filter is off.

/** Filters that can be compared here, as [name, words, path of its switch]. */
export const COMPARABLE = [
  ["edge_cut", "edge cut", "edge_cut"],
  ["threshold", "threshold", "filters.threshold.enabled"],
  ["decimation", "decimation", "filters.decimation.enabled"],
  ["spatial", "spatial", "filters.spatial.enabled"],
  ["temporal", "temporal (here)", "filters.temporal.enabled"],
  ["hole_filling", "hole filling", "filters.hole_filling.enabled"],
  ["all", "all of them", null],
];

/** The settings with the filter `name` off. */
export function without(settings, name) {
  const copy = structuredClone(settings);
  for (const [known, , path] of COMPARABLE) {
    if (!path || (name !== known && name !== "all")) continue;
    if (path === "edge_cut") copy.edge_cut = false;
    else copy.filters[known].enabled = false;
  }
  return copy;
}

/** The line that is dragged; `onMove` gets its place as a share of the width, null when it is away. */
export class Divider {
  name = null;
  #at = 0.5;

  constructor(handle, onMove) {
    this.handle = handle;
    this.onMove = onMove;
    handle.onpointerdown = (event) => {
      handle.setPointerCapture(event.pointerId);
      handle.onpointermove = (move) => this.#place(this.#shareAt(move.clientX));
    };
    handle.onpointerup = handle.onpointercancel = () => { handle.onpointermove = null; };
    handle.onkeydown = (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      this.#place(this.#at + step);
    };
  }

  /** Compare the filter `name`, or nothing (null). */
  choose(name) {
    this.name = name;
    this.handle.hidden = !name;
    if (name) this.#place(this.#at);
    else this.onMove(null);
  }

  #shareAt(x) {
    const { left, width } = this.handle.parentElement.getBoundingClientRect();
    return (x - left) / width;
  }

  #place(share) {
    this.#at = Math.min(1, Math.max(0, share));
    this.handle.style.left = `${this.#at * 100}%`;
    this.handle.setAttribute("aria-valuenow", Math.round(this.#at * 100));
    this.onMove(this.#at);
  }
}
