// Runs cells in the worker one after the other, and before each of them those above it that have not run as they now stand,
// with all between, so that it shows what the page run from its top would show.

export class Queue {
  worker; running; answer;                     // answer(message) is called when what was asked last, a cell or the start, has ended
  asked = 0;                                   // its number
  waiting = [];
  hidden = [];                                 // errors in cells that the page does not show

  /** `page` is told: state(name, cell), progress(text, part), clear(cell), show(cell, message), finish(cell, end, failed, hidden). */
  constructor({ cells, bytes, packages, files }, folder, page) { Object.assign(this, { cells, bytes, needs: { packages, files }, folder, page }); }

  get edited() { return this.cells.some(cell => cell.text !== cell.source); }

  request(cell) {
    if (this.waiting.includes(cell)) return;
    this.waiting.push(cell);
    if (this.waiting.length === 1) this.work();
  }

  async work() {
    while (this.waiting.length) {
      const cell = this.waiting[0], failed = [];
      this.hidden = [];
      this.page.state('running', cell);
      let end = this.worker ? undefined : await this.ask({});              // the start
      for (const [i, above, all] of this.before(cell).map((c, i, all) => [i, c, all.length])) {
        if (this.waiting[0] !== cell || end?.kind === 'failed') break;
        this.page.progress(`running the cells above: ${i + 1} of ${all}`, (i + 1) / all);
        end = await this.run(above, !this.edited);
        if (end.ok === false && above.block) failed.push(above);
      }
      if (this.waiting[0] === cell && end?.kind !== 'failed') {
        this.page.progress('running', 1);
        end = await this.run(cell, false);
      }
      if (this.waiting[0] !== cell) continue;                              // stopped meanwhile
      this.waiting.shift();
      this.page.finish(cell, end, failed, this.hidden);
    }
    this.page.state(this.worker ? 'ready' : 'idle');
  }

  /** The cells that must run before this one does, or run again: all from the first that has not run as it now stands, but for exercises. */
  before(cell) {
    const above = this.cells.slice(0, this.cells.indexOf(cell)).filter(c => c.run === true && !c.exercise);
    const first = above.findIndex(c => c.ran !== c.text);
    return first < 0 ? [] : above.slice(first);
  }

  async run(cell, quiet) {
    const number = this.cells.indexOf(cell) + 1;
    if (cell.ran !== undefined && cell.ran !== cell.text) this.forget(number);
    this.running = cell;
    if (cell.block && !quiet) this.page.clear(cell);
    cell.ran = cell.text;
    const end = await this.ask({ source: cell.text, name: `<cell ${number}>`, quiet });
    this.running = undefined;
    return end;
  }

  /** What the cells from this place on have computed no longer counts. */
  forget(from) { for (const cell of this.cells.slice(from)) cell.ran = undefined; }

  ask(message) {
    if (!this.worker) this.start();
    this.worker.postMessage({ id: ++this.asked, ...this.needs, ...message });
    return new Promise(resolve => { this.answer = resolve; });
  }

  start() {
    this.worker = new Worker(new URL('worker.js', this.folder), { type: 'module' });
    this.worker.onmessage = ({ data }) => this.receive(data);
    this.worker.onerror = event => this.receive({ kind: 'failed', id: this.asked, text: event.message ?? 'its files cannot be had' });
    this.loaded(0);
  }

  end() {
    this.worker?.terminate();
    this.worker = undefined;
    this.forget(0);
  }

  loaded(bytes) {
    const part = Math.min(bytes / this.bytes, 1), mb = n => (n / 1e6).toFixed(0);
    this.page.progress(part < 1 ? `loading Python: ${mb(bytes)} of ${mb(this.bytes)} MB` : 'starting Python', part);
  }

  receive(message) {
    if (message.kind === 'loading') return this.loaded(message.bytes);
    if (message.kind === 'failed') this.end();
    if (message.kind === 'ready' && !this.waiting.length) this.page.state('ready');
    if (['ready', 'done', 'failed'].includes(message.kind)) { if (message.id === this.asked) this.answer(message); }
    else if (this.running?.block) this.page.show(this.running, message);
    else if (message.kind === 'error') this.hidden.push(message.text);
  }

  /** A page cannot interrupt Python: end the worker. What it has computed comes again by itself with the next run; a new one gets ready. */
  stop() {
    const stopped = this.waiting.splice(0);
    this.end();
    this.answer?.({ kind: 'stopped' });
    this.start();
    this.worker.postMessage(this.needs);
    return stopped;
  }
}
