// RealSense's filters on maps of distances (0: none), as viewer/filters.py has them. Threshold is left to the shaders.

/** In how many of how many last frames a pixel must have had a value to keep it without one. */
const PERSISTENCY = [null, [8, 8], [2, 3], [2, 4], [2, 8], [1, 2], [1, 5], [1, 8], [0, 8]];
const MEDIAN_UP_TO = 3;
const MOST_FILLING_PASSES = 64;

/** Names of the filters that change the map itself, in the order in which they work. */
export const MAP_FILTERS = ["decimation", "spatial", "temporal", "hole_filling"];

export function anyMapFilter(filters) {
  return MAP_FILTERS.some((name) => filters[name].enabled);
}

/** Applies what is switched on to one frame after the other. A map is { data, width, height }. */
export class FilterChain {
  #before = null;
  #after = null;

  reset() {
    this.#before = this.#after = null;
  }

  /** Return the filtered map; `again` says that it is the same frame as before, so that time stands still. */
  apply(map, filters, again) {
    if (filters.decimation.enabled) map = decimated(map, filters.decimation.magnitude);
    if (filters.spatial.enabled || filters.temporal.enabled) {
      let inverse = { ...map, data: inverted(map.data) };
      if (filters.spatial.enabled) smoothInSpace(inverse, filters.spatial);
      if (filters.temporal.enabled) inverse = this.#overTime(inverse, filters.temporal, again);
      map = { ...map, data: inverted(inverse.data) };
    }
    if (!filters.temporal.enabled) this.reset();
    if (filters.hole_filling.enabled) map = filled(map, filters.hole_filling.fill);
    return map;
  }

  #overTime(inverse, settings, again) {
    if (!again) this.#before = this.#after;
    if (this.#before && this.#before.inverse.data.length !== inverse.data.length) this.#before = null;
    this.#after = steadied(inverse, this.#before, settings);
    return this.#after.inverse;
  }
}

function inverted(data) {
  return data.map((value) => (value > 0 ? 1 / value : 0));
}

function stepOf(data, delta) {
  let least = Infinity, most = 0;
  for (const value of data) {
    if (value > most) most = value;
    if (value > 0 && value < least) least = value;
  }
  return most > 0 ? ((most - least) * delta) / 1000 : 0;
}

function decimated({ data, width, height }, magnitude) {
  const side = Math.min(magnitude, width, height);
  const columns = Math.floor(width / side), rows = Math.floor(height / side);
  const small = new Float32Array(columns * rows), block = new Float32Array(side * side);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let count = 0;
      for (let y = 0; y < side; y++) {
        for (let x = 0; x < side; x++) {
          const value = data[(row * side + y) * width + column * side + x];
          if (value > 0) block[count++] = value;
        }
      }
      small[row * columns + column] = middle(block.subarray(0, count), side);
    }
  }
  // Rows and columns left over are cut off: the camera of this map sees that much less.
  return { data: small, width: columns, height: rows, covered: [columns * side, rows * side] };
}

function middle(values, side) {
  if (!values.length) return 0;
  if (side <= MEDIAN_UP_TO) return values.sort()[(values.length - 1) >> 1];
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function smoothInSpace({ data, width, height }, { iterations, alpha, delta }) {
  const step = stepOf(data, delta);
  const run = (start, stride, count) => {
    for (let at = start + stride, left = count - 1; left > 0; at += stride, left--) {
      const last = data[at - stride], value = data[at];
      if (value > 0 && last > 0 && Math.abs(value - last) < step) data[at] = value + (1 - alpha) * (last - value);
    }
  };
  for (let pass = 0; pass < iterations; pass++) {
    for (const direction of [1, -1]) {
      for (let row = 0; row < height; row++) {
        run(direction > 0 ? row * width : (row + 1) * width - 1, direction, width);
      }
    }
    for (const direction of [1, -1]) {
      for (let column = 0; column < width; column++) {
        run(direction > 0 ? column : (height - 1) * width + column, direction * width, height);
      }
    }
  }
}

function steadied(inverse, before, { alpha, delta, persistency }) {
  const now = inverse.data, history = new Uint8Array(now.length);
  if (!before) {
    for (let at = 0; at < now.length; at++) history[at] = now[at] > 0 ? 1 : 0;
    return { inverse, history };
  }
  const step = stepOf(now, delta), then = before.inverse.data, shown = new Float32Array(now.length);
  const [wanted, frames] = PERSISTENCY[persistency] ?? [Infinity, 8];
  const recent = (1 << frames) - 1;
  for (let at = 0; at < now.length; at++) {
    const value = now[at], last = then[at], valid = value > 0;
    shown[at] = value;
    if (valid && last > 0 && Math.abs(value - last) < step) shown[at] = last + alpha * (value - last);
    else if (!valid && ones(before.history[at] & recent) >= wanted) shown[at] = last;
    history[at] = (before.history[at] << 1) | (valid ? 1 : 0);
  }
  return { inverse: { ...inverse, data: shown }, history };
}

function ones(byte) {
  let count = 0;
  for (; byte; byte &= byte - 1) count++;
  return count;
}

function filled({ data, width, height, ...rest }, fill) {
  let out = data.slice();
  if (fill === "left") {
    for (let at = 0; at < out.length; at++) if (!(out[at] > 0) && at % width) out[at] = out[at - 1];
    return { data: out, width, height, ...rest };
  }
  const better = fill === "farthest" ? Math.max : (a, b) => (a && b ? Math.min(a, b) : a || b);
  for (let pass = 0; pass < MOST_FILLING_PASSES; pass++) {
    const before = out.slice();
    let holes = 0;
    for (let at = 0; at < out.length; at++) {
      if (before[at] > 0) continue;
      const x = at % width;
      let value = 0;
      if (x > 0) value = better(value, before[at - 1]);
      if (x < width - 1) value = better(value, before[at + 1]);
      if (at >= width) value = better(value, before[at - width]);
      if (at < out.length - width) value = better(value, before[at + width]);
      out[at] = value;
      holes++;
    }
    if (!holes || holes === out.length) break;
  }
  return { data: out, width, height, ...rest };
}
