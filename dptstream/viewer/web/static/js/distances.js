// From depth codes to distances: the formulas of viewer/cloud.py, for the shaders (as numbers) and for the CPU.

/** Share of the inverse range next to its far end that counts as backdrop. */
const BACKDROP_SHARE = 0.02;
/** Share of a frame's own range that is taken up, where a feed gives one for each frame: it must not pump. */
const FOLLOW = 0.1;

export const KIND_NAMES = {
  metric: "metric depth", relative: "relative depth", relative_inverse: "relative inverse depth",
};

/** Keeps the range of values that is shown, which holds for a shot. */
export class ShownRange {
  range = null;
  #session = null;

  take(header) {
    const { low, high, scope } = header.depth;
    const anew = header.scene_cut || header.discontinuity || header.session !== this.#session;
    if (anew || scope !== "frame" || !this.range) this.range = [low, high];
    else this.range = [this.range[0] + FOLLOW * (low - this.range[0]), this.range[1] + FOLLOW * (high - this.range[1])];
    this.#session = header.session;
    return anew;
  }
}

/**
 * How values become distances: 1 / max(a * value + b, least) where `inverse`, else a * value; 0 is no distance.
 * Relative inverse depth lacks a scale and a shift: its range is laid between `near` and `far`.
 */
export function mappingOf(depth, settings, [low, high]) {
  if (depth.kind === "relative_inverse") {
    const a = (1 / settings.near - 1 / settings.far) / (high - low);
    return { inverse: true, a, b: 1 / settings.far - low * a, least: 1 / settings.far };
  }
  return { inverse: false, a: depth.kind === "relative" && high > 0 ? settings.far / high : 1, b: 0, least: 0 };
}

/** Distances of the near and far end of the range that is shown. */
export function shownDistances(depth, settings, [low, high]) {
  if (depth.kind === "relative_inverse") return [settings.near, settings.far];
  const { a } = mappingOf(depth, settings, [low, high]);
  return [low * a, high * a];
}

/** Distance at which the backdrop that is left out begins; Infinity where none is. */
export function backdropDistance(depth, settings) {
  if (!settings.cut_far || depth.kind !== "relative_inverse") return Infinity;
  const far = 1 / settings.far, near = 1 / settings.near;
  return 1 / (far + (near - far) * BACKDROP_SHARE);
}

/** Nearest and farthest distance that counts as a value: the threshold filter. */
export function valueLimits(settings) {
  const { threshold } = settings.filters;
  return threshold.enabled ? [threshold.minimum, threshold.maximum] : [0, Infinity];
}

/** Camera of the frame, scaled to its depth map, with the field of view that was set. */
export function cameraOf(header, settings) {
  const { width, height } = header.depth, [fx0, , cx0, , fy0, cy0] = header.camera.K;
  const sx = width / header.camera.width, sy = height / header.camera.height;
  let fx = fx0, fy = fy0;
  if (settings.fov_x_deg !== null) {
    fx = header.camera.width / 2 / Math.tan((settings.fov_x_deg * Math.PI) / 360);
    fy = (fx * fy0) / fx0;
  }
  return { fx: fx * sx, fy: fy * sy, cx: cx0 * sx, cy: cy0 * sy, width, height };
}

/** Value of a half float's bits; NaN where there is none. */
function halfValue(bits) {
  const exponent = (bits >> 10) & 31, fraction = bits & 1023, sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return NaN;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

const HALVES = Float32Array.from({ length: 65536 }, (_, bits) => halfValue(bits));
const floatBits = new DataView(new ArrayBuffer(4));

/** Value of one code, NaN where there is none. */
export function valueOf(code, depth) {
  let plain = code || NaN;
  if (depth.encoding === "16FC1") plain = HALVES[code];
  if (depth.encoding === "32FC1") {
    floatBits.setUint32(0, code);
    plain = floatBits.getFloat32(0);
    if (!Number.isFinite(plain)) plain = NaN;
  }
  return plain * depth.scale + depth.offset;
}

function distanceOf(value, { inverse, a, b, least }) {
  const distance = inverse ? 1 / Math.max(a * value + b, least) : a * value;
  return distance > 0 ? distance : 0; // NaN as well
}

let table = null, tableKey = "";

/** All distances of a frame (Float32Array, 0 where there is none), before any filter. */
export function distancesOf(frame, mapping) {
  const { depth } = frame.header, distances = new Float32Array(frame.codes.length), { codes } = frame;
  if (depth.encoding === "32FC1") {
    for (let at = 0; at < codes.length; at++) distances[at] = distanceOf(valueOf(codes[at], depth), mapping);
    return distances;
  }
  const key = [depth.encoding, depth.scale, depth.offset, mapping.inverse, mapping.a, mapping.b, mapping.least].join();
  if (key !== tableKey) {
    table = Float32Array.from({ length: 65536 }, (_, code) => distanceOf(valueOf(code, depth), mapping));
    tableKey = key;
  }
  for (let at = 0; at < codes.length; at++) distances[at] = table[codes[at]];
  return distances;
}

/** Middle one of the distances of a frame, by a sample; 1 where there are none. */
export function middleDistance(frame, mapping) {
  const step = Math.max(1, Math.floor(frame.codes.length / 2000)), some = [];
  for (let at = 0; at < frame.codes.length; at += step) {
    const distance = distanceOf(valueOf(frame.codes[at], frame.header.depth), mapping);
    if (distance > 0) some.push(distance);
  }
  return some.length ? some.sort((a, b) => a - b)[some.length >> 1] : 1;
}
