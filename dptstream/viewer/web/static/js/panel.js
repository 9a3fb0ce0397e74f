// The panel: which control stands where. What they do lies in main.js and in the settings.

import { COMPARABLE } from "./compare.js";
import { button, buttons, choice, element, note, onlyIf, section, segments, slider, toggle } from "./controls.js";
import { KEYS, keyName } from "./keys.js";

/** Fill `panel`. `act(name)` does what a button says, `now()` gives what is shown just now. */
export function buildPanel(panel, store, act, now) {
  panel.append(
    viewSection(store, act, now), colorSection(store, now), depthSection(store, now), filterSection(store, now),
    compareSection(act), measureSection(act), saveSection(act), uploadSection(act), linkSection(act),
    section("Keys", false, keyTable()),
  );
}

const isMetric = (now) => now().header?.depth.kind === "metric";
const unit = (now) => (isMetric(now) ? "m" : "");
const plainDistance = (now) => (value) => `${Number(value.toPrecision(3))}${unit(now) && " " + unit(now)}`;

function viewSection(store, act, now) {
  return section("View", true,
    segments(store, "mode", "Shape", [["points", "Points"], ["surface", "Surface"]]),
    onlyIf(store, slider(store, "point_size", "Point size", { min: 1, max: 16, step: 0.5, show: (v) => `${v} px` }),
      () => store.get("mode") === "points"),
    slider(store, "stride", "Detail", { min: 1, max: 8, step: 1, show: (v) => (v === 1 ? "every pixel" : `one pixel in ${v}×${v}`) }),
    slider(store, "fov_x_deg", "Field of view", {
      min: 10, max: 130, step: 1, show: (v) => `${Math.round(v)}°`, fallback: () => now().fovX,
    }),
    buttons(
      button("Reset", "The whole from the front (R)", () => act("reset")),
      button("Camera", "As the camera saw it (0)", () => act("camera")),
      button("30° left", "(A)", () => act("left")),
      button("30° right", "(Shift A)", () => act("right")),
      button("Above", "", () => act("above")),
      Object.assign(button("Freeze", "Keep this frame (Z)", () => act("freeze")), { id: "freeze" }),
    ));
}

function colorSection(store, now) {
  const byDepth = () => store.get("color") === "depth";
  const fixed = () => byDepth() && store.get("color_range") === "fixed";
  const limit = (index, label) => {
    // As in RealSense's viewer, moving an end of the range switches the equalisation off.
    const input = element("input", { type: "range", min: 0, max: 1, step: "any" }), output = element("output");
    const ends = () => store.get("color_limits") ?? now().ends;
    const span = () => [Math.max(0.05, now().ends[0] / 4), now().ends[1] * 2];
    input.dataset.setting = `color_limits.${index}`;
    input.oninput = () => {
      const [low, high] = span(), limits = [...ends()];
      limits[index] = low * (high / low) ** input.value;
      if (limits[0] >= limits[1]) limits[1 - index] = limits[index] * (index ? 0.99 : 1.01);
      store.set("color_range", "fixed");
      store.set("color_limits", limits);
    };
    const row = element("div", { className: "row" }, element("label", { textContent: label }), output, input);
    store.addEventListener("change", () => {
      const [low, high] = span();
      output.textContent = plainDistance(now)(ends()[index]);
      input.value = Math.log(ends()[index] / low) / Math.log(high / low);
    });
    return onlyIf(store, row, byDepth);
  };
  return section("Colour", true,
    segments(store, "color", "Colour by", [["picture", "Picture"], ["depth", "Depth"]]),
    onlyIf(store, segments(store, "color_range", "Range", [["equalized", "Equalised"], ["fixed", "Fixed"]]), byDepth),
    limit(0, "First colour at"), limit(1, "Last colour at"),
    onlyIf(store, choice(store, "color_scheme", "Scheme",
      [["jet", "Jet"], ["white_to_black", "White to black"], ["black_to_white", "Black to white"]]), byDepth),
    onlyIf(store, buttons(button("Range of the feed", "Forget the range set here", () => store.set("color_limits", null))), fixed));
}

function depthSection(store, now) {
  const relative = () => now().header?.depth.kind !== "metric";
  const inverse = () => (now().header?.depth.kind ?? "relative_inverse") === "relative_inverse";
  const units = { min: 0.1, max: 100, log: true, show: (v) => String(v) };
  const near = slider(store, "near", "Near end at", units), far = slider(store, "far", "Far end at", units);
  store.addEventListener("change", ({ data }) => {
    if (store.get("near") < store.get("far")) return;
    if (data === "near") store.set("far", store.get("near") * 1.05);
    else store.set("near", store.get("far") / 1.05);
  });
  return section("Depth", true,
    onlyIf(store, near, inverse), onlyIf(store, far, relative),
    onlyIf(store, toggle(store, "cut_far", "Leave the backdrop out"), inverse),
    note("Relative depth has no scale of its own, so its range is laid between near and far. Metric depth is taken as it is."),
    toggle(store, "edge_cut", "Edge cut", "Cut the surface, and leave points out, where depth jumps (E)"),
    onlyIf(store, slider(store, "edge_threshold", "Edge threshold", { min: 0.002, max: 0.5, log: true, show: (v) => `${+(v * 100).toFixed(1)} %` }),
      () => store.get("edge_cut")));
}

