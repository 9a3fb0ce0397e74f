// What lies under the pointer, and how far two points are from each other.

import * as THREE from "three";
import { valueOf } from "./distances.js";

const CLOSE_PX = 2.5, REACH_PX = 9;
const FEET = 3.28084;

/** The pixel of the map that is seen at (x, y) of the canvas, as { at, column, row, distance, point } or null. */
export function pick(relief, stage, x, y) {
  const { map } = relief, { camera } = map, distances = relief.distances();
  const { x: wide, y: tall } = stage.size;
  const { limits, backdrop } = relief.uniforms;
  const low = limits.value.x, high = Math.min(limits.value.y, backdrop.value);
  stage.camera.updateMatrixWorld();
  const matrix = new THREE.Matrix4().multiplyMatrices(stage.camera.projectionMatrix, stage.camera.matrixWorldInverse);
  const m = matrix.elements, step = relief.stride;
  let best = -1, bestDepth = Infinity, next = -1, nextAway = REACH_PX * REACH_PX;
  for (let row = relief.firstPixel; row < map.height; row += step) {
    const ry = -(row + 0.5 - camera.cy) / camera.fy;
    for (let column = relief.firstPixel; column < map.width; column += step) {
      const at = row * map.width + column, z = distances[at];
      if (!(z > 0) || z < low || z > high) continue;
      const px = ((column + 0.5 - camera.cx) / camera.fx) * z, py = ry * z;
      const w = m[3] * px + m[7] * py - m[11] * z + m[15];
      if (w <= 0) continue;
      const dx = (((m[0] * px + m[4] * py - m[8] * z + m[12]) / w + 1) * wide) / 2 - x;
      const dy = ((1 - (m[1] * px + m[5] * py - m[9] * z + m[13]) / w) * tall) / 2 - y;
      const away = dx * dx + dy * dy;
      if (away < CLOSE_PX * CLOSE_PX && w < bestDepth) [best, bestDepth] = [at, w];
      if (away < nextAway) [next, nextAway] = [at, away];
    }
  }
  const at = best >= 0 ? best : next;
  return at < 0 ? null : describePixel(relief, at);
}

function describePixel(relief, at) {
  const { map } = relief, { camera } = map, distance = relief.distances()[at];
  const column = at % map.width, row = Math.floor(at / map.width);
  const x = ((column + 0.5 - camera.cx) / camera.fx) * distance, y = ((row + 0.5 - camera.cy) / camera.fy) * distance;
  return { at, column, row, distance, point: new THREE.Vector3(x, -y, -distance) };
}

let inMillimetres = false;

/** Metres as RealSense's viewer writes them: millimetres below 0.2 m, metres again above 0.3 m, and feet. */
export function metres(length) {
  if (length < 0.2) inMillimetres = true;
  if (length > 0.3) inMillimetres = false;
  return inMillimetres ? `${(length * 1000).toFixed(0)} mm` : `${length.toFixed(3)} m (${(length * FEET).toFixed(2)} ft)`;
}

/** Words for what lies under the pointer. */
export function describe(found, frame, map) {
  const { depth } = frame.header;
  const [across, down] = map.covered ?? [depth.width, depth.height];
  const u = Math.floor(((found.column + 0.5) * across) / map.width);
  const v = Math.floor(((found.row + 0.5) * down) / map.height);
  if (depth.kind === "metric") return [metres(found.distance), `pixel ${u}, ${v}`];
  const value = valueOf(frame.codes[v * depth.width + u], depth);
  const name = depth.kind === "relative" ? "relative depth" : "relative inverse depth";
  return [
    `${Number.isFinite(value) ? value.toPrecision(4) : "no value"} ${name} (no unit)`,
    `shown at ${found.distance.toFixed(2)} scene units · pixel ${u}, ${v}`,
  ];
}

/** The measuring tape: two points picked, a line and a number between them, drawn over the canvas. */
export class Tape {
  active = false;
  #ends = [];
  #line;
  #label;

  constructor(overlay, stage) {
    this.stage = stage;
    this.#line = overlay.querySelector("line");
    this.#label = overlay.querySelector("text");
    this.dots = [...overlay.querySelectorAll("circle")];
    this.place();
  }

  clear() {
    this.#ends = [];
    this.place();
  }

  /** Add an end; the third begins anew. Returns the length in metres once there are two. */
  add(point) {
    if (this.#ends.length === 2) this.#ends = [];
    this.#ends.push(point.clone());
    this.place();
    return this.#ends.length === 2 ? this.#ends[0].distanceTo(this.#ends[1]) : null;
  }

  /** Put everything where the camera sees it now. */
  place() {
    const { x: wide, y: tall } = this.stage.size;
    const spots = this.#ends.map((end) => {
      const seen = end.clone().project(this.stage.camera);
      return [((seen.x + 1) * wide) / 2, ((1 - seen.y) * tall) / 2];
    });
    this.dots.forEach((dot, index) => {
      dot.style.display = spots[index] ? "" : "none";
      if (spots[index]) set(dot, { cx: spots[index][0], cy: spots[index][1] });
    });
    const both = spots.length === 2;
    this.#line.style.display = this.#label.style.display = both ? "" : "none";
    if (!both) return;
    const [[x1, y1], [x2, y2]] = spots;
    set(this.#line, { x1, y1, x2, y2 });
    set(this.#label, { x: (x1 + x2) / 2, y: (y1 + y2) / 2 - 10 });
    this.#label.textContent = metres(this.#ends[0].distanceTo(this.#ends[1]));
  }
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}
