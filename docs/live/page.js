// Run buttons for the code cells of a page: a bar below each, an editor on request, and a pill at the window's corner.
// It finds the cells by their data-cell, and their code in #live-cells. Nothing is loaded before the first click.
import { clear, fetched, make, show } from './outputs.js';
import { keep, restore, result, toolbar } from './exercises.js';
import { Queue } from './queue.js';

const folder = new URL('.', document.currentScript.src);
const data = JSON.parse(document.getElementById('live-cells').textContent), { cells } = data;
const icon = path => `<svg viewBox="0 0 12 12" width="10" height="10" aria-hidden="true"><path fill="currentColor" d="${path}"/></svg> `;
const numberOf = cell => cells.indexOf(cell) + 1;

const queue = new Queue(data, folder, { state, progress, clear, finish, show: (cell, message) => show(cell, message, folder) });

// ---- the pill: what Python is doing, Stop and Reset page ---------------------------------------------------------------

const pillText = make('span', { role: 'status' }), meter = make('progress', { max: 1, ariaLabel: 'progress' });
const stopButton = make('button', { type: 'button', innerHTML: `${icon('M1 1h10v10H1z')}Stop`, onclick: stop });
const resetButton = make('button', { type: 'button', textContent: 'Reset page', title: 'Put back all code and all outputs', onclick: resetPage });
const pill = make('aside', { className: 'live-pill', hidden: true, ariaLabel: 'Python in this page' }, pillText, meter, stopButton, resetButton);

function progress(text, part) {
  pillText.textContent = text;
  meter.value = part;
}

function state(name, cell) {
  document.documentElement.dataset.live = name;
  pill.hidden = name === 'idle';
  stopButton.hidden = meter.hidden = name !== 'running';
  resetButton.hidden = name === 'running';
  if (name === 'ready') progress('Python is ready', 1);
  for (const c of cells) if (c.block) {
    c.block.classList.toggle('live-running', c === cell);
    mark(c);
  }
  if (cell) cell.status.textContent = 'running';
}

function stop() {
  for (const cell of queue.stop()) cell.status.textContent = 'stopped; the cells above will run again first';
}

function resetPage() {
  queue.end();
  for (const cell of cells) if (cell.block) reset(cell);
  state('idle');
}

// ---- a cell ------------------------------------------------------------------------------------------------------------

function request(cell) {
  cell.status.textContent = 'waiting';
  queue.request(cell);
}

function finish(cell, end, failed, hidden) {
  const { output, status } = cell, note = (...children) => output.append(make('div', { className: 'live-note' }, ...children));
  output.style.minHeight = '';
  status.textContent = end.kind === 'done' ? `cell ${numberOf(cell)}, ${end.seconds.toFixed(2)} s` : '';
  if (end.kind === 'failed') {
    clear(cell);
    output.append(make('pre', { className: 'live-error', textContent: `Python could not be loaded. ${end.text}\nRun tries it again.` }));
  }
  if (failed.length) note('Above, these raised an error: ', ...failed.flatMap((c, i) => {
    const link = make('a', { href: `#${c.block.id ||= `cell-${c.id}`}`, textContent: `cell ${numberOf(c)}` });
    return i ? [', ', link] : [link];
  }));
  if (hidden.length) note(make('details', {}, make('summary', { textContent: `Errors in cells that the page does not show: ${hidden.length}` }),
    make('pre', { tabIndex: 0, textContent: hidden.join('\n') })));
  for (const c of cells) c.block?.classList.toggle('live-old', c.ran === undefined && !c.output.hidden);
  if (cell.exercise) result(cell);
}

async function edit(cell) {
  if (!cell.editor) {
    cell.editButton.disabled = true;
    const editor = await fetched('editor.js', folder).catch(error => { cell.status.textContent = `the editor could not be loaded: ${error.message}`; });
    cell.editButton.disabled = Boolean(editor);
    if (!editor) return;
    cell.status.textContent = '';
    const { createEditor } = editor, parent = make('div', { className: 'live-editor' });
    cell.editor = createEditor({
      parent, text: cell.text, label: `Code of cell ${numberOf(cell)}. Shift and Enter run it; Escape, then Tab, leave it.`,
      onChange(text) { cell.text = text; mark(cell); if (cell.exercise) keep(cell); }, onRun: () => request(cell),
    });
    cell.code.after(parent);
    cell.code.hidden = cell.editButton.hidden = true;
  }
  cell.editor.focus();
}

