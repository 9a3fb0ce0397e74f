// The settings of the page, by the names that ViewSettings has in Python; whoever shows one listens for changes.

export class Store extends EventTarget {
  values = null;
  #begun = null;

  /** Take the values that the server gives a page to begin with; a page that comes back keeps its own. */
  begin(values) {
    if (!this.values) this.values = structuredClone(values);
    this.#begun = values;
    this.#tell();
  }

  /** The value at a path such as "filters.temporal.alpha". */
  get(path) {
    return path.split(".").reduce((part, name) => part?.[name], this.values ?? {});
  }

  set(path, value) {
    if (!this.values || this.get(path) === value) return;
    const names = path.split("."), last = names.pop();
    names.reduce((part, name) => part[name], this.values)[last] = value;
    this.#tell(path);
  }

  toggle(path, [one, other] = [false, true]) {
    this.set(path, this.get(path) === one ? other : one);
  }

  reset() {
    if (!this.#begun) return;
    this.values = structuredClone(this.#begun);
    this.#tell();
  }

  #tell(path = null) {
    this.dispatchEvent(new MessageEvent("change", { data: path }));
  }
}
