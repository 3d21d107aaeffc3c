"""From a page's Markdown to its HTML: pandoc (with citations), formulas by KaTeX, code by Pygments, links between pages, boxes that scroll."""
import json, re, subprocess
from copy import deepcopy
from functools import cache
from pathlib import Path

import pypandoc
from fastcore.parallel import parallel
from lxml.html import builder as E, fragment_fromstring, tostring
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

HERE = Path(__file__).parent
PANDOC = ['--quiet', f'--lua-filter={HERE/"crossref.lua"}', '--citeproc', '--katex', '--columns=1000', '--wrap=none', '--syntax-highlighting=none',
          f'--metadata-file={HERE/"metadata.yml"}']
TOKENS = HtmlFormatter(nowrap=True)
PLAIN = re.compile(r'<span class="(?:n|p|o|w|nb|nn|bp)">([^<]*)</span>')     # tokens that have no colour of their own


@cache
def lexer(language): return get_lexer_by_name(language, stripnl=False, ensurenl=False)
def parsed(html, tag='div'): return fragment_fromstring(html, create_parent=tag)
def inner(element): return Markup((element.text or '') + ''.join(tostring(child, encoding='unicode') for child in element))


def body_of(page, bibliography):
    "The body of a page as pandoc writes it, parsed."
    args = PANDOC + [f'--bibliography={bibliography}']
    return parsed(pypandoc.convert_text(page.markdown, 'html5', format='markdown', extra_args=args))


def wrap(element, box):
    "Put an element into a box, which takes its place."
    element.getparent().replace(element, box)
    box.tail, element.tail = element.tail, None
    box.append(element)


def keep_together(span, mark):
    "Keep a short formula and the punctuation after it in one line: a browser may break between the two."
    if 'display' in span.get('class') or len(span.cssselect('annotation')[0].text) > 24: return
    rest = span.tail[len(mark):]
    wrap(span, E.SPAN({'class': 'together'}))
    span.getparent().tail, span.tail = rest, mark


def render_maths(bodies):
    "Replace each formula of all pages by what KaTeX makes of it; one that it cannot parse keeps its message in `data-error`."
    spans = [span for body in bodies for span in body.cssselect('span.math')]
    jobs = [dict(tex=span.text, display='display' in span.get('class')) for span in spans]
    done = subprocess.run(['node', HERE/'maths.mjs'], input=json.dumps(jobs), capture_output=True, text=True, check=True, encoding='utf-8')
    for span, result in zip(spans, json.loads(done.stdout)):
        if 'error' in result: span.set('data-error', result['error'])
        else: span.text = span.append(fragment_fromstring(result['html']))
        if (mark := re.match(r'[,.;:?!)]+', span.tail or '')) and 'error' not in result: keep_together(span, mark[0])


def colour_code(body):
    "Pygments' classes on code whose language is known, and links from its docstrings and comments to the equations and papers that they name."
    ids = set(body.xpath('.//@id'))
    def link(m):
        to = next((i for i in (m[1], f'ref-{m[1]}') if i in ids), None)
        return f'<a href="#{to}">{m[0]}</a>' if to else m[0]
    for pre in body.cssselect('pre[class]'):
        language, text = pre.get('class').split()[0], pre.text_content()
        if language in ('text', 'output'): continue
        html = PLAIN.sub(r'\1', highlight(text, lexer(language), TOKENS))
        html = re.sub(r'@([a-z][\w-]*\w)', link, html)
        pre[:] = [fragment_fromstring(f'<code class="language-{language}">{html}</code>')]


def fold_code(body):
    "Folded code, as `<details>`."
    for source in body.cssselect('div.source[data-summary]'):
        source.tag = 'details'
        source.insert(0, E.SUMMARY(source.attrib.pop('data-summary')))


def head_docs(body):
    "The head of a documented name: the name, and the link to its source, in one line."
    for doc in body.cssselect('.doc'):
        heading = doc.cssselect('h2, h3, h4')[0]
        if 'id' in doc.attrib: heading.set('id', doc.attrib.pop('id'))          # which pandoc hands to a section of its own
        head = E.DIV({'class': 'name'})
        wrap(heading, head)
        for link in doc.cssselect('p > a[style]'):
            link.getparent().drop_tree()
            head.append(link)
        for rule in doc.cssselect('hr'): rule.drop_tree()
        for p in doc.cssselect('p'):
            if p.text_content() == 'Call self as a function.': p.drop_tree()   # Python's words for a `partial`, which has none of its own


