"""The built site in a real browser: live cells and explorables, with the network cut. Needs `python docs/build.py` and Chromium."""
import functools, hashlib, json, os, re, shutil, sys, threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from bnnp.layers import batchnorm_backward, batchnorm_forward, dropout_forward

ROOT = Path(__file__).parents[1]
SITE = Path(os.environ.get('BNNP_SITE', ROOT/'_docs'))
CHROMIUM = os.environ.get('CHROMIUM') or shutil.which('chromium') or shutil.which('google-chrome')
LOAD = max(1, os.getloadavg()[0] / os.cpu_count())              # limits of time are for an idle machine
WAIT = 90_000 * LOAD                                            # milliseconds, for what takes a few seconds

sys.path.insert(0, str(ROOT/'docs'))
from live import build                                          # noqa: E402
from live.cells import live_cells                               # noqa: E402


# What needs no browser

def notebook(path, *sources):
    cells = [{'cell_type': 'code', 'id': f'c{i}', 'source': s} for i, s in enumerate(sources)]
    path.write_text(json.dumps({'cells': cells}))
    return path


def test_cells_that_cannot_run_say_why(tmp_path):
    cells = live_cells(notebook(tmp_path/'a.ipynb', '#| export\nimport threading\ndef start(): return threading.Thread()', 'x = start()',
                                '#| parity\ny = 1', 'z = 2', 'z + y', 'def f(): return y', 'y = 3', 'y', '#| hide\nimport nbdev; nbdev.nbdev_export()',
                                '#| hide\n#| not-live: it starts threads\nx.start()'))
    assert [c['run'] is True for c in cells] == [True, True, False, True, False, False, True, True, False]
    assert cells[-1]['run'] == 'it starts threads'
    assert cells[4]['run'] == cells[5]['run'] == cells[2]['run'] and 'PyTorch' in cells[2]['run']
    assert cells[0]['source'].startswith('import threading')


def test_a_wheel_with_another_hash_is_refused(monkeypatch, tmp_path):
    served = tmp_path/'served'
    served.write_bytes(b'not what Pyodide built')
    monkeypatch.setattr(build, 'urlopen', lambda *args, **kwargs: served.open('rb'))
    with pytest.raises(SystemExit, match='numpy.whl: expected sha256 00, got '): build.built_wheel('numpy.whl', '00', [], '0')
    sha = hashlib.sha256(served.read_bytes()).hexdigest()
    assert build.built_wheel('numpy.whl', sha, [], '0') == served.read_bytes()


@pytest.mark.parametrize('name', [*build.CORE, 'pyodide-lock.json'])
def test_a_file_of_the_runtime_with_another_hash_is_refused(monkeypatch, tmp_path, name):
    if not build.PYODIDE.exists(): pytest.skip('needs npm ci in docs/')
    shutil.copytree(build.PYODIDE, tmp_path/'pyodide')
    monkeypatch.setattr(build, 'PYODIDE', tmp_path/'pyodide')
    assert set(build.runtime()) == {*build.CORE, 'pyodide-lock.json'}
    with (tmp_path/'pyodide'/name).open('ab') as file: file.write(b' ')
    with pytest.raises(SystemExit, match=f'{name}: expected sha256 '): build.add_python(tmp_path/'site')


def test_a_downloaded_wheel_with_another_hash_is_refused(monkeypatch, tmp_path):
    "pip is told by what name and hash it should come."
    pinned = next(line for line in (build.HERE/'requirements.txt').read_text().splitlines() if line.startswith('tqdm'))
    (tmp_path/'requirements.txt').write_text(re.sub(r'sha256:(.)', lambda m: f'sha256:{(int(m[1], 16) + 1) % 16:x}', pinned))
    monkeypatch.setattr(build, 'HERE', tmp_path)
    with pytest.raises(SystemExit, match='(?s)pip download: .*DO NOT MATCH.*tqdm'): build.download(tmp_path/'wheels')


