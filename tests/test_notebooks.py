"""What holds for every notebook and cannot be seen inside one."""
import ast, json, re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1]/'nbs').glob('*.ipynb'))


def code_cells(path):
    "Source of each code cell, with its number."
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    return [(i, ''.join(c['source'])) for i, c in enumerate(cells) if c['cell_type'] == 'code']


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
def test_imports_stand_alone(path):
    "Building the site runs each cell that has an import, so such a cell must need nothing but what it imports."
    plain = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    for i, source in code_cells(path):
        nodes = ast.parse(source)
        has_import = any(isinstance(n, (ast.Import, ast.ImportFrom)) for n in ast.walk(nodes))
        if not has_import or re.match(r'#\| (export|exports)\b', source): continue
        assert all(isinstance(n, plain) for n in nodes.body), f'cell {i} imports and does more:\n{source}'
        assert not re.match(r'#\| parity', source), f'cell {i} imports what a reader may not have: use import_module'


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
def test_cells_fit_a_page(path):
    for i, source in code_cells(path):
        lines = [l for l in source.splitlines() if not l.startswith('#|')]
        assert len(lines) <= 45, f'cell {i} has {len(lines)} lines'
        assert max(map(len, lines), default=0) <= 170, f'cell {i} has a line of {max(map(len, lines))} columns'


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
def test_outputs_are_clean(path):
    "No error and no path of the machine that ran it is stored in a notebook."
    for i, cell in enumerate(json.loads(path.read_text(encoding='utf-8'))['cells']):
        for output in cell.get('outputs', []):
            assert output['output_type'] != 'error', f'cell {i} stores an error'
            text = json.dumps({k: v for k, v in output.get('data', output).items() if k != 'image/png'})
            assert not re.search(r'/(home|root|Users|tmp|work)/', text), f'cell {i} stores a path of a machine'


def test_everything_public_can_be_documented():
    "The site asks nbdev for the documentation of each exported name."
    import importlib, pkgutil
    import bnnp
    from nbdev.showdoc import show_doc
    for module in pkgutil.iter_modules(bnnp.__path__):
        if module.name.startswith('_'): continue
        found = importlib.import_module(f'bnnp.{module.name}')
        for name in found.__all__:
            if callable(getattr(found, name)): assert show_doc(getattr(found, name))._repr_markdown_()


def test_the_readme_leads_to_files_that_are_there():
    "From a clone, without the site."
    readme = Path(__file__).parents[1]/'README.md'
    links = re.findall(r'\]\(([^)\s]+)\)', re.sub(r'```.*?```', '', readme.read_text(encoding='utf-8'), flags=re.S))
    files = {link.partition('#')[0] for link in links if not re.match(r'https?:|#', link)}
    assert len(files) > 20 and [f for f in sorted(files) if not (readme.parent/f).exists()] == []
    assert not [link for link in links if 'bnnp.github.io' in link or 'github.com/bnnp' in link], 'nobody\'s until it is published'
