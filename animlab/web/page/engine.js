'use strict';
/* Draws pictures: runs the generator's list of layers on labels. Works in a Web Worker, so that no slider ever waits.

Every output lies in memory pixel by pixel, its channels side by side and filled up with zeros to a multiple of LANES:
that way the inner loop of a convolution, a transposed one and a linear layer is the same, `multiply`, and runs over
neighbouring numbers. Pictures have a border of zeros, the padding of the convolution that reads them. A vector is a
picture of one pixel. */

const LANES = 8; // output channels that multiply makes at a time
const BYTES = 4; // of a float32
const upTo = n => Array.from({length: n}, (_, i) => i);

/* The generator as a function of labels {z, d, c}, three lists of numbers, that gives RGBA bytes.
model: {layers, …}, as animlab.web wrote it; bytes: the weights; kernels: bytes of WebAssembly modules, the best first,
of which the first is taken that this browser knows. */
function openGenerator(model, bytes, kernels) {
  const layers = model.layers;
  const users = layers.map((_, i) => layers.filter(layer => layer.inputs.includes(i)).length);
  const border = Math.max(0, ...layers.map(layer => layer.border ?? 0));
  let size = 0; // numbers given away so far
  const allocate = n => { const at = size; size += n; return at; };
  const fills = []; // what waits for the memory to be there

  const outputs = [];
  const steps = []; // functions of the labels, one a layer
  layers.forEach((layer, i) => {
    const inputs = layer.inputs.map(j => outputs[j]);
    // A step that goes number by number may write over what nobody else reads.
    const spare = IN_PLACE.includes(layer.kind) ? layer.inputs.find(j => users[j] === 1) : undefined;
    const output = outputs[i] = spare === undefined
      ? newPicture(layer.shape, border, allocate) : {...outputs[spare]};
    if (layer.kind === 'enlarge') output.wide = allocate(inputs[0].height * output.width * output.lanes);
    if (layer.weight) steps.push(prepareProducts(layer, inputs[0], output, bytes, allocate, fills));
    else steps.push((f, labels, loops) => RUN[layer.kind](f, layer, output, inputs, labels, loops));
  });

  const memory = new WebAssembly.Memory({initial: Math.ceil(size * BYTES / 65536)});
  const f = new Float32Array(memory.buffer);
  const kernel = kernels.find(bytes => WebAssembly.validate(bytes));
  const loops = kernel ? new WebAssembly.Instance(new WebAssembly.Module(kernel), {page: {memory}}).exports : plainLoops(f);
  for (const fill of fills) fill(f);
  const last = outputs[outputs.length - 1];
  return labels => {
    for (const step of steps) step(f, labels, loops);
    return toPixels(f, last);
  };
}

/* Room for a layer's output of shape (n) or (channels, height, width). at: the place of its first number. */
function newPicture(shape, border, allocate) {
  const [channels, height, width] = shape.length === 1 ? [shape[0], 1, 1] : shape;
  const edge = shape.length === 1 ? 0 : border;
  const lanes = Math.max(1, Math.ceil(channels / LANES)) * LANES;
  const row = (width + 2 * edge) * lanes;
  const whole = (height + 2 * edge) * row;
  const start = allocate(whole);
  return {channels, height, width, lanes, row, start, whole, at: start + edge * (row + lanes)};
}

/* ---- Layers with weights: sums of products ---- */

/* Packs the weights as multiply reads them; gives the step that calls it. */
function prepareProducts(layer, input, output, bytes, allocate, fills) {
  const [outs, ins, size = 1] = layer.weight.shape;
  const blocks = output.lanes / LANES;
  const bias = allocate(output.lanes);
  fills.push(f => f.set(readTensor(layer.bias, bytes), bias));
  // Where the parts of the kernel lie: which of its rows, from which input row on; likewise its columns.
  const stride = layer.kind === 'convTranspose' ? layer.stride : 1;
  const phases = layer.kind === 'convTranspose' ? upTo(stride).map(r => phaseOf(r, size, stride, layer.padding))
    : [{first: -(layer.padding ?? 0), taps: upTo(size)}];
  const calls = [];
  phases.forEach((rows, y) => phases.forEach((columns, x) => {
    const run = columns.taps.length * input.lanes;
    const weights = allocate(blocks * LANES * rows.taps.length * run);
    fills.push(f => pack(f, weights, layer.weight.values ??= readTensor(layer.weight, bytes),
      {outs, ins, size, lanes: input.lanes}, rows.taps, columns.taps));
    calls.push([
      input.at + rows.first * input.row + columns.first * input.lanes, weights, bias,
      output.at + y * output.row + x * output.lanes,
    ].map(place => place * BYTES).concat(
      output.height / stride, output.width / stride, blocks, rows.taps.length,
      [run, input.row, input.lanes, stride * output.row, stride * output.lanes].map(n => n * BYTES)));
  }));
  fills.push(() => { layer.weight.values = null; }); // packed, the first copy is of no more use
  return (_f, _labels, {multiply}) => { for (const call of calls) multiply(...call); };
}

