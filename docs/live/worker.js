// Python in a web worker: the page stays responsive whatever a cell does, and can end the worker to stop an endless one.
import { loadPyodide } from './python/pyodide.mjs';

const here = new URL('.', import.meta.url);

/** Tell the page how much has arrived. (Observed from outside: a wrapped response would not be kept as compiled code.) */
let bytes = 0;
new PerformanceObserver(list => {
  for (const file of list.getEntries()) bytes += file.decodedBodySize;
  postMessage({ kind: 'loading', bytes });
}).observe({ type: 'resource', buffered: true });

/** Load Pyodide with the page's packages (each checked by the browser against the hash in pyodide-lock.json) and our kernel. */
async function start({ packages, files }) {
  const folder = new URL('python/', here);
  const source = fetch(new URL('kernel.py', here)).then(response => response.text());
  const compiled = fetch(new URL('compiled.zip', folder)).then(response => response.arrayBuffer());
  const python = await loadPyodide({ indexURL: folder.href, packages });
  python.unpackArchive(await compiled, 'zip', { extractDir: '/' });            // imports take half the time so
  if (files) python.unpackArchive(await fetch(new URL('data.zip', folder)).then(response => response.arrayBuffer()), 'zip');
  python.FS.writeFile('/lib/kernel.py', await source);
  python.runPython('import sys; sys.path.append("/lib")');
  const kernel = python.pyimport('kernel');
  kernel.send = text => postMessage(JSON.parse(text));
  return kernel;
}

let kernel;
self.onmessage = async ({ data }) => {
  const { id } = data;
  try {
    kernel ??= start(data);
    if (!data.source) { await kernel; return postMessage({ kind: 'ready', id }); }
    const begin = performance.now();
    const ok = (await kernel).run(data.source, data.name, data.quiet);
    postMessage({ kind: 'done', id, ok, seconds: (performance.now() - begin) / 1000 });
  } catch (error) {                            // not the cell's errors, but ours: a file missing, out of memory
    postMessage({ kind: 'failed', id, text: String(error.message ?? error) });
  }
};
