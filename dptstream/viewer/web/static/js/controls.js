// The pieces of which the panel is built, each bound to a setting. Each returns its element and keeps it up to date.

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function section(title, open, ...children) {
  return element("details", { open }, element("summary", {}, title), ...children);
}

export function note(text) {
  return element("p", { className: "note", textContent: text });
}

export function buttons(...children) {
  return element("div", { className: "buttons" }, ...children);
}

export function button(text, title, onclick) {
  return element("button", { type: "button", textContent: text, title, onclick });
}

function follow(store, show) {
  store.addEventListener("change", () => store.values && show());
  if (store.values) show();
}

/** Buttons of which one is chosen; `choices` are [value, text]. */
export function segments(store, path, label, choices) {
  const made = choices.map(([value, text]) => {
    const one = button(text, "", () => store.set(path, value));
    one.dataset.value = value;
    return one;
  });
  follow(store, () => made.forEach((one) => one.setAttribute("aria-pressed", one.dataset.value === store.get(path))));
  const group = element("div", { className: "segments" }, ...made);
  group.dataset.setting = path;
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", label);
  return element("div", { className: "row" }, element("span", { className: "label", textContent: label }), group);
}

/** A slider. `options`: { min, max, step, show(value), log, fallback() } - fallback stands in where the setting is null. */
export function slider(store, path, label, { min, max, step, show = String, log = false, fallback }) {
  const input = element("input", { type: "range", id: `set-${path}`, min: 0, max: 1, step: "any" });
  if (!log) Object.assign(input, { min, max, step });
  const output = element("output");
  input.dataset.setting = path;
  const toValue = () => (log ? round(min * (max / min) ** input.value) : Number(input.value));
  input.oninput = () => store.set(path, toValue());
  const row = element("div", { className: "row" }, element("label", { textContent: label, htmlFor: input.id }), output, input);
  follow(store, () => {
    const value = store.get(path) ?? fallback?.();
    output.textContent = value === undefined ? "" : show(value) + (store.get(path) === null ? " (feed)" : "");
    if (value !== undefined) input.value = log ? Math.log(value / min) / Math.log(max / min) : value;
  });
  return row;
}

function round(value) {
  return Number(value.toPrecision(3));
}

export function toggle(store, path, label, title = "") {
  const input = element("input", { type: "checkbox", id: `set-${path}` });
  input.dataset.setting = path;
  input.onchange = () => store.set(path, input.checked);
  follow(store, () => { input.checked = store.get(path); });
  return element("div", { className: "row", title }, element("label", { textContent: label, htmlFor: input.id }), input);
}

export function choice(store, path, label, choices) {
  const select = element("select", { id: `set-${path}` }, ...choices.map(([value, text]) => new Option(text, value)));
  select.dataset.setting = path;
  select.onchange = () => store.set(path, select.value);
  follow(store, () => { select.value = store.get(path); });
  return element("div", { className: "row" }, element("label", { textContent: label, htmlFor: select.id }), select);
}

/** Dim `row` and stop its inputs while `enabled` says no. */
export function onlyIf(store, row, enabled) {
  follow(store, () => {
    const off = !enabled();
    row.classList.toggle("off", off);
    for (const input of row.querySelectorAll("input, select, button")) input.disabled = off;
  });
  return row;
}
