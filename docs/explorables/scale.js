// Move the scale of the weights before batch normalization: the output stays, and the gradient shrinks as the weights grow.
import { scaleOfWeights } from './maths.js';
import { draw, make, number, plot, slider } from './parts.js';

const X = [[-1.3, .4, .9, -.2, 1.6, -.7, .1, -.8], [.5, 1.2, -.6, -1.1, .3, .8, -.9, .2]], W = [.8, -.6], DOUT = [.3, -1, .8, .5, -.6, 1.1, -.4, .2];
const [LEAST, MOST] = [-4, 4];                                     // powers of ten

export function scaleExplorer(place) {
  let power = 0, eps = 1e-5;
  const panels = make('div', { className: 'panels' }), said = make('p', { className: 'said' });
  said.setAttribute('role', 'status');
  const shown = plot(panels, { label: 'Spread of the output and size of the gradient, by scale of the weights', left: LEAST, right: MOST, bottom: -5, top: 5,
    xlabel: 'scale of the weights, power of ten', ylabel: 'power of ten', xticks: [-4, -2, 0, 2, 4], yticks: [-4, -2, 0, 2, 4], width: 460 });
  const at = k => scaleOfWeights(X, W, DOUT, 10 ** k, eps);

  function update() {
    const { inner, x, y, clear } = shown, now = at(power), powers = Array.from({ length: 81 }, (_, i) => LEAST + i / 10);
    clear();
    for (const what of ['spread', 'gradient']) {
      const inside = powers.map(k => [k, Math.log10(at(k)[what])]).filter(([, v]) => Math.abs(v) <= 5);
      draw(inner, 'path', { d: 'M' + inside.map(([k, v]) => `${x(k)} ${y(v)}`).join(' L'), class: `curve ${what}` });
      draw(inner, 'circle', { cx: x(power), cy: y(Math.max(-5, Math.min(5, Math.log10(now[what])))), r: 6, class: `dot ${what}` });
      draw(inner, 'text', { x: x(what === 'spread' ? 1.3 : -3.9), y: y(what === 'spread' ? .35 : 4.4), class: 'axis' }, what === 'spread' ? 'spread of the output' : 'gradient of the weights');
    }
    said.textContent = `Weights times ${(10 ** power).toPrecision(2)}: the output has spread ${number(now.spread, 3)}, the gradient of the weights has length ${now.gradient.toPrecision(3)}.`;
    place.dataset.found = JSON.stringify(now);
  }

  place.append(make('div', { className: 'controls' },
    slider('scale', { min: LEAST, max: MOST, step: .1, value: power, show: v => (10 ** v).toPrecision(2) }, v => { power = v; update(); }),
    slider('eps', { min: -9, max: 0, step: 1, value: -5, show: v => `1e${v}` }, v => { eps = 10 ** v; update(); })), panels, said);
  update();
}