function filterSection(store, now) {
  const filter = (name, title, ...rows) => {
    const on = () => store.get(`filters.${name}.enabled`);
    return [toggle(store, `filters.${name}.enabled`, title), ...rows.map((row) => onlyIf(store, row, on))];
  };
  const set = (name, key, label, options) => slider(store, `filters.${name}.${key}`, label, options);
  const reach = { min: 0.1, max: 16, step: 0.1, show: plainDistance(now) };
  return section("Filters", false,
    ...filter("decimation", "Decimation", set("decimation", "magnitude", "Magnitude", { min: 2, max: 8, step: 1 })),
    ...filter("threshold", "Threshold", set("threshold", "minimum", "Minimum", reach), set("threshold", "maximum", "Maximum", reach)),
    ...filter("spatial", "Spatial",
      set("spatial", "iterations", "Iterations", { min: 1, max: 5, step: 1 }),
      set("spatial", "alpha", "Alpha", { min: 0.25, max: 1, step: 0.01 }),
      set("spatial", "delta", "Delta", { min: 1, max: 50, step: 1 })),
    ...filter("temporal", "Temporal",
      set("temporal", "alpha", "Alpha", { min: 0, max: 1, step: 0.01 }),
      set("temporal", "delta", "Delta", { min: 1, max: 100, step: 1 }),
      set("temporal", "persistency", "Persistency", { min: 0, max: 8, step: 1 })),
    ...filter("hole_filling", "Hole filling",
      choice(store, "filters.hole_filling.fill", "From", [["left", "the left"], ["farthest", "the farthest"], ["nearest", "the nearest"]])),
    note("These work in this page, in RealSense's order and with its starting values; what is sent stays as it is."),
    buttons(button("All settings as at first", "", () => store.reset())));
}

function compareSection(act) {
  const select = element("select", { id: "compare" }, new Option("nothing", ""),
    ...COMPARABLE.map(([name, words]) => new Option(words, name)));
  select.onchange = () => act("compare", select.value || null);
  const presets = element("select", { id: "presets", disabled: true });
  presets.onchange = () => act("smooth", presets.value);
  return section("Before and after", false,
    element("div", { className: "row" }, element("label", { textContent: "Compare", htmlFor: "compare" }), select),
    note("Left of the line the filter is off."),
    element("div", { className: "row" }, element("label", { textContent: "Sender smooths", htmlFor: "presets" }), presets),
    Object.assign(note(""), { id: "smoothing-note" }));
}

function measureSection(act) {
  return section("Measure", false,
    buttons(Object.assign(button("Distance", "Click two points (G)", () => act("measure")), { id: "measure" })),
    Object.assign(note(""), { id: "measure-note" }));
}

function saveSection(act) {
  return section("Save", true, buttons(
    button("PNG", "What is seen (S)", () => act("png")),
    button("PLY", "The points or the surface, binary (Y)", () => act("ply")),
    button("GLB", "The points or the surface, for Blender, the web (Shift Y)", () => act("glb")),
    Object.assign(button("Video", "Record what is seen (X)", () => act("video")), { id: "record" }),
  ));
}

function uploadSection(act) {
  const input = element("input", { type: "file", id: "upload", accept: "image/*,video/*,.mkv,.exr", disabled: true });
  input.onchange = () => {
    if (input.files.length) act("upload", input.files[0]);
    input.value = "";
  };
  return section("Your picture or video", false,
    element("label", { className: "file", htmlFor: "upload", id: "upload-label", hidden: true }, "Choose a file", input),
    Object.assign(note(""), { id: "upload-note" }));
}

function linkSection(act) {
  const select = element("select", { id: "quality" }, new Option("all bytes", "full"), new Option("thin link", "light"));
  select.onchange = () => act("quality", select.value);
  return section("Link", false,
    element("div", { className: "row" }, element("label", { textContent: "Send", htmlFor: "quality" }), select),
    note("A thin link gets the picture as JPEG and the depth compressed without loss."),
    Object.assign(note(""), { id: "link-note" }));
}

function keyTable() {
  return element("table", {}, ...KEYS.map(([key, words]) =>
    element("tr", {}, element("td", {}, element("kbd", {}, keyName(key))), element("td", {}, words))));
}
