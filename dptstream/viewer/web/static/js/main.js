// The page: brings connection, reliefs, stage and controls together.

import { changeSetting } from "./changes.js";
import { Divider, without } from "./compare.js";
import { Connection } from "./connection.js";
import { cameraOf, mappingOf, middleDistance, ShownRange, shownDistances } from "./distances.js";
import { download, fileName, glbOf, plyOf, VideoCapture } from "./exports.js";
import { listenForKeys } from "./keys.js";
import { buildPanel } from "./panel.js";
import { PointerReading } from "./pointer.js";
import { Relief, PictureTexture } from "./relief.js";
import { Stage } from "./stage.js";
import { StateLine } from "./stateline.js";
import { Store } from "./store.js";
import { TransportBar } from "./transport.js";
import { sendFile, showUploadOffer } from "./upload.js";
import { smoothingWords } from "./words.js";

const $ = (id) => document.getElementById(id);

class Page {
  store = new Store();
  connection = new Connection();
  range = new ShownRange();
  picture = new PictureTexture();
  after = new Relief(this.picture.uniform);
  before = new Relief(this.picture.uniform);
  capture = new VideoCapture();
  frame = null;
  frozen = false;
  offer = null;
  statuses = [];
  /** How many frames were drawn; tests and people at the console look at it. */
  drawn = 0;

  constructor() {
    this.stage = new Stage($("canvas"));
    this.stage.scene.add(...this.after.objects, ...this.before.objects);
    for (const object of [...this.after.objects, ...this.before.objects]) object.visible = false;
    this.divider = new Divider($("divider"), (share) => this.split(share));
    this.pointer = new PointerReading(this, $("value"), $("overlay"));
    this.transport = new TransportBar($("transport"), this.connection);
    this.line = new StateLine(this);
    buildPanel($("panel"), this.store, (name, value) => this.act(name, value), () => this.now());
    this.stage.onTick = () => this.tick();
    this.stage.onSide = (side) => this.showSide(side);
    this.stage.onDrawn = () => this.pointer.tape.place();
    this.store.addEventListener("change", () => this.showAgain());
    this.listen();
    listenForKeys((name) => this.act(name));
  }

