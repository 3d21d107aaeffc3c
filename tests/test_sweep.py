"""What a notebook cannot show of a sweep: workers and submitters that are killed, and other machines."""
import json, os, signal, subprocess, sys, tempfile, threading, time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from bnnp.data import DataError, get_data, load_cifar10
from bnnp.runs import RunConfig, one_line_errors
from bnnp.sweeps import EXPERIMENTS, Experiment, dask_executor, key, perform, prepared, read_record, sweep, sweep_command, train_once, trained, trials
from processes import alive, children, until

TESTS = Path(__file__).parent
SMALL = RunConfig((20, 20), epochs=2, num_train=200, batch_size=50, dataset='shapes10')
posix = pytest.mark.skipif(os.name != 'posix', reason='needs signals')


def fragile(config, data, folder='', dies=(), always=False, fails=()):
    "Train, but first say so in a file; some seeds kill their process, the first time or always, others raise."
    lives = Path(folder, f'{config.seed}_{config.normalization}')
    first = not lives.exists()
    with open(lives, 'a') as f: f.write('x')
    if config.seed in fails: raise ValueError(f'seed {config.seed} is refused')
    if config.seed in dies and (first or always): os.kill(os.getpid(), signal.SIGKILL)
    return train_once(config, data)


def slowly(config, data, seconds=0.):
    "Train, taking one's time."
    time.sleep(seconds)
    return train_once(config, data)


def weighs(config, data):
    "Look at every image, and weigh this process: megabytes by kind."
    touched = int(data['X_train'].sum(dtype=np.int64)) + int(data['X_val'].sum()) + int(data['X_test'].sum(dtype=np.int64))
    lines = Path('/proc/self/smaps_rollup').read_text().splitlines()[1:]
    kinds = {name: int(amount) / 1e3 for name, amount, _ in (line.replace(':', '').split() for line in lines)}
    threads = [lib['num_threads'] for lib in threadpool_info() if lib['user_api'] == 'blas']
    return dict(touched=touched, rss=kinds['Rss'], own=kinds['Anonymous'], threads=threads, pid=os.getpid())


def experiment(folder, seeds=4, **extra):
    return Experiment('fragile', 'Does it hold?', SMALL, factors=dict(normalization=(None, 'batchnorm')), seeds=seeds,
                      measure=fragile, extra=dict(folder=str(folder), **extra))


def bits(results): return [r.value and r.value['weights'] for r in results]


def at_home(e): return bits(sweep(replace(e, measure=train_once, extra={}), workers=1, log_dir=None, progress=False))


@posix
def test_a_worker_that_is_killed_costs_nothing(tmp_path):
    e = experiment(tmp_path, dies=(1,))
    results = sweep(e, workers=2, log_dir=tmp_path/'logs', progress=False)
    assert [r.error for r in results] == [None] * 8
    assert bits(results) == at_home(e)
    assert len(list((tmp_path/'logs').rglob('*.jsonl'))) == 8
    assert (tmp_path/'1_None').read_text() == 'xx'


@posix
def test_a_run_that_kills_every_worker_is_reported_and_the_others_go_on(tmp_path, capsys):
    e = experiment(tmp_path, dies=(1,), always=True)
    results = sweep(e, workers=2, log_dir=tmp_path/'logs', progress=False)
    assert [bool(r.error) for r in results] == [r.seed == 1 for r in results]
    assert [b for b in bits(results) if b] == [b for b, t in zip(at_home(e), trials(e)) if t.seed != 1]
    said = capsys.readouterr().out
    assert 'failed: batch norm, seed 1: its worker process died' in said and '"normalization": "batchnorm"' in said
    assert len((tmp_path/'1_None').read_text()) <= 3


@pytest.mark.parametrize('workers', [1, 2])
def test_a_run_that_fails_is_reported_with_its_configuration(tmp_path, capsys, workers):
    e = experiment(tmp_path, fails=(0, 2))
    results = sweep(e, workers=workers, log_dir=tmp_path/'logs', progress=False)
    assert [r.error for r in results if r.error] == [f'ValueError: seed {s} is refused' for s in (0, 0, 2, 2)]
    assert 'failed: no normalization, seed 2: ValueError: seed 2 is refused' in capsys.readouterr().out
    assert len(list((tmp_path/'logs').rglob('*.jsonl'))) == 4              # a failure leaves no log, and is tried again
    mended = sweep(e, workers=workers, log_dir=tmp_path/'logs', progress=False)
    assert (tmp_path/'1_None').read_text() == 'x' and (tmp_path/'2_None').read_text() == 'xx'


