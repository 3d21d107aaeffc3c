"""The build of the site refuses what is broken; the finished site, `_docs/` or $BNNP_SITE, is opened in a browser, page by page."""
import importlib, inspect, json, os, pkgutil, re, shutil, subprocess, sys, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import lxml.html
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import bnnp

ROOT = Path(__file__).parents[1]
SITE = Path(os.environ.get('BNNP_SITE', ROOT/'_docs'))
PAGES = sorted(p.stem for p in SITE.glob('*.html'))
SCREENSHOTS = ROOT/'tests/screenshots'
AXE = ROOT/'docs/node_modules/axe-core/axe.min.js'


# The build, with one of each defect

PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
picture = lambda *lines: new_code_cell('\n'.join(lines) + '\nplot()', outputs=[new_output('display_data', {'image/png': PIXEL})])
LABEL, CAP, ALT = '#| label: fig-a', '#| fig-cap: It rises.', '#| fig-alt: A line that rises.'
DEFECTS = {                                      # what: (the cell, the line in it, the message)
    'page': (new_markdown_cell('First.\n\nA [link](gone.html).'), 3, 'link to gone.html, which is not there'),
    'notebook': (new_markdown_cell('[link](77_gone.ipynb)'), 1, 'link to 77_gone.ipynb, which is not there'),
    'anchor': (new_markdown_cell('[link](#nowhere)'), 1, 'link to #nowhere, which this page does not have'),
    "other page's anchor": (new_markdown_cell('Text\n[link](index.ipynb#nowhere)'), 2, 'link to #nowhere, which index.html does not have'),
    'nested': (new_markdown_cell('One.\n\n[[`inner`](#sound)](index.ipynb)'), 3, 'link in a link'),
    'equation': (new_markdown_cell('One.\nTwo, see @eq-nothing.'), 2, '@eq-nothing refers to nothing on this page'),
    'figure': (new_markdown_cell('See @fig-nothing.'), 1, '@fig-nothing refers to nothing on this page'),
    'docstring': (new_code_cell('#| export\ndef f():\n    "By @eq-unknown."'), 3, '@eq-unknown refers to nothing on this page'),
    'citation': (new_markdown_cell('As they say [@ioffe2015batch; @nobody1900].'), 1, '@nobody1900 is not in references.bib'),
    'label': (new_markdown_cell('$$ a $$ {#eq-a}\n\n$$ b $$ {#eq-a}'), 1, 'anchor eq-a is given 2 times'),
    'alt': (picture(CAP, LABEL), 2, 'figure without alternative text (fig-alt)'),
    'caption': (picture(ALT), 2, 'figure without a caption (fig-cap)'),
    'file': (new_markdown_cell('![A line](gone.png){fig-alt="A line"}'), 1, 'loads gone.png, which is not there'),
    'maths': (new_markdown_cell('Fine: $x$.\n\n$$ \\frac{1} $$'), 3, 'maths: KaTeX parse error'),
    'image': (new_markdown_cell('![A line.](https://example.com/a.png){fig-alt="A line"}'), 1, 'loads https://example.com/a.png from another host'),
    'script': (new_markdown_cell('<script src="//example.com/a.js"></script>'), 1, 'loads //example.com/a.js from another host'),
    'import': (new_markdown_cell('<script>import("https://example.com/b.js")</script>'), 1, 'loads https://example.com/b.js from another host'),
    'style': (new_markdown_cell('<p style="background: url(http://example.com/a.png)">x</p>'), 1, 'loads http://example.com/a.png from another host'),
}


