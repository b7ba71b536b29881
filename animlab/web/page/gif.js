'use strict';
/* Animated GIF, after the specification GIF89a: a palette of its own for every frame, no dithering, plays for ever. */

const COLOURS = 256; // of a palette

/* images: what encodeImage gave, each of width × height. order: which image comes when, for how many hundredths of a
second: [[image, delay], …]. Gives the bytes of the file, in parts. */
function encodeGif(images, width, height, order) {
  const head = [
    ...text('GIF89a'), ...short(width), ...short(height), 0x70, 0, 0, // no palette for all images
    0x21, 0xff, 11, ...text('NETSCAPE2.0'), 3, 1, 0, 0, 0, // for ever
  ];
  const parts = [new Uint8Array(head)];
  for (const [image, delay] of order) {
    parts.push(new Uint8Array([0x21, 0xf9, 4, 0x04, ...short(delay), 0, 0]), images[image]); // each covers the last
  }
  parts.push(new Uint8Array([0x3b]));
  return parts;
}

const short = n => [n & 255, n >> 8];
const text = words => Array.from(words, letter => letter.charCodeAt(0));

/* pixels: RGBA bytes, width × height, every pixel shown as times × times. Takes some hundredths of a second. */
function encodeImage(pixels, width, height, times) {
  const {palette, indices} = choosePalette(pixels);
  const large = new Uint8Array(width * times * height * times);
  for (let y = 0, to = 0; y < height * times; y++) for (let x = 0; x < width * times; x++) {
    large[to++] = indices[Math.floor(y / times) * width + Math.floor(x / times)];
  }
  const data = compress(large);
  const head = [0x2c, 0, 0, 0, 0, ...short(width * times), ...short(height * times), 0x87, ...palette, 8];
  const image = new Uint8Array(head.length + data.length + Math.ceil(data.length / 255) + 1);
  image.set(head);
  let to = head.length;
  for (let from = 0; from < data.length; from += 255) { // in blocks that say their length
    const block = data.subarray(from, from + 255);
    image[to] = block.length;
    image.set(block, to + 1);
    to += block.length + 1;
  }
  return image;
}

/* LZW with codes of 9 to 12 bits: each code stands for a run seen before, a run one byte longer gets the next code. */
function compress(bytes) {
  const CLEAR = 256, END = 257, MOST = 4096;
  const longer = new Uint16Array(MOST * 256); // code and next byte → code of the longer run, 0 where there is none
  const out = new Uint8Array(bytes.length * 2 + 16);
  let size = 0, waiting = 0, bits = 0, width = 9, next = END + 1;
  const put = code => {
    waiting |= code << bits;
    for (bits += width; bits >= 8; bits -= 8, waiting >>>= 8) out[size++] = waiting & 255;
  };
  put(CLEAR);
  let run = bytes[0];
  for (let i = 1; i < bytes.length; i++) {
    const place = run << 8 | bytes[i];
    if (longer[place]) { run = longer[place]; continue; }
    put(run);
    if (next === MOST) {
      put(CLEAR);
      longer.fill(0);
      next = END + 1;
      width = 9;
    } else {
      if (next >= 1 << width) width++;
      longer[place] = next++;
    }
    run = bytes[i];
  }
  put(run);
  put(END);
  if (bits > 0) out[size++] = waiting & 255;
  return out.subarray(0, size);
}

/* At most 256 colours for RGBA pixels and the colour of each pixel: boxes of colours are cut in two at their mean, the
most spread out first, then the colours are moved to where their pixels are. */
function choosePalette(pixels) {
  const counts = new Map();
  for (let i = 0; i < pixels.length; i += 4) {
    const colour = pixels[i] << 16 | pixels[i + 1] << 8 | pixels[i + 2];
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  const colours = Array.from(counts, ([colour, n]) => [colour >> 16, colour >> 8 & 255, colour & 255, n, colour]);
  let means = colours.map(colour => colour.slice(0, 3));
  if (colours.length > COLOURS) {
    const boxes = [boxOf(colours)];
    while (boxes.length < COLOURS) {
      const widest = boxes.reduce((best, box, i) => box.spread > boxes[best].spread ? i : best, 0);
      if (boxes[widest].spread === 0) break;
      const {members, axis, mean} = boxes[widest];
      const low = members.filter(colour => colour[axis] <= mean[axis]);
      boxes[widest] = boxOf(low);
      boxes.push(boxOf(members.filter(colour => colour[axis] > mean[axis])));
    }
    means = boxes.map(box => box.mean);
    for (let round = 0; round < 2; round++) {
      const groups = means.map(() => []);
      for (const colour of colours) groups[nearest(means, colour)].push(colour);
      means = groups.map((group, i) => group.length ? boxOf(group).mean : means[i]);
    }
  }
  const palette = new Uint8Array(3 * COLOURS);
  means.forEach((mean, i) => palette.set(mean.map(Math.round), 3 * i));
  const index = new Map(colours.map(colour => [colour[4], nearest(means, colour)]));
  const indices = new Uint8Array(pixels.length / 4);
  for (let i = 0; i < indices.length; i++) {
    indices[i] = index.get(pixels[4 * i] << 16 | pixels[4 * i + 1] << 8 | pixels[4 * i + 2]);
  }
  return {palette, indices};
}

/* Colours with their mean, the axis along which they spread most, and how much: the sum of squares. */
function boxOf(members) {
  const sums = [0, 0, 0], squares = [0, 0, 0];
  let n = 0;
  for (const colour of members) {
    n += colour[3];
    for (let k = 0; k < 3; k++) {
      sums[k] += colour[3] * colour[k];
      squares[k] += colour[3] * colour[k] ** 2;
    }
  }
  const spreads = squares.map((square, k) => square - sums[k] ** 2 / n);
  const axis = spreads.indexOf(Math.max(...spreads));
  return {members, mean: sums.map(sum => sum / n), axis, spread: members.length > 1 ? spreads[axis] : 0};
}

function nearest(means, [r, g, b]) {
  let best = 0, least = Infinity;
  for (let i = 0; i < means.length; i++) {
    const mean = means[i], distance = (mean[0] - r) ** 2 + (mean[1] - g) ** 2 + (mean[2] - b) ** 2;
    if (distance < least) { least = distance; best = i; }
  }
  return best;
}
