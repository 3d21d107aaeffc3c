"""From a page's Markdown to its HTML: pandoc (with citations), formulas by KaTeX, code by Pygments, links between pages, and the frame around it."""
import json, re, subprocess
from pathlib import Path

import pypandoc
from bs4 import BeautifulSoup
from fastcore.parallel import parallel
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

HERE = Path(__file__).parent
PANDOC = [f'--lua-filter={HERE/"crossref.lua"}', '--citeproc', '--katex', '--wrap=none', '--syntax-highlighting=none',
          '--metadata=link-citations:true', '--metadata=lang:en', '--metadata=reference-section-title:References']


def soup_of(page, bibliography):
    "The body of a page as pandoc writes it, parsed."
    args = PANDOC + [f'--bibliography={bibliography}']
    return BeautifulSoup(pypandoc.convert_text(page.markdown, 'html5', format='markdown', extra_args=args), 'lxml')


def fragment(html): return BeautifulSoup(html, 'lxml').body


def render_maths(soups):
    "Replace each formula of all pages by what KaTeX makes of it; one that it cannot parse keeps its message in `data-error`."
    spans = [span for soup in soups for span in soup.select('span.math')]
    jobs = [dict(tex=span.get_text(), display='display' in span['class']) for span in spans]
    done = subprocess.run(['node', HERE/'maths.mjs'], input=json.dumps(jobs), capture_output=True, text=True, check=True, encoding='utf-8')
    for span, job, result in zip(spans, jobs, json.loads(done.stdout)):
        span['data-tex'] = job['tex']
        if 'error' in result: span['data-error'] = result['error']
        else:
            span.clear()
            span.extend(list(fragment(result['html']).contents))


def colour_code(soup):
    "Pygments' classes on code whose language is known."
    for pre in soup.select('pre[class]'):
        language, text = pre['class'][0], pre.get_text()
        if language in ('text', 'output'): continue
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
        code = soup.new_tag('code', attrs={'class': f'language-{language}'})
        code.extend(list(fragment(f'<pre>{highlight(text, lexer, HtmlFormatter(nowrap=True))}</pre>').pre.contents))
        pre.clear()
        pre.append(code)


def fold_code(soup):
    "Quarto's folded code, as `<details>`."
    for source in soup.select('div.source[data-fold]'):
        source.name = 'details'
        if source.attrs.pop('data-fold') == 'show': source['open'] = ''
        summary = soup.new_tag('summary')
        summary.string = source.attrs.pop('data-summary')
        source.insert(0, summary)


def link_pages(soup, home, names):
    "Links to notebooks, and to this site by its full address, become links to the pages next to this one."
    for a in soup.select('a[href]'):
        if a['href'].startswith(home): a['href'] = a['href'].removeprefix(home)
        file, mark, anchor = a['href'].partition('#')
        if file in names: a['href'] = f'{names[file]}.html{mark}{anchor}'


def tidy(soup, page):
    "Headings that can be linked to, tables that scroll inside a box, pictures loaded when they are near."
    for a in soup.select('a[target]'): del a['target'], a['style']
    for hr in soup.select('.doc hr'): hr.decompose()
    for heading in soup.select('h2[id], h3[id], h4[id]'):
        heading.append(soup.new_tag('a', attrs={'class': 'anchor', 'href': f'#{heading["id"]}', 'aria-label': f'Link to {heading.get_text()}'}))
    for table in soup.select('table'): table.wrap(soup.new_tag('div', attrs={'class': 'scroll', 'tabindex': '0'}))
    for img in soup.select('img'): img['loading'] = 'lazy'


def contents(soup):
    "The headings of a page for its table of contents: (level, id, title)."
    headings = [h for h in soup.select('h2[id], h3[id]') if not h.find_parent(class_='doc')]
    return [(int(h.name[1]), h['id'], h.get_text()) for h in headings]


def render(pages, bibliography, home):
    "The parsed bodies of all pages, finished."
    names = {p.path.name: p.name for p in pages}
    soups = parallel(soup_of, pages, bibliography=bibliography, threadpool=True, n_workers=2)
    render_maths(soups)
    for page, soup in zip(pages, soups):
        colour_code(soup)
        fold_code(soup)
        link_pages(soup, home, names)
        tidy(soup, page)
    return soups
