// Keys of the page; the panel lists them from this table.

/** [key, words, name of the action] */
export const KEYS = [
  ["m", "points or surface", "mode"],
  ["c", "colours of the picture or by depth", "color"],
  ["h", "colours equalised or over a fixed range", "range"],
  ["e", "edge cut", "edges"],
  ["+", "larger points", "larger"],
  ["-", "smaller points", "smaller"],
  ["f", "freeze", "freeze"],
  ["r", "reset view", "reset"],
  ["v", "the camera's own view", "camera"],
  ["1", "from 30° left", "left"],
  ["2", "from 30° right", "right"],
  ["d", "measure a distance", "measure"],
  ["b", "before and after", "compare"],
  ["s", "save a PNG", "png"],
  ["p", "save a PLY", "ply"],
  ["g", "save a GLB", "glb"],
  ["o", "record video", "video"],
  [" ", "play or pause", "pause"],
  ["ArrowLeft", "one frame back", "back"],
  ["ArrowRight", "one frame ahead", "forward"],
  ["Home", "to the beginning", "begin"],
  ["End", "to the end", "end"],
  ["l", "loop", "loop"],
  ["Tab", "show or hide the controls", "panel"],
];

const NAMES = { " ": "space", ArrowLeft: "←", ArrowRight: "→" };

export function keyName(key) {
  return NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);
}

/** Call `act` with the action of a key that is pressed outside of a control. */
export function listenForKeys(act) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onPage = event.target === document.body || event.target.id === "canvas";
    // Within the panel, Tab and the arrows move between controls as everywhere.
    if (!onPage && (event.target.matches("input, select, textarea, summary, button") || event.key === "Tab")) return;
    const found = KEYS.find(([key]) => key === (event.key.length === 1 ? event.key.toLowerCase() : event.key));
    if (!found) return;
    event.preventDefault();
    act(found[2]);
  });
}
