'use strict';
/* The composer: labels become keys at times, and the way between them a film. Its JSON is that of animlab.Timeline. */

const KIND = 'animlab timeline', LONGEST = 600, FARTHEST = 1e6, MOST_KEYS = 1000, MOST_BYTES = 1e7; // as the library has them
const FILM_FRAMES = 600;
const EASINGS = {smooth: t => t * t * (3 - 2 * t), linear: t => t, hold: () => 0};
let timeline = {kind: KIND, space: model.space, seconds: 4, loop: true, keys: []};
const past = []; // timelines; one that is shown is never changed, but replaced
let running = null; // of a film that plays: {at, last}, its time and the clock's

const now = () => Number($('time').value);
const here = () => timeline.keys.find(key => Math.abs(key.time - now()) < 0.005); // the slider knows hundredths

/* The labels at a time: d is a blend between two keys. */
function labelsAt(time) {
  const {keys, seconds, loop} = timeline, last = keys.length - 1;
  let next = keys.findIndex(key => key.time > time);
  if (next < 0) next = keys.length;
  const a = keys[next - 1] ?? keys[loop ? last : 0], b = keys[next] ?? keys[loop ? 0 : last];
  const start = next > 0 ? a.time : a.time - seconds, stop = next <= last ? b.time : b.time + seconds;
  const done = a === b ? 0 : EASINGS[a.ease]((time - start) / (stop - start || 1));
  const mix = (x, y) => x.map((value, i) => value + (y[i] - value) * done);
  return {z: mix(a.z, b.z), d: mix(labelsOf(a).d, labelsOf(b).d), c: mix(a.c, b.c)};
}

function showTime() {
  $('time-value').textContent = `${now().toFixed(2)} s`;
  $('keys').value = here()?.time ?? '';
  if (here()) $('ease').value = here().ease;
  if (!timeline.keys.length) return;
  const {z, d, c} = labelsAt(now());
  Object.assign(state, {z, c, d: d.indexOf(Math.max(...d)), blend: d});
  update();
}

function adopt(changed) {
  const keys = [...changed.keys].sort((a, b) => a.time - b.time);
  timeline = {...changed, keys};
  $('seconds').value = $('time').max = timeline.seconds;
  $('loop').checked = timeline.loop;
  $('keys').replaceChildren(...keys.map(key => element('option', {
    value: key.time, textContent: `${key.time.toFixed(2)} s · d ${key.d} · then ${key.ease}`,
  })));
  showTime();
}

function edit(changed) {
  past.push(timeline);
  adopt({...timeline, ...changed});
}

/* A parsed file as a timeline; throws a sentence where it is none for this model. */
function checked(found) {
  const near = value => Number.isFinite(value) && Math.abs(value) <= FARTHEST;
  const numbers = (list, n) => Array.isArray(list) && list.length === n && list.every(near);
  const within = (value, most) => Number.isFinite(value) && value >= 0 && value <= most;
  const fits = key => within(key?.time, found.seconds) && Number.isInteger(key.d) && within(key.d, n_d - 1) &&
    numbers(key.c, n_c) && numbers(key.z, n_z) && Object.hasOwn(EASINGS, key.ease);
  if (found?.kind !== KIND) throw new Error('it is no timeline');
  if (!['n_z', 'n_d', 'n_c'].every(name => found.space?.[name] === model.space[name])) {
    throw new Error('it belongs to a model with other labels');
  }
  if (!within(found.seconds, LONGEST) || found.seconds < 0.1 || typeof found.loop !== 'boolean' ||
    !Array.isArray(found.keys) || found.keys.length > MOST_KEYS || !found.keys.every(fits) ||
    new Set(found.keys.map(key => key.time)).size < found.keys.length) throw new Error('it is damaged');
  return found;
}

async function film() {
  const perSecond = Math.min(PER_SECOND, FILM_FRAMES / timeline.seconds);
  const n = Math.max(1, Math.round(timeline.seconds * perSecond)), {seconds, loop} = timeline;
  const frames = Array.from({length: n}, (_, i) => [labelsAt(i * seconds / (loop ? n : Math.max(1, n - 1)))]);
  const end = i => Math.round(i * seconds * 100 / n); // in hundredths of a second, as GIF has it
  const order = frames.map((_, i) => [i, end(i + 1) - end(i)]);
  await saveFilm({frames, order}, `${model.name}-film.gif`);
}

function run(clock) {
  if (running === null) return;
  const {seconds, loop} = timeline, at = running.at + Math.min(0.1, Math.max(0, clock - running.last) / 1000);
  running = {at: loop ? at % seconds : at, last: clock};
  $('time').value = running.at;
  showTime();
  if (at >= seconds && !loop) halt();
  else requestAnimationFrame(run);
}

function halt() {
  running = null;
  $('run').textContent = 'Play the film';
}

const needed = task => () => {
  if (!timeline.keys.length) say('There is no key yet: set one first.');
  else task();
};

for (const name of Object.keys(EASINGS)) $('ease').append(element('option', {value: name, textContent: name}));
for (const kind of ['input', 'click']) { // what the reader sets is no blend any more, and stops the film
  for (const part of ['.controls', '.actions']) {
    document.querySelector(part).addEventListener(kind, () => { state.blend = null; halt(); }, true);
  }
}
$('time').addEventListener('input', () => { stop(); halt(); showTime(); });
$('keys').addEventListener('change', () => { stop(); halt(); $('time').value = $('keys').value; showTime(); });
$('set-key').addEventListener('click', () => {
  const {z, c} = labelsOf(state), key = {time: here()?.time ?? now(), d: state.d, c, z, ease: $('ease').value};
  edit({keys: [...timeline.keys.filter(other => other !== here()), key]});
});
$('delete').addEventListener('click', () => {
  if (here()) edit({keys: timeline.keys.filter(key => key !== here())});
  else say('No key is chosen: choose one in the list first.');
});
$('undo').addEventListener('click', () => { if (past.length) adopt(past.pop()); else say('There is nothing to undo.'); });
$('ease').addEventListener('change', () => {
  if (here()) edit({keys: timeline.keys.map(key => key === here() ? {...key, ease: $('ease').value} : key)});
});
$('loop').addEventListener('change', () => edit({loop: $('loop').checked}));
$('seconds').addEventListener('change', () => {
  const last = Math.max(0.1, ...timeline.keys.map(key => key.time)); // no key falls off the end
  edit({seconds: Math.min(LONGEST, Math.max(last, Number($('seconds').value)))});
});
$('run').addEventListener('click', needed(() => {
  if (running !== null) return halt();
  stop();
  running = {at: now() < timeline.seconds ? now() : 0, last: performance.now()};
  $('run').textContent = 'Pause the film';
  requestAnimationFrame(run);
}));
$('film').addEventListener('click', needed(film));
$('keep').addEventListener('click', () => {
  download(new Blob([JSON.stringify(timeline, null, 1)], {type: 'application/json'}), `${model.name}-timeline.json`);
});
$('open').addEventListener('change', async () => {
  const [file] = $('open').files;
  try {
    if (file.size > MOST_BYTES) throw new Error('it is too large for a timeline');
    edit(checked(JSON.parse(await file.text())));
    say(`Loaded ${file.name}.`);
  } catch (error) {
    say(`${file.name} cannot be loaded: ${error instanceof SyntaxError ? 'it is no JSON' : error.message}.`);
  }
  $('open').value = '';
});