def test_a_page_must_not_mark_cells_that_its_notebook_has_not(tmp_path):
    page = tmp_path/'a.html'
    page.write_text('<head></head><div data-cell="c7">')
    with pytest.raises(SystemExit, match='a.html marks cells that a.ipynb has not: c7'):
        build.add_to_page(page, notebook(tmp_path/'a.ipynb', 'x = 1'), tmp_path)


# The site, served on this machine

@pytest.fixture(scope='module')
def site():
    if not (SITE/'live/live.js').exists(): pytest.skip(f'no site with live cells in {SITE}: run python docs/build.py')
    return SITE


FAULTS = {}                                                     # part of a path: what is wrong with the server's answer


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass

    def do_GET(self):
        fault = next((kind for part, kind in FAULTS.items() if part in self.path), None)
        if not fault: return super().do_GET()
        if fault == 'missing': return self.send_error(404)
        data = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header('Content-Type', self.guess_type(self.path))
        self.send_header('Content-Length', len(data))
        self.end_headers()
        if fault == 'cut': self.wfile.write(data[:len(data) // 2])
        else: self.wfile.write(data[:-1000] + bytes(b ^ 1 for b in data[-1000:]))
        self.close_connection = True


@pytest.fixture(scope='module')
def url(site):
    with ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}/'
        server.shutdown()


@pytest.fixture(scope='module')
def browser():
    sync_api = pytest.importorskip('playwright.sync_api', reason='needs the docs extra: playwright')
    if not CHROMIUM: pytest.skip('no Chromium on this machine (apt-get install chromium)')
    cut = ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1', '--disable-quic', '--no-first-run', '--disable-background-networking',
           '--disable-component-update', '--disable-sync']
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox', '--disable-gpu', *cut])
        yield browser
        browser.close()


@contextmanager
def opened(browser, url, name, **options):
    "A page; at its end, that all it asked for came from the site, and that nothing went wrong unseen."
    context = browser.new_context(**options)
    context.set_default_timeout(WAIT)
    page = context.new_page()
    page.asked, page.wrong = [], []
    context.on('request', lambda request: page.asked.append(request.url))
    page.on('pageerror', lambda error: page.wrong.append(str(error)))
    page.on('console', lambda message: page.wrong.append(message.text) if message.type in ('error', 'warning') else None)
    page.goto(url + name)
    yield page
    assert page.wrong == []
    assert [asked for asked in page.asked if not asked.startswith((url, 'data:', 'blob:'))] == []
    context.close()


@pytest.fixture(scope='module')
def try_it(browser, url):
    "The chapter to try things in, whose Python the tests below share."
    with opened(browser, url, 'live.html') as page: yield page


def cell(page, text):
    "The cell whose code has this text."
    return page.locator('[data-cell]').filter(has=page.locator('.source pre', has_text=text)).first


def run(page, text, timeout=WAIT):
    "Run a cell and wait for its end; returns what it shows, and the seconds that it took."
    one = cell(page, text)
    one.get_by_role('button', name='Run').click()
    status = one.locator('.live-status', has_text=re.compile(r' s$'))
    status.wait_for(timeout=timeout)
    return one.locator('.live-output').inner_text(), float(status.inner_text().split()[-2])


def edit(page, text, change):
    "Open a cell's editor and put its changed code into it."
    one = cell(page, text)
    if one.get_by_role('button', name='Edit').is_visible(): one.get_by_role('button', name='Edit').click()
    editor = one.locator('.cm-content')
    editor.wait_for(timeout=WAIT)
    code = change(one.locator('.source pre').first.text_content())
    editor.click()
    page.keyboard.press('Control+a')
    page.keyboard.insert_text(code)


def in_folder(page, url, folder): return [a.removeprefix(f'{url}{folder}/') for a in page.asked if a.startswith(f'{url}{folder}/')]


