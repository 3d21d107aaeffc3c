"""The command that draws curves, as its user meets it: exit status, messages, files; and what importing it must not do."""
import os, subprocess, sys
from pathlib import Path

import pytest

from bnnp.logs import start_log

ROOT = Path(__file__).parents[1]


def python(folder, *argv, **env):
    "Run Python in a folder; status, stdout, stderr."
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    done = subprocess.run([sys.executable, *argv], cwd=folder, text=True, capture_output=True, timeout=60, env={**os.environ, 'PYTHONPATH': path, **env})
    return done.returncode, done.stdout, done.stderr


def plot(folder, *argv, **env): return python(folder, str(ROOT/'plot_results.py'), *argv, **env)


def write_run(folder, name, seed, finished=True):
    log = start_log(folder, name, config={'normalization': 'batchnorm', 'epochs': 2, 'seed': seed, 'dataset': 'auto'}, dataset={'name': 'shapes10'})
    for epoch in range(3):
        log.write('epoch', step=10 * epoch, epoch=epoch, loss=2.3 - seed / 10 - epoch if epoch else None, train_acc=.1 + epoch / 4, val_acc=.1 + epoch / 5)
    if finished: log.write('result', test_acc=.48, seconds=1.5)


def test_draws_what_is_there_and_names_what_is_not(tmp_path):
    logs = tmp_path/'submission_logs'
    for seed in range(2): write_run(logs, f'bn_seed_{seed}', seed)
    (logs/'broken.jsonl').write_bytes(b'\xff\x00\n')
    status, out, err = plot(tmp_path, MPLBACKEND='tkagg', PYTHONIOENCODING='ascii')          # a backend that needs a display is never opened
    assert status == 0, err
    assert out.splitlines()[-1] == f'figure: {Path("submission_logs/curves.png")} {Path("submission_logs/curves.svg")}'
    assert out.splitlines()[0] == 'shapes10 (synthetic images, a stand-in for CIFAR-10)'
    assert [line.split('  ')[0] for line in out.splitlines()[2:4]] == ['seed 0', 'seed 1']
    assert [line.split()[-4:] for line in out.splitlines()[2:4]] == [['0.500', '2', '0.480', '1.5']] * 2
    assert err == f'skipped {Path("submission_logs/broken.jsonl")}: line 1 is not a line of a run log\n'
    svg = (logs/'curves.svg').read_text(encoding='utf-8')
    assert 'a stand-in for CIFAR-10' in svg and 'seed 1' in svg
    assert sorted(p.name for p in logs.iterdir()) == ['bn_seed_0.jsonl', 'bn_seed_1.jsonl', 'broken.jsonl', 'curves.png', 'curves.svg']


def test_another_process_draws_the_same_bytes(tmp_path):
    for seed in range(2): write_run(tmp_path/'logs', f'bn_seed_{seed}', seed, finished=seed)
    for name, hash_seed in (('a', '1'), ('b', '2')):
        assert plot(tmp_path, '--log_dir', 'logs', '--out', f'new/{name}.svg', '--group_seeds', 'interval', PYTHONHASHSEED=hash_seed)[0] == 0
    for form in ('png', 'svg'): assert (tmp_path/f'new/a.{form}').read_bytes() == (tmp_path/f'new/b.{form}').read_bytes()


def test_a_mistake_is_one_line(tmp_path):
    assert plot(tmp_path) == (1, '', 'no folder submission_logs: make one with: python train.py --use_batchnorm\n')
    (tmp_path/'submission_logs').mkdir()
    assert plot(tmp_path) == (1, '', 'no runs in submission_logs: make one with: python train.py --use_batchnorm\n')
    (tmp_path/'submission_logs'/'x.jsonl').write_text('')
    status, out, err = plot(tmp_path)
    assert (status, out, err.splitlines()[-1]) == (1, '', 'no usable runs in submission_logs: make one with: python train.py --use_batchnorm')
    write_run(tmp_path/'submission_logs', 'run', 0)
    status, out, err = plot(tmp_path, '--out', 'submission_logs/x.jsonl/curves')
    assert status == 1 and err.splitlines()[-1].startswith('error: cannot write submission_logs/x.jsonl/curves.png: ') and 'Traceback' not in err
    status, out, err = plot(tmp_path, MPLBACKEND='foo')
    assert status == 1 and err.splitlines()[-1].startswith('error: ') and 'foo' in err and 'Traceback' not in err
    assert plot(tmp_path, '--group_seeds', 'sd')[0] == plot(tmp_path, '--nonsense')[0] == 2


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='needs named pipes')
def test_links_are_followed_and_a_pipe_is_not_read(tmp_path):
    write_run(tmp_path/'elsewhere', 'run', 0)
    (tmp_path/'logs').mkdir()
    (tmp_path/'logs/run.jsonl').symlink_to(tmp_path/'elsewhere/run.jsonl')
    (tmp_path/'logs/all').symlink_to(tmp_path/'elsewhere')
    os.mkfifo(tmp_path/'logs/pipe.jsonl')
    status, out, err = plot(tmp_path, '--log_dir', 'logs')
    assert status == 0 and len(out.splitlines()) == 4, err
    assert err.splitlines() == ['skipped logs/all: a link to a folder', 'skipped logs/pipe.jsonl: not a file']


@pytest.mark.parametrize('module', ['bnnp.style', 'bnnp.statistics', 'bnnp.gradient_check', 'bnnp.plots'])
def test_importing_does_not_wait_for_matplotlib(tmp_path, module):
    code = f"import sys, {module}; print([m for m in sys.modules if m in ('matplotlib', 'cycler')])"
    assert python(tmp_path, '-c', code)[1] == '[]\n'


def test_help_does_not_wait_for_matplotlib(tmp_path):
    code = ("import sys; from bnnp.plots import plot_command\n"
            "try: plot_command(['--help'])\n"
            "except SystemExit as e: print(e.code, 'matplotlib' in sys.modules)")
    status, out, err = python(tmp_path, '-c', code)
    assert out.splitlines()[-1] == '0 False' and '(default: submission_logs)' in out, err
