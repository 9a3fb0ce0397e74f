// One packet of the server, read: the wire's header, the depth codes and the picture. Draws nothing.

const CODES = { "16UC1": Uint16Array, "16FC1": Uint16Array, "32FC1": Uint32Array };

/** A frame as it is shown: `codes` are the depth plane's bits, `picture` is { pixels } (RGB) or { bitmap } or null. */
export async function readPacket(buffer) {
  const view = new DataView(buffer);
  const headerBytes = view.getUint32(0, true), depthBytes = view.getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, headerBytes)));
  const { width, height, encoding, compression } = header.depth;
  const start = 8 + headerBytes;
  let codes;
  if (compression === "none") {
    codes = new CODES[encoding](buffer, start, width * height);
  } else {
    const packed = new Uint8Array(buffer, start, depthBytes);
    codes = unshuffle(await inflate(packed), width, height, CODES[encoding]);
  }
  const rest = new Uint8Array(buffer, start + depthBytes);
  return { header, codes, width, height, picture: await readPicture(header.color, rest), bytes: buffer.byteLength };
}

async function readPicture(color, bytes) {
  if (!color) return null;
  const { width, height } = color;
  if (color.encoding === "rgb8") return { width, height, pixels: bytes.subarray(0, width * height * 3) };
  // The page shows sRGB as it comes, so the browser must not convert it to the screen's own space.
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  return { width, height, bitmap: await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }), options) };
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Undo the wire's `delta-` packing: low bytes first, and each code as the difference to the one on its left. */
function unshuffle(bytes, width, height, Codes) {
  const count = width * height, size = Codes.BYTES_PER_ELEMENT;
  const codes = new Codes(count);
  for (let row = 0; row < height; row++) {
    let last = 0;
    for (let at = row * width, end = at + width; at < end; at++) {
      let difference = bytes[at];
      for (let byte = 1; byte < size; byte++) difference |= bytes[at + byte * count] << (8 * byte);
      last += difference; // the typed array keeps what fits, so it wraps as it must
      codes[at] = last;
    }
  }
  return codes;
}

/** RGB bytes of the picture, row by row; of a JPEG they are drawn once and kept. */
export function picturePixels(picture) {
  if (!picture.pixels) {
    const canvas = new OffscreenCanvas(picture.width, picture.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture.bitmap, 0, 0);
    const rgba = context.getImageData(0, 0, picture.width, picture.height).data;
    const pixels = new Uint8Array(picture.width * picture.height * 3);
    for (let from = 0, to = 0; from < rgba.length; from += 4) {
      pixels[to++] = rgba[from];
      pixels[to++] = rgba[from + 1];
      pixels[to++] = rgba[from + 2];
    }
    picture.pixels = pixels;
  }
  return picture.pixels;
}
