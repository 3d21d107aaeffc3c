"""Displayed equations of the notebooks are followed by code; references to equations and figures have targets."""
import json, re
from collections import Counter
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1]/'nbs').glob('*.ipynb'))
EQUATION = re.compile(r'\$\$.*?\$\$(?:[ \t]*\{#(eq-[\w-]+)[^}]*\})?', re.DOTALL)
FIGURE = re.compile(r'^#\|\s*label:\s*(fig-[\w-]+)\s*$|\{#(fig-[\w-]+)[^}]*\}', re.MULTILINE)
REFERENCE = re.compile(r'(?<![\w`\\])@((?:eq|fig)-\w+(?:-\w+)*)')
NOT_PROSE = re.compile(r'^(```|~~~).*?^\1|(`+)(?!`).*?(?<!`)\2(?!`)', re.DOTALL | re.MULTILINE)   # fences and `code`


def read(path):
    "The cells of a notebook as pairs of kind and text."
    return [(c['cell_type'], ''.join(c['source'])) for c in json.loads(path.read_text(encoding='utf-8'))['cells']]


def prose(kind, source):
    "The prose of a cell without quoted code, in which dollars and labels mean nothing."
    return NOT_PROSE.sub('', source) if kind == 'markdown' else ''


def live(kind, source):
    "The text in which labels and references count: prose, or all of a cell of code."
    return prose(kind, source) or (source if kind == 'code' else '')


def equations(cells):
    "For each displayed equation: its cell's number, and its label or its own first words."
    found = ((i, m) for i, cell in enumerate(cells) for m in EQUATION.finditer(prose(*cell)))
    return [(i, m[1] or ' '.join(m[0].split())[:60]) for i, m in found]


def labels(cells):
    "All labels of equations and figures, each as often as it is given."
    figures = [a or b for cell in cells for a, b in FIGURE.findall(live(*cell))]
    return [name for _, name in equations(cells) if name.startswith('eq-')] + figures


def without_code(cells, reach=2):
    "Equations with no cell of code among the next cells. Imports and bare comments are no code."
    works = lambda cell: cell[0] == 'code' and any(
        line.strip() and not re.match(r'\s*(#|import |from .* import)', line) for line in cell[1].splitlines())
    return [name for i, name in equations(cells) if not any(map(works, cells[i + 1:i + 1 + reach]))]


def duplicates(cells): return [name for name, n in Counter(labels(cells)).items() if n > 1]


def dangling(cells):
    "References without a target, in prose, captions and docstrings."
    used = [name for cell in cells for name in REFERENCE.findall(live(*cell))]
    return sorted(set(used) - set(labels(cells)))


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
def test_each_equation_is_followed_by_code(path): assert without_code(read(path)) == []


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
def test_no_label_is_given_twice(path): assert duplicates(read(path)) == []


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
def test_each_reference_has_a_target(path): assert dangling(read(path)) == []


def test_there_are_equations_to_look_at():
    assert len(NOTEBOOKS) >= 10 and sum(len(equations(read(path))) for path in NOTEBOOKS) >= 30


LABELLED, CODE, TEXT = ('markdown', 'So\n\n$$ a\n= b $$ {#eq-a}\n\nand @eq-a.'), ('code', 'a = b'), ('markdown', 'text')

def test_an_equation_without_code_is_noticed():
    assert without_code([LABELLED, TEXT, CODE]) == []
    assert without_code([LABELLED, TEXT, TEXT, CODE]) == ['eq-a']
    assert without_code([LABELLED, ('code', '#| hide\nimport math'), TEXT]) == ['eq-a']
    assert without_code([('markdown', 'no label: $$ x^2 $$')]) == ['$$ x^2 $$']
    assert without_code([('markdown', 'how to: `$$ x $$ {#eq-x}`'), ('markdown', '```\n$$ x $$\n```')]) == []


def test_a_label_given_twice_is_noticed():
    assert duplicates([LABELLED, CODE]) == []
    assert duplicates([LABELLED, CODE, LABELLED]) == ['eq-a']
    assert duplicates(2 * [('code', '#| label: fig-b\nplot()')]) == ['fig-b']


def test_a_reference_without_a_target_is_noticed():
    assert dangling([LABELLED, ('code', 'def f(): "By @eq-a."')]) == []
    assert dangling([('code', 'def f(): "By @eq-a."')]) == ['eq-a']
    assert dangling([('markdown', 'See @fig-b, and `@fig-c` is how to write it.')]) == ['fig-b']
    assert dangling([('markdown', 'See @fig-b.'), ('code', '#| label: fig-b\nplot()')]) == []
