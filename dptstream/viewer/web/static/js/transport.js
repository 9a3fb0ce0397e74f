// Playback of what has a beginning: play, pause, step, scrub, loop, speed. Asks the server; shows what it says.

const SCRUB_MS = 80;

export class TransportBar {
  #bar;
  #status = null;
  #held = false;
  #scrubbed = 0;

  constructor(bar, connection) {
    this.#bar = bar;
    this.connection = connection;
    for (const button of bar.querySelectorAll("[data-do]")) button.onclick = () => this.act(button.dataset.do);
    const scrub = bar.querySelector("#scrub");
    scrub.oninput = () => {
      this.#held = true;
      bar.querySelector("#position").textContent = clock(Number(scrub.value));
      // A moment between requests: each costs the sender a jump.
      if (performance.now() - this.#scrubbed > SCRUB_MS) this.#seek(scrub);
    };
    scrub.onchange = () => {
      this.#seek(scrub);
      setTimeout(() => { this.#held = false; }, 600); // until the server tells the new place
    };
    bar.querySelector("#speed").onchange = ({ target }) => this.#ask("speed", Number(target.value));
  }

  get available() {
    return this.#status !== null;
  }

  knows(name) {
    return ["pause", "loop", "back", "forward", "begin", "end", "speed"].includes(name);
  }

  act(name, value) {
    if (!this.#status) return;
    const { paused, loop, length, speed } = this.#status;
    if (name === "pause") this.#ask("pause", paused ? 0 : 1);
    if (name === "loop") this.#ask("loop", loop ? 0 : 1);
    if (name === "back") this.#ask("step", -1);
    if (name === "forward") this.#ask("step", 1);
    if (name === "begin") this.#ask("seek", 0);
    if (name === "end" && length) this.#ask("seek", length);
    if (name === "speed" && this.#status.can_change_speed) this.#ask("speed", Math.min(4, Math.max(0.25, speed * value)));
  }

  show(status) {
    this.#status = status;
    this.#bar.hidden = !status;
    if (!status) return;
    const find = (selector) => this.#bar.querySelector(selector);
    find("[data-do=pause]").setAttribute("aria-pressed", status.paused);
    find("[data-do=loop]").setAttribute("aria-pressed", status.loop);
    const scrub = find("#scrub"), speed = find("#speed");
    scrub.hidden = status.length === null;
    scrub.max = status.length ?? 1;
    find("#length").textContent = status.length === null ? "" : clock(status.length);
    if (!this.#held) {
      scrub.value = status.position;
      find("#position").textContent = clock(status.position);
    }
    speed.disabled = !status.can_change_speed;
    speed.title = status.can_change_speed ? "Speed" : "The network gives its own pace here";
    if ([...speed.options].some((option) => Number(option.value) === status.speed)) speed.value = status.speed;
  }

  #seek(scrub) {
    this.#scrubbed = performance.now();
    this.#ask("seek", Number(scrub.value));
  }

  #ask(action, value) {
    this.connection.send({ type: "transport", action, value });
  }
}

function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(1).padStart(4, "0")}`;
}