def test_every_file_is_what_the_lock_says(site):
    lock = json.loads((site/'live/python/pyodide-lock.json').read_text())
    for package in lock['packages'].values():
        assert hashlib.sha256((site/'live/python'/package['file_name']).read_bytes()).hexdigest() == package['sha256']
        assert set(package['depends']) <= lock['packages'].keys()
    told = (site/'live/LICENSES.txt').read_text()
    for name in ('Pyodide', 'codemirror', 'marked', 'numpy', 'matplotlib', 'Mozilla Public License'): assert name in told


def test_nothing_is_loaded_before_the_first_click_and_only_the_editor_to_edit(try_it, url):
    assert set(in_folder(try_it, url, 'live')) <= {'live.js', 'live.css', 'explorables.js', 'explorables.css'}
    edit(try_it, "std  in", lambda code: code)
    assert 'editor.js' in in_folder(try_it, url, 'live') and 'worker.js' not in in_folder(try_it, url, 'live')
    cell(try_it, "std  in").get_by_role('button', name='Reset').click()


def test_a_cell_runs_and_shows_what_the_book_shows(try_it):
    stored = cell(try_it, 'std  in').locator('.output:not(.live-output)').inner_text()
    shown, _ = run(try_it, 'std  in')
    assert shown.strip() == stored.strip() and 'mean in' in shown
    assert not cell(try_it, 'std  in').locator('.output:not(.live-output)').is_visible()


def test_a_changed_cell_changes_what_depends_on_it(try_it):
    edit(try_it, 'std  in', lambda code: code.replace('[1., 2., 0.1]', '[5., 2., 0.1]'))
    assert 'out [5.  2.  0.1]' in run(try_it, 'std  in')[0]
    cell(try_it, 'std  in').get_by_role('button', name='Reset').click()
    assert cell(try_it, 'std  in').locator('.output:not(.live-output)').is_visible()
    assert 'out [1.  2.  0.1]' in run(try_it, 'std  in')[0]


def test_a_broken_gradient_is_caught_and_reset_restores_it(try_it):
    check = "check_gradient(forward, x, backward(dout, cache), dout, name='dx')"
    assert 'dx ok' in run(try_it, check)[0]
    edit(try_it, 'def backward', lambda code: code.replace('- dxhat.mean(axis=0) ', ''))
    shown, _ = run(try_it, check)                    # the changed cell above runs first by itself
    said = cell(try_it, 'without_mean =').locator('.output:not(.live-output)').inner_text().strip()      # what the book says that it says
    assert shown.startswith('Traceback (most recent call last):') and shown.strip().endswith(f'GradientError: {said}')
    assert check in shown and 'kernel.py' not in shown and 'eval' not in shown
    cell(try_it, 'def backward').get_by_role('button', name='Reset').click()
    assert 'dx ok' in run(try_it, check)[0]


def test_errors_look_like_pythons(try_it):
    for code, end in (('1 +', 'SyntaxError: invalid syntax'), ('def f():\n    return 1 / 0\nf()', 'ZeroDivisionError: division by zero'), ('exit()', 'SystemExit')):
        edit(try_it, 'def backward', lambda _: code)
        shown, _ = run(try_it, 'def backward')
        assert shown.strip().splitlines()[-1].startswith(end) and 'kernel.py' not in shown
    cell(try_it, 'def backward').get_by_role('button', name='Reset').click()


def test_rich_outputs(try_it):
    code = '''
from IPython.display import HTML, Markdown, display
display(HTML('<b id="bold">bold</b>')); display(Markdown('| a | b |\\n|---|--:|\\n| x | 1 |'))
shown = display('first', display_id=True); shown.update('second')
print('some', end=''); print('\\rover'); print('to stderr', file=__import__('sys').stderr)
fig, ax = figure(); ax.plot([1, 2]);
'''
    edit(try_it, 'def backward', lambda _: code)
    shown, _ = run(try_it, 'def backward')
    output = cell(try_it, 'def backward').locator('.live-output')
    output.locator('table').wait_for(timeout=WAIT)
    assert output.locator('#bold').inner_text() == 'bold' and output.locator('td').all_inner_texts() == ['x', '1']
    assert 'first' not in shown and "'second'" in shown and 'some' not in shown and 'over\n' in shown and 'to stderr' in shown
    assert output.locator('img').evaluate('image => image.decode().then(() => image.naturalWidth)') > 400
    cell(try_it, 'def backward').get_by_role('button', name='Reset').click()


