// Colours by depth: RealSense's schemes, over a fixed range or spread over the frame's histogram.

export const LEVELS = 1024;
const SAMPLES = 65536;

/** RGB bytes of `share`, 0 (near) to 1 (far). */
function scheme(name, share) {
  const byte = (value) => Math.round(255 * Math.min(1, Math.max(0, value)));
  // Jet is three trapezoids, a quarter of the range apart.
  if (name === "jet") return [3, 2, 1].map((peak) => byte(1.5 - Math.abs(4 * share - peak)));
  const grey = byte(name === "white_to_black" ? 1 - share : share);
  return [grey, grey, grey];
}

/** RGBA bytes of LEVELS colours from near to far. */
function evenPalette(name) {
  const colors = new Uint8Array(LEVELS * 4);
  for (let level = 0; level < LEVELS; level++) colors.set([...scheme(name, level / (LEVELS - 1)), 255], level * 4);
  return colors;
}

/**
 * Colours for `distances` as { colors, range, inverse }: LEVELS colours over a range of inverse distance (equalised: each
 * colour gets as many pixels) or of distance (fixed).
 */
export function paletteFor(settings, distances, limits) {
  const even = evenPalette(settings.color_scheme);
  if (settings.color_range === "fixed") {
    return { colors: even, range: settings.color_limits ?? limits, inverse: false };
  }
  const { least, most, ranks } = histogram(distances);
  const colors = new Uint8Array(LEVELS * 4);
  for (let level = 0; level < LEVELS; level++) {
    const from = Math.round((1 - ranks[level]) * (LEVELS - 1)) * 4;
    colors.set(even.subarray(from, from + 4), level * 4);
  }
  return { colors, range: [least, most], inverse: true };
}

/** Ranks (0 to 1) of LEVELS inverse distances between the least and the most of the frame. */
function histogram(distances) {
  const step = Math.max(1, Math.floor(distances.length / SAMPLES));
  let least = Infinity, most = 0;
  for (let at = 0; at < distances.length; at += step) {
    if (!distances[at]) continue;
    least = Math.min(least, 1 / distances[at]);
    most = Math.max(most, 1 / distances[at]);
  }
  if (!most) return { least: 0, most: 1, ranks: new Float32Array(LEVELS) };
  if (most <= least * 1.000001) most = least * 1.000001;
  const counts = new Float64Array(LEVELS);
  let total = 0;
  for (let at = 0; at < distances.length; at += step) {
    if (!distances[at]) continue;
    counts[Math.min(LEVELS - 1, Math.floor(((1 / distances[at] - least) / (most - least)) * LEVELS))]++;
    total++;
  }
  const ranks = new Float32Array(LEVELS);
  for (let level = 0, sum = 0; level < LEVELS; level++) ranks[level] = (sum += counts[level]) / total;
  return { least, most, ranks };
}

/** Colour of one distance, as bytes, by a palette of `paletteFor`. */
export function colorAt(palette, distance, into, at) {
  const [low, high] = palette.range;
  const share = ((palette.inverse ? 1 / distance : distance) - low) / (high - low);
  const from = Math.round(Math.min(1, Math.max(0, share)) * (LEVELS - 1)) * 4;
  into[at] = palette.colors[from];
  into[at + 1] = palette.colors[from + 1];
  into[at + 2] = palette.colors[from + 2];
}
