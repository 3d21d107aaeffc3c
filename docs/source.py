"""What nbdev makes of the notebooks, as pandoc's Markdown: cells in order, their outputs, and a mark before each that says where it is from."""
import base64, hashlib, re, struct
from dataclasses import dataclass, field
from pathlib import Path

import nbformat, yaml

RICHEST = 'text/markdown', 'image/svg+xml', 'image/png', 'text/html', 'text/latex', 'text/plain'


@dataclass
class Source:
    "One page: where it comes from, what it is called, and its text."
    path: Path                                  # the file a reader would edit, in nbs/
    name: str                                   # of the page, without .html
    title: str = ''
    description: str = ''
    markdown: str = ''
    files: dict = field(default_factory=dict)   # pictures: name in the site -> bytes
    cells: dict = field(default_factory=dict)   # id of a cell of `path` -> (its number from 1, its text)


def fence(text, char='`'): return char * max(3, 1 + max((len(run) for run in re.findall(re.escape(char) + '+', text)), default=0))
def fenced(text, *classes): return f'{fence(text)} {{{" ".join("." + c for c in classes)}}}\n{text.rstrip()}\n{fence(text)}\n'
def div(text, attributes): return f'{fence(text, ":")} {{{attributes}}}\n{text}\n{fence(text, ":")}\n'
def quoted(text): return '"' + text.replace('\\', '\\\\').replace('"', '\\"') + '"'


def options(cell):
    "A code cell's `#|` lines as a dictionary, read as the YAML that Quarto takes them for, and the code below them."
    lines = re.findall(r'^#\| *(.*)\n?', cell.source, re.M)
    pairs = yaml.safe_load('\n'.join(l for l in lines if re.match(r'[\w-]+:( |$)', l))) or {}
    flags = {l.strip(): True for l in lines if re.fullmatch(r'[\w-]+', l.strip())}
    return flags | pairs, re.sub(r'^#\|.*\n?', '', cell.source, flags=re.M).strip('\n')


def picture(data, kind, said, page):
    "Markdown of a picture with its caption, alternative text and size; its bytes go into the page's files."
    data = data.encode() if kind == 'svg' else base64.b64decode(data)
    label = said.get('label', '')
    name = f'figures/{page.name}-{label or "output"}-{hashlib.sha256(data).hexdigest()[:8]}.{kind}'
    page.files[name] = data
    size = 'width={} height={}'.format(*struct.unpack('>II', data[16:24])) if kind == 'png' else ''
    marks = [f'#{label}'] if label else []
    if 'fig-alt' in said: marks.append('alt=' + quoted(said['fig-alt']))
    return f'![{said.get("fig-cap", "")}]({name}){{{" ".join([*marks, size])}}}\n'


def output(out, said, page):
    "Markdown of one output of a code cell."
    asis = said.get('output') == 'asis'
    if out.output_type == 'stream': return out.text if asis else div(fenced(out.text, 'text'), '.output')
    if out.output_type == 'error': return div(fenced('\n'.join(out.traceback), 'text'), '.output .error')
    kind = next((k for k in RICHEST if k in out.data), 'text/plain')
    value = out.data[kind]
    if kind.startswith('image/'): return div(picture(value, kind[6:].removesuffix('+xml'), said, page), '.output')
    if kind == 'text/plain': return div(fenced(value, 'text'), '.output')
    if kind == 'text/html': value = f'{fence(value)}{{=html}}\n{value}\n{fence(value)}\n'
    return value if asis else div(value, '.output')


def code(cell, page):
    "Markdown of a code cell: source, folded or not, and outputs."
    said, text = options(cell)
    if said.get('include') is False: return ''
    parts = []
    if said.get('echo', True) and text:
        fold = said.get('code-fold')
        source = fenced(text, cell.metadata.get('language', 'python'))
        summary = quoted(said.get('code-summary', 'Code'))
        parts.append(div(source, f'.source fold={"show" if fold == "show" else "hide"} summary={summary}' if fold else '.source'))
    if said.get('output', True): parts += [output(out, said, page) for out in cell.outputs]
    if not parts: return ''
    is_doc = text.startswith('show_doc(')
    return div('\n'.join(parts), '.doc' if is_doc else f'.cell data-cell={cell.id}' if cell.id in page.cells else '.cell')


def read_page(processed, path):
    "The page of one notebook or .qmd file, from what nbdev made of it (`processed`) and the file itself (`path`)."
    page = Source(path, re.sub(r'^\d+[a-zA-Z0-9]*_', '', path.stem))
    if path.suffix == '.ipynb':
        page.cells = {c.id: (n, c.source) for n, c in enumerate(nbformat.read(path, as_version=4).cells, 1)}
        parts = []
        for cell in nbformat.read(processed, as_version=4).cells:
            parts.append(f'<!--cell {cell.id}-->' if cell.id in page.cells else '')
            parts.append(code(cell, page) if cell.cell_type == 'code' else cell.source)
        text = '\n\n'.join(parts).lstrip()
    else: text = processed.read_text(encoding='utf-8')
    front = re.match(r'---\n(.*?)\n---\n', text, re.S)
    about = yaml.safe_load(front[1]) if front else {}
    page.title, page.description = about.get('title', page.name), about.get('description', '')
    page.markdown = text
    return page
