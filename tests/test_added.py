"""Norms and rules that a reader adds from the how-to: right ones train, wrong ones are named."""
import functools
from collections import deque
from types import SimpleNamespace

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


class Slotted:
    __slots__ = 'kept',
    def __init__(self, kept): self.kept = kept


KEEPERS = {'closure': lambda kept: lambda: kept, 'partial': lambda kept: functools.partial(max, kept), 'slots': Slotted, 'deque': lambda kept: deque([kept]),
           'object': lambda kept: SimpleNamespace(deep=[kept]), 'a view': lambda kept: {'kept': kept.T[1:]}}


@pytest.mark.parametrize('keep', KEEPERS.values(), ids=KEEPERS)
def test_a_cache_of_any_kind_is_left_alone_by_the_activation(keep, monkeypatch):
    "What it returned and keeps is not overwritten in memory that stays, wherever it is kept; without that, it may be."
    def forward(x, param, out=None):
        out = np.divide(x, 2, out=out)
        seen.append(out)
        return out, keep(out)

    seen = deque(maxlen=1)
    monkeypatch.setitem(NORMS, 'half', Norm('half', forward, lambda dout, cache: (dout / 2,), {}))
    net = FullyConnectedNet((9,), 12, dtype=float, seed=1, weight_scale=.5, normalization='half')
    net.memory = Memory()
    caches = net.forward(X, 'train')[1]
    assert (seen[0] < 0).any() and caches[0]['input'] is seen[0]


def test_two_functions_of_one_name_are_two(monkeypatch):
    def named(factor):
        def forward(x, param): return factor * x, None
        forward.__qualname__ = 'forward'
        return forward

    first, second = named(1.), named(3.)
    monkeypatch.setitem(globals(), 'forward', second)              # as in a notebook that defines it twice
    scores = []
    for f in first, second:
        monkeypatch.setitem(NORMS, 'odd', Norm('odd', f, lambda dout, cache: (dout,), {}))
        scores.append(FullyConnectedNet((5,), 12, normalization='odd', seed=0, weight_scale=.5).loss(X))
    assert np.allclose(3 * scores[0], scores[1]) and abs(scores[0]).max() > .1


def test_a_wrapped_rule_is_the_one_that_trains():
    @functools.wraps(optim.adam)
    def still(w, dw, config=None, out=None): return optim.adam(w, 0 * dw, config, out)

    net = FullyConnectedNet((5,), 12, seed=0)
    before = net.params.flat.copy()
    Solver(net, DATA, update_rule=still, num_epochs=2, batch_size=8, verbose=False).train()
    assert np.array_equal(net.params.flat, before)


def odd(params={}, state={}, forward=None, backward=None):
    return Norm('odd norm', forward or (lambda x, *args: (x, None)), backward or (lambda dout, cache: (dout,)), params, state)


def keeping(x, param):
    param['count'] = param.get('count', 0) + 1
    return x, None


@pytest.mark.parametrize('row, said', [
    (odd(forward=lambda x, param: (None, x)), r'out of odd norm must be an array of shape \(8, 5\), got NoneType'),
    (odd(forward=lambda x, param: (x.T, None)), r'out of odd norm must be an array of shape \(8, 5\), got shape \(5, 8\)'),
    (odd(backward=lambda dout, cache: (dout[0],)), r'dx of odd norm must be an array of shape \(8, 5\), got shape \(5,\)'),
    (odd({'gamma': np.ones}, backward=lambda dout, cache: (dout, dout)), r'dgamma of odd norm must be an array of shape \(5,\), got shape \(8, 5\)'),
    (odd(forward=keeping), 'odd norm keeps count, which its row must have as state'),
    (odd({'gamma': np.ones}, {'gamma': np.zeros}), 'names of parameters and state must differ'),
    (odd(state={'mode': np.zeros}), 'got mode'),
    (odd(state={'count': lambda shape: 0}), r'count of odd norm must be an array of shape \(\), got int'),
    (odd(['gamma']), r"odd norm: params must be a dictionary of functions of the shape, such as np.zeros, got \['gamma'\]"),
    (('odd', None, None), 'a row of NORMS must be a Norm')])
def test_a_row_that_does_not_keep_to_the_pattern_is_named(row, said, monkeypatch):
    monkeypatch.setitem(NORMS, 'odd', row)
    with pytest.raises(ValueError, match=said): FullyConnectedNet((5,), 12, normalization='odd').loss(X, y)


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


@pytest.mark.parametrize('found, error, said', [
    (lambda w, dw: (w - dw, None), TypeError, 'an update rule must return config, a dictionary, after the next weights, got NoneType'),
    (lambda w, dw: (.5, {}), ValueError, 'the next weights must be an array of shape .*, got float')])
def test_a_rule_that_returns_something_else_is_named(found, error, said):
    with pytest.raises(error, match=said):
        Solver(FullyConnectedNet((5,), 12), DATA, update_rule=lambda w, dw, config=None: found(w, dw), verbose=False).train()


def test_a_rule_without_out_may_keep_the_weights_that_it_was_given():
    "Momentum by the weights of the step before is momentum."
    def by_weights(w, dw, config=None):
        step = .9 * (w - config.get('before', w)) - .1 * dw
        return w + step, dict(config, before=w)

    nets = [FullyConnectedNet((5,), 12, seed=0, dtype=float) for _ in range(2)]
    for net, rule in zip(nets, (by_weights, optim.sgd_momentum)):
        Solver(net, DATA, update_rule=rule, optim_config={'learning_rate': .1}, num_epochs=5, batch_size=8, verbose=False).train()
    assert np.allclose(nets[0].params.flat, nets[1].params.flat, atol=1e-12)


def test_a_rule_that_only_reads_its_learning_rate_takes_one():
    def plain(w, dw, config=None): return w - config.get('learning_rate', .1) * dw, config
    solver = Solver(FullyConnectedNet((5,), 12), DATA, update_rule=plain, optim_config={'learning_rate': .5}, batch_size=8, verbose=False)
    assert solver.learning_rate == .5


def test_a_net_with_a_forward_of_its_own_is_not_folded():
    class Doubled(FullyConnectedNet):
        def forward(self, X, mode): return super().forward(2 * X, mode)
    with pytest.raises(ValueError, match='Doubled has a forward of its own'): Doubled((5,), 12, use_batchnorm=True).folded()


def test_a_loss_that_returns_one_value_is_named():
    net = FullyConnectedNet((5,), 12)
    net.loss = lambda X, y=None: np.zeros((len(X), 10)) if y is None else 1.
    with pytest.raises(TypeError, match=r'loss\(X, y\) must return the loss, gradients, got one float'): Solver(net, DATA, verbose=False).train()


def test_an_accuracy_of_scores_that_are_no_numbers_is_not_silent():
    net = FullyConnectedNet((5,), 12, use_batchnorm=True)
    solver = Solver(net, DATA, batch_size=8, verbose=False)
    net.params['b2'] = np.full(10, np.nan)
    with pytest.warns(UserWarning, match='scores in test mode are NaN or infinite'): solver.check_accuracy(X, y)


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
