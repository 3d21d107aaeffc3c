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
PANDOC = [f'--lua-filter={HERE/"crossref.lua"}', '--citeproc', '--katex', '--columns=1000', '--wrap=none', '--syntax-highlighting=none',
          f'--metadata-file={HERE/"metadata.yml"}']


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
        html = re.sub(r'<span class="(?:n|p|o|w|nb|nn|bp)">([^<]*)</span>', r'\1', highlight(text, lexer, HtmlFormatter(nowrap=True)))
        code.extend(list(fragment(f'<pre>{html}</pre>').pre.contents))
        pre.clear()
        pre.append(code)


def fold_code(soup):
    "Folded code, as `<details>`."
    for source in soup.select('div.source[data-summary]'):
        source.name = 'details'
        summary = soup.new_tag('summary')
        summary.string = source.attrs.pop('data-summary')
        source.insert(0, summary)


def head_docs(soup):
    "The head of a documented name: the name, and the link to its source, in one line."
    for doc in soup.select('div.doc'):
        doc.name = 'section'
        heading, link = doc.select_one('h2, h3, h4'), doc.select_one('p > a[style]')
        head = heading.wrap(soup.new_tag('div', attrs={'class': 'name'}))
        if link:
            around = link.parent
            head.append(link.extract())
            around.decompose()
        for part in doc.select('hr, a[style] [target]'): part.decompose()


def link_pages(soup, home, names):
    "Links to notebooks, and to this site by its full address, become links to the pages next to this one."
    for a in soup.select('a[href]'):
        if a['href'].startswith(home): a['href'] = a['href'].removeprefix(home)
        file, mark, anchor = a['href'].partition('#')
        if file in names: a['href'] = f'{names[file]}.html{mark}{anchor}'


def tidy(soup, page):
    "Headings that can be linked to, tables and pictures that scroll inside a box."
    for a in soup.select('a[target]'): del a['target'], a['style']
    for heading in soup.select('h2[id], h3[id], h4[id]'):
        heading.append(soup.new_tag('a', attrs={'class': 'anchor', 'href': f'#{heading["id"]}', 'aria-label': f'Link to {heading.get_text()}'}))
    for table in soup.select('table'): table.wrap(soup.new_tag('div', attrs={'class': 'scroll'}))
    for img in soup.select('img[width]'):
        img['style'] = f'--width: {img["width"]}px'
        img.wrap(soup.new_tag('div', attrs={'class': 'scroll'}))
    for img in soup.select('img')[1:]: img['loading'] = 'lazy'


def contents(soup):
    "The headings of a page for its table of contents: (level, id, title)."
    headings = [h for h in soup.select('h2[id], h3[id]') if not h.find_parent(class_='doc')]
    return [(int(h.name[1]), h['id'], h.get_text()) for h in headings]


def search_index(pages, soups):
    "What search looks through: for each heading the text below it, code and maths left out."
    found = []
    for page, soup in zip(pages, soups):
        found.append(dict(id=len(found), title=page.title, page='', url=f'{page.name}.html', text=page.description + ' '))
        for block in soup.body.select('h2, h3, h4, p, li, figcaption, td'):
            text = ' '.join(''.join(s for s in block.strings if not s.find_parent(class_='math')).split())
            if block.name in ('h2', 'h3', 'h4'): found.append(dict(id=len(found), title=text, page=page.title, url=f'{page.name}.html#{block["id"]}', text=''))
            else: found[-1]['text'] += text + ' '
    return found


def render(pages, bibliography, home):
    "The parsed bodies of all pages, finished."
    names = {p.path.name: p.name for p in pages}
    soups = parallel(soup_of, pages, bibliography=bibliography, threadpool=True, n_workers=2)
    render_maths(soups)
    for page, soup in zip(pages, soups):
        colour_code(soup)
        fold_code(soup)
        head_docs(soup)
        link_pages(soup, home, names)
        tidy(soup, page)
    return soups