  listen() {
    const { connection } = this;
    connection.addEventListener("state", () => this.line.update());
    connection.addEventListener("hello", ({ data }) => this.greet(data));
    connection.addEventListener("status", ({ data }) => this.hear(data.feeds));
    connection.addEventListener("refused", ({ data }) => this.say(data.text));
    $("menu").onclick = () => this.act("panel");
    $("feeds").onchange = ({ target }) => connection.follow(target.value, connection.quality);
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length) this.act("upload", event.dataTransfer.files[0]);
    });
    if (innerWidth <= 760) this.act("panel"); // on a phone the picture comes first
    setInterval(() => this.line.update(), 500);
  }

  greet(offer) {
    this.offer = offer;
    this.store.begin(offer.settings);
    showUploadOffer(offer.upload);
    const presets = $("presets");
    presets.disabled = !offer.presets;
    presets.replaceChildren(...(offer.presets ?? ["cannot be asked"]).map((name) => new Option(name, name)));
    $("quality").value = this.connection.quality;
    this.line.update();
  }

  hear(statuses) {
    this.statuses = statuses;
    const names = statuses.map(({ name }) => name).filter(Boolean), feeds = $("feeds");
    if ([...feeds.options].map(({ value }) => value).join() !== names.join()) {
      feeds.replaceChildren(...names.map((name) => new Option(name, name)));
      feeds.hidden = names.length < 2;
    }
    feeds.value = this.frame?.header.feed ?? names[0] ?? "";
    const { connection } = this;
    if (connection.feed && names.length && !names.includes(connection.feed)) connection.follow(null, connection.quality);
    this.transport.show(this.status?.transport ?? null);
    this.line.update();
  }

  /** What the server says of the feed that is shown. */
  get status() {
    const name = this.connection.feed ?? this.frame?.header.feed;
    return this.statuses.find((status) => status.name === name) ?? this.statuses[0] ?? null;
  }

  /** What the panel needs to know of the frame that is shown. */
  now() {
    const header = this.frame?.header, settings = this.store.values;
    if (!header) return { header: null, fovX: 60, ends: [1, 10] };
    const camera = cameraOf(header, { fov_x_deg: null });
    const fovX = (360 / Math.PI) * Math.atan(camera.width / 2 / camera.fx);
    return { header, fovX, ends: shownDistances(header.depth, settings, this.range.range) };
  }

  /** Once each animation frame: take the newest frame, if one came. */
  tick() {
    if (!this.store.values || this.frozen) return false;
    const frame = this.connection.take();
    if (!frame) return false;
    this.frame?.picture?.bitmap?.close();
    const first = !this.frame;
    this.frame = frame;
    const anew = this.range.take(frame.header);
    this.picture.show(frame.picture);
    this.show({ again: false, anew });
    if (anew) this.stage.aim(this.middle());
    this.drawn++;
    document.body.dataset.frames = this.drawn;
    this.line.count(frame, this.connection);
    this.pointer.refresh();
    if (first) {
      this.store.dispatchEvent(new MessageEvent("change", { data: null })); // the panel now knows kind and unit
      this.line.update();
    }
    return true;
  }

  showAgain() {
    if (!this.frame) return;
    this.show({ again: true, anew: false });
    this.pointer.refresh();
    this.stage.redraw();
  }

  show({ again, anew }) {
    const { frame, store, range: { range }, stage } = this;
    const camera = cameraOf(frame.header, store.values);
    const screen = { focal: stage.focalOf(camera), pixelRatio: stage.pixelRatio };
    this.after.show(frame, store.values, range, { again, anew, screen });
    if (this.divider.name) {
      this.before.show(frame, without(store.values, this.divider.name), range, { again, anew, screen });
    }
    stage.describe(camera, this.middle());
  }

  /** Distance of the scene's middle, which the view turns around. */
  middle() {
    const { frame, store, range: { range } } = this;
    return middleDistance(frame, mappingOf(frame.header.depth, store.values, range));
  }

  showSide(side) {
    const shown = this.frame !== null, mode = this.store.get("mode");
    this.after.setVisible(shown && side === "after", mode);
    this.before.setVisible(shown && side === "before", mode);
  }

  split(share) {
    this.stage.split = share;
    if (share !== null && this.frame && !this.before.map) this.showAgain();
    this.stage.redraw();
  }

  say(text) {
    const toast = $("toast");
    toast.textContent = text;
    toast.hidden = !text;
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => { toast.hidden = true; }, 6000);
  }

  act(name, value) {
    const { store, stage, transport, connection } = this;
    const acts = {
      freeze: () => this.freeze(),
      measure: () => this.pointer.toggleTape(),
      compare: () => this.compare(value === undefined ? (this.divider.name ? null : "edge_cut") : value),
      smooth: () => connection.send({ type: "smooth", preset: value }),
      quality: () => connection.follow(connection.feed, value),
      upload: () => sendFile(value, this.offer?.upload ?? null, (text) => this.say(text)),
      panel: () => this.togglePanel(),
      video: () => this.record(),
    };
    if (acts[name]) acts[name]();
    else if (["reset", "camera", "left", "right", "above"].includes(name)) stage.look(name);
    else if (["png", "ply", "glb"].includes(name)) this.save(name);
    else if (transport.knows(name)) this.steer(name, value);
    else if (store.values) changeSetting(store, name, value, this.now());
  }

  steer(name, value) {
    if (this.transport.available) this.transport.act(name, value);
    else if (name === "pause") this.freeze(); // what comes live cannot be stopped, but need not be shown
  }

  togglePanel() {
    const closed = document.body.classList.toggle("closed");
    $("menu").setAttribute("aria-expanded", !closed);
  }

  freeze() {
    this.frozen = !this.frozen;
    if (!this.frozen) this.connection.discard(); // what waited meanwhile is old
    $("freeze").setAttribute("aria-pressed", this.frozen);
    this.line.update();
  }

  compare(name) {
    this.divider.choose(name);
    $("compare").value = name ?? "";
    if (name && this.frame) this.showAgain();
  }

  async save(ending) {
    const { frame, after, store: { values }, range: { range } } = this;
    if (!frame) return this.say("There is no frame to save yet");
    if (ending === "png") {
      this.stage.draw(); // a canvas keeps its content only until the browser has shown it
      return $("canvas").toBlob((blob) => download(blob, fileName(frame, "png")), "image/png");
    }
    try {
      const blob = ending === "ply" ? plyOf(after, frame, values, range) : await glbOf(after, frame, values, range);
      return download(blob, fileName(frame, ending));
    } catch (error) {
      return this.say(`The ${ending.toUpperCase()} could not be made: ${error.message}`);
    }
  }

  record() {
    const button = $("record");
    if (this.capture.running) return this.capture.stop();
    if (!this.frame) return this.say("There is nothing to record yet");
    try {
      this.capture.start($("canvas"), (blob, ending) => {
        button.classList.remove("recording");
        button.textContent = "Video";
        download(blob, fileName(this.frame, ending));
      });
    } catch (error) {
      return this.say(`No video: ${error.message}`);
    }
    button.classList.add("recording");
    button.textContent = "Stop";
  }

  /** Words in the panel that depend on the feed. */
  updateNotes() {
    const header = this.frame?.header ?? null;
    $("smoothing-note").textContent = smoothingWords(header, Boolean(this.offer?.presets));
    $("measure-note").textContent = !header || header.depth.kind === "metric"
      ? "Click two points of the scene. The value under the pointer is always shown."
      : "This feed's depth has no unit, so distances between points mean nothing. A metric model gives them.";
    $("measure").disabled = header !== null && header.depth.kind !== "metric";
  }
}

try {
  globalThis.dptstream = new Page(); // for the console
} catch (error) {
  $("card-title").textContent = "This page cannot draw";
  $("card-text").textContent = `It needs WebGL 2: ${error.message}`;
  $("card").classList.add("still", "alone");
}