@pytest.fixture(scope='module')
def complaints(tmp_path_factory):
    "What building a small book says, of which one chapter is full of defects."
    pytest.importorskip('pypandoc', reason="needs pip install -e '.[docs]'")
    if not (ROOT/'docs/node_modules').exists(): pytest.skip('needs npm ci in docs/')
    book = tmp_path_factory.mktemp('book')
    nbs = book/'nbs'
    nbs.mkdir()
    shutil.copy2(ROOT/'settings.ini', book)
    shutil.copy2(ROOT/'nbs/references.bib', nbs)
    (book/'_quarto.yml').write_text('website: {sidebar: {contents: [index.ipynb, 00_broken.ipynb, about.qmd]}}')
    (nbs/'_quarto.yml').symlink_to('../_quarto.yml')
    title = lambda name: new_markdown_cell(f'# {name}\n\n> A page')
    sound = [new_markdown_cell('## Sound\n\n$$ x^2 $$ {#eq-x}\n\nBy @eq-x and @fig-a [@ioffe2015batch], [below](#sound), [there](00_broken.ipynb).'), picture(LABEL, CAP, ALT)]
    nbformat.write(new_notebook(cells=[title('Index'), *sound]), nbs/'index.ipynb')
    nbformat.write(new_notebook(cells=[title('Broken'), *(cell for cell, _, _ in DEFECTS.values())]), nbs/'00_broken.ipynb')
    nbformat.write(new_notebook(cells=[title('Forgotten')]), nbs/'01_forgotten.ipynb')
    (nbs/'about.qmd').write_text('---\ntitle: About\n---\n\nA [dead link](nowhere.html).\n')
    done = subprocess.run([sys.executable, ROOT/'docs/build.py', '--no-live'], cwd=book, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    return done.stderr.splitlines()


@pytest.mark.parametrize('what', DEFECTS)
def test_the_build_names_page_cell_and_line(complaints, what):
    _, line, message = DEFECTS[what]
    start = f'broken.html: nbs/00_broken.ipynb, cell {list(DEFECTS).index(what) + 2}, line {line}: {message}'
    assert sum(said.startswith(start) for said in complaints) == 1, '\n'.join([start, *complaints])


def test_the_build_says_nothing_else(complaints):
    others = [said for said in complaints if not said.startswith('broken.html: ')]
    assert others == ['about.html: nbs/about.qmd, line 5: link to nowhere.html, which is not there',
                      'nbs/01_forgotten.ipynb is not in the sidebar of _quarto.yml'], '\n'.join(others)
    assert len(complaints) == len(DEFECTS) + len(others), '\n'.join(complaints)


# The finished site

def test_the_reference_has_every_public_name():
    if 'api' not in PAGES: pytest.skip('needs a site: python docs/build.py')
    ids = set(re.findall(r'<h[34] id="([\w.]+)"', (SITE/'api.html').read_text(encoding='utf-8')))
    for info in pkgutil.iter_modules(bnnp.__path__):
        if info.name.startswith('_'): continue
        module = importlib.import_module(f'bnnp.{info.name}')
        for name in module.__all__:
            obj = getattr(module, name)
            if not (inspect.isroutine(obj) or inspect.isclass(obj)): continue
            home = f'{obj.__module__}.{obj.__name__}'.removeprefix('bnnp.')             # a name that comes from elsewhere has its entry there
            assert f'{info.name}.{name}' in ids or home in ids, home


def test_the_reference_shows_code_and_leads_to_the_right_chapter():
    if 'api' not in PAGES: pytest.skip('needs a site: python docs/build.py')
    html, places = lxml.html.parse(SITE/'api.html', lxml.html.HTMLParser(encoding='utf-8')).getroot(), importlib.import_module('bnnp._modidx').d['syms']
    links = {h.get('id'): h.find('a').get('href') for h in html.cssselect('.name h3, .name h4')}
    known = {name: places[f'bnnp.{name.split(".")[0]}'].get(f'bnnp.{name}') for name in links}
    assert [(name, links[name]) for name, place in known.items() if place and '.' not in name.partition('.')[2] and links[name] != place[0]] == []
    assert sum(place is not None for place in known.values()) > 200
    code = [pre.text_content() for pre in html.cssselect('.doc pre')]
    assert [text for text in code if '](' in text or '@eq' in text or re.search(r'\w:\w', text.partition('#')[0])] == []
    assert not re.search(r'@eq-|\[@', html.text_content())


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


@pytest.fixture(scope='module')
def address():
    "Where the site is served."
    if not PAGES: pytest.skip('needs a site: python docs/build.py')
    with ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=SITE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


@pytest.fixture(scope='module')
def chromium():
    "A browser that has nothing to say to anyone."
    playwright = pytest.importorskip('playwright.sync_api', reason="needs pip install -e '.[docs]'")
    path = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    if not path: pytest.skip('needs Chromium on the PATH')
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
            '--disable-background-networking', '--disable-component-update', '--disable-sync'])
        yield browser
        browser.close()


