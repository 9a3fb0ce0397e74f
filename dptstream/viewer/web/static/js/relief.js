// One frame as points or a surface: textures with what was sent, displaced by the GPU. Knows no camera of the viewer.

import * as THREE from "three";
import { LEVELS, paletteFor } from "./colors.js";
import { backdropDistance, cameraOf, distancesOf, mappingOf, shownDistances, valueLimits } from "./distances.js";
import { FilterChain, anyMapFilter } from "./filters.js";
import { POINT_FRAGMENT, SURFACE_FRAGMENT, VERTEX } from "./shaders.js";

const ENCODINGS = { "16UC1": 0, "16FC1": 1, "32FC1": 2 };
/** Width of a map that `edge_threshold` is meant for: a finer one spreads a slope over more pixels. */
const THRESHOLD_WIDTH = 640;

/** Half of what a slope must last is this part of a map's width: more than networks blur a jump. */
const SLOPES_ACROSS = 40;

/** Pixels of the screen; points are that large at first. */
const USUAL_POINT_SIZE = 3;

/** Stands for infinity in a shader, which need not know it. */
const LARGEST = 3e38;

/** Step that counts as a jump in a map so wide, as a share of the nearer distance; 0 where jumps are not cut. */
export function edgeTolerance(settings, columns) {
  return settings.edge_cut ? (settings.edge_threshold * THRESHOLD_WIDTH) / columns : 0;
}

/** Half the pixels that a slope must last, in a map so wide. */
export function slopeLength(columns) {
  return Math.max(1, Math.floor((columns + SLOPES_ACROSS / 2) / SLOPES_ACROSS));
}

/** Relief of one frame after the other. Several may show the same picture texture. */
export class Relief {
  /** What is shown: { width, height, camera, data or null where the codes are shown as sent }. */
  map = null;
  stride = 1;
  firstPixel = 0;
  palette = null;
  #chain = new FilterChain();
  #codes = null;
  #paletteTexture = dataTexture(new Uint8Array(LEVELS * 4), LEVELS, 1, THREE.RGBAFormat, THREE.UnsignedByteType);
  #indexKey = "";
  #frame = null;
  #mapping = null;

