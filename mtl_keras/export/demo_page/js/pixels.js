/** Pictures to the input of the model, pixel for pixel as mtl_keras.images does it in Python. */

const PRECISION = 22; // bits of a resampling weight, as in Pillow
const MOST_PIXELS = 50_000_000;

/** A picture file as {width, height, data: Uint8ClampedArray RGBA}, upright, over the background. */
export async function decode(blob, background) {
  const bitmap = await createImageBitmap(blob, {
    imageOrientation: "from-image",
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  });
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    throw new Error(`more than ${MOST_PIXELS.toLocaleString("en")} pixels`);
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = `rgb(${background} ${background} ${background})`;
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

/** RGBA to a picture {width, height, channels, data: Uint8Array} of 3 channels, or of 1: grey. */
export function withChannels({ width, height, data }, channels) {
  const made = new Uint8Array(width * height * channels);
  for (let from = 0, to = 0; from < data.length; from += 4, to += channels) {
    if (channels === 1) {
      made[to] = (data[from] * 19595 + data[from + 1] * 38470 + data[from + 2] * 7471 + 0x8000) >> 16;
    } else {
      made[to] = data[from];
      made[to + 1] = data[from + 1];
      made[to + 2] = data[from + 2];
    }
  }
  return { width, height, channels, data: made };
}

/** The size to which a picture is scaled, before it is cut or padded. */
function layout(format, height, width) {
  if (format.resize === "fit") return [format.height, format.width];
  const choose = format.resize === "fill" ? Math.max : Math.min;
  const factor = choose(format.height / height, format.width / width);
  return [height, width].map((side) => Math.max(1, Math.floor(side * factor + 0.5)));
}

/** For each place of the result: where its weights begin, and the weights as whole numbers of PRECISION bits. */
function bilinearWeights(from, to) {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(from, Math.trunc(centre + reach + 0.5));
    const weights = [];
    let sum = 0;
    for (let at = first; at < end; at++) {
      const distance = Math.abs((at - centre + 0.5) * (1 / reach));
      const weight = distance < 1 ? 1 - distance : 0;
      weights.push(weight);
      sum += weight;
    }
    return { first, weights: weights.map((weight) => Math.trunc(0.5 + (weight / sum) * 2 ** PRECISION)) };
  });
}

/** One pass of a bilinear resize with antialiasing: `lines` of `from` values that lie `step` apart become `to` values. */
function pass(data, { from, to, lines, step, start }) {
  const made = new Uint8Array(lines * to);
  const weights = bilinearWeights(from, to);
  for (let line = 0; line < lines; line++) {
    const [read, write] = [start(line, from), start(line, to)];
    for (let place = 0; place < to; place++) {
      const { first, weights: own } = weights[place];
      let sum = 2 ** (PRECISION - 1);
      for (let k = 0; k < own.length; k++) sum += data[read + (first + k) * step] * own[k];
      made[write + place * step] = Math.min(255, Math.floor(sum / 2 ** PRECISION));
    }
  }
  return made;
}

function wider({ width: from, height, channels, data }, to) {
  const start = (line, length) => Math.floor(line / channels) * length * channels + (line % channels);
  const made = from === to ? data : pass(data, { from, to, lines: height * channels, step: channels, start });
  return { width: to, height, channels, data: made };
}

function higher({ width, height: from, channels, data }, to) {
  const lines = width * channels;
  const made = from === to ? data : pass(data, { from, to, lines, step: lines, start: (line) => line });
  return { width, height: to, channels, data: made };
}

/** A picture scaled to a size, one side after the other and rounded in between, in the order of Pillow 13. */
export function scaled(picture, height, width) {
  const less = { height: picture.height - height, width: picture.width - width };
  const heightFirst = less.height > 0 && less.height > 2 * less.width;
  return heightFirst ? wider(higher(picture, height), width) : higher(wider(picture, width), height);
}

/** A picture in the model's format {height, width, channels, resize, background}. */
export function formatted(picture, format) {
  const coloured = withChannels(picture, format.channels);
  const [height, width] = layout(format, picture.height, picture.width);
  const { data } = scaled(coloured, height, width);
  const made = new Uint8Array(format.height * format.width * format.channels).fill(format.background);
  const half = (number) => Math.floor(Math.max(0, number) / 2);
  const cut = { top: half(height - format.height), left: half(width - format.width) };
  const at = { top: half(format.height - height), left: half(format.width - width) };
  const length = Math.min(width, format.width) * format.channels;
  for (let row = 0; row < Math.min(height, format.height); row++) {
    const from = ((cut.top + row) * width + cut.left) * format.channels;
    const to = ((at.top + row) * format.width + at.left) * format.channels;
    made.set(data.subarray(from, from + length), to);
  }
  return { height: format.height, width: format.width, channels: format.channels, data: made };
}

/** Pixels as the typed array that the model takes: x * scale + offset, each step rounded to float32. */
export function asInput(data, { dtype, scale, offset }) {
  if (dtype === "uint8") return data;
  if (dtype === "int32") return Int32Array.from(data);
  const [factor, plus] = [Math.fround(scale), Math.fround(offset)];
  return Float32Array.from(data, (value) => Math.fround(Math.fround(value * factor) + plus));
}
