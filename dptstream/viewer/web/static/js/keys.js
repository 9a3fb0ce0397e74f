// Keys of the page, the desktop window's where it has them; the panel lists them from this table.

/** [key, words, name of the action]; a capital letter is the key with Shift. */
export const KEYS = [
  ["m", "points or surface", "mode"],
  ["c", "colours: picture, depth (equalised), depth (fixed range)", "color"],
  ["j", "colour scheme", "scheme"],
  ["e", "edge cut on or off", "edges"],
  ["t", "edge threshold up", "threshold", 1], ["T", "edge threshold down", "threshold", -1],
  ["n", "near end farther", "near", 1], ["N", "near end nearer", "near", -1],
  ["f", "far end farther", "far", 1], ["F", "far end nearer", "far", -1],
  ["b", "backdrop (sky) shown or cut", "backdrop"],
  ["p", "points larger", "size", 1], ["P", "points smaller", "size", -1],
  ["d", "fewer points", "detail", 1], ["D", "more points", "detail", -1],
  ["1", "filter: decimation", "filter", "decimation"],
  ["2", "filter: threshold", "filter", "threshold"],
  ["3", "filter: spatial", "filter", "spatial"],
  ["4", "filter: temporal", "filter", "temporal"],
  ["5", "filter: hole filling", "filter", "hole_filling"],
  ["v", "field of view wider", "fov", 1], ["V", "field of view narrower", "fov", -1],
  ["z", "freeze what is shown", "freeze"],
  ["w", "before and after of a filter", "compare"],
  ["r", "reset the view", "reset"],
  ["0", "the camera's own view", "camera"],
  ["a", "from 30° left", "left"], ["A", "from 30° right", "right"],
  ["g", "measure a distance", "measure"],
  ["s", "save a picture (PNG)", "png"],
  ["y", "save the points or surface (PLY)", "ply"], ["Y", "the same as GLB", "glb"],
  ["x", "record video of what is seen", "video"],
  [" ", "pause or go on; freezes what comes live", "pause"],
  ["ArrowLeft", "one frame back", "back"],
  ["ArrowRight", "one frame ahead", "forward"],
  ["Home", "to the first frame", "begin"],
  ["End", "to the last frame", "end"],
  ["l", "loop on or off", "loop"],
  ["[", "slower", "speed", 0.5], ["]", "faster", "speed", 2],
  ["h", "show or hide the controls", "panel"],
];

const NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→" };

export function keyName(key) {
  if (key.length === 1 && key !== key.toLowerCase()) return `Shift ${key}`;
  return NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);
}

/** Call `act` with the action of a key that is pressed outside of a control, and what belongs to it. */
export function listenForKeys(act) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // In a control, arrows, Space and letters do what they do in any form.
    if (event.target !== document.body && event.target.id !== "canvas") return;
    const found = KEYS.find(([key]) => key === event.key) ?? KEYS.find(([key]) => key === event.key.toLowerCase());
    if (!found) return;
    event.preventDefault();
    act(found[2], found[3]);
  });
}