/** There is something to reset if the code was changed or opened, or the output is not the stored one. */
function mark(cell) {
  const anew = !cell.output.hidden && (cell.stored || cell.output.hasChildNodes());
  cell.resetButton.hidden = cell.text === cell.source && !cell.editor && !anew;
}

function reset(cell) {
  if (cell.text !== cell.source && cell.ran !== undefined) queue.forget(cells.indexOf(cell));
  cell.editor?.dom.parentElement.remove();
  cell.editor = undefined;
  cell.text = cell.source;
  cell.code.hidden = cell.editButton.hidden = cell.editButton.disabled = false;
  cell.output.hidden = true;
  cell.block.classList.remove('live-ran', 'live-old');
  cell.status.textContent = '';
  if (cell.exercise) { cell.code.textContent = cell.source; keep(cell); }
  mark(cell);
}

/** Put the bar below a cell's code, and the place for its live output below that; in a figure, its caption stays. */
function attach(cell) {
  const block = document.querySelector(`[data-cell="${cell.id}"]`), code = block?.querySelector('.source pre'), bar = make('div', { className: 'live-bar' });
  cell.text = cell.source ??= code.textContent.trimEnd();      // which the page does not say twice
  if (!code) return;
  code.after(bar);
  if (cell.run !== true) return bar.append(make('span', { className: 'live-cannot', textContent: `not run in the browser: ${cell.run}` }));
  const button = (html, name, onclick) => make('button', { type: 'button', innerHTML: html, ariaLabel: `${name} ${cell.exercise ?? `cell ${numberOf(cell)}`}`, onclick });
  const [edits, runs] = cell.exercise ? ['Write', 'Check'] : ['Edit', 'Run'];
  Object.assign(cell, { block, code, stored: block.querySelector('.output'), alt: block.querySelector('img')?.alt || 'Figure drawn by this cell' });
  Object.assign(cell, {
    editButton: button(edits, edits, () => edit(cell)), resetButton: button('Reset', 'Reset', () => reset(cell)),
    status: make('span', { className: 'live-status', role: 'status' }), output: make('div', { className: 'output live-output', hidden: true }),
  });
  bar.append(button(`${icon('M2 0l10 6-10 6z')}${runs}`, runs, () => request(cell)), cell.editButton, cell.resetButton, cell.status);
  const figure = block.querySelector('figure');
  if (figure) figure.prepend(cell.output); else code.closest('.source').after(cell.output);
  if (cell.exercise) restore(cell);
  mark(cell);
}

/** A page opened from a disk may start no workers: it says what to do where the Run buttons would be, at length once. */
function explain(cell) {
  const code = document.querySelector(`[data-cell="${cell.id}"] .source pre`);
  if (!code || cell.run !== true) return;
  const note = make('span', { className: 'live-cannot live-file' }, 'To run and edit this cell, ', make('a', { href: '#live-how', textContent: 'open the site from a server' }));
  code.after(make('div', { className: 'live-bar' }, note));
}

const how = () => make('aside', { id: 'live-how', className: 'callout' }, make('p', {}, 'This page was opened from a file, so a browser runs no scripts from beside it: ',
  'no Run buttons, no search. Serve the folder with ', make('code', { textContent: 'python -m http.server --directory _docs' }), ' in the checkout, or with ',
  make('code', { textContent: 'python docs/build.py --serve' }), ', which builds it too. Then open the address that the command prints.'));

if (location.protocol === 'file:') {
  cells.forEach(explain);
  document.querySelector('main > header').after(how());
} else {
  cells.forEach(attach);
  if (cells.some(cell => cell.exercise)) toolbar(cells, cell => { reset(cell); restore(cell); mark(cell); });
  document.body.append(pill);
  document.documentElement.dataset.live = 'idle';
}
