// Move p: what dropout does to the distribution of a unit's output, in both conventions, over all 1024 masks of its ten inputs.
import { dropoutOutput } from './maths.js';
import { draw, make, number, plot, slider } from './parts.js';

const INPUTS = [.93, -.52, .71, .34, -.83, .58, .42, -.21, .47, .31];    // w_j a_j; their sum is 2.2
const [LEFT, RIGHT, BINS] = [-6, 12, 48];

export function dropoutSpread(place) {
  let p = .5, relu = false;
  const panels = make('div', { className: 'panels' }), said = make('p', { className: 'said' });
  said.setAttribute('role', 'status');
  const titles = ['scaled in test mode, by 1 − p (the default here)', 'inverted: scaled in training, by 1/(1 − p)'];
  const plots = titles.map(label => plot(panels, { label, left: LEFT, right: RIGHT, bottom: 0, top: 1, xlabel: 'output of the unit', ylabel: 'probability', xticks: [-6, -3, 0, 3, 6, 9, 12], height: 240 }));

  function update() {
    const found = plots.map((_, i) => dropoutOutput(INPUTS, p, i === 1, relu));
    found.forEach(({ outcomes, average, deviation, test }, i) => {
      const { inner, x, y, clear } = plots[i], bars = Array(BINS).fill(0), width = (RIGHT - LEFT) / BINS;
      for (const [v, chance] of outcomes) bars[Math.max(0, Math.min(BINS - 1, Math.floor((v - LEFT) / width + 1e-9)))] += chance;
      const top = Math.max(...bars);
      clear();
      bars.forEach((b, k) => draw(inner, 'rect', { x: x(LEFT + k * width) + .5, y: y(.82 * b / top), width: x(width) - x(0) - 1, height: y(0) - y(.82 * b / top), class: 'column' }));
      draw(inner, 'line', { x1: x(test), x2: x(test), y1: y(0), y2: y(.9), class: 'test' });
      draw(inner, 'path', { d: `M${x(average)} ${y(0)} l-5 8 h10 z`, class: 'mean' });
      draw(inner, 'line', { x1: x(average - deviation), x2: x(average + deviation), y1: y(0) + 4, y2: y(0) + 4, class: 'deviation' });
      draw(inner, 'text', { x: x(LEFT), y: 14, class: 'axis' }, titles[i]);
      draw(inner, 'text', { x: x(test) + 5, y: y(.86), class: 'tick' }, `test ${number(test)}`);
    });
    said.textContent = `p = ${number(p)}. ` + found.map(({ average, deviation, test }, i) => `${i ? 'Inverted' : 'Scaled in test mode'}: in training `
      + `${number(average)} on average (triangle), give or take ${number(deviation)}; in test mode ${number(test)} (line).`).join(' ')
      + (relu && Math.abs(found[1].average - found[1].test) > .005 ? ' Behind a ReLU, test mode is no longer the average.' : '');
    place.dataset.found = JSON.stringify(found.map(({ average, deviation, test }) => ({ average, deviation, test })));
  }

  const check = make('input', { type: 'checkbox', onchange() { relu = this.checked; update(); } });
  place.append(make('div', { className: 'controls' }, slider('probability of dropping p', { min: 0, max: .8, step: .05, value: p }, v => { p = v; update(); }),
    make('label', {}, check, ' a ReLU behind it')), panels, said);
  update();
}
