'use strict';
/* The page: controls, pictures and Play. Pictures come from the worker, one at a time; while it draws, only the newest
wish is kept, so that sliders never queue up. */

const $ = id => document.getElementById(id);
const model = JSON.parse($('model').textContent);
const {n_z, n_d, n_c} = model.space;
const still = matchMedia('(prefers-reduced-motion: reduce)');

/* z: the number of a z, as `seed` is in the notebook, or what it consists of. blend: of several d, in place of one. */
const state = {d: 0, c: Array(n_c).fill(0.5), z: 0, blend: null};
let compared = null; // 'kept', or the d that stands beside
let kept = null; // the labels of the kept picture

/* ---- The worker ---- */

const worker = (() => {
  const source = Array.from(document.querySelectorAll('script.worker'), script => script.textContent).join('\n');
  return new Worker(URL.createObjectURL(new Blob([source], {type: 'text/javascript'})));
})();
const waiting = new Map();
let questions = 0;

function ask(kind, data, progress = () => {}) {
  return new Promise((resolve, reject) => {
    const id = questions++;
    waiting.set(id, {resolve, reject, progress});
    worker.postMessage({id, kind, ...data});
  });
}

worker.onmessage = ({data}) => {
  const {resolve, reject, progress} = waiting.get(data.id);
  if ('done' in data) return progress(data.done);
  waiting.delete(data.id);
  if ('error' in data) reject(new Error(data.error));
  else resolve(data.result);
};
worker.onerror = event => complain(new Error(event.message || 'the worker did not start'));

function complain(error) {
  say(`This page cannot draw here (${error.message}). An intact copy can, in a browser from 2023 or later.`);
  $('status').classList.add('error');
}

/* ---- Labels ---- */

/* The first few z are those of the notebook; later ones are drawn here, the same ones each time. */
function zOf(z) {
  return Array.isArray(z) ? z : model.z[z] ?? normals(z, n_z);
}