  constructor(pictureUniform) {
    this.uniforms = {
      codes: { value: null }, mapSize: { value: new THREE.Vector2() }, encoding: { value: 0 },
      scaleOffset: { value: new THREE.Vector2() }, inverse: { value: false }, mapping: { value: new THREE.Vector3() },
      limits: { value: new THREE.Vector2() }, backdrop: { value: 0 }, pictureShare: { value: new THREE.Vector2(1, 1) },
      tolerance: { value: 0 }, slopeLength: { value: 1 }, stride: { value: 1 }, firstPixel: { value: 0 },
      camera: { value: new THREE.Vector4() }, pointSize: { value: 2 }, farthest: { value: 1 },
      picture: pictureUniform, palette: { value: this.#paletteTexture }, byDepth: { value: false },
      paletteRange: { value: new THREE.Vector2(0, 1) }, paletteInverse: { value: false },
    };
    const material = (fragmentShader, defines) => new THREE.ShaderMaterial({
      glslVersion: THREE.GLSL3, uniforms: this.uniforms, vertexShader: VERTEX, fragmentShader, defines,
      side: THREE.DoubleSide,
    });
    this.points = new THREE.Points(new THREE.BufferGeometry(), material(POINT_FRAGMENT, { POINTS: 1 }));
    this.surface = new THREE.Mesh(new THREE.BufferGeometry(), material(SURFACE_FRAGMENT, {}));
    this.objects = [this.points, this.surface];
    for (const object of this.objects) object.frustumCulled = false; // three.js cannot know where the GPU puts them
  }

  /**
   * Show `frame`; `again` where it is the same one with other settings, `anew` where it begins a shot. `screen` is
   * { focal (pixels of the screen, of the camera's own view), pixelRatio }.
   */
  show(frame, settings, shown, { again, anew, screen }) {
    const { depth } = frame.header;
    if (anew) this.#chain.reset();
    this.#frame = frame;
    this.#mapping = mappingOf(depth, settings, shown);
    const camera = cameraOf(frame.header, settings);
    if (anyMapFilter(settings.filters)) {
      const plain = { data: distancesOf(frame, this.#mapping), width: frame.width, height: frame.height };
      const map = this.#chain.apply(plain, settings.filters, again);
      this.map = { ...map, camera: reduced(camera, map) };
      this.#upload(new Uint32Array(map.data.buffer), map, { encoding: "32FC1", scale: 1, offset: 0 });
      this.#setMapping({ inverse: false, a: 1, b: 0, least: 0 });
    } else {
      this.#chain.reset();
      this.map = { data: null, width: frame.width, height: frame.height, camera };
      if (!again || this.uniforms.encoding.value !== ENCODINGS[depth.encoding] || !this.#shows(frame)) {
        this.#upload(frame.codes, frame, depth);
      }
      this.#setMapping(this.#mapping);
    }
    this.#applySettings(depth, settings, shown, screen);
  }

  /** Distances of all pixels of the map, 0 where there is none; worked out when first asked for. */
  distances() {
    this.map.data ??= distancesOf(this.#frame, this.#mapping);
    return this.map.data;
  }

  setVisible(visible, mode) {
    this.points.visible = visible && mode === "points";
    this.surface.visible = visible && mode === "surface";
  }

  #applySettings(depth, settings, shown, screen) {
    const { width, height, camera } = this.map, { uniforms } = this;
    this.stride = Math.max(1, Math.min(settings.stride, width - 1, height - 1));
    this.firstPixel = this.stride > 1 ? this.stride >> 1 : 0;
    const [columns, rows] = this.gridSize();
    const limits = valueLimits(settings), ends = shownDistances(depth, settings, shown);
    uniforms.mapSize.value.set(width, height);
    uniforms.limits.value.set(limits[0], Math.min(limits[1], LARGEST));
    uniforms.backdrop.value = Math.min(backdropDistance(depth, settings), LARGEST);
    uniforms.pictureShare.value.set(...this.pictureShare());
    uniforms.tolerance.value = edgeTolerance(settings, columns);
    uniforms.slopeLength.value = slopeLength(columns);
    uniforms.stride.value = this.stride;
    uniforms.firstPixel.value = this.firstPixel;
    uniforms.camera.value.set(camera.fx, camera.fy, camera.cx, camera.cy);
    uniforms.pointSize.value = settings.point_size * this.#coarseness(screen) * screen.pixelRatio;
    uniforms.farthest.value = ends[1] > 0 ? ends[1] : 1;
    uniforms.byDepth.value = settings.color === "depth" || !this.#frame.picture;
    if (uniforms.byDepth.value) this.#paint(settings, ends);
    this.#makeIndex(settings.mode, columns, rows);
  }

  /** Share of the picture's width and height that the map covers: decimation cuts off what is no whole block. */
  pictureShare() {
    const { width, height, covered } = this.map;
    return covered ? [covered[0] / this.#frame.width, covered[1] / this.#frame.height] : [1, 1];
  }

  /** Columns and rows of the pixels that are drawn. */
  gridSize() {
    return [this.map.width, this.map.height].map((side) => Math.ceil((side - this.firstPixel) / this.stride));
  }

  /** How much larger points of a coarse map are drawn, so that those of the usual size leave no gaps. */
  #coarseness({ focal }) {
    return Math.max(1, ((focal / this.map.camera.fx) * this.stride) / USUAL_POINT_SIZE);
  }

  #paint(settings, ends) {
    const distances = settings.color_range === "equalized" ? this.distances() : null;
    this.palette = paletteFor(settings, distances, ends);
    this.#paletteTexture.image.data.set(this.palette.colors);
    this.#paletteTexture.needsUpdate = true;
    this.uniforms.paletteRange.value.set(...this.palette.range);
    this.uniforms.paletteInverse.value = this.palette.inverse;
  }

  #shows(frame) {
    return this.#codes?.image.data === frame.codes;
  }

  #setMapping({ inverse, a, b, least }) {
    this.uniforms.inverse.value = inverse;
    this.uniforms.mapping.value.set(a, b, least);
  }

