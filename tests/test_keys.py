"""A stored result is never taken for one of other code, another default or another function; and two writers lose nothing."""
import importlib.util, os, subprocess, sys
import multiprocessing as mp
from dataclasses import field, make_dataclass, replace

import pytest

import bnnp.layers, bnnp.plots
from bnnp import sweeps
from bnnp.runs import RunConfig
from bnnp.sweeps import Experiment, Result, key, known_results, looked_up, read_summary, store, stored, sweep, trials, why_missing

BASE = RunConfig((5,), epochs=1, num_train=100, batch_size=50, dataset='shapes10')
SOURCE = '''
SCALE = 2

def helper(x):
    "Twice."
    return SCALE * x   # a comment

class Tool:
    factor = 1
    def use(self, x): return helper(x) * self.factor

def measure(config, data, more=0):
    "A measure."
    return dict(value=Tool().use(config.seed) + more)

def draw(experiment, results): return None
'''


@pytest.fixture
def module(tmp_path):
    "Writes and loads a module of a user's; replacements edit it first."
    def load(*replacements):
        source = SOURCE
        for old, new in replacements:
            assert old in source
            source = source.replace(old, new)
        path = tmp_path/f'users_measures_{abs(hash(source))}.py'
        path.write_text(source)
        spec = importlib.util.spec_from_file_location('users_measures', path)
        sys.modules['users_measures'] = loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded
    yield load
    sys.modules.pop('users_measures', None)


def experiment(measure, **more): return Experiment('keys', 'Is it stale?', BASE, seeds=2, measure=measure, outcomes=('value',), **more)


def values(results): return [r.value['value'] for r in results]


@pytest.mark.parametrize('old, new, again', [
    ('SCALE = 2', 'SCALE = 3', [0, 3]),                                    # a constant of the module
    ('return SCALE * x ', 'return SCALE * x + 1 ', [1, 3]),                # a function that it calls
    ('factor = 1', 'factor = 2', [0, 4]),                                  # an attribute of a class that it uses
    ('more=0', 'more=5', [5, 7]),                                          # a default of its own
    ('(config.seed) + more', '(config.seed) - more - 1', [-1, 1]),         # itself
])
def test_an_edit_of_the_measure_makes_its_runs_to_do_again(module, tmp_path, old, new, again):
    first, edited = experiment(module().measure), experiment(module((old, new)).measure)
    assert values(sweep(first, workers=1, log_dir=tmp_path, progress=False)) == [0, 2]
    assert dict(why_missing(looked_up(edited, tmp_path))) == {'other code of users_measures': 2}
    assert values(sweep(edited, workers=1, log_dir=tmp_path, progress=False)) == again
    assert values(known_results(experiment(module().measure), tmp_path)[0]) == [0, 2]         # the first ones are still there


@pytest.mark.parametrize('old, new', [
    ('"Twice."', '"Two times."'), ('    "Twice."\n', ''), ('   # a comment', ''), ('"A measure."', '"What is measured."'), ('\n\n', '\n\n\n\n'),
    ('def draw(experiment, results): return None', 'def paint(experiment, results): return 1'),
])
def test_an_edit_of_words_and_figures_does_not(module, tmp_path, old, new):
    sweep(experiment(module().measure), workers=1, log_dir=tmp_path, progress=False)
    there, missing = known_results(experiment(module((old, new)).measure), tmp_path)
    assert len(there) == 2 and not missing


def test_a_default_of_the_configuration_that_changes(tmp_path, monkeypatch):
    measure = lambda config, data: dict(value=config.reg)
    before = {key(t) for t in trials(experiment(measure))}
    other = replace(BASE, reg=.5)                                          # as if the class had this default from now on
    monkeypatch.setattr(RunConfig, 'reg', .5)
    e = replace(experiment(measure), base=other)
    assert not before & {key(t) for t in trials(e)}


def test_a_new_field_of_the_configuration(monkeypatch):
    more = make_dataclass('RunConfig', [('patience', int, field(default=3))], bases=(RunConfig,), frozen=True)
    monkeypatch.setattr(sweeps, 'RunConfig', more)
    trial = trials(experiment(lambda config, data: {}))[0]
    now, then = (sweeps.identity(replace(trial, config=more(**{**vars(BASE), 'patience': p}))) for p in (4, 3))
    assert sweeps.differences(now, then) == 'patience 3 then, 4 now'


