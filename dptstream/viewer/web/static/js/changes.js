// What the keys do to settings: the steps of the desktop window.

const SCHEMES = ["jet", "white_to_black", "black_to_white"];

const within = (low, high, value) => Number(Math.min(high, Math.max(low, value)).toPrecision(4));

const CHANGES = {
  mode: (store) => store.set("mode", store.get("mode") === "points" ? "surface" : "points"),
  color(store) {
    const { color, color_range: range } = store.values;
    if (color === "picture") {
      store.set("color_range", "equalized");
      store.set("color", "depth");
    } else if (range === "equalized") store.set("color_range", "fixed");
    else store.set("color", "picture");
  },
  scheme: (store) => store.set("color_scheme", SCHEMES[(SCHEMES.indexOf(store.get("color_scheme")) + 1) % SCHEMES.length]),
  edges: (store) => store.set("edge_cut", !store.get("edge_cut")),
  threshold(store, way) {
    store.set("edge_cut", true);
    store.set("edge_threshold", within(0.002, 1, store.get("edge_threshold") * 1.25 ** way));
  },
  near: (store, way) => store.set("near", within(0.05, store.get("far") / 1.05, store.get("near") * 1.2 ** way)),
  far: (store, way) => store.set("far", within(store.get("near") * 1.05, 1000, store.get("far") * 1.2 ** way)),
  backdrop: (store) => store.set("cut_far", !store.get("cut_far")),
  size: (store, way) => store.set("point_size", within(1, 16, store.get("point_size") + way)),
  detail: (store, way) => store.set("stride", ((store.get("stride") - 1 + way + 8) % 8) + 1),
  filter: (store, name) => store.set(`filters.${name}.enabled`, !store.get(`filters.${name}.enabled`)),
  fov: (store, way, { fovX }) => store.set("fov_x_deg", within(10, 130, (store.get("fov_x_deg") ?? fovX) + 5 * way)),
};

/** Do what the key called `name` does; `now` tells what is shown. */
export function changeSetting(store, name, value, now) {
  CHANGES[name]?.(store, value, now);
}
