"""Norms and rules that a reader adds from the how-to: right ones train, wrong ones are named."""
import numpy as np
import pytest

from bnnp import layers, optim
from bnnp.gradient_check import check_projected
from bnnp.layers import NORMS, Norm
from bnnp.network import FullyConnectedNet
from bnnp.solver import Solver
from bnnp.speed import Memory

rng = np.random.default_rng(0)
X, y = rng.normal(size=(8, 12)), rng.integers(10, size=8)
DATA = dict(X_train=X, y_train=y, X_val=X, y_val=y)


def batch_rms_forward(x, gamma, param):
    "A norm along the batch that takes no mean away."
    s = np.sqrt((x * x).mean(axis=0) + 1e-5)
    return gamma * x / s, (x, gamma, s)


def batch_rms_backward(dout, cache):
    x, gamma, s = cache
    return gamma * dout / s - x * (gamma * dout * x).sum(axis=0) / len(x) / s**3, (dout * x / s).sum(axis=0)


def bare_forward(x, param):
    "A norm without parameters."
    s = np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-5)
    return x / s, (x / s, s)


def bare_backward(dout, cache):
    xhat, s = cache
    return ((dout - xhat * (dout * xhat).mean(axis=1, keepdims=True)) / s,)


def shared_forward(x, param):
    "The same; its cache holds what it returned."
    s = np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-5)
    xhat = x / s
    return xhat, dict(kept=[xhat, s])


def shared_backward(dout, cache): return bare_backward(dout, cache['kept'])


ADDED = {'batch_rms': Norm('batch RMS', batch_rms_forward, batch_rms_backward, {'gamma': np.ones}),
         'bare': Norm('bare norm', bare_forward, bare_backward, {}), 'shared': Norm('shared norm', shared_forward, shared_backward, {})}


@pytest.mark.filterwarnings('ignore:two batches at one step')
@pytest.mark.parametrize('activation', layers.ACTIVATIONS)
@pytest.mark.parametrize('name', ADDED)
def test_a_norm_from_the_how_to_trains(name, activation, monkeypatch):
    "The whole net's gradient is right, the same in memory that stays, and a solver moves every parameter."
    monkeypatch.setitem(NORMS, name, ADDED[name])

    def net(dtype):
        net = FullyConnectedNet((9, 7), 12, dtype=dtype, seed=1, weight_scale=.5, normalization=name, dropout=.3, activation=activation)
        net.params.flat[...] += np.random.default_rng(1).normal(size=net.params.flat.size) / 5
        return net

    mine, twin = net(float), net(complex)

    def loss(params):
        twin.params = params
        return twin.loss(X, y)[0]

    alone = mine.loss(X, y)[1]
    check_projected(loss, mine.params, alone)
    mine.memory = Memory()
    for _ in range(2): assert np.array_equal(mine.loss(X, y)[1].flat, alone.flat)
    mine.memory, before = None, mine.state_dict()
    solver = Solver(mine, DATA, num_epochs=3, batch_size=8, verbose=False)
    solver.train()
    assert all((solver.last_state[k] != before[k]).any() for k in mine.params)


@pytest.mark.parametrize('forward, backward, said', [
    (lambda x, gamma, param: (x, None), lambda dout, cache: (dout,), 'backward of odd norm must return dx, dgamma, got 1 results'),
    (lambda x, gamma, param: (x, None), lambda dout, cache: (dout, dout[0], dout[0]), 'must return dx, dgamma, got 3 results'),
    (lambda x, gamma, param: (x, None), lambda dout, cache: dout, 'must return dx, dgamma, got one ndarray'),
    (lambda x, gamma, param: x, lambda dout, cache: (dout, dout[0]), 'forward of odd norm must return out, cache, got one ndarray'),
    (lambda x, gamma, param: None, lambda dout, cache: (dout, dout[0]), 'forward of odd norm must return out, cache, got one NoneType')])
def test_a_wrong_norm_is_named(forward, backward, said, monkeypatch):
    monkeypatch.setitem(NORMS, 'odd', Norm('odd norm', forward, backward, {'gamma': np.ones}))
    with pytest.raises(TypeError, match=said): FullyConnectedNet((5,), 12, normalization='odd').loss(X, y)


@pytest.mark.parametrize('name', ['a1', 'W', 'Wide', 'b'])
def test_names_that_the_net_uses_are_refused(name, monkeypatch):
    for fields in {'params': {name: np.ones}}, {'params': {}, 'state': {name: np.ones}}:
        monkeypatch.setitem(NORMS, 'odd', Norm('odd norm', bare_forward, bare_backward, **fields))
        with pytest.raises(ValueError, match=f'odd norm: names of parameters .* got {name}'): FullyConnectedNet((5,), 12, normalization='odd')


def test_a_rule_that_returns_the_weights_alone_is_named():
    with pytest.raises(TypeError, match='an update rule must return the next weights, config, got one ndarray'):
        Solver(FullyConnectedNet((5,), 12), DATA, update_rule=lambda w, dw, config=None: w - dw, verbose=False).train()


def test_a_rule_that_is_put_in_place_of_another_is_what_trains(monkeypatch):
    def broken(w, dw, config=None, out=None): raise RuntimeError('mine')
    monkeypatch.setattr(optim, 'adam', broken)
    with pytest.raises(RuntimeError, match='mine'):
        Solver(FullyConnectedNet((5,), 12), DATA, update_rule='adam', verbose=False).train()


@pytest.mark.parametrize('value', ['no', 'False', 1, None])
def test_a_flag_is_true_or_false(value):
    with pytest.raises(ValueError, match='use_batchnorm must be True or False'): FullyConnectedNet((5,), 12, use_batchnorm=value)
    with pytest.raises(ValueError, match='inverted must be True or False'):
        layers.dropout_forward(X, {'mode': 'train', 'p': .5, 'inverted': value})
