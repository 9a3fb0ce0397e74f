// What is shown, as files: PLY, GLB, PNG and video.

import * as THREE from "three";
import { GLTFExporter } from "three/addons/GLTFExporter.js";
import { PLYExporter } from "three/addons/PLYExporter.js";
import { colorAt, paletteFor } from "./colors.js";
import { shownDistances } from "./distances.js";
import { picturePixels } from "./frame.js";
import { edgeTolerance, slopeLength, surfaceIndex } from "./relief.js";

/** For each axis of a convention: which of OpenCV's it is, and its sign. */
const AXES = {
  opencv: [[0, 1], [1, 1], [2, 1]], opengl: [[0, 1], [1, -1], [2, -1]],
  blender: [[0, 1], [2, 1], [1, -1]], unity: [[0, 1], [1, -1], [2, 1]],
};

export function download(data, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(data instanceof Blob ? data : new Blob([data], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

export function fileName(frame, ending) {
  const { feed, frame_number } = frame.header;
  return `${feed}.${String(frame_number).padStart(6, "0")}.${ending}`;
}

/** Binary PLY of the points or the surface: RealSense's layout, in the axes of the settings. */
export function plyOf(relief, frame, settings, shown) {
  const object = toObject(relief, frame, settings, shown, settings.axes);
  // Given as "color" the exporter would take the bytes for linear light.
  const customPropertyMapping = { rgb: ["red", "green", "blue"] };
  const bytes = new Uint8Array(new PLYExporter().parse(object, null, { binary: true, littleEndian: true, customPropertyMapping }));
  const { header } = frame, unit = header.depth.kind === "metric" ? "metres" : "scene units";
  const note = `comment dptstream ${header.feed} frame ${header.frame_number}, ${unit}, axes ${settings.axes}\n`;
  const cut = bytes.indexOf(10, bytes.indexOf(10) + 1) + 1; // after the lines "ply" and "format"
  return new Blob([bytes.subarray(0, cut), note, bytes.subarray(cut)], { type: "application/octet-stream" });
}

/** GLB of the points or the surface, unlit, in glTF's own axes (y up). */
export async function glbOf(relief, frame, settings, shown) {
  const object = toObject(relief, frame, settings, shown, "opengl");
  const { rgb } = object.geometry.attributes; // glTF wants linear light
  object.geometry.setAttribute("color", new THREE.BufferAttribute(Float32Array.from(rgb.array, toLinear), 3));
  object.geometry.deleteAttribute("rgb");
  const data = await new GLTFExporter().parseAsync(object, { binary: true });
  return new Blob([data], { type: "model/gltf-binary" });
}

function toObject(relief, frame, settings, shown, axes) {
  const { geometry, indexed } = toGeometry(relief, frame, settings, shown, AXES[axes]);
  const object = indexed
    ? new THREE.Mesh(geometry, new THREE.MeshBasicMaterial({ vertexColors: true }))
    : new THREE.Points(geometry, new THREE.PointsMaterial({ vertexColors: true }));
  object.name = frame.header.feed;
  return object;
}

function toGeometry(relief, frame, settings, shown, axes) {
  const grid = gridOf(relief, settings);
  const { columns, rows, z } = grid;
  if (settings.mode === "surface") {
    const triangles = wholeTriangles(grid);
    if (axes[0][1] * axes[1][1] * axes[2][1] * parity(axes) < 0) mirror(triangles);
    return { geometry: gather(relief, frame, settings, shown, grid, axes, triangles), indexed: true };
  }
  const kept = [];
  for (let at = 0; at < columns * rows; at++) if (z[at] > 0 && z[at] < grid.backdrop && !besideJump(grid, at)) kept.push(at);
  return { geometry: gather(relief, frame, settings, shown, grid, axes, null, kept), indexed: false };
}

/** Distances of the pixels that are drawn, 0 where nothing is. */
function gridOf(relief, settings) {
  const distances = relief.distances(), [columns, rows] = relief.gridSize();
  const { x: low, y: high } = relief.uniforms.limits.value, z = new Float32Array(columns * rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const value = distances[(row * relief.stride + relief.firstPixel) * relief.map.width
        + column * relief.stride + relief.firstPixel];
      z[row * columns + column] = value >= low && value <= high ? value : 0;
    }
  }
  const backdrop = relief.uniforms.backdrop.value, tolerance = edgeTolerance(settings, columns);
  return { columns, rows, z, backdrop, tolerance, slope: slopeLength(columns) };
}

/** Whether depth jumps from a pixel to the one to its right (`ahead` 1) or below (`ahead` the columns): see shaders.js. */
function jumps(grid, at, ahead) {
  const { z, tolerance } = grid, here = z[at], there = z[at + ahead];
  if (!(tolerance > 0) || Math.max(here, there) <= Math.min(here, there) * (1 + tolerance)) return false;
  if (Math.min(here, there) === 0) return true;
  const rise = 1 / there - 1 / here, upward = Math.sign(rise);
  const foretold = Math.max(slopeFrom(grid, at, -ahead, -upward), slopeFrom(grid, at + ahead, ahead, upward), 0);
  return Math.abs(rise) - foretold > tolerance / Math.max(here, there);
}

/** By how much inverse distance rises from pixel to pixel over a slope that begins at `at`; 0 where there is none. */
function slopeFrom({ columns, rows, z, slope }, at, ahead, upward) {
  const across = Math.abs(ahead) === 1, place = across ? at % columns : Math.floor(at / columns);
  const last = place + 2 * slope * Math.sign(ahead);
  if (last < 0 || last >= (across ? columns : rows)) return 0;
  const middle = z[at + slope * ahead], end = z[at + 2 * slope * ahead];
  if (!(middle > 0 && end > 0)) return 0;
  return Math.min((1 / middle - 1 / z[at]) * upward, (1 / end - 1 / middle) * upward) / slope;
}

function besideJump(grid, at) {
  const { columns, rows } = grid, column = at % columns;
  return (column > 0 && jumps(grid, at - 1, 1)) || (column < columns - 1 && jumps(grid, at, 1))
    || (at >= columns && jumps(grid, at - columns, columns)) || (at < columns * (rows - 1) && jumps(grid, at, columns));
}

function wholeTriangles(grid) {
  const { columns, rows, z } = grid, all = surfaceIndex(columns, rows), kept = [];
  for (let from = 0; from < all.length; from += 6) {
    const a = all[from], b = a + 1, c = a + columns, d = c + 1;
    if (!(Math.min(z[a], z[b], z[c], z[d]) > 0 && Math.max(z[a], z[b], z[c], z[d]) < grid.backdrop)) continue;
    if (jumps(grid, a, 1) || jumps(grid, c, 1) || jumps(grid, a, columns) || jumps(grid, b, columns)) continue;
    for (let corner = 0; corner < 6; corner++) kept.push(all[from + corner]);
  }
  return kept;
}

/** Sign of the permutation of the axes. */
function parity(axes) {
  const [a, b, c] = axes.map(([from]) => from);
  return Math.sign((b - a) * (c - a) * (c - b));
}

function mirror(triangles) {
  for (let at = 0; at < triangles.length; at += 3) {
    [triangles[at + 1], triangles[at + 2]] = [triangles[at + 2], triangles[at + 1]];
  }
}

function gather(relief, frame, settings, shown, grid, axes, triangles, kept) {
  const { columns, rows } = grid;
  if (triangles) {
    const used = new Uint8Array(columns * rows);
    for (const vertex of triangles) used[vertex] = 1;
    kept = [];
    for (let at = 0; at < used.length; at++) if (used[at]) kept.push(at);
  }
  const positions = new Float32Array(kept.length * 3), colors = new Uint8Array(kept.length * 3);
  const paint = painter(relief, frame, settings, shown), bytes = new Uint8Array(3), { camera } = relief.map;
  kept.forEach((at, number) => {
    const column = (at % columns) * relief.stride + relief.firstPixel;
    const row = Math.floor(at / columns) * relief.stride + relief.firstPixel, z = grid.z[at];
    const point = [((column + 0.5 - camera.cx) / camera.fx) * z, ((row + 0.5 - camera.cy) / camera.fy) * z, z];
    paint(column, row, z, bytes);
    for (let axis = 0; axis < 3; axis++) {
      positions[number * 3 + axis] = point[axes[axis][0]] * axes[axis][1];
      colors[number * 3 + axis] = bytes[axis];
    }
  });
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.BufferAttribute(positions, 3));
  geometry.setAttribute("rgb", new THREE.BufferAttribute(colors, 3));
  if (triangles) {
    const numbers = new Uint32Array(columns * rows);
    kept.forEach((at, number) => { numbers[at] = number; });
    geometry.setIndex(new THREE.BufferAttribute(Uint32Array.from(triangles, (at) => numbers[at]), 1));
  }
  return geometry;
}

/** Returns what writes the colour of a pixel of the map into three bytes. */
function painter(relief, frame, settings, shown) {
  const { picture } = frame, { width, height } = relief.map, [across, down] = relief.pictureShare();
  if (settings.color === "picture" && picture) {
    const pixels = picturePixels(picture);
    return (column, row, _, into) => {
      const x = Math.floor(((column + 0.5) / width) * across * picture.width);
      const y = Math.floor(((row + 0.5) / height) * down * picture.height);
      const from = (y * picture.width + x) * 3;
      for (let channel = 0; channel < 3; channel++) into[channel] = pixels[from + channel];
    };
  }
  const palette = relief.palette
    ?? paletteFor(settings, relief.distances(), shownDistances(frame.header.depth, settings, shown));
  return (_column, _row, distance, into) => colorAt(palette, distance, into, 0);
}

function toLinear(byte) {
  const value = byte / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

/** Records the canvas as video. */
export class VideoCapture {
  #recorder = null;

  get running() {
    return this.#recorder !== null;
  }

  /** Begin; `done` gets the file's content and its ending. Throws where the browser cannot record. */
  start(canvas, done) {
    const type = ["video/mp4;codecs=avc1", "video/webm;codecs=vp9", "video/webm"].find((name) =>
      globalThis.MediaRecorder?.isTypeSupported(name));
    if (!type || !canvas.captureStream) throw new Error("this browser cannot record a canvas");
    const pieces = [];
    this.#recorder = new MediaRecorder(canvas.captureStream(), { mimeType: type, videoBitsPerSecond: 12e6 });
    this.#recorder.ondataavailable = ({ data }) => pieces.push(data);
    this.#recorder.onstop = () => {
      this.#recorder = null;
      done(new Blob(pieces, { type }), type.includes("mp4") ? "mp4" : "webm");
    };
    this.#recorder.start(1000);
  }

  stop() {
    this.#recorder?.stop();
  }
}