def test_stop_ends_an_endless_loop_and_the_page_stays_awake(try_it):
    edit(try_it, 'def backward', lambda _: "print('begun')\nwhile True: print(end='.')")
    cell(try_it, 'def backward').get_by_role('button', name='Run').click()
    try_it.locator('.live-output', has_text='begun').wait_for(timeout=WAIT)
    lag = lambda: try_it.evaluate('''async () => { let worst = 0, last = performance.now();
        for (let i = 0; i < 40; i++) { await new Promise(r => setTimeout(r, 25)); const now = performance.now(); worst = Math.max(worst, now - last - 25); last = now; }
        return worst }''')
    assert any(lag() < 300 * LOAD for _ in range(3))                                 # a page that sleeps does so each time, a busy machine does not
    try_it.get_by_role('button', name='Stop').click()
    assert 'stopped' in cell(try_it, 'def backward').locator('.live-status').inner_text()
    cell(try_it, 'def backward').get_by_role('button', name='Reset').click()
    assert 'out [1.  2.  0.1]' in run(try_it, 'std  in')[0]                          # in a new Python


def test_two_nets_train_in_20_seconds_and_their_curves_grow(try_it):
    try_it.evaluate('''() => { window.pictures = new Set();
        new MutationObserver(() => document.querySelectorAll('.live-output img').forEach(i => pictures.add(i.src))).observe(document.body, { subtree: true, childList: true, attributes: true }) }''')
    _, seconds = run(try_it, 'race(solvers)', 60_000 * LOAD)
    print(f'training cell: {seconds} s at load {LOAD:.1f}')
    assert seconds < 20 * LOAD
    assert try_it.evaluate('pictures.size') >= 8
    figure = cell(try_it, 'race(solvers)').locator('figure')
    assert figure.locator('.live-output img').count() == 1 and figure.locator('figcaption').is_visible()
    assert 'validation 0.' in run(try_it, 'for name, solver in solvers.items(): print')[0]


@pytest.mark.parametrize('name', ['layers', 'batchnorm', 'dropout', 'live', 'ledger'] if 'BNNP_ALL_CELLS' not in os.environ else sorted(p.stem for p in SITE.glob('*.html')))
def test_every_cell_with_a_run_button_runs(browser, url, name):
    with opened(browser, url, f'{name}.html') as page:
        buttons = page.locator('[data-cell] .live-bar button', has_text='Run')
        if not buttons.count(): pytest.skip('no live cells')
        buttons.last.click()
        page.wait_for_function("document.documentElement.dataset.live === 'ready'", timeout=10 * WAIT)
        assert page.locator('.live-error').all_inner_texts() == [] and page.locator('.live-note').all_inner_texts() == []


@pytest.mark.parametrize('part, fault, told', [('worker.js', 'missing', 'its files cannot be had'), ('pyodide.asm.wasm', 'missing', 'pyodide.asm.wasm'), ('python_stdlib.zip', 'cut', ''),
                                               ('/numpy-', 'changed', 'numpy'), ('/bnnp-', 'missing', 'bnnp'), ('kernel.py', 'missing', 'kernel.py: 404')])
def test_a_failed_download_is_told_and_can_be_tried_again(browser, url, part, fault, told):
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f'{url}live.html')
        FAULTS[part] = fault
        try:
            cell(page, 'std  in').get_by_role('button', name='Run').click()
            error = cell(page, 'std  in').locator('.live-error')
            error.wait_for(timeout=WAIT)
        finally: FAULTS.clear()
        assert re.match('Python could not be loaded. .{5}', error.inner_text()) and told in error.inner_text() and error.inner_text().endswith('Run tries it again.')
        assert page.evaluate('document.documentElement.dataset.live') == 'idle' and not page.get_by_role('button', name='Stop').is_visible()
        assert 'out [1.  2.  0.1]' in run(page, 'std  in')[0] and not error.count()


