// The canvas: camera, orbiting, views, and drawing when something changed. Knows no depth; reliefs do.

import * as THREE from "three";
import { OrbitControls } from "three/addons/OrbitControls.js";

/** How far views step back behind the camera's own place, as a share of the distance to the scene's middle. */
const STEP_BACK = { camera: 0, reset: 0.12, left: 0.4, right: 0.4, above: 0.4 };
const ASIDE_DEG = 30;
const OWN_FOV_DEG = 60;
export const BACKGROUND = 0x0e1116;

export class Stage {
  scene = new THREE.Scene();
  camera = new THREE.PerspectiveCamera(OWN_FOV_DEG, 1, 0.01, 1000);
  /** Share of the width at which the picture is split for comparing; null: it is not. */
  split = null;
  /** Called before each drawing with "before" or "after": which side of the split is drawn. */
  onSide = () => {};
  /** Called each animation frame, before drawing; returns whether something changed. */
  onTick = () => false;
  /** Called after each drawing. */
  onDrawn = () => {};
  #due = true;
  #view = { camera: null, middle: 1 };
  #name = "reset";

  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, powerPreference: "high-performance" });
    this.renderer.setClearColor(BACKGROUND);
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.zoomToCursor = true;
    this.controls.addEventListener("change", () => this.redraw());
    this.controls.addEventListener("start", () => { this.#name = null; });
    new ResizeObserver(() => this.#resize()).observe(canvas.parentElement);
    this.#resize();
    this.renderer.setAnimationLoop(() => this.#tick());
  }

  get pixelRatio() {
    return this.renderer.getPixelRatio();
  }

  get size() {
    return this.renderer.getSize(new THREE.Vector2());
  }

  /** Focal length, in pixels of the screen, with which the whole picture of `camera` fits in. */
  focalOf(camera) {
    const { x: width, y: height } = this.size;
    return Math.min((camera.fx / camera.width) * width, (camera.fy / camera.height) * height);
  }

  redraw() {
    this.#due = true;
  }

  /** Say what there is to see: the feed's camera and the distance of the scene's middle. */
  describe(camera, middle) {
    const before = this.#view.camera;
    const same = before && ["fx", "fy", "width", "height"].every((name) => before[name] === camera[name]);
    this.#view = { camera, middle: same ? this.#view.middle : middle };
    if (!same && this.#name) this.look(this.#name);
  }

  /** Aim at a scene that has changed as a whole, such as after a cut, unless the user has turned it. */
  aim(middle) {
    this.#view.middle = middle;
    if (this.#name) this.look(this.#name);
  }

  /** Take a view by name: `reset` (the whole from the front), `camera` (the camera's own), `left`, `right`, `above`. */
  look(name) {
    const { camera, middle } = this.#view;
    if (!camera) return;
    this.#name = name;
    const arm = new THREE.Vector3(0, 0, middle * (1 + STEP_BACK[name]));
    const turn = { left: [-ASIDE_DEG, 0], right: [ASIDE_DEG, 0], above: [0, -ASIDE_DEG] }[name] ?? [0, 0];
    arm.applyEuler(new THREE.Euler(THREE.MathUtils.degToRad(turn[1]), THREE.MathUtils.degToRad(turn[0]), 0));
    this.controls.target.set(0, 0, -middle);
    this.camera.position.copy(this.controls.target).add(arm);
    this.camera.up.set(0, 1, 0);
    this.#fit();
    this.controls.update();
    this.redraw();
  }

  /** Draw now, for a picture of the canvas. */
  draw() {
    const { renderer } = this, { x: width, y: height } = this.size;
    renderer.setScissorTest(false);
    if (this.split === null) {
      this.onSide("after");
      renderer.render(this.scene, this.camera);
    } else {
      const at = Math.round(this.split * width);
      renderer.setScissorTest(true);
      for (const [side, left, right] of [["before", 0, at], ["after", at, width]]) {
        renderer.setScissor(left, 0, right - left, height);
        this.onSide(side);
        if (right > left) renderer.render(this.scene, this.camera);
      }
    }
    this.#due = false;
    this.onDrawn();
  }

  #tick() {
    const changed = this.onTick();
    if (changed || this.#due) this.draw();
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.#fit();
    this.redraw();
  }

  /** Open the lens so that the feed's whole picture fits, whatever the window's shape. */
  #fit() {
    const { camera, middle } = this.#view;
    if (camera) {
      const across = camera.width / 2 / camera.fx, down = camera.height / 2 / camera.fy;
      const half = Math.max(down, across / this.camera.aspect);
      this.camera.fov = THREE.MathUtils.radToDeg(2 * Math.atan(half));
      this.camera.near = middle / 500;
      this.camera.far = middle * 200;
    }
    this.camera.updateProjectionMatrix();
  }
}