class Visit:
    "A page in the browser that keeps what went over the wire and what was complained of."
    def __init__(self, browser, address, **options):
        self.context, self.address = browser.new_context(**options), address
        self.context.set_default_timeout(180_000)                    # a busy machine is no fault of the page
        self.page, self.responses, self.wrong = self.context.new_page(), [], []
        self.page.on('console', lambda m: self.wrong.append(m.text) if m.type in ('error', 'warning') else None)
        self.page.on('pageerror', lambda error: self.wrong.append(str(error)))
        self.page.on('requestfailed', lambda request: self.wrong.append(f'failed: {request.url}'))
        self.page.on('response', lambda response: self.responses.append(response))

    def __enter__(self): return self
    def __exit__(self, *exc): self.context.close()
    def go(self, name, until='networkidle'): self.page.goto(f'{self.address}/{name}.html', wait_until=until)
    def foreign(self): return [r.url for r in self.responses if not r.url.startswith((self.address, 'data:', 'blob:'))]
    def size(self): return sum(len(r.body()) for r in self.responses if r.ok)


DESKTOP, PHONE = dict(width=1440, height=900), dict(width=390, height=844)

@pytest.fixture(scope='module')
def measured():
    "Bytes and requests of each page, written beside the screenshots in the end."
    found = {}
    yield found
    if found: (SCREENSHOTS/'sizes.json').write_text(json.dumps(found, indent=1))


@pytest.mark.parametrize('theme', ['light', 'dark'])
@pytest.mark.parametrize('size', [DESKTOP, PHONE], ids=['desktop', 'phone'])
@pytest.mark.parametrize('name', PAGES)
def test_a_page(chromium, address, measured, name, size, theme):
    "It opens without complaints, asks nobody else for anything, fits the window, and axe finds no serious fault."
    with Visit(chromium, address, viewport=size, color_scheme=theme) as visit:
        visit.go(name, until='load')
        page = visit.page
        assert page.evaluate('document.documentElement.dataset.theme') == theme
        assert page.evaluate('document.documentElement.scrollWidth') <= size['width'], 'the page scrolls sideways'
        assert page.locator('.math').count() == page.locator('.math .katex').count()
        page.evaluate('Promise.all([document.fonts.ready, ...[...document.images].map(i => { i.loading = "eager"; return i.decode() })])')   # fails if one cannot be drawn
        picture = SCREENSHOTS/f'{name}_{theme}_{size["width"]}.png'
        picture.parent.mkdir(exist_ok=True)
        page.screenshot(path=picture)
        faults = axe(page, None if theme == 'light' else OF_COLOURS)
        assert not faults, '\n'.join(faults)
        assert not visit.wrong and not visit.foreign()
        measured[name] = dict(bytes=visit.size(), requests=len(visit.responses))
        assert visit.size() < 1.5e6


OF_COLOURS = ['color-contrast', 'link-in-text-block']            # axe's rules that see the theme; the others are asked in the light one

def axe(page, rules=None):
    "What axe finds that is serious or critical, and where; KaTeX hides its layout from readers of screens, and gives them MathML."
    if not AXE.exists(): pytest.skip('needs npm ci in docs/')
    page.add_script_tag(content=AXE.read_text(encoding='utf-8'))
    options = dict(resultTypes=['violations'], **({'runOnly': rules, 'preload': False} if rules else {}))
    found = page.evaluate("options => axe.run({exclude: ['.katex-html']}, options)", options)['violations']
    return [f"{v['id']}: {n['target']} {n['html'][:200]}" for v in found if v['impact'] in ('serious', 'critical') for n in v['nodes']]


def test_without_scripts_a_page_is_complete(chromium, address):
    with Visit(chromium, address, java_script_enabled=False, viewport=DESKTOP) as visit:
        visit.go('batchnorm')
        page = visit.page
        assert page.locator('.katex').count() > 100
        for part in ('nav[aria-label=Chapters]', 'nav[aria-label="On this page"]', 'footer', '.equation .katex >> nth=0', '.cell pre:not(details pre) >> nth=0'):
            assert page.locator(part).is_visible(), part
        assert not page.locator('button:visible').count(), 'a button that does nothing'


