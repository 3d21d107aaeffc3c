"""What nbdev makes of the notebooks, as pandoc's Markdown: cells in order, their outputs, and a mark before each that says where it is from."""
import ast, base64, hashlib, re
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import nbformat, yaml
from nbdev.showdoc import showdoc_nm
from PIL import Image

RICHEST = 'text/markdown', 'image/svg+xml', 'image/png', 'text/html', 'text/latex', 'text/plain'


@dataclass
class Source:
    "One page: where it comes from, what it is called, and its text."
    path: Path                                  # the file a reader would edit, in nbs/
    name: str                                   # of the page, without .html
    number: str = ''                            # of the chapter
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
    pairs = yaml.safe_load('\n'.join(l for l in lines if re.match(r'[\w-]+:', l))) or {}
    flags = {l.split()[0]: True for l in lines if re.match(r'[\w-]+(?!:)\b', l)}
    return flags | pairs, re.sub(r'^#\|.*\n?', '', cell.source, flags=re.M).strip('\n')


def as_webp(png):
    "The same pixels in about half the bytes."
    file = BytesIO()
    Image.open(BytesIO(png)).save(file, 'WEBP', lossless=True)
    return file.getvalue()


def picture(out, kind, said, page):
    "Markdown of a picture with its caption, alternative text and size; its bytes go into the page's files."
    data = out.data[f'image/{kind}']
    data = data.encode() if kind == 'svg+xml' else as_webp(base64.b64decode(data))
    label = said.get('label', '')
    name = f'figures/{page.name}-{label or "output"}-{hashlib.sha256(data).hexdigest()[:8]}.{"svg" if kind == "svg+xml" else "webp"}'
    page.files[name] = data
    size = ' '.join(f'{k}={v}' for k, v in out.metadata.get(f'image/{kind}', {}).items())
    marks = [f'#{label}'] if label else []
    if 'fig-alt' in said: marks.append('fig-alt=' + quoted(said['fig-alt']))
    return f'![{said.get("fig-cap", "")}]({name}){{{" ".join([*marks, size])}}}\n'


def as_source(text):
    "Markdown from nbdev's `show_doc`, its signatures set as their source would be, without the links that nbdev puts into comments."
    def argument(m): return f'{m[1]}: {m[2]}' + ' = ' * bool(m[3])
    def arguments(m): return re.sub(r'((?:^ +|, )\**\w+):((?:\[[^]]*\]|[^,=[])*)(=?)', argument, m[0])
    def spaced(m):
        code = re.sub(r'\[(`[\w.]+`)\]\([^)]*\)', r'\1', m[0]).replace(')->', ') -> ')
        code = re.sub(r'^ [^#\n]+', arguments, code, flags=re.M)
        code = re.sub(r'^def (?=[A-Z])', 'class ', code, flags=re.M)
        return re.sub(r'^(class \w+)\(\n *\*args, \*\*kwargs\n\):', r'\1', code, flags=re.M)
    return re.sub(r'^```python\n.*?\n```$', spaced, text, flags=re.S | re.M)


def output(out, said, page):
    "Markdown of one output of a code cell."
    asis = said.get('output') == 'asis'
    if out.output_type == 'stream': return out.text if asis else div(fenced(out.text, 'text'), '.output')
    if out.output_type == 'error': return div(fenced('\n'.join(out.traceback), 'text'), '.output .error')
    kind = next((k for k in RICHEST if k in out.data), 'text/plain')
    value = out.data[kind]
    if kind.startswith('image/'): return div(picture(out, kind[6:], said, page), '.output')
    if kind == 'text/plain': return div(fenced(value, 'text'), '.output')
    if kind == 'text/html': value = f'{fence(value)}{{=html}}\n{value}\n{fence(value)}\n'
    return as_source(value) if asis else div(value, '.output')