def test_two_lambdas_have_two_keys():
    measures = [lambda config, data: dict(value=1), lambda config, data: dict(value=2), lambda config, data: dict(value=1.)]
    measures += [(lambda k: lambda config, data: dict(value=k))(k) for k in (3, 4)]
    measures += [lambda config, data, k=k: dict(value=k) for k in (3, 4)]
    assert len({key(trials(experiment(m))[0]) for m in measures}) == len(measures)


def test_library_code_that_decides_numbers_and_that_does_not(tmp_path, monkeypatch):
    e = Experiment('library', 'Is it stale?', replace(BASE, normalization='batchnorm', optimizer='sgd'), seeds=1)
    sweep(e, workers=1, log_dir=tmp_path, progress=False)
    reasons = lambda: dict(why_missing(looked_up(e, tmp_path)))
    monkeypatch.setattr(bnnp.plots, 'save_figure', lambda *args: None)
    monkeypatch.setattr(sweeps, 'summary_table', lambda *args: None)
    monkeypatch.setattr(bnnp.logs, 'tqdm', type('tqdm_notebook', (), {}))                 # as in Jupyter
    monkeypatch.setitem(sweeps.RULES, 'another', lambda w, dw, config=None, out=None: (w, config))
    assert not reasons()
    before = bnnp.layers.softmax_loss.__code__
    def softmax_loss(x, y, label_smoothing=0.): return 1.01 * x.sum(), x
    monkeypatch.setattr(bnnp.layers.softmax_loss, '__code__', softmax_loss.__code__)
    assert ['bnnp.layers' in why for why in reasons()] == [True]
    monkeypatch.setattr(bnnp.layers.softmax_loss, '__code__', before)
    assert not reasons()
    norm = bnnp.layers.NORMS['batchnorm']
    monkeypatch.setitem(bnnp.layers.NORMS, 'another', norm)
    assert not reasons()
    monkeypatch.setitem(bnnp.layers.NORMS, 'batchnorm', bnnp.layers.NORMS['layernorm'])
    assert len(reasons()) == 1
    monkeypatch.setitem(bnnp.layers.NORMS, 'batchnorm', norm)
    assert not reasons()
    monkeypatch.setitem(sweeps.RULES, 'sgd', lambda w, dw, config=None, out=None: (w, config))
    assert len(reasons()) == 1


def test_results_without_parts_are_shown_with_a_note(module, tmp_path, capsys):
    e = experiment(module().measure)
    path = store(e, sweep(e, workers=1, log_dir=None, progress=False), tmp_path)
    lines = path.read_text().splitlines()
    path.write_text('\n'.join(['{"experiment": "keys"}', *(line.replace('"parts"', '"ignored"').replace('"key":"', '"key":"0') for line in lines[1:])]))
    assert values(stored(e, tmp_path)) == [0, 2] and not known_results(e, None, tmp_path)[0]
    assert '2 of 2 runs' in (said := capsys.readouterr().out) and 'made by other code' in said
    store(e, sweep(e, workers=1, log_dir=None, progress=False), tmp_path)
    assert values(known_results(e, None, tmp_path)[0]) == [0, 2] and len(read_summary(path)) == 2
    assert values(stored(e, tmp_path)) == [0, 2] and not capsys.readouterr().out


def constant(config, data): return dict(value=config.seed)


def store_many(folder, first, barrier):
    barrier.wait()
    for seed in range(first, first + 20):
        e = Experiment('together', 'Is none lost?', BASE, seeds=1, first_seed=seed, measure=constant)
        store(e, [Result(t, dict(value=t.seed), 1.) for t in trials(e)], folder)


def test_two_that_store_at_once_lose_nothing(tmp_path):
    context = mp.get_context('spawn')
    barrier = context.Barrier(2)
    writers = [context.Process(target=store_many, args=(tmp_path, first, barrier)) for first in (0, 100)]
    for w in writers: w.start()
    for w in writers: w.join()
    assert [w.exitcode for w in writers] == [0, 0]
    assert sorted(r['seed'] for r in read_summary(tmp_path/'together_shapes10.jsonl')) == [*range(20), *range(100, 120)]
    assert not [*tmp_path.glob('*.lock')]


def test_keys_are_the_same_in_every_process():
    code = 'from bnnp.sweeps import EXPERIMENTS, key, trials; print([key(t) for t in trials(EXPERIMENTS["smoke"])])'
    said = {subprocess.run([sys.executable, '-c', code], env=os.environ | {'PYTHONHASHSEED': seed}, capture_output=True, text=True, check=True).stdout
            for seed in ('0', '1')}
    assert said == {f'{[key(t) for t in trials(sweeps.EXPERIMENTS["smoke"])]}\n'}
