"""Training that is killed and resumed ends with the same bits as training that was left alone."""
import json, os, random, signal, subprocess, sys, time
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from bnnp.data import get_data
from bnnp.network import FullyConnectedNet
from bnnp.checkpoints import checkpoint_path, checkpoints, load_checkpoint
from bnnp.logs import read_log
from bnnp.solver import Solver, available_threads

OPTIONS = ('--dataset shapes10 --num_train 4000 --hidden_dims 150 150 --use_batchnorm --dropout 0.3 --reg 0.001 '
           '--epochs 15 --batch_size 50 --lr_decay 0.8 --seed 7').split()
NAME = 'shapes10_2x150_batchnorm_dropout_0.3_num_train_4000_batch_size_50_lr_decay_0.8_reg_0.001_seed_7'


def start(folder, *more, **options):
    "Start training in a folder of its own; the process, with its output readable."
    command = [sys.executable, '-c', 'from bnnp.runs import train_command; train_command()', *OPTIONS, *more]
    return subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
                            env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get('PYTHONPATH', '')])})


def finish(process):
    "Wait for a process that should succeed; its output."
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return out


def as_bytes(state):
    "A state with its arrays as bytes, to be compared."
    if isinstance(state, dict): return {k: as_bytes(v) for k, v in state.items()}
    return (state.dtype.str, state.shape, state.tobytes()) if isinstance(state, np.ndarray) else state


def outcome(folder):
    "All that must be equal: the last checkpoint, and the log without its times."
    run = read_log(folder/'submission_logs'/f'{NAME}.jsonl')
    timeless = lambda line: {k: v for k, v in line.items() if k != 'seconds'}
    return (as_bytes(timeless(load_checkpoint(checkpoints(folder/'checkpoints'/NAME)[-1]))),
            *[[timeless(l) for l in lines] for lines in (run.train, run.epochs, [run.result])])


@pytest.fixture(scope='module', params=[1, 2], ids='{} cores'.format)
def cores(request): return '--threads', str(request.param)


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory, cores):
    folder = tmp_path_factory.mktemp('uninterrupted')
    finish(start(folder, *cores))
    return outcome(folder)


def kill_at_random(process, log, rng):
    "SIGKILL a process some time after its log has grown by a random amount; False if it had ended by then."
    size = lambda: log.stat().st_size if log.exists() else 0
    target = size() + rng.randrange(700)                       # an epoch's line has some 150 bytes
    while size() < target and process.poll() is None: time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.05))
    lives = process.poll() is None
    process.kill()
    process.communicate()
    return lives


@pytest.mark.long
@pytest.mark.parametrize('seed', range(3))
def test_killed_and_resumed_is_the_same_run(tmp_path, cores, uninterrupted, seed):
    rng, log = random.Random(seed), tmp_path/'submission_logs'/f'{NAME}.jsonl'
    kills = sum(kill_at_random(start(tmp_path, '--resume', *cores), log, rng) for _ in range(4))
    assert kills >= 2, 'the runs were over before they could be killed'
    finish(start(tmp_path, '--resume', *cores))
    assert [p.name for p in (tmp_path/'submission_logs').iterdir()] == [log.name]
    assert outcome(tmp_path) == uninterrupted
    assert not list((tmp_path/'checkpoints').glob('*.tmp'))


@pytest.mark.long
def test_ctrl_c_saves_and_ends(tmp_path, cores, uninterrupted):
    process = start(tmp_path, *cores, start_new_session=True)
    log = tmp_path/'submission_logs'/f'{NAME}.jsonl'
    while not log.exists() or b'"epoch": 1,' not in log.read_bytes(): time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)                      # as a terminal does: to all
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130 and 'stopped after step' in out and 'Traceback' not in err, (out, err)
    assert json.loads(log.read_text().splitlines()[-1])['kind'] == 'stopped'
    finish(start(tmp_path, '--resume', *cores))
    assert outcome(tmp_path) == uninterrupted


def test_training_leaves_blas_as_it_was():
    data = get_data('shapes10', num_train=200, num_val=50, num_test=50)
    with threadpool_limits(3, user_api='blas'):
        Solver(FullyConnectedNet([64], seed=0), data, num_epochs=1, batch_size=100, threads=2, verbose=False).train()
        assert available_threads() == 3


def test_running_twice_keeps_both(tmp_path):
    for _ in range(2): finish(start(tmp_path, '--epochs', '1'))
    assert len(list((tmp_path/'submission_logs').iterdir())) == 2


@pytest.mark.parametrize('options, word', [
    (['--dropout', '1.5'], 'got 1.5'), (['--optimizer', 'adma'], 'adma'), (['--hidden_dims', '0'], 'hidden_dims'), (['--batch_size', '0'], 'batch_size'),
    (['--num_train', '0'], 'num_train'), (['--seed', '-1'], 'seed'), (['--threads', '0'], 'threads'), (['--nonsense'], '--nonsense')])
def test_wrong_options_are_one_clear_line(tmp_path, options, word):
    process = start(tmp_path, *options)
    _, err = process.communicate(timeout=300)
    assert process.returncode in (1, 2) and word in err.splitlines()[-1] and 'Traceback' not in err, err
    assert not (tmp_path/'submission_logs').exists()


def test_a_log_folder_that_is_a_file(tmp_path):
    (tmp_path/'taken').write_text('mine')
    _, err = (process := start(tmp_path, '--log_dir', 'taken')).communicate(timeout=300)
    assert process.returncode == 1 and 'taken' in err and 'Traceback' not in err
    assert (tmp_path/'taken').read_text() == 'mine'


def test_two_processes_cannot_be_at_one_run(tmp_path):
    first = start(tmp_path, '--epochs', '500')
    while not list((tmp_path).glob('checkpoints/*.npz')): time.sleep(0.01)
    second = start(tmp_path, '--epochs', '500', '--resume')
    _, err = second.communicate(timeout=300)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=300)
    assert second.returncode == 1 and 'another process' in err


@pytest.mark.long
@pytest.mark.parametrize('cores', [1], indirect=True)
def test_damaged_checkpoints(tmp_path, cores, uninterrupted):
    finish(start(tmp_path, *cores))
    older, newest = checkpoints(tmp_path/'checkpoints'/NAME)
    newest.write_bytes(newest.read_bytes()[:5000])
    _, err = (process := start(tmp_path, '--resume', *cores)).communicate(timeout=300)
    assert process.returncode == 0 and newest.name in err and outcome(tmp_path) == uninterrupted
    for path in checkpoints(tmp_path/'checkpoints'/NAME): path.write_bytes(b'PK')
    _, err = (process := start(tmp_path, '--resume', *cores)).communicate(timeout=300)
    assert process.returncode == 1 and 'anew' in err.splitlines()[-1] and 'Traceback' not in err


@pytest.mark.long
def test_nobody_listens(tmp_path, cores, uninterrupted):
    process = start(tmp_path, *cores)
    process.stdout.close()                                      # the first line finds a broken pipe
    process.stdout = None
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert outcome(tmp_path) == uninterrupted