def test_an_editor_that_cannot_be_loaded_is_told_and_can_be_tried_again(browser, url):
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f'{url}live.html')
        FAULTS['editor.js'] = 'missing'
        try:
            cell(page, 'std  in').get_by_role('button', name='Edit').click()
            cell(page, 'std  in').locator('.live-status', has_text='the editor could not be loaded').wait_for(timeout=WAIT)
        finally: FAULTS.clear()
        edit(page, 'std  in', lambda code: code)
        assert not cell(page, 'std  in').locator('.live-status').inner_text()


def test_live_cells_can_be_used_from_the_keyboard(browser, url):
    with opened(browser, url, 'live.html', viewport={'width': 390, 'height': 800}) as page:
        cell(page, 'std  in').get_by_role('button', name='Edit').press('Enter')
        cell(page, 'std  in').locator('.cm-content').wait_for(timeout=WAIT)
        page.keyboard.press('Control+End')
        page.keyboard.type('\nprint("typed")')
        page.keyboard.press('Escape'), page.keyboard.press('Tab')
        assert page.evaluate('document.activeElement.textContent').strip() == 'Run'
        page.keyboard.press('Shift+Tab'), page.keyboard.press('Shift+Enter')
        cell(page, 'std  in').locator('.live-output', has_text='typed').wait_for(timeout=WAIT)
        assert page.evaluate('document.documentElement.scrollWidth <= innerWidth')                 # nothing sticks out on a phone


@pytest.mark.parametrize('theme, width', [('light', 1440), ('dark', 390)])
def test_axe_finds_nothing_serious_in_cells_that_run(browser, url, theme, width):
    "An editor, an output and an error, each open."
    axe = ROOT/'docs/node_modules/axe-core/axe.min.js'
    if not axe.exists(): pytest.skip('needs npm ci in docs/')
    with opened(browser, url, 'live.html', viewport={'width': width, 'height': 900}, color_scheme=theme) as page:
        run(page, 'std  in')
        edit(page, 'def backward', lambda code: code + '\nbackward(1, 2)')
        assert "'int' object has no attribute" in run(page, 'def backward')[0]
        page.add_script_tag(content=axe.read_text(encoding='utf-8'))
        found = page.evaluate("axe.run({exclude: ['.katex-html']}, {resultTypes: ['violations']})")['violations']
        assert [f"{v['id']}: {n['html'][:200]}" for v in found if v['impact'] in ('serious', 'critical') for n in v['nodes']] == []
        assert page.evaluate('document.documentElement.scrollWidth <= innerWidth')
        cell(page, 'std  in').scroll_into_view_if_needed()
        (ROOT/'tests/screenshots').mkdir(exist_ok=True)
        page.screenshot(path=ROOT/f'tests/screenshots/cells_{theme}_{width}.png', full_page=True)


# Explorables

def test_formulas_of_the_explorables_agree_with_bnnp(browser, url):
    rng = np.random.default_rng(0)
    with opened(browser, url, 'batchnorm.html') as page:
        for N, gamma, eps in ((6, 1.3, 1e-5), (3, -.7, .5), (2, 2., 1e-5)):
            x, dout = rng.normal(size=(2, N))
            out, cache = batchnorm_forward(x[:, None], np.array([gamma]), np.array([.4]), {'mode': 'train', 'eps': eps})
            dx = batchnorm_backward(dout[:, None], cache)[0]
            js = page.evaluate('''([x, dout, gamma, eps]) => { const { batchnorm, batchnormGradient } = explorables.maths, forward = batchnorm(x, gamma, .4, eps);
                return [forward.out, batchnormGradient(dout, forward, gamma).dx] }''', [x.tolist(), dout.tolist(), gamma, eps])
            np.testing.assert_allclose(js, [out[:, 0], dx[:, 0]], rtol=1e-9, atol=1e-13)
        x, w, dout, c = rng.normal(size=(2, 8)), rng.normal(size=2), rng.normal(size=8), 1e-2
        out, cache = batchnorm_forward((c * w @ x)[:, None], np.ones(1), np.zeros(1), {'mode': 'train'})
        js = page.evaluate('([x, w, dout, c]) => explorables.maths.scaleOfWeights(x, w, dout, c)', [x.tolist(), w.tolist(), dout.tolist(), c])
        gradient = x @ batchnorm_backward(dout[:, None], cache)[0][:, 0]
        np.testing.assert_allclose([js['spread'], js['gradient']], [out.std(), np.linalg.norm(gradient)], rtol=1e-9)


