"""Fuzz one reader, or all in turn: `python -m tests.fuzz run_log --seconds 60 --seed 1`.

With atheris (`pip install atheris`, Linux, Python 3.11 or later) what is tried next depends on which lines of the readers were
reached; without it, good inputs are damaged blindly. What gets through is saved in the folder `--found` and the run goes on.
"""
import argparse, hashlib, importlib, re, subprocess, sys, tempfile, time, traceback
from pathlib import Path

from . import TARGETS, fence, mutate

try: import atheris
except ImportError: atheris = None
INSTRUMENTED = ['bnnp', 'tarfile', 'zipfile', 'json', 'gzip', 'numpy.lib.format', 'numpy.lib._format_impl']


class Tries:
    "Gives inputs to a target; keeps what gets through, once for each place that it comes from."
    def __init__(self, name, module, found): self.name, self.module, self.found, self.places, self.n = name, module, Path(found), set(), 0

    def __call__(self, data):
        self.n += 1
        try: fence.run(self.module.target, data)
        except (Exception, fence.Escape) as e: self.keep(data, e)

    def keep(self, data, error):
        fence.state.floor = max(fence.state.floor, fence.peak() - fence.MEGABYTES / 2)
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = type(error).__name__, last.filename, last.lineno
        if place in self.places: return
        self.places.add(place)
        path = self.found/f'{self.name}_{hashlib.sha256(data).hexdigest()[:12]}'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        print(f'FOUND {type(error).__name__}: {str(error)[:200]!r} at {last.filename}:{last.lineno}, saved as {path}', flush=True)


def load(name):
    "A target, instrumented if it can be."
    if atheris is None: return importlib.import_module(f'tests.fuzz.{name}')
    with atheris.instrument_imports(include=INSTRUMENTED): return importlib.import_module(f'tests.fuzz.{name}')


def guided(tries, args):
    "Let atheris choose the inputs; it ends the process."
    module, corpus = tries.module, args.corpus and Path(args.corpus, tries.name)
    work = Path(tempfile.mkdtemp(prefix='seeds_'))
    for i, seed in enumerate(module.SEEDS): (work/f'seed_{i}').write_bytes(seed)
    quoted = [''.join(f'\\x{b:02x}' for b in token[:64]) for token in module.TOKENS]
    (work/'dict').write_text(''.join(f'"{q}"\n' for q in quoted))
    folders = [str(work)]
    if corpus:
        corpus.mkdir(parents=True, exist_ok=True)
        folders = [str(corpus), *folders]
    options = [f'-seed={args.seed}', f'-max_total_time={args.seconds}', '-max_len=16384', f'-dict={work/"dict"}', '-timeout=60',
               '-rss_limit_mb=3000', f'-artifact_prefix={work}/', '-print_final_stats=1', '-reload=0']
    with fence.fence(module):
        atheris.Setup([sys.argv[0], *options, *folders], tries)
        atheris.Fuzz()


def blind(tries, args):
    "Damage good inputs by chance."
    end, number = time.monotonic() + args.seconds, args.seed << 32
    with fence.fence(tries.module):
        while time.monotonic() < end:
            number += 1
            tries(mutate.damaged(tries.module, number))
    print(f'Done {tries.n} runs')


def one(name, args):
    "Run a target in a process of its own; how many inputs, what they reached, and how many got through."
    command = [sys.executable, '-m', 'tests.fuzz', name, '--inside', '--seconds', str(args.seconds), '--seed', str(args.seed), '--found', args.found]
    if args.corpus: command += ['--corpus', args.corpus]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors='replace')
    runs, reached = re.findall(r'(?:Done |stat::number_of_executed_units: )(\d+)', done.stdout), re.findall(r'cov: (\d+) ft: (\d+)', done.stdout)
    found = [line for line in done.stdout.splitlines() if line.startswith('FOUND')]
    for line in found: print(line)
    n, ended = int(runs[0]) if runs else 0, 'Done' in done.stdout
    cov = f'{reached[-1][0]} edges, {reached[-1][1]} features' if reached else 'blind'
    print(f'{name:13} {n:>9,} inputs, {cov}, {len(found)} found' + ('' if ended else f', DIED:\n{done.stdout[-2000:]}'), flush=True)
    return n, len(found) + (not ended)


def main():
    parser = argparse.ArgumentParser(prog='python -m tests.fuzz', description=__doc__)
    parser.add_argument('target', choices=[*TARGETS, 'all'])
    parser.add_argument('--seconds', type=int, default=60, help='for each target')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--found', default='found', help='folder for inputs that got through')
    parser.add_argument('--corpus', help='folder that keeps what reached new lines, for the next time')
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside: return (guided if atheris else blind)(Tries(args.target, load(args.target), args.found), args)
    print('guided by coverage, with atheris' if atheris else 'blind: atheris is not installed')
    counts = [one(name, args) for name in (TARGETS if args.target == 'all' else [args.target])]
    print(f'{"together":13} {sum(n for n, _ in counts):>9,} inputs, seed {args.seed}')
    sys.exit(any(bad for _, bad in counts))


if __name__ == '__main__': main()