  #upload(codes, { width, height }, { encoding, scale, offset }) {
    const type = encoding === "32FC1" ? THREE.UnsignedIntType : THREE.UnsignedShortType;
    this.#codes = updated(this.#codes, codes, width, height, THREE.RedIntegerFormat, type);
    this.uniforms.codes.value = this.#codes;
    this.uniforms.encoding.value = ENCODINGS[encoding];
    this.uniforms.scaleOffset.value.set(scale, offset);
  }

  #makeIndex(mode, columns, rows) {
    const key = `${mode} ${columns} ${rows}`;
    if (key === this.#indexKey) return;
    this.#indexKey = key;
    const object = mode === "points" ? this.points : this.surface;
    object.geometry.dispose(); // its old index would stay on the GPU
    object.geometry = new THREE.BufferGeometry();
    const index = mode === "points" ? pointIndex(columns * rows) : surfaceIndex(columns, rows);
    object.geometry.setIndex(new THREE.BufferAttribute(index, 1));
  }
}

/** Camera of a map that was made smaller by whole blocks. */
function reduced(camera, { width, height, covered }) {
  if (!covered) return camera;
  const sx = width / covered[0], sy = height / covered[1];
  return { fx: camera.fx * sx, fy: camera.fy * sy, cx: camera.cx * sx, cy: camera.cy * sy, width, height };
}

function pointIndex(count) {
  const index = new Uint32Array(count);
  for (let at = 0; at < count; at++) index[at] = at;
  return index;
}

/** Two triangles between each four neighbours, counter-clockwise for the camera. */
export function surfaceIndex(columns, rows) {
  const index = new Uint32Array(Math.max(0, columns - 1) * Math.max(0, rows - 1) * 6);
  let to = 0;
  for (let row = 0; row + 1 < rows; row++) {
    for (let column = 0; column + 1 < columns; column++) {
      const corner = row * columns + column, right = corner + 1, below = corner + columns;
      for (const vertex of [corner, below, right, right, below, below + 1]) index[to++] = vertex;
    }
  }
  return index;
}

function dataTexture(data, width, height, format, type) {
  const texture = new THREE.DataTexture(data, width, height, format, type);
  if (format === THREE.RGBFormat) texture.internalFormat = "RGB8";
  const filter = format === THREE.RedIntegerFormat ? THREE.NearestFilter : THREE.LinearFilter;
  texture.minFilter = texture.magFilter = filter;
  texture.needsUpdate = true;
  return texture;
}

/** The texture with other content; a new one where size or type differ, as the GPU's memory is laid out once. */
function updated(texture, data, width, height, format, type) {
  const { image } = texture ?? {};
  if (!image || image.width !== width || image.height !== height || texture.type !== type || texture.format !== format) {
    texture?.dispose();
    return dataTexture(data, width, height, format, type);
  }
  image.data = data;
  texture.needsUpdate = true;
  return texture;
}

/** Keeps the picture's texture. */
export class PictureTexture {
  uniform = { value: null };
  #raw = null;
  #decoded = null;

  show(picture) {
    if (!picture) return;
    const { width, height } = picture;
    if (picture.bitmap) {
      const { image } = this.#decoded ?? {};
      if (!image || image.width !== width || image.height !== height) {
        this.#decoded?.dispose();
        this.#decoded = new THREE.Texture();
        this.#decoded.generateMipmaps = false;
        this.#decoded.flipY = false;
        this.#decoded.minFilter = THREE.LinearFilter;
      }
      this.#decoded.image = picture.bitmap;
      this.#decoded.needsUpdate = true;
      this.uniform.value = this.#decoded;
    } else {
      this.#raw = updated(this.#raw, picture.pixels, width, height, THREE.RGBFormat, THREE.UnsignedByteType);
      this.uniform.value = this.#raw;
    }
  }
}