/* A transposed convolution with stride s is s × s plain ones, each of which makes every s-th row and column: row
s q + r takes the input rows i for which s i + k - padding = s q + r, with k a row of the kernel. */
function phaseOf(r, size, stride, padding) {
  const k = (r + padding) % stride, newest = (r + padding - k) / stride, count = size / stride;
  return {first: newest - count + 1, taps: upTo(count).map(u => k + stride * (count - 1 - u))};
}

/* A tensor of the file, as float32: int8 with a scale for each of its first index, or float32 as it is. */
function readTensor({at, shape, scale}, bytes) {
  const n = shape.reduce((a, b) => a * b, 1);
  if (scale === undefined) return new Float32Array(bytes.slice(at, at + n * BYTES).buffer);
  const whole = new Int8Array(bytes.buffer, bytes.byteOffset + at, n);
  const scales = readTensor({at: scale, shape: [shape[0]]}, bytes);
  const values = new Float32Array(n), each = n / shape[0];
  for (let o = 0, i = 0; o < shape[0]; o++) for (const s = scales[o], end = i + each; i < end; i++) values[i] = whole[i] * s;
  return values;
}

/* Weights (out, in, size, size) as multiply reads them: block of channels, row, column, input channel, channel. */
function pack(f, to, values, {outs, ins, size, lanes}, rows, columns) {
  for (let o = 0; o < outs; o += LANES) {
    for (const ky of rows) for (const kx of columns) {
      for (let i = 0; i < ins; i++) for (let j = 0; j < LANES && o + j < outs; j++) {
        f[to + i * LANES + j] = values[(((o + j) * ins + i) * size + ky) * size + kx];
      }
      to += lanes * LANES;
    }
  }
}

/* ---- Layers without weights ---- */

const IN_PLACE = ['leaky', 'tanh', 'add'];

/* Each writes its output picture into the memory f. */
const RUN = {
  z: (f, _, out, __, labels) => f.set(labels.z, out.at),
  d: (f, _, out, __, labels) => f.set(labels.d, out.at),
  c: (f, _, out, __, labels) => f.set(labels.c, out.at),

  affine(f, {scale, shift}, out, [x]) {
    for (let y = 0; y < out.height; y++) for (let i = 0; i < out.width * out.lanes; i++) {
      // The lanes beyond the channels stay zero.
      if (i % out.lanes < out.channels) f[out.at + y * out.row + i] = scale * f[x.at + y * x.row + i] + shift;
    }
  },

  concat(f, _, out, parts) {
    for (let y = 0; y < out.height; y++) for (let x = 0; x < out.width; x++) {
      let to = out.at + y * out.row + x * out.lanes;
      for (const part of parts) {
        const from = part.at + y * part.row + x * part.lanes;
        f.copyWithin(to, from, from + part.channels);
        to += part.channels;
      }
    }
  },

  planes(f, _, out, [x]) { // a vector holds one channel after the other, a picture pixel by pixel
    for (let c = 0, from = x.at; c < out.channels; c++) for (let y = 0; y < out.height; y++) {
      for (let i = 0, to = out.at + y * out.row + c; i < out.width; i++, to += out.lanes) f[to] = f[from++];
    }
  },

  leaky(_, {slope}, out, [x], __, loops) { // zero stays zero, so the border may go along; as it may below
    loops.leaky(x.start * BYTES, out.start * BYTES, out.whole * BYTES, slope);
  },

  tanh(f, _, out, [x]) {
    for (let y = 0; y < out.height; y++) for (let i = 0; i < out.width; i++) for (let c = 0; c < out.channels; c++) {
      const from = y * out.row + i * out.lanes + c;
      f[out.at + from] = Math.tanh(f[x.at + from]);
    }
  },

  add(_, __, out, [x, y], ___, loops) {
    loops.add(x.start * BYTES, y.start * BYTES, out.start * BYTES, out.whole * BYTES);
  },

  /* Bilinear: a pixel is its centre, and the edge goes on beyond the outermost centres. First each row is made wider,
     then each row of the output is mixed of two of these. */
  enlarge(_, {factor}, out, [x], __, {blend}) {
    const mix = (a, b, to, n, share) => blend(a * BYTES, b * BYTES, to * BYTES, n * BYTES, share);
    const between = (i, most) => {
      const place = Math.max(0, (i + 0.5) / factor - 0.5), low = Math.floor(place);
      return [low, Math.min(low + 1, most - 1), place - low];
    };
    const wide = y => out.wide + y * out.width * out.lanes;
    for (let i = 0; i < out.width; i++) {
      const [low, high, share] = between(i, x.width);
      for (let y = 0; y < x.height; y++) {
        const row = x.at + y * x.row;
        mix(row + low * x.lanes, row + high * x.lanes, wide(y) + i * out.lanes, out.lanes, share);
      }
    }
    for (let y = 0; y < out.height; y++) {
      const [low, high, share] = between(y, x.height);
      mix(wide(low), wide(high), out.at + y * out.row, out.width * out.lanes, share);
    }
  },
};

