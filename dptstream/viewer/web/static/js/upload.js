// Sends a picture or video to the engine behind this page, where there is one.

const NO_ENGINE = "This page shows a feed that was computed elsewhere, so there is no network here to run your file "
  + "through. Start the viewer with an input of its own: dptstream view VIDEO --web";

/** Show what may be sent: `limit` is the largest file in bytes, null where there is no engine. */
export function showUploadOffer(limit) {
  const allowed = limit !== null;
  document.getElementById("upload").disabled = !allowed;
  document.getElementById("upload-label").hidden = !allowed;
  document.getElementById("upload-note").textContent = allowed
    ? `Up to ${size(limit)}. It goes to the machine that runs the network, and is shown to everybody who watches. `
      + "You may also drop it on the page."
    : NO_ENGINE;
}

/** Send `file`; `say` gets words on how it goes. */
export function sendFile(file, limit, say) {
  if (limit === null) return say(NO_ENGINE);
  if (file.size > limit) return say(`${file.name} has ${size(file.size)}; at most ${size(limit)} are taken.`);
  const request = new XMLHttpRequest(); // fetch does not tell how much has gone
  request.open("POST", `upload?name=${encodeURIComponent(file.name)}`);
  request.upload.onprogress = ({ loaded, total }) => say(`Sending ${file.name}: ${Math.round((100 * loaded) / total)} %`);
  request.onload = () => say(request.responseText || (request.status < 300 ? "It is shown now." : "It was refused."));
  request.onerror = () => say(`${file.name} did not arrive: the server is gone or hung up.`);
  return request.send(file);
}

function size(bytes) {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
