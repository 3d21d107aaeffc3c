// Drag a batch's values and its upstream gradients: the backward pass of batch normalization takes a regression line away.
import { batchnorm, batchnormGradient } from './maths.js';
import { button, draw, handle, make, number, plot, slider } from './parts.js';

const START = { x: [-3.2, -1.9, -.4, .7, 2.1, 3.6], dout: [.9, -1.2, .6, 1.6, -.3, 1.1] };

export function bnGradient(place) {
  let { x, dout } = structuredClone(START), gamma = 1;
  let handles = [];
  const panels = make('div', { className: 'panels' }), said = make('p', { className: 'said' });
  said.setAttribute('role', 'status');
  const forward = plot(panels, { label: 'Forward: drag the inputs', left: -6, right: 6, bottom: 0, top: 1, xlabel: 'input x (drag)', xticks: [-6, -4, -2, 0, 2, 4, 6] });
  const backward = plot(panels, { label: 'Backward: drag the upstream gradients', left: -2.5, right: 2.5, bottom: -3, top: 3, xlabel: 'normalised value x̂', ylabel: 'dout (drag)', xticks: [-2, -1, 0, 1, 2], yticks: [-3, -2, -1, 0, 1, 2, 3] });
  const outAt = v => forward.x(Math.max(-6, Math.min(6, 2 * v)));         // the upper axis shows −3 to 3

  function update() {
    const f = batchnorm(x, gamma), g = batchnormGradient(dout, f, gamma);
    forward.clear(), backward.clear();
    for (const [level, ticks, name] of [[.02, [], ''], [.86, [-3, -2, -1, 0, 1, 2, 3], 'output γx̂']]) {
      draw(forward.inner, 'line', { x1: forward.x(-6), x2: forward.x(6), y1: forward.y(level), y2: forward.y(level), class: 'base' });
      for (const t of ticks) draw(forward.inner, 'text', { x: outAt(t), y: forward.y(level) - 10, class: 'tick', 'text-anchor': 'middle' }, number(t, 0));
      draw(forward.inner, 'text', { x: forward.x(0), y: forward.y(level) - 28, class: 'axis', 'text-anchor': 'middle' }, name);
    }
    draw(backward.inner, 'line', { x1: backward.x(-2.5), x2: backward.x(2.5), y1: backward.y(g.level - 2.5 * g.slope), y2: backward.y(g.level + 2.5 * g.slope), class: 'lost' });
    x.forEach((v, i) => {
      draw(forward.inner, 'line', { x1: forward.x(v), y1: forward.y(.02), x2: outAt(f.out[i]), y2: forward.y(.86), class: 'map' });
      draw(forward.inner, 'circle', { cx: outAt(f.out[i]), cy: forward.y(.86), r: 5, class: 'dot' });
      const at = backward.x(f.xhat[i]);
      draw(backward.inner, 'line', { x1: at, x2: at, y1: backward.y(dout[i]), y2: backward.y(dout[i] - g.rest[i]), class: 'kept' });
      handles[2 * i].place(forward.x(v), forward.y(.02), v);
      handles[2 * i + 1].place(at, backward.y(dout[i]), dout[i]);
    });
    const largest = Math.max(...g.dx.map(Math.abs));
    said.textContent = `Taken away: the mean ${number(g.level)} and ${number(g.slope)} times x̂ (the line). `
      + `What is left (the bars), times γ/s = ${number(gamma / f.s)}: dx = ${g.dx.map(d => number(d)).join(', ')}. `
      + (largest < .005 ? 'Nothing gets through. ' : '') + `Sum of dx: ${number(g.dx.reduce((a, b) => a + b, 0))}.`;
    place.dataset.dx = JSON.stringify(g.dx);
  }

  function resize(n) {
    while (x.length < n) { x.push(START.x[x.length] ?? 5 - x.length); dout.push(START.dout[dout.length] ?? -1); }
    x = x.slice(0, n), dout = dout.slice(0, n);
    for (const h of handles) h.remove();
    handles = x.flatMap((_, i) => [
      handle(forward, { axis: 'x', label: `input x ${i + 1}`, least: -6, most: 6, onMove(v) { x[i] = v; update(); } }),
      handle(backward, { axis: 'y', label: `gradient dout ${i + 1}`, least: -3, most: 3, onMove(v) { dout[i] = v; update(); } })]);
    update();
  }

  const set = rule => () => { const { xhat } = batchnorm(x); dout = xhat.map(rule); update(); };
  place.append(make('div', { className: 'controls' },
    button('dout all ones', set(() => 1)), button('dout along x̂', set(v => 1.2 * v)), button('one point only', set((_, i) => i ? 0 : 2)),
    slider('γ', { min: -2, max: 2, step: .1, value: gamma }, v => { gamma = v; update(); }),
    slider('points', { min: 2, max: 8, step: 1, value: x.length, show: v => `${v}` }, resize)), panels, said);
  resize(x.length);
}