/* Numbers from -1 to 1 as RGBA bytes; those beyond are clipped. Grey pictures have one channel. */
function toPixels(f, picture) {
  const {height, width, channels} = picture, pixels = new Uint8ClampedArray(4 * height * width).fill(255);
  for (let y = 0, to = 0; y < height; y++) for (let x = 0; x < width; x++, to += 4) {
    const from = picture.at + y * picture.row + x * picture.lanes;
    for (let k = 0; k < 3; k++) pixels[to + k] = (f[from + (channels === 1 ? 0 : k)] + 1) * 127.5; // rounds and clips
  }
  return pixels;
}

/* ---- The loops of kernel.py, which see, in plain JavaScript: many times slower, for browsers without SIMD ---- */

function plainLoops(f) {
  const r = Math.fround; // keeps the arithmetic in float32, as the networks have it
  const each = (change, ...places) => { // places in bytes: the sources, the result, how many
    const [a, b, to, n] = places.map(bytes => bytes >> 2);
    for (let i = 0; i < n; i++) f[to + i] = change(f[a + i], f[b + i]);
  };
  return {
    multiply: (...sizes) => multiplyPlainly(f, ...sizes),
    leaky: (a, to, bytes, slope) => each(x => x < 0 ? r(slope * x) : x, a, a, to, bytes),
    add: (a, b, to, bytes) => each((x, y) => r(x + y), a, b, to, bytes),
    blend: (a, b, to, bytes, share) => each((x, y) => r(x + r(r(y - x) * share)), a, b, to, bytes),
  };
}

function multiplyPlainly(f, input, weights, bias, output, height, width, blocks, taps, run, inRow, inPixel, outRow, outPixel) {
  const r = Math.fround; // and whole numbers of bytes become whole numbers of floats
  [input, weights, bias, output, run, inRow, inPixel, outRow, outPixel] =
    [input, weights, bias, output, run, inRow, inPixel, outRow, outPixel].map(n => n >> 2);
  for (let half = 0; half < 2 * blocks; half++) { // four channels by four pixels
    const panel = weights + (half >> 1) * taps * run * LANES + (half & 1) * 4, b = bias + 4 * half;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x += 4) {
        // At the end of a row that is no multiple of four, the last pixels are made again.
        const x0 = Math.max(0, Math.min(x, width - 4)), next = width < 4 ? 0 : inPixel;
        let a00 = f[b], a01 = f[b + 1], a02 = f[b + 2], a03 = f[b + 3];
        let a10 = a00, a11 = a01, a12 = a02, a13 = a03, a20 = a00, a21 = a01, a22 = a02, a23 = a03;
        let a30 = a00, a31 = a01, a32 = a02, a33 = a03;
        for (let t = 0, w = panel; t < taps; t++) {
          let p0 = input + y * inRow + t * inRow + (width < 4 ? x : x0) * inPixel;
          let p1 = p0 + next, p2 = p1 + next, p3 = p2 + next;
          for (const end = p0 + run; p0 < end; p0++, p1++, p2++, p3++, w += LANES) {
            const w0 = f[w], w1 = f[w + 1], w2 = f[w + 2], w3 = f[w + 3];
            const v0 = f[p0], v1 = f[p1], v2 = f[p2], v3 = f[p3];
            a00 = r(a00 + r(v0 * w0)); a01 = r(a01 + r(v0 * w1)); a02 = r(a02 + r(v0 * w2)); a03 = r(a03 + r(v0 * w3));
            a10 = r(a10 + r(v1 * w0)); a11 = r(a11 + r(v1 * w1)); a12 = r(a12 + r(v1 * w2)); a13 = r(a13 + r(v1 * w3));
            a20 = r(a20 + r(v2 * w0)); a21 = r(a21 + r(v2 * w1)); a22 = r(a22 + r(v2 * w2)); a23 = r(a23 + r(v2 * w3));
            a30 = r(a30 + r(v3 * w0)); a31 = r(a31 + r(v3 * w1)); a32 = r(a32 + r(v3 * w2)); a33 = r(a33 + r(v3 * w3));
          }
        }
        let o = output + 4 * half + y * outRow + (width < 4 ? x : x0) * outPixel;
        f[o] = a00; f[o + 1] = a01; f[o + 2] = a02; f[o + 3] = a03;
        if (width < 4) { x -= 3; continue; } // one pixel at a time
        o += outPixel; f[o] = a10; f[o + 1] = a11; f[o + 2] = a12; f[o + 3] = a13;
        o += outPixel; f[o] = a20; f[o + 1] = a21; f[o + 2] = a22; f[o + 3] = a23;
        o += outPixel; f[o] = a30; f[o + 1] = a31; f[o + 2] = a32; f[o + 3] = a33;
      }
    }
  }
}
