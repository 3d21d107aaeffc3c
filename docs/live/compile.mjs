// Compile the modules that live cells import, in Pyodide itself, and keep Matplotlib's list of fonts, so that the reader's
// browser need not: `node compile.mjs FOLDER PACKAGE…` writes FOLDER/compiled.zip beside the wheels, which stay as they are.
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';

const [folder, ...packages] = process.argv.slice(2);
const { loadPyodide } = await import(resolve(folder, 'pyodide.mjs'));
const python = await loadPyodide({ indexURL: resolve(folder), packages, stderr() {} });
python.runPython(`
import os, py_compile, sys, types, zipfile
sys.modules['_multiprocessing'] = types.ModuleType('_multiprocessing')
os.environ['MPLBACKEND'] = 'agg'
import matplotlib, bnnp.experiments, fastcore.test, hypothesis, io, matplotlib.pyplot as plt
plt.subplots(1, 2, layout='constrained')[0].savefig(io.BytesIO(), format='png')        # which imports the rest of Matplotlib

mode = py_compile.PycInvalidationMode.UNCHECKED_HASH                                   # the wheels do not change after this
sources = {m.__file__ for m in list(sys.modules.values()) if (getattr(m, '__file__', None) or '').endswith('.py')}
files = [py_compile.compile(f, doraise=True, invalidation_mode=mode) for f in sorted(sources) if '/site-packages/' in f]
fonts = matplotlib.get_cachedir()
files += [os.path.join(fonts, name) for name in sorted(os.listdir(fonts)) if name.startswith('fontlist')]
with zipfile.ZipFile('/compiled.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
    for file in files: archive.writestr(zipfile.ZipInfo(file.lstrip('/')), open(file, 'rb').read(), zipfile.ZIP_DEFLATED)
`);
writeFileSync(resolve(folder, 'compiled.zip'), python.FS.readFile('/compiled.zip'));
process.exit(0);
