"""What the place allows where a command runs: no home, no source, no locale, no memory, no threads. Each ends well, or in one line."""
import compileall, os, shutil, subprocess, sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRAIN = 'from bnnp.runs import train_command; train_command()'
SWEEP = 'from bnnp.sweeps import sweep_command\nif __name__ == "__main__": sweep_command()'
SHORT = '--dataset shapes10 --num_train 200 --hidden_dims 10 --epochs 1'.split()


def python(folder, code, *argv, package=ROOT, **env):
    "Run code in a folder; status, stdout, stderr."
    env = {**os.environ, 'PYTHONPATH': str(package), **env}
    done = subprocess.run([sys.executable, '-c', code, *argv], cwd=folder, env=env, text=True, capture_output=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize('option', ['--log_dir', '--checkpoint_dir', '--data_dir'])
def test_a_home_that_is_not_there(tmp_path, option):
    more = ['--dataset', 'cifar10'] if option == '--data_dir' else []
    status, _, err = python(tmp_path, TRAIN, *SHORT, *more, option, '~nosuchuser/x')
    assert status == 1 and err.splitlines()[-1].endswith('~nosuchuser/x: there is no such home directory'), err
    assert not [*tmp_path.glob('~*')]


def test_a_tilde_is_the_home(tmp_path):
    (tmp_path/'home').mkdir()
    folders = '--log_dir', '~/logs', '--checkpoint_dir', '~/states'
    for more in ((), ('--resume', '--epochs', '2')):
        assert python(tmp_path, TRAIN, *SHORT, *folders, *more, HOME=str(tmp_path/'home'))[0] == 0
    status, _, err = python(tmp_path, SWEEP, 'smoke', '--seeds', '1', '--workers', '1', '--log_dir', '~/sweeps', '--summary', '~/summaries', '--store',
                            HOME=str(tmp_path/'home'))
    assert status == 0, err
    assert [p.name for p in tmp_path.iterdir()] == ['home']
    assert sorted(p.name for p in (tmp_path/'home').iterdir() if p.name[0] != '.') == ['logs', 'states', 'summaries', 'sweeps']
    assert len([*(tmp_path/'home/logs').iterdir()]) == 1


def test_a_copy_without_source(tmp_path):
    shutil.copytree(ROOT/'bnnp', tmp_path/'bnnp', ignore=shutil.ignore_patterns('__pycache__'))
    compileall.compile_dir(tmp_path/'bnnp', legacy=True, quiet=1)
    for source in (tmp_path/'bnnp').glob('*.py'): source.unlink()
    status, out, err = python(tmp_path, TRAIN, '--help', package=tmp_path)
    assert status == 0 and '--hidden_dims' in out, err
    keys = 'from bnnp.sweeps import EXPERIMENTS, key, trials; print([key(t) for t in trials(EXPERIMENTS["smoke"])])'
    assert python(tmp_path, keys, package=tmp_path)[:2] == python(tmp_path, keys)[:2]


@pytest.mark.skipif(os.name != 'posix', reason='needs limits')
def test_too_little_memory_is_said(tmp_path):
    code = f'import resource, bnnp.runs; import numpy as np\nresource.setrlimit(resource.RLIMIT_DATA, (150 << 20,) * 2)\n{TRAIN}'
    status, _, err = python(tmp_path, code, *SHORT, '--hidden_dims', '8000', '8000', OPENBLAS_NUM_THREADS='1')
    assert status == 1 and err.splitlines()[-1].startswith('error: not enough memory'), err
    code = f'import bnnp.runs\ndef run(*args, **kwargs): raise MemoryError\nbnnp.runs.run = run\n{TRAIN}'
    assert python(tmp_path, code, *SHORT)[::2] == (1, 'error: not enough memory\n')


@pytest.mark.parametrize('what', ["multiprocessing.popen_spawn_posix.Popen._launch", "threading.Thread.start"])
def test_a_refused_process_or_thread_names_the_way_out(tmp_path, what):
    module, _, rest = what.partition('.Popen' if 'Popen' in what else '.Thread')
    error = "BlockingIOError(11, 'Resource temporarily unavailable')" if 'Popen' in what else 'RuntimeError("can\'t start new thread")'
    code = f'import concurrent.futures, {module}\ndef refuse(*args, **kwargs): raise {error}\n{what} = refuse\n{SWEEP}'
    status, _, err = python(tmp_path, code, 'smoke', '--seeds', '1', '--workers', '2', '--summary=')
    assert status == 1 and err.splitlines()[-1].startswith('error: ') and '--workers 1' in err.splitlines()[-1] and 'Traceback' not in err, err
