// The shaders that turn depth codes, as they were sent, into a relief in space. Distances: see distances.js.

const SHARED = /* glsl */ `
precision highp float;
precision highp int;
precision highp usampler2D;

uniform usampler2D codes;
uniform ivec2 mapSize;
uniform int encoding;        // 0: 16UC1, 1: 16FC1, 2: 32FC1
uniform vec2 scaleOffset;    // value = code * scale + offset
uniform bool inverse;
uniform vec3 mapping;        // a, b, least
uniform vec2 limits;         // nearest and farthest distance that count as values
uniform float backdrop;      // what lies so far or farther is left out
uniform vec2 pictureShare;   // share of the picture that the map covers
uniform float tolerance;     // largest step that is no jump, as a share of the nearer distance; 0: jumps are not cut
uniform int stride;
uniform int firstPixel;

bool valueAt(ivec2 pixel, out float value) {
  uint code = texelFetch(codes, pixel, 0).r;
  if (encoding == 0) {
    value = float(code);
    if (code == 0u) return false;
  } else if (encoding == 1) {
    value = unpackHalf2x16(code).x;
    if ((code & 0x7C00u) == 0x7C00u) return false;
  } else {
    value = uintBitsToFloat(code);
    if ((code & 0x7F800000u) == 0x7F800000u) return false;
  }
  value = value * scaleOffset.x + scaleOffset.y;
  return true;
}

// Distance along the optical axis; 0 where nothing is drawn.
float distanceAt(ivec2 pixel) {
  float value;
  if (!valueAt(clamp(pixel, ivec2(0), mapSize - 1), value)) return 0.0;
  float along = inverse ? 1.0 / max(mapping.x * value + mapping.y, mapping.z) : mapping.x * value;
  return along > 0.0 && along >= limits.x && along <= limits.y ? along : 0.0;
}

// No value beside a value is a jump, as in viewer/cloud.py.
bool jumps(float one, float other) {
  return max(one, other) > min(one, other) * (1.0 + tolerance);
}
`;

export const VERTEX = /* glsl */ `
${SHARED}
uniform vec4 camera;         // fx, fy, cx, cy in pixels of the map
uniform float pointSize;
uniform float farthest;      // where vertices without a distance are put: near enough to waste no pixels
uniform sampler2D picture;
uniform sampler2D palette;
uniform bool byDepth;
uniform vec2 paletteRange;   // of inverse distance where paletteInverse, else of distance
uniform bool paletteInverse;

out vec2 gridAt;
out vec2 pictureAt;
out float along;
#ifdef POINTS
out vec3 pointColor;
#endif

void main() {
  int across = (mapSize.x - firstPixel + stride - 1) / stride;
  ivec2 cell = ivec2(gl_VertexID % across, gl_VertexID / across);
  ivec2 pixel = cell * stride + firstPixel;
  float z = distanceAt(pixel);
  gridAt = vec2(cell);
  pictureAt = (vec2(pixel) + 0.5) / vec2(mapSize) * pictureShare;
  along = z;
#ifdef POINTS
  bool cut = z == 0.0 || z >= backdrop;
  if (!cut && tolerance > 0.0) {
    // At the map's border a pixel is its own neighbour, which is no jump.
    ivec2 last = (mapSize - 1 - firstPixel) / stride * stride + firstPixel;
    ivec2 before = max(pixel - stride, ivec2(firstPixel)), after = min(pixel + stride, last);
    cut = jumps(z, distanceAt(ivec2(before.x, pixel.y))) || jumps(z, distanceAt(ivec2(after.x, pixel.y)))
       || jumps(z, distanceAt(ivec2(pixel.x, before.y))) || jumps(z, distanceAt(ivec2(pixel.x, after.y)));
  }
  if (cut) {
    gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
    gl_PointSize = 0.0;
    pointColor = vec3(0.0);
    return;
  }
  gl_PointSize = pointSize;
  float share = ((paletteInverse ? 1.0 / z : z) - paletteRange.x) / (paletteRange.y - paletteRange.x);
  pointColor = byDepth ? texture(palette, vec2(clamp(share, 0.0, 1.0), 0.5)).rgb : texture(picture, pictureAt).rgb;
#else
  if (z == 0.0) z = farthest;
#endif
  vec3 opencv = vec3((vec2(pixel) + 0.5 - camera.zw) / camera.xy * z, z);
  gl_Position = projectionMatrix * modelViewMatrix * vec4(opencv.x, -opencv.y, -opencv.z, 1.0);
}
`;

export const POINT_FRAGMENT = /* glsl */ `
precision highp float;
in vec3 pointColor;
out vec4 shown;
void main() { shown = vec4(pointColor, 1.0); }
`;

export const SURFACE_FRAGMENT = /* glsl */ `
${SHARED}
uniform sampler2D picture;
uniform sampler2D palette;
uniform bool byDepth;
uniform vec2 paletteRange;
uniform bool paletteInverse;
in vec2 gridAt;
in vec2 pictureAt;
in float along;
out vec4 shown;

void main() {
  // The four neighbours that this piece of surface hangs on: it is whole only where all have a distance and none jumps.
  ivec2 corner = ivec2(floor(gridAt)) * stride + firstPixel;
  ivec2 last = (mapSize - 1 - firstPixel) / stride * stride + firstPixel;
  corner = clamp(corner, ivec2(firstPixel), last - stride);
  float a = distanceAt(corner), b = distanceAt(corner + ivec2(stride, 0));
  float c = distanceAt(corner + ivec2(0, stride)), d = distanceAt(corner + stride);
  if (min(min(a, b), min(c, d)) == 0.0 || max(max(a, b), max(c, d)) >= backdrop) discard;
  if (tolerance > 0.0 && (jumps(a, b) || jumps(c, d) || jumps(a, c) || jumps(b, d))) discard;
  float share = ((paletteInverse ? 1.0 / along : along) - paletteRange.x) / (paletteRange.y - paletteRange.x);
  vec3 color = byDepth ? texture(palette, vec2(clamp(share, 0.0, 1.0), 0.5)).rgb : texture(picture, pictureAt).rgb;
  shown = vec4(color, 1.0);
}
`;
