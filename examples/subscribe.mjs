// Subscribe from Node: the wire's README turned into JavaScript.
//
//   npm install zeromq
//   node examples/subscribe.mjs [tcp://127.0.0.1:5577] [frames]
//
// Each frame describes itself, so this may start before the sender, after it, or in the middle. Values are read where
// they lie in the message.

import * as zmq from "zeromq";

const [endpoint = "tcp://127.0.0.1:5577", count = "100"] = process.argv.slice(2);

function halfToFloat(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

const READERS = {
  "16FC1": [2, (plane, at) => halfToFloat(plane.readUInt16LE(at))],
  "32FC1": [4, (plane, at) => plane.readFloatLE(at)],
  "16UC1": [2, (plane, at) => plane.readUInt16LE(at) || NaN],
};

function valueAt(header, plane, column, row) {
  const { width, height, encoding, compression, scale, offset } = header.depth;
  if (compression !== "none") throw new Error("ask the sender for raw depth");
  const [bytes, read] = READERS[encoding];
  if (plane.length !== width * height * bytes) throw new Error("the plane has a wrong size");
  return read(plane, (row * width + column) * bytes) * scale + offset;
}

const socket = new zmq.Subscriber({ receiveHighWaterMark: 8, linger: 0, maxMessageSize: 2 ** 28 });
socket.subscribe("dpt/");
socket.connect(endpoint);

const feeds = new Map(); // by name: the session, the number of its next frame, whether it ended
let seen = 0, lost = 0;
for await (const [, headerBytes, depth, color] of socket) {
  const header = JSON.parse(headerBytes.toString("utf8"));
  if (header.v !== 1) throw new Error(`version ${header.v} of the wire is unknown here`);
  const known = feeds.get(header.feed);
  const reached = header.type === "frame" ? header.sequence : header.next_sequence;
  if (known?.session === header.session) lost += reached - known.next;
  const ended = header.type === "end" || header.state === "ended";
  feeds.set(header.feed, { session: header.session, next: reached + (header.type === "frame"), ended });
  if ([...feeds.values()].every((feed) => feed.ended)) break;
  if (header.type !== "frame") continue;
  const { width, height, kind } = header.depth;
  const centre = valueAt(header, depth, width >> 1, height >> 1);
  const seconds = (header.pts * header.time_base[0]) / header.time_base[1];
  const ageMs = Date.now() - (header.published.sec * 1e3 + header.published.nsec / 1e6);
  const picture = header.color ? `${header.color.encoding} ${color.length} bytes` : "no picture";
  console.log(`${header.feed} #${header.sequence} at ${seconds.toFixed(2)} s: ${width}x${height} ${kind}, ` +
    `centre ${centre.toFixed(3)}, ${picture}, ${ageMs.toFixed(1)} ms old`);
  if (++seen === Number(count)) break;
}
console.log(`${seen} frames, ${lost} lost`);
socket.close();