def folded(text, said):
    "Whether code is shown behind a line to click on: where its notebook says so, and where it is long or only draws a figure."
    if 'code-fold' in said: return said['code-fold'] is True
    return len(text.splitlines()) > (6 if 'fig-cap' in said else 20)


def code(cell, page):
    "Markdown of a code cell: source, folded or not, and outputs."
    said, text = options(cell)
    if said.get('include') is False: return ''
    parts = []
    if said.get('echo', True) and text:
        summary = f' summary={quoted(said.get("code-summary", "Code"))}' if folded(text, said) else ''
        parts.append(div(fenced(text, cell.metadata.get('language', 'python')), '.source' + summary))
    if said.get('output', True): parts += [output(out, said, page) for out in cell.outputs]
    return div('\n'.join(parts), f'.cell data-cell={cell.id}') if parts else ''


def documented(cell):
    "The name whose documentation nbdev put in this cell, if it did."
    found = re.search(r'^show_doc\(([\w.]+)', cell.source, re.M) if cell.cell_type == 'code' else None
    return found and found[1]


def documentation(cell, signature):
    "Markdown of a documented name, with or without its signature."
    text = '\n'.join(out.data['text/markdown'] for out in cell.outputs)
    return div(as_source(text) if signature else re.sub(r'```python\n.*?\n```\n', '', text, flags=re.S), '.doc')


def definitions(cell):
    "What an exported cell defines: names of its functions, classes and constants, and whether there is more than imports."
    if cell.cell_type != 'code' or not {'export', 'exports'} & options(cell)[0].keys(): return [], False
    body = ast.parse(cell.source).body
    names = [showdoc_nm(o) for o in body if isinstance(o, (ast.FunctionDef, ast.ClassDef))]
    names += [target.id for o in body if isinstance(o, ast.Assign) for target in o.targets if isinstance(target, ast.Name)]
    return names, any(not isinstance(o, (ast.Import, ast.ImportFrom)) for o in body)


def blocks(original, processed, page):
    """Markdown of each cell after a mark with its id. nbdev documents what a cell exports, and leaves out its source unless the cell says `exports`;
    here that source is folded, not left out."""
    kept, docs = {c.id: c for c in processed.cells}, {documented(c): c for c in processed.cells if documented(c)}
    yield processed.cells[0].source                                   # the title and description, as YAML
    for cell in original.cells[1:]:
        yield f'<!--cell {cell.id}-->'
        names, more = definitions(cell)
        for name in names:
            if name in docs: yield documentation(docs[name], signature=cell.id not in kept)
        if cell.id in kept: yield code(kept[cell.id], page) if cell.cell_type == 'code' else kept[cell.id].source
        elif more:
            unnamed = ', '.join(name for name in names if name not in docs and name != '_')
            summary = f'#| code-fold: true\n#| code-summary: "Source{unnamed and ": " + unnamed}"\n'
            yield code(nbformat.from_dict(cell | dict(source=summary + options(cell)[1], outputs=[])), page)


def read_page(processed, path):
    "The page of one notebook or .qmd file, from what nbdev made of it (`processed`) and the file itself (`path`)."
    number = re.match(r'(\d+[a-z]*)_', path.stem)
    page = Source(path, re.sub(r'^\d+[a-zA-Z0-9]*_', '', path.stem), number=number[1].removeprefix('0') if number else '')
    if path.suffix == '.ipynb':
        original = nbformat.read(path, as_version=4)
        page.cells = {c.id: (n, c.source) for n, c in enumerate(original.cells, 1)}
        page.markdown = '\n\n'.join(blocks(original, nbformat.read(processed, as_version=4), page)).lstrip()
    else: page.markdown = processed.read_text(encoding='utf-8')
    front = re.match(r'---\n(.*?)\n---\n', page.markdown, re.S)
    about = yaml.safe_load(front[1]) if front else {}
    page.title, page.description = about.get('title', page.name), about.get('description', '')
    return page