def test_search_finds_a_function(chromium, address):
    with Visit(chromium, address, viewport=DESKTOP) as visit:
        visit.go('index')
        page = visit.page
        assert not [r for r in visit.responses if 'search.json' in r.url], 'the index is loaded before it is asked for'
        page.keyboard.press('/')
        page.keyboard.type('batchnorm_backward')
        page.wait_for_selector('a[role=option]')
        assert page.locator('[role=option]').first.inner_text().startswith('batchnorm_backward')
        assert not axe(page)
        page.screenshot(path=SCREENSHOTS/'search.png')
        page.keyboard.press('Enter')
        page.wait_for_url(re.compile(r'#(layers\.)?batchnorm_backward$'))
        assert page.locator(':target').inner_text() == 'batchnorm_backward'
        assert not visit.wrong and not visit.foreign()


@pytest.mark.parametrize('query, title', [('Jacobian projection', None), ('dropuot_forward', 'dropout_forward'), ('backward', None), ('zzzzqqq', None)])
def test_search_answers(chromium, address, query, title):
    "Words of the prose, a misspelling, a part of a name; and says so when there is nothing."
    with Visit(chromium, address, viewport=PHONE) as visit:
        visit.go('references')
        visit.page.click('button[aria-label=Search]')
        visit.page.keyboard.type(query)
        visit.page.wait_for_selector('[role=option]')
        said = visit.page.locator('[role=listbox]').inner_text()
        if query == 'zzzzqqq': assert said == 'Nothing found.'
        else: assert (title or query.split()[0].lower()) in said.lower()
        visit.page.keyboard.press('Escape')
        assert not visit.page.locator('dialog').is_visible()


def test_a_theme_is_kept(chromium, address):
    with Visit(chromium, address, color_scheme='light') as visit:
        visit.go('index')
        visit.page.click('button[aria-label="Dark or light"]')
        visit.go('layers')
        assert visit.page.evaluate('[document.documentElement.dataset.theme, getComputedStyle(document.body).colorScheme]') == ['dark', 'dark']


def test_a_keyboard_is_enough(chromium, address):
    "The first Tab offers to skip to the text; the chapters on a phone open and close; boxes that scroll can be reached."
    with Visit(chromium, address, viewport=PHONE) as visit:
        visit.go('batchnorm')
        page = visit.page
        page.keyboard.press('Tab')
        assert page.evaluate('document.activeElement.textContent') == 'Skip to the text'
        page.keyboard.press('Tab')
        page.keyboard.press('Enter')
        assert page.locator('nav[aria-label=Chapters]').is_visible()
        page.screenshot(path=SCREENSHOTS/'chapters.png')
        page.keyboard.press('Escape')
        assert not page.locator('nav[aria-label=Chapters]').is_visible()
        assert page.evaluate('[...document.querySelectorAll("pre, .scroll")].every(b => b.scrollWidth <= b.clientWidth || b.tabIndex === 0)')


def test_the_chapters_follow_each_other(chromium, address):
    "From the front page, `next` leads through all pages, and `previous` back."
    with Visit(chromium, address) as visit:
        visit.go('index')
        order = visit.page.locator('nav[aria-label=Chapters] a').evaluate_all('links => links.map(a => a.pathname)')
        assert len(order) == len(PAGES)
        seen = [order[0]]
        while visit.page.locator('a[rel=next]').count():
            visit.page.goto(visit.page.locator('a[rel=next]').get_attribute('href') and visit.page.evaluate('document.querySelector("a[rel=next]").href'))
            assert visit.page.evaluate('document.querySelector("a[rel=prev]").pathname') == seen[-1]
            seen.append(visit.page.evaluate('location.pathname'))
        assert seen == order


def test_print(chromium, address):
    "On paper there is the text alone, and folded code is unfolded."
    with Visit(chromium, address, viewport=DESKTOP, color_scheme='dark') as visit:
        visit.go('dropout')
        visit.page.emulate_media(media='print')
        hidden = ('nav[aria-label=Chapters]', 'nav[aria-label="On this page"]', '.bar', 'nav[aria-label="Previous and next"]')
        assert not any(visit.page.locator(part).is_visible() for part in hidden)
        assert visit.page.evaluate('getComputedStyle(document.querySelector("main")).color') == 'rgb(31, 35, 38)'
        assert visit.page.locator('details pre >> nth=0').is_visible()
        visit.page.pdf(path=SCREENSHOTS/'dropout.pdf')
