'use strict';
/* What the worker answers: the page sends {id, kind, …}, and gets {id, result} or {id, error} back. */

let generate = null;
let size = [0, 0]; // height and width of a picture
const ENLARGED = 4; // times, in a GIF: 64 pixels are a stamp in most viewers

const answers = {
  async open({model, weights, kernels}) {
    const inflated = new Response(new Blob([fromBase64(weights)]).stream().pipeThrough(new DecompressionStream('deflate')));
    generate = openGenerator(model, new Uint8Array(await inflated.arrayBuffer()), kernels.map(fromBase64));
    size = model.layers[model.layers.length - 1].shape.slice(1);
  },

  async draw({labels}) {
    return generate(labels);
  },

  /* frames: for each frame the labels of the pictures that stand side by side in it; order as encodeGif has it. */
  async film({id, frames, order}) {
    const [height, width] = size, wide = frames[0].length * (width + GAP) - GAP, images = [];
    for (const pictures of frames) {
      images.push(encodeImage(sideBySide(pictures.map(generate), height, width), wide, height, ENLARGED));
      postMessage({id, done: images.length / frames.length});
      await new Promise(resolve => setTimeout(resolve)); // a slider may be waiting for its picture
    }
    return new Blob(encodeGif(images, wide * ENLARGED, height * ENLARGED, order), {type: 'image/gif'});
  },
};

onmessage = async ({data}) => {
  try {
    postMessage({id: data.id, result: await answers[data.kind](data)});
  } catch (error) {
    postMessage({id: data.id, error: String(error)});
  }
};

const GAP = 2; // white pixels between pictures, as in a filmstrip

function sideBySide(pictures, height, width) {
  const wide = pictures.length * (width + GAP) - GAP, all = new Uint8ClampedArray(4 * wide * height).fill(255);
  pictures.forEach((pixels, i) => {
    for (let y = 0; y < height; y++) {
      all.set(pixels.subarray(4 * width * y, 4 * width * (y + 1)), 4 * (wide * y + i * (width + GAP)));
    }
  });
  return all;
}

function fromBase64(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}