@pytest.mark.parametrize('inverted', [False, True])
@pytest.mark.parametrize('relu', [False, True])
def test_distribution_of_the_dropout_explorable_agrees_with_bnnp(browser, url, inverted, relu):
    a, w, p, n = np.array([.9, -.5, .7, .3, -.8]), np.ones(5), .3, 100_000
    through = (lambda z: np.maximum(z, 0)) if relu else (lambda z: z)
    train, test = ({'p': p, 'mode': mode, 'inverted': inverted, 'seed': 1} for mode in ('train', 'test'))
    drawn = through(dropout_forward(np.tile(a, (n, 1)), train)[0] @ w)
    with opened(browser, url, 'dropout.html') as page:
        js = page.evaluate('([a, p, inverted, relu]) => explorables.maths.dropoutOutput(a, p, inverted, relu)', [a.tolist(), p, inverted, relu])
    assert abs(js['average'] - drawn.mean()) < 4 * drawn.std() / np.sqrt(n) and abs(js['deviation'] - drawn.std()) < .01 * drawn.std()
    assert abs(sum(chance for _, chance in js['outcomes']) - 1) < 1e-12
    np.testing.assert_allclose(js['test'], through(dropout_forward(a[None], test)[0] @ w)[0], rtol=1e-12)


def test_explorables_move_by_key_and_pointer(browser, url):
    with opened(browser, url, 'batchnorm.html') as page:
        place, dx = page.locator('#fig-bn-explore .explorable'), lambda: json.loads(page.locator('#fig-bn-explore .explorable').get_attribute('data-dx'))
        before, third = dx(), place.get_by_role('slider', name='gradient dout 3')
        assert abs(sum(before)) < 1e-12
        third.focus()
        page.keyboard.press('ArrowUp')
        assert third.get_attribute('aria-valuenow') == '0.70' and dx()[2] > before[2]
        first = place.get_by_role('slider', name='input x 1')
        first.hover()                                                                    # which brings it into view
        page.mouse.down()
        box = first.bounding_box()
        page.mouse.move(box['x'] - 30, box['y'] + 60), page.mouse.up()
        assert float(first.get_attribute('aria-valuenow')) < -3.5
        for name in ('dout all ones', 'dout along'):                                     # the two lost directions
            place.get_by_role('button', name=name).click()
            assert max(map(abs, dx())) < 1e-4 and 'Nothing gets through' in place.locator('.said').inner_text()
        place.get_by_role('slider', name='points').fill('2')                             # and with two points all is lost
        place.get_by_role('button', name='one point only').click()
        assert len(dx()) == 2 and max(map(abs, dx())) < 1e-4
    with opened(browser, url, 'dropout.html') as page:
        place, found = page.locator('#fig-dropout-explore .explorable'), lambda: json.loads(page.locator('#fig-dropout-explore .explorable').get_attribute('data-found'))
        place.get_by_role('slider').fill('0')
        assert found()[0] == found()[1] and abs(found()[0]['deviation']) < 1e-12
        place.get_by_role('slider').fill('0.5')
        assert abs(found()[1]['average'] - found()[1]['test']) < 1e-12
        place.get_by_role('checkbox').check()
        assert found()[1]['average'] > found()[1]['test'] + .01                           # E relu(z) > relu(E z)


