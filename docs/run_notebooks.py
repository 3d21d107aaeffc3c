"""Run notebooks from a clean kernel and save their outputs: `python docs/run_notebooks.py [nbs/NAME.ipynb …] [--flags slow …]`.

Cells that `nbdev_test` skips (`#| eval: false`, and the flags in settings.ini unless given here) keep the outputs they have.
"""
import argparse, base64, io, subprocess, sys
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from fastcore.xtras import working_directory
from IPython.core.displaypub import CapturingDisplayPublisher
from nbdev.clean import clean_nb
from nbdev.config import get_config
from nbdev.process import extract_directives
from PIL import Image


def is_skipped(cell, flags):
    "True for a cell that is not code, is marked `eval: false`, or carries a flag that is switched off."
    if cell.cell_type != 'code': return True
    directives = extract_directives(cell, remove=False) or {}
    return directives.get('eval:', [''])[0].lower() == 'false' or bool(flags & directives.keys())


def publish(self, data, metadata=None, source=None, *, transient=None, update=False):
    "Capture an output; what is displayed again under an id takes the place of what was there, as in a notebook."
    output = dict(data=data, metadata=metadata or {}, transient=transient or {}, update=update)
    earlier = [i for i, old in enumerate(self.outputs) if update and old['transient'] == output['transient']]
    if earlier: self.outputs[earlier[-1]] = output
    else: self.outputs.append(output)


CapturingDisplayPublisher.publish = publish


def smaller(png):
    "The same pixels in fewer bytes; a figure needs no transparency where nothing shines through."
    image, packed = Image.open(io.BytesIO(base64.b64decode(png))), io.BytesIO()
    if image.mode == 'RGBA' and image.getextrema()[3] == (255, 255): image = image.convert('RGB')
    image.save(packed, 'PNG', optimize=True)
    return base64.b64encode(packed.getvalue()).decode()


def run_notebook(path, flags):
    "Run one notebook in this process and write its outputs back; the first error stops it and nothing is written."
    nb = read_nb(path)
    skip = lambda cell: is_skipped(cell, flags)
    for cell in nb.cells:
        if not skip(cell): cell['outputs'] = []
    sys.path.insert(0, str(get_config().config_path))
    with working_directory(path.parent):
        shell = CaptureShell(path)
        for cell in nb.cells:
            if skip(cell): continue
            shell.cell(cell)
            if shell.exc: sys.exit(f'{path.name}: this cell failed:\n\n{cell.source}\n\n{type(shell.exc).__name__}: {shell.exc}')
    for output in (o for cell in nb.cells for o in cell.get('outputs', []) if 'image/png' in o.get('data', {})):
        output['data']['image/png'] = smaller(''.join(output['data']['image/png']))
    clean_nb(nb)
    write_nb(nb, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('notebooks', nargs='*', type=Path, help='default: all of nbs/')
    parser.add_argument('--flags', nargs='*', default=[], help='also run cells with these flags')
    parser.add_argument('--here', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    cfg = get_config()
    if args.here:
        return run_notebook(args.notebooks[0], set(cfg.tst_flags.split()) - set(args.flags))
    failed = []
    for path in args.notebooks or sorted(cfg.nbs_path.glob('[!_.]*.ipynb')):   # one process each: the shell takes over `__main__`
        command = [sys.executable, __file__, str(path.resolve()), '--here', '--flags', *args.flags]
        print(path.name, flush=True)
        if subprocess.run(command).returncode: failed.append(path.name)
    if failed: sys.exit(f'failed: {", ".join(failed)}')


if __name__ == '__main__': main()