def command(log_dir, *more, seeds):
    "The words that start a sweep of many short runs in a process of its own."
    code = 'from bnnp.sweeps import sweep_command; sweep_command()'
    return [sys.executable, '-c', code, 'smoke', '--log_dir', str(log_dir), '--seeds', str(seeds), '--summary=', *more]


def stopped(process, log_dir, how):
    "Stop a sweep when it has a few logs; what it said, and the processes that it had started."
    until(lambda: len(logs_in(log_dir)) > 5)
    workers = children(process.pid)
    process.send_signal(how)
    said, _ = process.communicate(timeout=300)
    until(lambda: not any(map(alive, workers)))                            # nobody works on for nobody
    return said, workers


def logs_in(folder): return {p: p.stat().st_mtime_ns for p in folder.rglob('*.jsonl')}


@posix
@pytest.mark.parametrize('how, workers', [(signal.SIGKILL, 2), (signal.SIGINT, 2), (signal.SIGTERM, 2), (signal.SIGINT, 1), (signal.SIGTERM, 1)])
def test_a_sweep_that_is_stopped_goes_on_where_it_was(tmp_path, how, workers):
    words, temporary = command(tmp_path, '--workers', str(workers), seeds=20), tmp_path/'temporary'
    temporary.mkdir()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | {'TMPDIR': str(temporary)})
    said, started = stopped(process, tmp_path, how)
    assert len(started) >= (2 if workers == 2 else 0)
    before = logs_in(tmp_path)
    assert len(before) < 80 and all(read_record(p) for p in before)         # each is whole
    if how == signal.SIGKILL: assert process.returncode == -9
    else: assert process.returncode == 128 + how and f'stopped: {len(before)} of 80 runs' in said
    again = subprocess.run(words, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    after = logs_in(tmp_path)
    assert len(after) == 80 and before.items() <= after.items()            # none lost, none run again
    assert not [*temporary.glob('bnnp_sweep_*')]                           # workers whose parent was killed remove its folder
    e = replace(EXPERIMENTS['smoke'], seeds=20)
    assert bits(sweep(e, log_dir=tmp_path, workers=1, progress=False)) == at_home(e)


class Signalled:
    "A hook that sends a signal before the last step."
    def before_step(self, solver, X, y):
        if solver.step == solver.total - 1: signal.raise_signal(signal.SIGTERM)


def test_a_signal_in_the_last_step_of_a_run_is_not_forgotten():
    solver = prepared(replace(SMALL, epochs=1), get_data('shapes10', num_train=200), hooks=[Signalled()])
    with pytest.raises(KeyboardInterrupt) as stopped: trained(solver)
    assert stopped.value.args == (signal.SIGTERM,)


@contextmanager
def cluster(folder, workers=2):
    "A Dask scheduler and workers, each a process of its own; yields the address and the workers."
    env = os.environ | {'PYTHONPATH': f'{TESTS}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'}
    start = lambda *words: subprocess.Popen([sys.executable, '-m', 'distributed.cli.dask_' + words[0], *words[1:]],
                                            env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    place, processes = folder/'scheduler.json', []
    try:
        processes.append(start('scheduler', '--scheduler-file', str(place), '--port', '0', '--no-dashboard'))
        until(lambda: place.exists() and place.read_text().rstrip().endswith('}'))
        address = json.loads(place.read_text())['address']
        options = '--nthreads 1 --no-nanny --no-dashboard --local-directory'.split()
        processes += [start('worker', address, *options, str(folder)) for _ in range(workers)]
        yield address, processes[1:]
    finally:
        for p in processes: p.kill()
        for p in processes: p.wait()


@posix
def test_dask_workers_one_of_which_is_killed(tmp_path):
    distributed = pytest.importorskip('distributed')
    e = Experiment('slowly', 'Does it hold?', SMALL, factors=dict(normalization=(None, 'batchnorm')), seeds=12, measure=slowly,
                   extra=dict(seconds=.1))
    logs = lambda: logs_in(tmp_path/'logs')
    with cluster(tmp_path) as (address, workers), distributed.Client(address) as client:
        client.wait_for_workers(2, timeout=300)
        def kill_one():
            until(lambda: len(logs()) >= 6)
            workers[0].kill()
        killer = threading.Thread(target=kill_one)
        killer.start()
        with client.get_executor() as executor: results = sweep(e, executor, log_dir=tmp_path/'logs', progress=False)
        killer.join()
        assert workers[0].wait() == -9 and workers[1].poll() is None
    assert [r.error for r in results] == [None] * 24
    assert bits(results) == at_home(e)
    assert len(logs()) == 24 == len({key(r.trial) for r in results})


@posix
def test_the_command_with_a_scheduler(tmp_path):
    pytest.importorskip('distributed')
    with cluster(tmp_path) as (address, _):
        done = subprocess.run(command(tmp_path/'logs', '--scheduler', address, seeds=3), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    e = replace(EXPERIMENTS['smoke'], seeds=3)
    assert bits(sweep(e, log_dir=tmp_path/'logs', workers=1, progress=False)) == at_home(e)
    assert len(list((tmp_path/'logs').rglob('*.jsonl'))) == 12


@pytest.mark.skipif(not Path('/proc/self/smaps_rollup').exists(), reason='needs Linux')
def test_workers_share_the_images_and_have_one_thread_each():
    try: load_cifar10(download=False)
    except DataError: pytest.skip('needs CIFAR-10')
    e = Experiment('weighs', 'What does a worker weigh?', RunConfig(dataset='cifar10'), seeds=6, measure=weighs)
    values = [r.value for r in sweep(e, workers=2, log_dir=None, progress=False)]
    assert len({v['pid'] for v in values}) == 2 and len({v['touched'] for v in values}) == 1
    assert all(v['threads'] == [1] * len(v['threads']) for v in values)
    assert all(v['rss'] > 184 for v in values)                             # all 60,000 images are in its memory
    assert all(v['own'] < 92 for v in values)                              # but not even half of them are its own


@posix
def test_the_command_with_a_scheduler_is_stopped(tmp_path):
    pytest.importorskip('distributed')
    with cluster(tmp_path) as (address, workers):
        words = command(tmp_path/'logs', '--scheduler', address, seeds=40)
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        said, _ = stopped(process, tmp_path/'logs', signal.SIGINT)
        assert process.returncode == 130 and 'of 160 runs are done and kept' in said
        assert all(w.poll() is None for w in workers)                      # they are not ours to end


def test_a_scheduler_slow_to_let_go_does_not_change_how_a_sweep_ended(monkeypatch):
    distributed = pytest.importorskip('distributed')
    class Client:
        def __init__(self, *args, **kwargs): pass
        def get_executor(self): return SimpleNamespace(shutdown=lambda wait: None)
        def close(self, timeout): raise distributed.TimeoutError(f'timed out after {timeout} s.')
    monkeypatch.setattr(distributed, 'Client', Client)
    with pytest.raises(SystemExit) as left, one_line_errors(), dask_executor('tcp://somewhere:1'): sys.exit(130)
    assert left.value.code == 130
    with dask_executor('tcp://somewhere:1') as executor: assert executor.shutdown


@posix
def test_a_scheduler_that_goes_away_is_a_line(tmp_path):
    pytest.importorskip('distributed')
    with cluster(tmp_path) as (address, workers):
        words = command(tmp_path/'logs', '--scheduler', address, seeds=60)
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda: len(logs_in(tmp_path/'logs')) > 5)
        subprocess.run([sys.executable, '-c', f'from distributed import Client; Client({address!r}, timeout="9s").shutdown()'], timeout=60)
        _, complaints = process.communicate(timeout=300)
    assert process.returncode == 1 and complaints.splitlines()[-1].startswith('error: the executor gave up its runs'), complaints
    assert 'Traceback' not in complaints and all(map(read_record, logs_in(tmp_path/'logs')))


def test_no_scheduler_is_a_line(tmp_path):
    pytest.importorskip('distributed')
    words = command(tmp_path, '--scheduler', 'tcp://127.0.0.1:1', seeds=1)
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith('error: ') and 'tcp://127.0.0.1:1' in done.stderr
    assert 'Traceback' not in done.stderr


def test_a_script_that_would_start_itself_again_is_told_so(tmp_path):
    script = tmp_path/'script.py'
    script.write_text('from bnnp.sweeps import EXPERIMENTS, sweep\n'
                      'results = sweep(EXPERIMENTS["smoke"], workers=2, log_dir=None)\nprint(len(results))\n')
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and any("within `if __name__ == '__main__':`" in line for line in done.stderr.splitlines())
    script.write_text(script.read_text().replace('results =', "if __name__ == '__main__': results =").replace('\nprint', '; print'))
    assert subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300).stdout == '12\n'
    done = subprocess.run([sys.executable, '-'], input=script.read_text(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and 'put the program, or the measure, into a file' in done.stderr.splitlines()[-1], done.stderr


def test_a_worker_with_other_data_refuses():
    with pytest.raises(OSError, match='has the checksum [0-9a-f]+ here, 123 where the run comes from'):
        perform(trials(EXPERIMENTS['smoke'])[0], '123')


def test_a_worker_with_other_code_refuses():
    trial = trials(EXPERIMENTS['smoke'])[0]
    other = replace(trial, code=trial.code | {'bnnp.layers': '0'})
    with pytest.raises(RuntimeError, match='the code of bnnp.layers here differs from that'): perform(other, get_data('shapes10')['checksum'])


def test_a_worker_without_data_downloads_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr('bnnp.sweeps._WHOLE', {})
    asked = []
    def load(*args, download=True):
        asked.append(download)
        raise DataError('not found')
    monkeypatch.setattr('bnnp.sweeps.load_data', load)
    with pytest.raises(DataError): perform(trials(replace(EXPERIMENTS['smoke'], base=replace(SMALL, dataset='cifar10')))[0], '')
    assert asked == [False]


@pytest.mark.parametrize('tasks', [3, 2000])
def test_runs_are_handed_out_in_batches(monkeypatch, tmp_path, tasks):
    monkeypatch.setattr('bnnp.sweeps._TASKS', tasks)
    e, sizes = experiment(tmp_path, fails=(2,)), []
    class Counting(ThreadPoolExecutor):
        def submit(self, fn, batch, *more):
            sizes.append(len(batch))
            return super().submit(fn, batch, *more)
    with Counting(1) as executor: results = sweep(e, executor, log_dir=tmp_path/'logs', progress=False)
    assert sizes == ([3, 3, 2] if tasks == 3 else [1] * 8)
    assert [b for b in bits(results) if b] == [b for b, t in zip(at_home(e), trials(e)) if t.seed != 2]
    assert [r.error for r in results if r.error] == ['ValueError: seed 2 is refused'] * 2 and len(logs_in(tmp_path/'logs')) == 6


@posix
def test_a_worker_that_is_killed_while_it_starts_costs_nothing(tmp_path):
    process = subprocess.Popen(command(tmp_path, '--workers', '2', seeds=2), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: len(children(process.pid)) >= 2)
    os.kill(max(children(process.pid)), signal.SIGKILL)                    # it has not even imported anything
    _, complaints = process.communicate(timeout=300)
    assert process.returncode == 0 and len(logs_in(tmp_path)) == 8, complaints


class Breaks(Executor):
    "As a process pool on Python 3.11: it breaks while it starts its second worker, or cannot start one at all."
    def __init__(self, broken): self.broken, self.first = broken, True

    def submit(self, *work):
        first, self.first = self.first, False
        if not first: raise OSError('handle is closed')
        future = Future()
        if self.broken: future.set_exception(BrokenProcessPool('a worker died'))
        return future


def test_a_pool_that_breaks_while_it_starts_a_worker_costs_nothing(monkeypatch, tmp_path):
    pools, e = [Breaks(broken=True)], experiment(tmp_path)
    monkeypatch.setattr('bnnp.sweeps.ProcessPoolExecutor', lambda *given: pools.pop() if pools else ProcessPoolExecutor(*given))
    assert bits(sweep(e, workers=2, log_dir=None, progress=False)) == at_home(e) and not pools


def test_another_error_of_an_executor_is_not_taken_for_a_broken_pool(tmp_path):
    with pytest.raises(OSError, match='handle is closed'): sweep(experiment(tmp_path), Breaks(broken=False), log_dir=None, progress=False)


def test_a_machine_where_no_worker_lives_is_a_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr('bnnp.sweeps.ProcessPoolExecutor', lambda *given: Breaks(broken=True))
    with pytest.raises(SystemExit, match='error: worker processes died three times before any run was done: use one worker if memory is short'):
        sweep_command(['smoke', '--workers', '2', '--summary=', '--log_dir', str(tmp_path)])
