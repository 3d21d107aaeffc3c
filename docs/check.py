"""What a finished site must not have: dead links, unresolved references, figures without words, maths that does not parse, loads from other hosts."""
import re
from collections import Counter
from functools import partial
from urllib.parse import unquote

import lxml.html

LOADS = {'img': ('src', 'srcset'), 'script': ('src',), 'link': ('href',), 'source': ('src', 'srcset'), 'iframe': ('src',), 'video': ('src', 'poster'),
         'audio': ('src',), 'object': ('data',), 'embed': ('src',), 'use': ('href',), 'image': ('href',), 'input': ('src',)}
FOREIGN = re.compile(r'(https?:)?//', re.I)
IN_CSS = re.compile(r'''(?:url\(|@import)\s*["']?([^"')\s]+)''')
IN_SCRIPT = re.compile(r'''(?:\bimport|\bfrom|fetch|importScripts|Worker|EventSource|WebSocket|src\s*=|open)\s*\(?\s*["'`]((?:(?:https?|wss?):)?//[^"'`]+)''')


def place(element, page, *needles):
    "Where the author finds it: the file, and if it is a notebook the cell, and the line with the first of the needles that is there at all."
    marks = element.xpath('preceding::comment()[starts-with(., "cell ")]')
    if page.cells and not marks: return f'nbs/{page.path.name}'
    number, text = page.cells[marks[-1].text.split()[1]] if marks else (0, page.path.read_text(encoding='utf-8'))
    found = (n for needle in needles if needle for n, line in enumerate(text.splitlines(), 1) if needle in line)
    return f'nbs/{page.path.name}' + f', cell {number}' * bool(number) + f', line {next(found, 1)}'


def links(html, page, site, anchors):
    "Links to pages, files and anchors that are not there, and links within links."
    for a in html.xpath('//a[@href][not(ancestor::*[@class="citation"])]'):
        if '](' in a.text_content(): yield place(a, page, *re.findall(r'\w+', a.text_content())), 'link in a link: names in backticks are links already'
        if re.match(r'[a-z]+:|//', a.get('href')): continue
        file, _, anchor = a.get('href').partition('#')
        where = partial(place, a, page, a.get('href'), '#' + anchor if anchor else file, file, file.removesuffix('.html'), a.text_content())
        if file and not (site/unquote(file)).exists(): yield where(), f'link to {file}, which is not there'
        elif anchor and unquote(anchor) not in anchors.get(file or f'{page.name}.html', [unquote(anchor)]):
            yield where(), f'link to #{anchor}, which {file or "this page"} does not have'


def references(html, page):
    "References to equations and figures, and citations, that have no target; labels given twice."
    ids = Counter(html.xpath('//@id'))
    for span in html.cssselect('.unresolved'): yield place(span, page, span.text_content()), f'{span.text_content()} refers to nothing on this page'
    for span in html.cssselect('.citation[data-cites]'):
        for key in span.get('data-cites').split():
            if f'ref-{key}' not in ids: yield place(span, page, '@' + key), f'@{key} is not in references.bib'
    for name, n in ids.items():
        if n > 1: yield place(html.xpath('//*[@id=$name]', name=name)[1], page, name), f'anchor {name} is given {n} times'


def figures(html, page):
    "Figures without a text for those who cannot see them, or without a caption."
    for img in html.cssselect('main img, main svg[role=img]'):
        figure = next(img.iterancestors('figure'), None)
        caption = ''.join(c.text_content() for c in figure.cssselect('figcaption')) if figure is not None else ''
        where = partial(place, img, page, figure is not None and figure.get('id'), img.get('src'), '![', 'fig-cap', 'figure(', 'plot')
        if not img.get('alt', img.get('aria-label', '')).strip(): yield where(), 'figure without alternative text (fig-alt)'
        if not re.sub(r'^Figure \d+:', '', caption).strip(): yield where(), 'figure without a caption (fig-cap)'


def maths(html, page):
    "Formulas that KaTeX cannot parse."
    for span in html.cssselect('.math[data-error]'):
        tex = span.text_content().strip()
        yield place(span, page, tex, *tex.splitlines()), f'maths: {span.get("data-error")}'


def loads(html, page, site):
    "What a page loads from another host, or from a file that is not there."
    wanted = [(e, e.get(a).split()[0]) for name, attributes in LOADS.items() for e in html.iter(name) for a in attributes if e.get(a)]
    wanted += [(e, url) for e in html.cssselect('[style]') for url in IN_CSS.findall(e.get('style'))]
    wanted += [(e, url) for e in html.iter('style') for url in IN_CSS.findall(e.text_content())]
    wanted += [(e, url) for e in html.iter('script') for url in IN_SCRIPT.findall(e.text_content())]
    for element, url in wanted:
        if FOREIGN.match(url): yield place(element, page, url), f'loads {url} from another host'
        elif not url.startswith(('data:', '#')) and not (site/unquote(url.partition('#')[0].partition('?')[0])).exists():
            yield place(element, page, url), f'loads {url}, which is not there'


def assets(site):
    "Style sheets and scripts that load from another host."
    for file in [*site.rglob('*.css'), *site.rglob('*.js'), *site.rglob('*.mjs')]:
        for n, line in enumerate(file.read_text(encoding='utf-8').splitlines(), 1):
            for url in (IN_CSS if file.suffix == '.css' else IN_SCRIPT).findall(line):
                if FOREIGN.match(url) or url.startswith('ws'): yield f'{file.relative_to(site)}, line {n}', f'loads {url} from another host'


def problems(site, pages):
    "All of them, each as a line `page: place: what is wrong`."
    parsed = {f'{p.name}.html': lxml.html.parse(site/f'{p.name}.html', lxml.html.HTMLParser(encoding='utf-8')).getroot() for p in pages}
    anchors = {file: set(html.xpath('//@id')) for file, html in parsed.items()}
    for page, (file, html) in zip(pages, parsed.items()):
        found = [*links(html, page, site, anchors), *references(html, page), *figures(html, page), *maths(html, page), *loads(html, page, site)]
        yield from (f'{file}: {where}: {what}' for where, what in found)
    yield from (f'{where}: {what}' for where, what in assets(site))