def test_without_javascript_the_still_figures_remain(browser, url):
    with opened(browser, url, 'batchnorm.html', java_script_enabled=False) as page:
        assert page.locator('#fig-bn-explore img').is_visible() and page.locator('.live-bar').count() == 0


def test_a_page_opened_from_a_file_says_how_to_run_its_cells(browser, site):
    page = browser.new_page()
    page.goto((site/'layers.html').as_uri())
    assert page.locator('.live-file:visible').count() > 5 and not page.get_by_role('button', name='Run').count()
    for command in 'python -m http.server --directory _docs', 'python docs/build.py --serve':
        assert page.locator('#live-how code', has_text=command).is_visible()
    page.close()


# Exercises

RIGHT = '''def relu_backward(dout, cache):
    return dout * (cache['x'] > 0)

check('relu_backward', relu_backward)
'''


def write(page, name, code):
    "Put code into the blank of an exercise."
    one = page.locator('[data-cell]').filter(has=page.get_by_role('button', name=f'Check {name}', exact=True))
    if one.get_by_role('button', name='Write').is_visible(): one.get_by_role('button', name='Write').click()
    one.locator('.cm-content').click(timeout=WAIT)
    page.keyboard.press('Control+a')
    page.keyboard.insert_text(code)
    return one


def checked(one, said):
    "Run a check by the keyboard, and wait for what its status says."
    one.locator('.cm-content').press('Shift+Enter')
    one.locator('.live-status', has_text=said).wait_for(timeout=WAIT)


def test_an_exercise_names_the_mistake_and_is_kept(browser, url, tmp_path):
    with opened(browser, url, 'blanks.html') as page:
        one = write(page, 'relu_backward', RIGHT.replace(' > 0', ' >= 0'))
        checked(one, 'not yet: the comparison holds at equality')
        hint = one.locator('.live-output summary', has_text='Hint 1')
        hint.click()
        assert one.locator('.live-output a').first.get_attribute('href') == 'layers.html#relu'
        page.locator('#toc, body').first.wait_for()
        write(page, 'relu_backward', RIGHT)
        checked(one, 'passed')
        assert page.get_by_text(re.compile(r'^1 of \d+ exercises passed$')).is_visible()
        assert one.locator('.cm-content').count() and 'worker.js' in in_folder(page, url, 'live')
        begin = page.evaluate('performance.now()')
        write(page, 'relu_backward', RIGHT.replace('> 0', '< 0'))
        checked(one, 'not yet')
        assert page.evaluate('performance.now()') - begin < 2500 * LOAD
        write(page, 'relu_backward', RIGHT)
        checked(one, 'passed')
        page.reload()
        assert '(cache[\'x\'] > 0)' in page.locator('[data-cell] .source pre', has_text='def relu_backward').inner_text()
        assert page.get_by_text(re.compile(r'^1 of \d+ exercises passed$')).is_visible()
        with page.expect_download() as download: page.get_by_role('button', name='Export').click()
        download.value.save_as(tmp_path/'mine.json')
    kept = json.loads((tmp_path/'mine.json').read_text())
    assert kept['relu_backward']['passed'] and 'return dout' in kept['relu_backward']['text']
    with opened(browser, url, 'blanks.html') as page:                                 # another browser: nothing is kept there
        assert page.get_by_text(re.compile(r'^0 of \d+ exercises passed$')).is_visible()
        page.locator('input[type=file]').set_input_files(tmp_path/'mine.json')
        page.get_by_text(re.compile(r'^1 of \d+ exercises passed$')).wait_for(timeout=WAIT)
        assert '(cache[\'x\'] > 0)' in page.locator('[data-cell] .source pre', has_text='def relu_backward').inner_text()
        (tmp_path/'bad.json').write_text('[1')
        page.locator('input[type=file]').set_input_files(tmp_path/'bad.json')
        page.get_by_text('this file holds no exercises').wait_for(timeout=WAIT)
