// Run buttons for the code cells of a page. Before a cell runs, the cells above it run that have not run as they now stand,
// and all between, so that it shows what the page run from its top would show. Nothing is loaded before the first click.
'use strict';
(() => {
  const here = new URL('.', document.currentScript.src);
  const { bytes, packages, cells } = JSON.parse(document.getElementById('live-cells').textContent);
  if (location.protocol === 'file:') return;                  // where a browser starts no workers: the page is as it is without us

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const icon = path => `<svg viewBox="0 0 12 12" width="10" height="10" aria-hidden="true"><path fill="currentColor" d="${path}"/></svg> `;
  const PLAY = icon('M2 0l10 6-10 6z'), STOP = icon('M1 1h10v10H1z');

  // ---- the worker and the queue --------------------------------------------------------------------------------------

  let worker, answer, loading = false, edited = false;        // answer(message): called when the running cell, or the start, ends
  const queue = [];

  function startWorker() {
    worker = new Worker(new URL('worker.js', here), { type: 'module' });
    loading = true;
    worker.onmessage = ({ data }) => receive(data);
    worker.onerror = event => receive({ kind: 'failed', text: event.message ?? 'its files cannot be had' });
  }

  function endWorker() {
    worker?.terminate();
    worker = undefined;
    for (const cell of cells) cell.ran = undefined;
  }

  function ask(message) {
    if (!worker) startWorker();
    worker.postMessage({ packages, ...message });
    return new Promise(resolve => { answer = resolve; });
  }

  function receive(message) {
    const cell = queue.running;
    if (message.kind === 'loading') return showLoading(message.bytes);
    if (message.kind === 'failed') endWorker();
    if (['done', 'failed', 'ready', 'stopped'].includes(message.kind)) { loading = false; return answer?.(message); }
    if (cell?.element) show(cell, message);
    else if (message.kind === 'error') queue.hidden.push(message.text);
  }

  /** The cells that must run before this one does, or run again: all from the first that has not run as it now stands. */
  function before(cell) {
    const above = cells.slice(0, cells.indexOf(cell)).filter(c => c.run === true);
    const first = above.findIndex(c => c.ran !== c.text);
    return first < 0 ? [] : above.slice(first);
  }

  async function runOne(cell, quiet) {
    const later = cells.slice(cells.indexOf(cell) + 1);
    if (cell.ran !== undefined && cell.ran !== cell.text) for (const c of later) c.ran = undefined;
    queue.running = cell;
    if (cell.element && !quiet) clear(cell);
    cell.ran = cell.text;
    const end = await ask({ source: cell.text, name: `<cell ${cells.indexOf(cell) + 1}>`, quiet });
    queue.running = undefined;
    return end;
  }

  async function runQueue() {
    while (queue.length) {
      const cell = queue[0], needed = before(cell), failed = [];
      queue.hidden = [];
      setState('running', cell);
      if (!worker) { showLoading(0); var end = await ask({}); }
      for (const [i, c] of needed.entries()) {
        if (queue[0] !== cell || end?.kind === 'failed') break;
        setPill(`running the cells above: ${i + 1} of ${needed.length}`, (i + 1) / needed.length);
        end = await runOne(c, !edited);
        if (end.ok === false && c.element) failed.push(c);
      }
      if (queue[0] !== cell) continue;                        // stopped meanwhile
      setPill('running', 1);
      if (end?.kind !== 'failed') end = await runOne(cell, false);
      if (queue[0] !== cell) continue;
      queue.shift();
      finish(cell, end, failed);
    }
    setState(worker ? 'ready' : 'idle');
  }

  function request(cell) {
    if (queue.includes(cell)) return;
    queue.push(cell);
    cell.status.textContent = 'waiting';
    if (queue.length === 1) runQueue();
  }

  /** End the worker: what was computed is lost, and comes again by itself with the next run. A new one gets ready meanwhile. */
  function stop() {
    const stopped = queue.splice(0);
    endWorker();
    for (const cell of stopped) cell.status.textContent = 'stopped; the cells above will run again first';
    answer?.({ kind: 'stopped' });
    startWorker();
    worker.postMessage({ packages });
  }

  // ---- what a cell shows ---------------------------------------------------------------------------------------------

  function clear(cell) {
    cell.output.replaceChildren();
    cell.output.hidden = false;
    cell.block.classList.add('live-ran');                     // hides the stored output, by the style sheet
    cell.clearing = false;
  }

  function show(cell, { kind, name, text, form, data, display, update, wait }) {
    if (kind === 'clear' && wait) cell.clearing = true;
    if (kind === 'clear' && !wait || kind !== 'clear' && cell.clearing) {
      cell.output.style.minHeight = `${cell.output.offsetHeight}px`;      // lest the page jump until the next picture is there
      clear(cell);
    }
    if (kind === 'stream') appendText(cell.output, name, text);
    if (kind === 'error') {
      if (cell.output.hidden) clear(cell);                    // a cell above, which ran quietly until it failed
      cell.output.append(make('pre', { className: 'live-error', tabIndex: 0, textContent: text }));
    }
    if (kind !== 'display') return;
    const old = display && cell.output.querySelector(`[data-display="${display}"]`);
    const shown = update && old ? old : make('div', { className: 'live-display' });
    if (display) shown.dataset.display = display;
    if (shown !== old) cell.output.append(shown);
    fill(shown, form, data, cell);
  }

  /** Text as a terminal shows it: after a carriage return, a line is written over. */
  function appendText(output, name, text) {
    let last = output.lastElementChild;
    if (last?.dataset.stream !== name) { last = make('pre', { tabIndex: 0 }); last.dataset.stream = name; output.append(last); }
    last.textContent = (last.textContent + text).replace(/\r\n/g, '\n').replace(/[^\n]*\r(?!$)/g, '');
  }

  async function fill(element, form, data, cell) {
    if (form === 'png') {
      const image = element.querySelector('img') ?? make('img', { alt: cell.alt, onload() { this.style.width = `${this.naturalWidth / 1.5}px`; } });   // 150 dots an inch
      image.src = `data:image/png;base64,${data}`;
      return element.contains(image) || element.replaceChildren(image);
    }
    if (form === 'text') return element.replaceChildren(make('pre', { textContent: data }));
    if (form === 'markdown') data = (await import(new URL('markdown.js', here))).marked.parse(data);
    element.innerHTML = data;
  }

  function finish(cell, end, failed) {
    cell.output.style.minHeight = '';
    if (end.kind === 'failed') {
      clear(cell);
      cell.output.append(make('pre', { className: 'live-error', textContent: `Python could not be loaded: ${end.text}\nRun tries it again.` }));
    }
    cell.status.textContent = end.seconds === undefined ? '' : `cell ${cells.indexOf(cell) + 1}, ${end.seconds.toFixed(2)} s`;
    if (failed.length) {
      const links = failed.map(c => make('a', { href: `#${c.block.id ||= `cell-${c.id}`}`, textContent: `cell ${cells.indexOf(c) + 1}` }));
      cell.output.append(make('p', { className: 'live-note' }, 'Above, these raised an error: ', ...links.flatMap((a, i) => i ? [', ', a] : [a])));
    }
    for (const text of queue.hidden) console.warn(`In a cell that the page does not show:\n${text}`);
    if (queue.hidden.length && (edited || end.ok === false)) {
      const text = make('pre', { tabIndex: 0, textContent: queue.hidden.join('\n') });
      cell.output.append(make('details', { className: 'live-note' }, make('summary', { textContent: `${queue.hidden.length} in cells that the page does not show` }), text));
    }
    for (const c of cells) c.block?.classList.toggle('live-old', c.ran === undefined && !c.output.hidden);
  }

  // ---- the bar below a cell, its editor, and the pill at the window's corner ---------------------------------------------

  async function edit(cell) {
    if (!cell.editor) {
      cell.editButton.disabled = true;
      const { createEditor } = await import(new URL('editor.js', here));
      const parent = make('div', { className: 'live-editor' });
      cell.editor = createEditor({
        parent, text: cell.text, label: `Code of cell ${cells.indexOf(cell) + 1}. Shift and Enter run it; Escape, then Tab, leave it.`,
        onChange: text => { cell.text = text; mark(cell); }, onRun: () => request(cell),
      });
      cell.code.after(parent);
      cell.code.hidden = true;
      cell.editButton.hidden = true;
    }
    cell.editor.focus();
  }

  function mark(cell) {
    edited = cells.some(c => c.text !== c.source);
    cell.resetButton.hidden = cell.text === cell.source && !cell.editor && (cell.output.hidden || !cell.stored && !cell.output.hasChildNodes());
    cell.block.classList.toggle('live-edited', cell.text !== cell.source);
  }

  function reset(cell) {
    if (cell.text !== cell.source && cell.ran !== undefined) for (const c of cells.slice(cells.indexOf(cell))) c.ran = undefined;
    cell.editor?.dom.parentElement.remove();
    cell.editor = undefined;
    cell.text = cell.source;
    cell.code.hidden = cell.editButton.hidden = cell.editButton.disabled = false;
    cell.output.hidden = true;
    cell.block.classList.remove('live-ran', 'live-old');
    cell.status.textContent = '';
    mark(cell);
  }

  const pill = make('aside', { className: 'live-pill', hidden: true, ariaLabel: 'Python in this page' });
  const pillText = make('span', { role: 'status' }), meter = make('progress', { max: 1, ariaLabel: 'progress' });
  const stopButton = make('button', { type: 'button', innerHTML: `${STOP}Stop`, onclick: stop });
  const resetAll = make('button', { type: 'button', textContent: 'Reset page', title: 'Put back all code and all outputs', onclick() {
    stop();
    for (const cell of cells) if (cell.element) reset(cell);
    setState('idle');
  } });
  pill.append(pillText, meter, stopButton, resetAll);

  function setPill(text, part) {
    pillText.textContent = text;
    meter.value = part;
  }

  function showLoading(loaded) {
    const part = Math.min(loaded / bytes, 1);
    setPill(part < 1 ? `loading Python: ${(loaded / 1e6).toFixed(0)} of ${(bytes / 1e6).toFixed(0)} MB` : 'starting Python', part);
  }

  function setState(state, cell) {
    document.documentElement.dataset.live = state;
    pill.hidden = state === 'idle';
    stopButton.hidden = meter.hidden = state !== 'running';
    resetAll.hidden = state === 'running';
    if (state === 'ready') setPill('Python is ready', 1);
    for (const c of cells) if (c.element) {
      c.block.classList.toggle('live-running', c === cell);
      c.block.classList.toggle('live-waiting', c !== cell && queue.includes(c));
      mark(c);
    }
    if (cell) cell.status.textContent = 'running';
  }

  /** Find what a cell consists of, and put the bar below its code. */
  function attach(cell) {
    cell.text = cell.source;
    const block = document.querySelector(`[data-cell="${cell.id}"]`), code = block?.querySelector('.source pre');
    if (!code) return;
    const number = cells.indexOf(cell) + 1, figure = block.querySelector('figure'), image = block.querySelector('img');
    const bar = make('div', { className: 'live-bar' });
    const source = code.closest('.source');
    Object.assign(cell, { element: code, block, code, stored: block.querySelector('.output'), alt: image?.alt || 'Figure drawn by this cell', output: make('div', { className: 'output live-output', hidden: true }) });
    cell.status = make('span', { className: 'live-status', role: 'status' });
    if (cell.run !== true) return bar.append(`not run in the browser: ${cell.run}`), bar.classList.add('live-cannot'), code.after(bar), cell.element = undefined;
    const button = (html, name, onclick) => make('button', { type: 'button', innerHTML: html, ariaLabel: `${name} cell ${number}`, onclick });
    cell.runButton = button(`${PLAY}Run`, 'Run', () => request(cell));
    cell.editButton = button('Edit', 'Edit', () => edit(cell));
    cell.resetButton = button('Reset', 'Reset', () => reset(cell));
    cell.resetButton.hidden = true;
    bar.append(cell.runButton, cell.editButton, cell.resetButton, cell.status);
    code.after(bar);
    if (figure) figure.prepend(cell.output); else source.after(cell.output);     // in a figure, its caption stays
  }

  cells.forEach(attach);
  document.body.append(pill);
  document.documentElement.dataset.live = 'idle';
})();
