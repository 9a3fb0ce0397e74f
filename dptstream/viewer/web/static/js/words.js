// The words at the top of the page: how the feed goes, and what to do where it does not.

import { KIND_NAMES } from "./distances.js";

/** State of the page as { state, title, text, busy }: `title` is empty where all is well. */
export function stateOf({ connection, status, frame, frozen }) {
  if (connection.state === "gone") {
    const seconds = Math.max(0, Math.ceil((connection.retryAt - performance.now()) / 1000));
    return { state: "gone", title: "The server is gone", busy: true,
      text: `Is dptstream view still running? Trying again ${seconds ? `in ${seconds} s` : "now"}.` };
  }
  if (connection.state === "connecting" || !status) {
    return { state: frame ? "gone" : "connecting", title: "Connecting", text: location.host, busy: true };
  }
  const { state, note, title } = status;
  const words = {
    connecting: ["Waiting for the sender", `No sign of life from ${title}: is it running?`],
    waiting: ["Waiting for the sender's source", title],
    ended: ["The feed has ended", "The last frame stays. A new one is shown as soon as it comes."],
    failed: ["This feed cannot be shown", title],
  }[state];
  if (words) return { state: state === "connecting" ? "waiting" : state, title: words[0], text: note || words[1], busy: !["ended", "failed"].includes(state) };
  if (!frame) return { state: "waiting", title: "Waiting for the first frame", text: note || title, busy: true };
  if (frozen) return { state: "frozen", title: "", text: "" };
  return { state: state === "paused" ? "paused" : "live", title: "", text: "" };
}

/** One line of figures: rates, age, losses. */
export function figures({ status, shownFps, latencyMs, dropped, captured }) {
  if (!status) return "";
  const incoming = status.sender_fps ?? status.fps;
  const age = latencyMs === null ? "" : ` · ${Math.max(0, Math.round(latencyMs))} ms${captured ? "" : " from sending"}`;
  return `${shownFps.toFixed(1)} of ${incoming.toFixed(1)} fps${age} · dropped ${dropped}`;
}

/** One line of facts: size, kind, model, smoothing. */
export function facts({ header }) {
  const { depth, model, smoothing, source } = header;
  const type = { "16FC1": "float16", "32FC1": "float32", "16UC1": "uint16" }[depth.encoding];
  const licence = model.license ? ` (${model.license})` : "";
  return [
    `${depth.width}×${depth.height} ${type}`, KIND_NAMES[depth.kind] + (depth.unit ? ` in ${depth.unit}` : ""),
    `${model.name}${licence}`, smoothing ? `smoothed: ${smoothing}` : "not smoothed", source.name,
  ].join(" · ");
}

/** What can be had of the sender's own smoothing, and what cannot. */
export function smoothingWords(header, canAsk) {
  if (!header) return "";
  if (canAsk) return "The sender smooths before it sends: choose, and compare what comes.";
  return header.smoothing
    ? `This feed arrives smoothed (${header.smoothing}). The depth before that is not in it, and its sender takes no wishes `
      + "from here: start it with --temporal off to see the difference."
    : "This feed arrives as the network gave it, and its sender takes no wishes from here. Try the temporal filter above.";
}
