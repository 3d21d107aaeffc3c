// What the explorables are made of: elements, axes, points that can be dragged or moved by the arrow keys.

const SVG = 'http://www.w3.org/2000/svg';

/** An SVG element in `parent` with attributes. */
export function draw(parent, tag, attributes = {}, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

/** An HTML element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export const number = (v, digits = 2) => (Math.abs(v) < .5 * 10 ** -digits ? 0 : v).toFixed(digits).replace('-', '−');

/** A plot with linear axes: `x(v)`, `y(v)` give places in it, `inner` is a group that `clear()` empties. */
export function plot(parent, { label, left, right, bottom, top, xlabel, ylabel, xticks = [], yticks = [], width = 350, height = 300 }) {
  const svg = draw(parent, 'svg', { viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': label });
  const x = v => 44 + (v - left) / (right - left) * (width - 56), y = v => height - 40 - (v - bottom) / (top - bottom) * (height - 56);
  const value = point => {                                         // of a place on the screen
    const at = new DOMPoint(point.clientX, point.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return { x: left + (at.x - 44) / (width - 56) * (right - left), y: bottom + (height - 40 - at.y) / (height - 56) * (top - bottom) };
  };
  for (const t of xticks) draw(svg, 'text', { x: x(t), y: height - 22, class: 'tick', 'text-anchor': 'middle' }, number(t, 0));
  for (const t of yticks) {
    draw(svg, 'line', { x1: x(left), x2: x(right), y1: y(t), y2: y(t), class: 'grid' });
    draw(svg, 'text', { x: 38, y: y(t) + 4, class: 'tick', 'text-anchor': 'end' }, number(t, 0));
  }
  draw(svg, 'text', { x: (44 + width - 12) / 2, y: height - 4, class: 'axis', 'text-anchor': 'middle' }, xlabel);
  if (ylabel) draw(svg, 'text', { class: 'axis', 'text-anchor': 'middle', transform: `translate(12 ${y((top + bottom) / 2)}) rotate(-90)` }, ylabel);
  const inner = draw(svg, 'g');
  return { svg, inner, x, y, value, clear: () => inner.replaceChildren() };
}

/** A point that moves along `axis` ('x' or 'y') by pointer and by arrow keys (with Shift ten times as far); `onMove(value)`. */
export function handle(plot, { axis, label, least, most, step = .1, onMove }) {
  const point = draw(plot.svg, 'circle', { r: 7, class: 'handle', tabindex: 0, role: 'slider', 'aria-label': label, 'aria-valuemin': least, 'aria-valuemax': most,
                                           'aria-orientation': axis === 'x' ? 'horizontal' : 'vertical' });
  let now = 0;
  const move = v => onMove(Math.round(Math.min(Math.max(v, least), most) / step) * step);
  point.addEventListener('pointerdown', event => { point.setPointerCapture(event.pointerId); point.focus(); event.preventDefault(); });
  point.addEventListener('pointermove', event => { if (point.hasPointerCapture(event.pointerId)) move(plot.value(event)[axis]); });
  point.addEventListener('keydown', event => {
    const far = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, Home: -Infinity, End: Infinity }[event.key];
    if (far === undefined) return;
    event.preventDefault();
    move(now + far * step * (event.shiftKey ? 10 : 1));
  });
  return {
    remove: () => point.remove(),
    place(cx, cy, value) {
      now = value;
      for (const [name, v] of Object.entries({ cx, cy, 'aria-valuenow': value.toFixed(2) })) point.setAttribute(name, v);
    },
  };
}

/** A labelled slider; `onInput(value)`. */
export function slider(label, { min, max, step, value, show = v => number(v) }, onInput) {
  const shown = make('output', { textContent: show(value) });
  const input = make('input', { type: 'range', min, max, step, value, oninput() { shown.textContent = show(+this.value); onInput(+this.value); } });
  return make('label', {}, `${label} `, input, ' ', shown);
}

export const button = (text, onclick) => make('button', { type: 'button', textContent: text, onclick });
