// Exercises of a page: what was written and what passed stays in this browser's own storage, and can be taken elsewhere as a file.
import { make } from './outputs.js';

const KEY = 'bnnp-exercises';
let saved = read();                                            // by exercise: text, passed

/** What is stored, if the browser stores anything and it is ours. */
function read() {
  try { return valid(JSON.parse(localStorage.getItem(KEY))) ?? {}; } catch { return {}; }
}

function valid(found) {
  return found && typeof found === 'object' && Object.values(found).every(e => e && ['string', 'undefined'].includes(typeof e.text)) ? found : undefined;
}

function write() {
  try { localStorage.setItem(KEY, JSON.stringify(saved)); } catch { /* a private window: it lasts as long as the page */ }
}

const summary = make('p', { role: 'status' });

function count(cells) {
  const all = cells.filter(cell => cell.exercise);
  summary.textContent = `${all.filter(cell => saved[cell.exercise]?.passed).length} of ${all.length} exercises passed`;
}

/** Keep what now stands in a cell. */
export function keep(cell) {
  const { text, exercise, source } = cell;
  saved[exercise] = { ...saved[exercise], text: text === source ? undefined : text };
  write();
}

/** Put back into a cell what was kept. */
export function restore(cell) {
  const { text, passed } = saved[cell.exercise] ?? {};
  if (text !== undefined) cell.code.textContent = cell.text = text;
  cell.block.classList.add('live-exercise');
  cell.block.classList.toggle('live-passed', Boolean(passed));
  if (passed) cell.status.textContent = 'passed';
}

/** After a check: say what it found where a screen reader hears it, and keep whether it passed. */
export function result(cell) {
  const report = cell.output.querySelector('.bnnp-report');
  if (!report) return;
  const passed = report.dataset.passed === 'true', first = report.querySelector('li')?.textContent ?? '';
  saved[cell.exercise] = { ...saved[cell.exercise], passed };
  cell.block.classList.toggle('live-passed', passed);
  cell.status.textContent = passed ? 'passed' : `not yet: ${first}`;
  write();
  count(toolbar.cells);
}

/** Above the exercises: how many passed, Export, Import. `put(cell)` shows a cell as it was kept. */
export function toolbar(cells, put) {
  toolbar.cells = cells;
  const note = make('span', { role: 'status', className: 'live-status' });
  const download = () => {
    const url = URL.createObjectURL(new Blob([JSON.stringify(saved, null, 1)], { type: 'application/json' }));
    make('a', { href: url, download: 'bnnp-exercises.json' }).click();
    URL.revokeObjectURL(url);
  };
  const input = make('input', { type: 'file', accept: '.json,application/json', hidden: true, onchange: async () => {
    const found = await input.files[0].text().then(JSON.parse).then(valid).catch(() => undefined);
    input.value = '';
    if (!found) { note.textContent = 'this file holds no exercises'; return; }
    saved = { ...saved, ...found };
    write();
    for (const cell of cells) if (cell.exercise && cell.block && found[cell.exercise]) show(cell);
    count(cells);
    note.textContent = `imported: ${Object.keys(found).length} exercises`;
  } });
  const show = cell => { const kept = saved[cell.exercise]; put(cell); saved[cell.exercise] = kept; write(); restore(cell); };
  const button = (text, onclick) => make('button', { type: 'button', textContent: text, onclick });
  const bar = make('div', { className: 'live-bar live-exercises' }, summary, button('Export', download), button('Import', () => input.click()), input, note);
  const first = cells.find(cell => cell.exercise && cell.block)?.block;
  (document.querySelector('main h2') ?? first)?.before(bar);
  count(cells);
}
