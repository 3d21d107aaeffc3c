"""The same seed gives the same bits: in other processes, after a resume, in a sweep of any width; and what does change them."""
import hashlib, json, os, subprocess, sys
from pathlib import Path

import numpy as np
import pytest

from bnnp.data import epoch_batches, get_data, load_data, load_shapes10, resplit
from bnnp.layers import dropout_mask
from bnnp.network import FullyConnectedNet
from bnnp.runs import RunConfig, build
from bnnp.sweeps import Experiment, digest, sweep, train_once

CONFIG = dict(hidden_dims=(32, 32), normalization='batchnorm', dropout=.3, num_train=500, epochs=2, batch_size=50, reg=1e-3,
              seed=7, flip=True, shift=2, dataset='shapes10')
SCRIPT = """
import json, sys
from bnnp.data import get_data
from bnnp.runs import RunConfig
from bnnp.sweeps import train_once
config = RunConfig(**json.loads(sys.argv[1]))
result = train_once(config, get_data(config.dataset, config.num_train))
print(json.dumps([result['weights'], result['loss']]))
"""


def elsewhere(changes={}, **environment):
    "The digest of all weights and the losses of the run in a process of its own."
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get('PYTHONPATH', '')])
    done = subprocess.run([sys.executable, '-c', SCRIPT, json.dumps(CONFIG | changes)], text=True, capture_output=True,
                          env={**os.environ, 'PYTHONPATH': path, 'OPENBLAS_NUM_THREADS': '1', **environment}, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope='module')
def data(): return get_data('shapes10', 500)


@pytest.fixture(scope='module')
def here(data): return train_once(RunConfig(**CONFIG), data)


@pytest.mark.parametrize('hash_seed', ['0', '1', 'random'])
def test_another_process_with_any_hash_seed(here, hash_seed):
    assert elsewhere(PYTHONHASHSEED=hash_seed) == [here['weights'], here['loss']]


def test_what_ran_before_does_not_matter(here, data):
    np.random.seed(3), np.random.rand(5)
    train_once(RunConfig(**CONFIG | dict(seed=8, optimizer='sgd')), data)
    assert train_once(RunConfig(**CONFIG), data)['weights'] == here['weights']


@pytest.mark.parametrize('stop', [1, 9, 10, 13])
def test_a_resume_at_any_step(here, data, tmp_path, stop):
    make = lambda: build(RunConfig(**CONFIG), data, verbose=False, threads=1, checkpoint_name=str(tmp_path/'r'))
    first, second = make(), make()
    first.end_epoch()
    for _ in range(stop):
        first.train_step()
        if first.step % first.steps_per_epoch == 0: first.end_epoch()
    first.save()
    assert second.resume() and second.step == stop
    second.train()
    assert digest(second.last_state) == here['weights']


@pytest.mark.parametrize('workers', [1, 2, 3])
def test_any_number_of_workers(here, workers):
    e = Experiment('bits', 'Are they the same?', RunConfig(**CONFIG), seeds=3, first_seed=6)
    values = {r.seed: r.value for r in sweep(e, workers=workers, log_dir=None, progress=False)}
    assert values[7]['weights'] == here['weights'] and len({v['weights'] for v in values.values()}) == 3


def test_the_seed_and_the_dtype_change_them(here, data):
    other = train_once(RunConfig(**CONFIG | dict(dtype='float64')), data)
    assert other['weights'] != here['weights']
    np.testing.assert_allclose(other['loss'], here['loss'], rtol=1e-3)         # float64 is the same run, with smaller errors
    assert train_once(RunConfig(**CONFIG | dict(seed=8)), data)['weights'] != here['weights']


def test_another_blas_kernel_may_change_the_last_bits_and_no_more(here):
    "OpenBLAS has kernels for each kind of processor, which add in another order; other libraries ignore the variable."
    for kernel in ('Prescott', 'Haswell'):
        try: _, loss = elsewhere(OPENBLAS_CORETYPE=kernel)
        except AssertionError: continue                                        # this processor cannot run it
        np.testing.assert_allclose(loss, here['loss'], rtol=1e-5)


# What takes only integers, and additions and products that IEEE 754 defines, is the same on every machine: pinned.

def sha(*arrays): return hashlib.sha256(b''.join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()[:16]


def test_dropout_masks_are_pinned():
    "Philox is integer arithmetic; a mask compares its words, in the order of a little-endian machine."
    masks = [dropout_mask((50, 30), p, seed=7, layer=layer, step=step) for p in (.5, .3) for layer in (0, 2) for step in (0, 999)]
    assert sha(*masks) == '1178b6827b221af7'


def test_the_order_of_batches_is_pinned():
    "A permutation takes PCG64's integers, without a logarithm or a cosine."
    assert sha(*(epoch_batches(1000, 100, 7, epoch) for epoch in range(3))) == '6965bf423c622344'


def test_splits_are_pinned():
    chosen = resplit(load_data('shapes10', 500, num_val=100, num_test=1), 7, 300, 100)['y_train']
    assert sha(chosen) == 'c968b9a24f771ae6'


def test_drawn_images_are_pinned():
    """All draws are uniform. Sine, cosine and a root are within a unit in the last place everywhere; a pixel could change only if
    its centre lay that close to an edge, or its value to a whole number. So a platform could differ in a pixel, and none has."""
    assert sha(*load_shapes10(500)) == '7eee813e917ae3d4'


def test_initial_weights_are_pinned():
    """The normal numbers are NumPy's ziggurat: integers and a product for 99 in 100, logarithm and exponential for the rest. The
    same hash came from NumPy 1.26 and 2.4 on x86-64 Linux; NumPy may change the stream in a new version, and says so if it does."""
    params = FullyConnectedNet((32, 32), 3072, num_classes=10, normalization='batchnorm', seed=7).params
    assert sha(*(params[k] for k in sorted(params))) == 'b48e8fcea626ffc4'


# What training leaves is not pinned: a product of matrices may be added in any order, and each BLAS, version, processor and
# number of threads has its own. The tests above hold it equal wherever those are equal.