/* n numbers of N(0, 1) by Box and Muller's method, from the generator mulberry32. */
function normals(seed, n) {
  let s = seed * 0x9e3779b9 >>> 0;
  const uniform = () => {
    s = s + 0x6d2b79f5 >>> 0;
    let t = Math.imul(s ^ s >>> 15, s | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
  return Array.from({length: n}, () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
}

function labelsOf({d, c, z, blend}) {
  return {z: zOf(z), d: blend ?? Array.from({length: n_d}, (_, i) => Number(i === d)), c: [...c]};
}

const copyOf = ({d, c, z, blend}) => ({d, c: [...c], z, blend});
const besideOf = shown => compared === 'kept' ? kept : {...shown, d: compared, blend: null};
const nameOf = z => Array.isArray(z) ? 'as keyed' : z;

function captionOf({d, c, z}) {
  return [`d ${d} · z ${nameOf(z)}`, n_c ? `c ${c.map(value => value.toFixed(2)).join(' ')}` : ''].join('\n').trim();
}

function describe({d, c, z}) {
  const moments = c.map((value, j) => `${model.names[j].replace(' · ', ', ')}: ${value.toFixed(2)}`).join('; ');
  return `A picture in the manner of ${model.about}: d ${d}, z ${nameOf(z)}${n_c ? '; ' : ''}${moments}.`;
}

/* ---- Drawing ---- */

let drawing = false, wanted = false;

const redraw = () => drawNewest().catch(complain);

async function drawNewest() {
  wanted = true;
  if (drawing) return;
  drawing = true;
  try {
    while (wanted) {
      wanted = false;
      const shown = copyOf(state);
      put('picture', await ask('draw', {labels: labelsOf(shown)}), shown);
      if (compared !== null) {
        const other = besideOf(shown);
        put('beside', await ask('draw', {labels: labelsOf(other)}), other);
      }
    }
  } finally {
    drawing = false;
  }
  describeWhenStill();
}

function put(name, pixels, shown) {
  const canvas = $(name);
  canvas.getContext('2d').putImageData(new ImageData(pixels, canvas.width, canvas.height), 0, 0);
  canvas.shown = shown;
  $(`${name}-caption`).textContent = captionOf(shown);
}

/* Readers who cannot see the picture hear what it is once it has come to rest. */
let rest = 0;
function describeWhenStill() {
  clearTimeout(rest);
  if (playing) return;
  rest = setTimeout(() => {
    for (const name of ['picture', 'beside']) if ($(name).shown) $(name).setAttribute('aria-label', describe($(name).shown));
    $('live').textContent = describe(state);
  }, 500);
}

function say(words) {
  $('status').textContent = words;
}

/* ---- Controls ---- */

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function makeControls() {
  // Else a browser that comes back to the page sets them as they were left, and nothing here knows of it.
  for (const control of document.querySelectorAll('input, select')) control.autocomplete = 'off';
  for (let d = 0; d < n_d; d++) {
    const radio = element('input', {type: 'radio', name: 'd', value: d, checked: d === 0});
    radio.addEventListener('change', () => { state.d = d; redraw(); });
    $('ds').append(element('label', {}, radio, element('span', {textContent: d})));
    $('compare').append(element('option', {value: d, textContent: `the same, but d ${d}`}));
  }
  for (let j = 0; j < n_c; j++) {
    const slider = element('input', {type: 'range', id: `c${j}`, min: 0, max: 1, step: 0.01, value: 0.5});
    const [letter, ...words] = model.names[j].split(' · ');
    const name = element('span', {className: 'name'}, element('b', {textContent: letter}),
      words.length ? ` · ${words.join(' · ')}` : '');
    const value = element('span', {id: `c${j}-value`, className: 'value', textContent: '0.50'});
    value.setAttribute('aria-hidden', 'true'); // the slider says it itself
    $('cs').append(element('div', {}, element('label', {htmlFor: slider.id}, name, value), slider));
    slider.addEventListener('input', () => {
      if (playing?.j === j) stop();
      state.c[j] = Number(slider.value);
      update();
    });
    $('along').append(element('option', {value: j, textContent: model.names[j]}));
  }
  $('cs').classList.toggle('many', n_c > 6);
  $('along').value = model.along;
  for (const [id, none] of [['d-box', n_d < 2], ['c-box', !n_c], ['play-box', !n_c], ['save', !n_c], ['new-z', !n_z]]) {
    $(id).hidden = none;
  }
}

/* Shows the state on the controls, and draws it. */
function update() {
  state.c.forEach((value, j) => {
    if (Number($(`c${j}`).value) !== value) $(`c${j}`).value = value;
    $(`c${j}-value`).textContent = value.toFixed(2);
  });
  const radio = document.querySelector(`input[name=d][value="${state.d}"]`);
  if (!radio.checked) radio.checked = true;
  redraw();
}

function connect() {
  $('new-z').addEventListener('click', () => { state.z = Array.isArray(state.z) ? 0 : state.z + 1; update(); });
  $('surprise').addEventListener('click', () => {
    stop();
    const random = n => Math.floor(n * Math.random());
    Object.assign(state, {d: random(n_d), c: state.c.map(() => random(101) / 100), z: n_z ? random(10000) : 0});
    update();
  });
  $('start').addEventListener('click', () => {
    stop();
    Object.assign(state, {d: 0, c: Array(n_c).fill(0.5), z: 0});
    update();
  });
  $('crisp').addEventListener('change', () => document.body.classList.toggle('crisp', $('crisp').checked));
  $('compare').addEventListener('change', () => {
    const {value} = $('compare');
    compared = value === '' ? null : value === 'kept' ? 'kept' : Number(value);
    kept = copyOf(state);
    $('beside-box').hidden = compared === null;
    document.body.classList.toggle('comparing', compared !== null);
    redraw();
  });
  $('play').addEventListener('click', () => { if (playing) stop(); else play(Number($('along').value)); });
  $('along').addEventListener('change', () => { if (playing) play(Number($('along').value)); });
  $('speed').addEventListener('input', showSpeed);
  $('save').addEventListener('click', save);
  showSpeed();
}

const seconds = () => Number($('speed').value); // that one way takes
const showSpeed = () => { $('speed-value').textContent = `${seconds().toFixed(1)} s`; };

/* ---- Play ---- */

let playing = null; // {j, phase, last, left}: phase 0 to 1 is the way there, 1 to 2 the way back

/* Moves c_j there and back, upwards from where it is; `ways` many ways, or until somebody stops it. */
function play(j, ways = Infinity) {
  playing = {j, phase: state.c[j], last: performance.now(), left: ways, from: state.c[j]};
  $('play').textContent = 'Pause';
  requestAnimationFrame(move);
}

function move(now) {
  if (!playing) return;
  const step = Math.min(0.1, Math.max(0, now - playing.last) / 1000 / seconds()); // a page in the background stands still
  playing.last = now;
  playing.left -= step;
  playing.phase = (playing.phase + step) % 2;
  const over = playing.left <= 0;
  state.c[playing.j] = over ? playing.from : 1 - Math.abs(1 - playing.phase);
  if (over) stop();
  update();
  if (playing) requestAnimationFrame(move);
}

function stop() {
  if (!playing) return;
  playing = null;
  $('play').textContent = 'Play';
  describeWhenStill();
}

/* ---- The GIF ---- */

const PER_SECOND = 20, MOST_STEPS = 60;

/* What Play shows, there and back once, as a file. */
async function save() {
  const j = Number($('along').value), time = seconds(), shown = copyOf(state);
  const steps = Math.min(MOST_STEPS, Math.max(4, Math.round(time * PER_SECOND)));
  const frames = Array.from({length: steps + 1}, (_, i) => {
    const now = {...shown, c: shown.c.map((value, k) => k === j ? i / steps : value)};
    return (compared === null ? [now] : [now, besideOf(now)]).map(labelsOf);
  });
  const end = i => Math.round(i * time * 100 / steps); // in hundredths of a second, as GIF has it
  const order = Array.from({length: 2 * steps}, (_, i) => [i <= steps ? i : 2 * steps - i, end(i + 1) - end(i)]);
  await saveFilm({frames, order}, `${model.name}-d${shown.d}-c${j}.gif`);
}

/* One file at a time: frames and order as the worker has them. */
async function saveFilm(film, name) {
  const buttons = [$('save'), $('film')];
  for (const button of buttons) button.disabled = true;
  try {
    const file = await ask('film', film, done => say(`Drawing the GIF: ${Math.round(100 * done)} %`));
    download(file, name);
    say(`Saved a GIF of ${film.order.length} frames, ${(file.size / 1e6).toFixed(1)} MB.`);
  } catch (error) {
    say(`The GIF could not be made: ${error.message}.`);
  }
  for (const button of buttons) button.disabled = false;
}

function download(file, name) {
  const address = URL.createObjectURL(file);
  element('a', {href: address, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/* ---- Start ---- */

async function start() {
  makeControls();
  connect();
  try {
    await ask('open', {model, weights: $('weights').textContent, kernels: model.kernels});
    $('weights').remove();
    await drawNewest();
    say('');
    document.body.classList.add('ready');
    if (n_c && !still.matches) play(model.along, 2); // once, to show what can be done; it ends where it began
  } catch (error) {
    complain(error);
  }
}

start();
