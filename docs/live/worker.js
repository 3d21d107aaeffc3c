// Python in a web worker: the page stays responsive whatever a cell does, and can end the worker to stop an endless one.
import { loadPyodide } from './python/pyodide.mjs';

const here = new URL('.', import.meta.url);

/** Tell the page how much has arrived. (Observed from outside: a wrapped response would not be kept as compiled code.) */
let bytes = 0;
new PerformanceObserver(list => {
  for (const file of list.getEntries()) bytes += file.decodedBodySize;
  postMessage({ kind: 'loading', bytes });
}).observe({ type: 'resource', buffered: true });

/** A file of ours, or an error that says which could not be had. */
async function file(name) {
  const response = await fetch(new URL(name, here)).catch(error => error);
  if (!response.ok) throw new Error(`${name}: ${response.status ?? response.message}`);
  return response;
}

/** Rejects where Pyodide, whose core is missing or cut, would tell only the console and wait for ever. */
const broken = new Promise((_, reject) => {
  const { instantiateStreaming } = WebAssembly;
  WebAssembly.instantiateStreaming = (...given) => instantiateStreaming(...given).catch(error => {
    reject(new Error(`pyodide.asm.wasm: ${error.message}`));
    throw error;
  });
});

/** Load Pyodide with the page's packages (each checked by the browser against the hash in pyodide-lock.json) and our kernel. */
async function start({ packages, files }) {
  const [python, source, compiled, stored] = await Promise.all([
    Promise.race([broken, loadPyodide({ indexURL: new URL('python/', here).href, packages })]),
    file('kernel.py').then(response => response.text()),
    file('python/compiled.zip').then(response => response.arrayBuffer()),
    files && file('python/data.zip').then(response => response.arrayBuffer()),
  ]);
  const missing = packages.filter(name => !(name in python.loadedPackages));     // of which Pyodide tells only the console
  if (missing.length) throw new Error(`These files are missing, or not what they were when this site was built: ${missing.join(', ')}`);
  python.unpackArchive(compiled, 'zip', { extractDir: '/' });                  // imports take half the time so
  if (stored) python.unpackArchive(stored, 'zip');
  python.FS.writeFile('/lib/kernel.py', source);
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