def number_equations(bodies, pages):
    "Links to equations of other chapters say the number that they have there."
    numbers = {f'{page.name}.html#{e.get("id")}': e.cssselect('.number')[-1].text.strip('()') for page, body in zip(pages, bodies) for e in body.cssselect('.equation[id]')}
    for body in bodies:
        for a in body.cssselect('a[href*="html#eq-"]'):
            if a.get('href') in numbers and re.fullmatch(r'Equation [\w-]+', a.text_content()): a.text = f'Equation {numbers[a.get("href")]}'


def link_pages(body, home, names):
    "Links to notebooks, and to this site by its full address, become links to the pages next to this one."
    for a in body.cssselect('a[href]'):
        file, mark, anchor = (a.get('href').removeprefix(home) or 'index.html').partition('#')
        a.set('href', (f'{names[file]}.html' if file in names else file) + mark + anchor)
        for key in 'target', 'style': a.attrib.pop(key, None)


def tidy(body):
    "Headings that can be linked to, tables and pictures that scroll inside a box."
    for heading in body.cssselect('h1'): heading.tag = 'h2'                 # pandoc's of the references; a page has one title
    for heading in body.cssselect('h2[id], h3[id], h4[id]'):
        heading.append(E.A({'class': 'anchor', 'href': f'#{heading.get("id")}', 'aria-label': f'Link to {heading.text_content()}'}))
    for table in body.cssselect('table'): wrap(table, E.DIV({'class': 'scroll'}))
    for img in body.cssselect('img[width]'):
        img.set('style', f'--width: {img.get("width")}px')
        wrap(img, E.DIV({'class': 'scroll'}))
    for img in body.cssselect('img')[1:]: img.set('loading', 'lazy')


def inline_drawings(body, page):
    "SVG figures become part of the page, so that text takes the page's typeface."
    for img in body.cssselect('img[src$=".svg"]'):
        name = img.get('src')
        if name not in page.files: continue
        svg = re.sub(r'<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>', '', page.files.pop(name).decode(), flags=re.S)
        unique = Path(name).stem + '-'                                          # for ids, which Matplotlib repeats from figure to figure
        svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf'\g<1>{unique}', svg).replace('xlink:href', 'href')
        drawing = fragment_fromstring(svg.strip())
        points = float(drawing.get('width').removesuffix('pt'))
        for key in 'width', 'height', 'version', 'xmlns', 'xmlns:xlink': drawing.attrib.pop(key, None)
        drawing.attrib.update({'role': 'img', 'aria-label': img.get('alt', ''), 'style': f'--width: {points * 100 / 72:.0f}px'})
        wrap(img, E.DIV({'class': 'scroll'}))
        img.getparent().replace(img, drawing)


def contents(body):
    "The headings of a page for its table of contents: (level, id, title)."
    for heading in body.xpath('.//*[self::h2 or self::h3][@id][not(ancestor::*[contains(@class, "doc")])]'):
        title = deepcopy(heading)
        for a in title.cssselect('a'): a.drop_tag()
        yield int(heading.tag[1]), heading.get('id'), inner(title)


def search_index(pages, bodies):
    "What search looks through: for each heading the text below it, code and maths left out."
    found = []
    for page, body in zip(pages, bodies):
        found.append(dict(title=page.title, page='', url=f'{page.name}.html', text=page.description + ' '))
        for block in body.cssselect('h2, h3, h4, p, li, figcaption, td'):
            text = ' '.join(''.join(block.xpath('.//text()[not(ancestor::*[contains(@class, "math")])]')).split())
            if block.tag in ('h2', 'h3', 'h4'): found.append(dict(title=text, page=page.title, url=f'{page.name}.html#{block.get("id")}', text=''))
            else: found[-1]['text'] += text + ' '
    return [dict(id=n, **section) for n, section in enumerate(found)]


def render(pages, bibliography, home):
    "The parsed bodies of all pages, finished."
    names = {p.path.name: p.name for p in pages}
    bodies = parallel(body_of, pages, bibliography=bibliography, threadpool=True, n_workers=2)
    render_maths(bodies)
    for page, body in zip(pages, bodies):
        inline_drawings(body, page)
        colour_code(body)
        fold_code(body)
        head_docs(body)
        link_pages(body, home, names)
        tidy(body)
    number_equations(bodies, pages)
    return bodies
