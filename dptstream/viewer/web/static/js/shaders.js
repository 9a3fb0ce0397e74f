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
uniform int slopeLength;     // half the pixels of the grid that a slope must last
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

ivec2 lastPixel() {
  return (mapSize - 1 - firstPixel) / stride * stride + firstPixel;
}

// 0 outside the grid of pixels that are drawn.
float distanceInside(ivec2 pixel) {
  bool inside = all(greaterThanEqual(pixel, ivec2(firstPixel))) && all(lessThanEqual(pixel, lastPixel()));
  return inside ? distanceAt(pixel) : 0.0;
}

// By how much inverse distance rises from pixel to pixel over a slope that begins at pixel; 0 where there is none.
float slopeFrom(ivec2 pixel, float here, ivec2 ahead, float upward) {
  float middle = distanceInside(pixel + ahead * slopeLength), end = distanceInside(pixel + ahead * slopeLength * 2);
  if (middle == 0.0 || end == 0.0) return 0.0;
  return min((1.0 / middle - 1.0 / here) * upward, (1.0 / end - 1.0 / middle) * upward) / float(slopeLength);
}

// Whether depth jumps from a pixel to the next one: as viewer/edges.py, which says why.
bool jumps(ivec2 pixel, float here, ivec2 ahead, float there) {
  if (max(here, there) <= min(here, there) * (1.0 + tolerance)) return false;
  if (min(here, there) == 0.0) return true;
  float rise = 1.0 / there - 1.0 / here, upward = sign(rise);
  float foretold = max(slopeFrom(pixel, here, -ahead, -upward), slopeFrom(pixel + ahead, there, ahead, upward));
  return abs(rise) - max(foretold, 0.0) > tolerance / max(here, there);
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
    ivec2 last = lastPixel(), x = ivec2(stride, 0), y = ivec2(0, stride);
    cut = (pixel.x > firstPixel && jumps(pixel, z, -x, distanceAt(pixel - x)))
       || (pixel.x < last.x && jumps(pixel, z, x, distanceAt(pixel + x)))
       || (pixel.y > firstPixel && jumps(pixel, z, -y, distanceAt(pixel - y)))
       || (pixel.y < last.y && jumps(pixel, z, y, distanceAt(pixel + y)));
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
  ivec2 x = ivec2(stride, 0), y = ivec2(0, stride);
  ivec2 corner = ivec2(floor(gridAt)) * stride + firstPixel;
  corner = clamp(corner, ivec2(firstPixel), lastPixel() - stride);
  float a = distanceAt(corner), b = distanceAt(corner + x), c = distanceAt(corner + y), d = distanceAt(corner + stride);
  if (min(min(a, b), min(c, d)) == 0.0 || max(max(a, b), max(c, d)) >= backdrop) discard;
  if (tolerance > 0.0 && (jumps(corner, a, x, b) || jumps(corner + y, c, x, d)
                       || jumps(corner, a, y, c) || jumps(corner + x, b, y, d))) discard;
  float share = ((paletteInverse ? 1.0 / along : along) - paletteRange.x) / (paletteRange.y - paletteRange.x);
  vec3 color = byDepth ? texture(palette, vec2(clamp(share, 0.0, 1.0), 0.5)).rgb : texture(picture, pictureAt).rgb;
  shown = vec4(color, 1.0);
}
`;
