"""The functions under the derivations are the ones that train: whatever is put in their place, or overridden, is what a solver runs."""
import ast, functools, inspect, textwrap

import numpy as np
import pytest

from bnnp import layers
from bnnp.data import get_data
from bnnp.network import FullyConnectedNet
from bnnp.solver import Solver

LAYERS = [name for name in layers.__all__ if name.endswith(('_forward', '_backward', '_alt', '_loss'))]
NETS = {'plain': {}, 'dropout': dict(dropout=.3), **{norm: dict(normalization=norm) for norm in layers.NORMS},
        **{activation: dict(activation=activation) for activation in layers.ACTIVATIONS}}
NO_NET_HAS = {                              # forms of the same layers that no fully connected net is made of
    'batchnorm_backward',                                                        # the graph, one step before the closed form
    'affine_relu_forward', 'affine_relu_backward', 'affine_bn_relu_forward', 'affine_bn_relu_backward',   # two or three layers in one
    'spatial_batchnorm_forward', 'spatial_batchnorm_backward', 'spatial_groupnorm_forward', 'spatial_groupnorm_backward'}


@pytest.fixture(scope='module')
def data(): return get_data('shapes10', 60, num_val=20, num_test=1)


def solver_of(data, net=FullyConnectedNet, **options):
    return Solver(net([12, 9], weight_scale='he', seed=0, **options), data, 'adam', batch_size=20, num_epochs=1, verbose=False)


def trained(data, net=FullyConnectedNet, steps=3, **options):
    "All parameters after a few steps."
    solver = solver_of(data, net, **options)
    for _ in range(steps): solver.train_step()
    return solver.model.params.flat.copy()


class Touched(Exception): pass


@pytest.mark.parametrize('name', LAYERS)
def test_a_layer_that_raises_stops_the_training_of_every_net_that_has_it(name, data, monkeypatch):
    def raises(*args, **kwargs): raise Touched(name)
    monkeypatch.setattr(layers, name, raises)
    stopped = []
    for net, options in NETS.items():
        try: trained(data, steps=1, **options)
        except Touched: stopped.append(net)
    assert bool(stopped) == (name not in NO_NET_HAS)
    if (own := name.split('_')[0]) in NETS and stopped: assert own in stopped


@pytest.mark.parametrize('name', [n for n in LAYERS if n.endswith(('_backward', '_alt', '_loss')) and n not in NO_NET_HAS])
def test_a_backward_that_is_one_percent_off_trains_another_net(name, data, monkeypatch):
    options = NETS.get(name.split('_')[0], NETS['batchnorm'])
    right, f = trained(data, **options), getattr(layers, name)
    @functools.wraps(f)                                                   # a norm may leave `out` away: the network asks for the signature
    def off(*args, **kwargs):
        result = f(*args, **kwargs)
        if not isinstance(result, tuple): return 1.01 * result
        return tuple(r if r is None or np.ndim(r) == 0 else 1.01 * r for r in result)
    monkeypatch.setattr(layers, name, off)
    assert (trained(data, **options) != right).any()


def mutants(f):
    "Sources of a function, each with one arithmetic operator changed; and the lines that were."
    tree = ast.parse(textwrap.dedent(inspect.getsource(f)))
    swaps = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
    places = [node for node in ast.walk(tree) if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in swaps]
    for node in places:
        old = node.op
        node.op = swaps[type(old)]()
        yield ast.unparse(tree), ast.unparse(node)
        node.op = old


CLOSED = [(norm, f) for norm, names in {
    'batchnorm': ('centre', 'normalize', 'set_sums', 'normalize_backward', 'scale_shift', 'batchnorm_forward', 'batchnorm_backward_alt', 'update_running_statistics'),
    'layernorm': ('gamma_beta_sums',),
    'rmsnorm': ('rmsnorm_forward', 'rmsnorm_backward')}.items() for f in names]
NO_DIFFERENCE = {                           # operators whose change cannot be seen in a net, and why
    'PIECE * len(x) // x.size': 'the size of a piece does not change what is computed',
    'cache.gamma / z.inv_std': 'the gradient in test mode, which training does not ask for',
    '16 / var.real': 'counts where the mean is far larger than the spread: tests/test_numbers.py has that'}


@pytest.mark.parametrize('norm, name', CLOSED)
def test_every_operator_of_the_closed_forms_matters(norm, name, data, monkeypatch):
    """A net is trained with each operator changed in turn, and must come out with other bits.

    Its inputs have a mean far from zero, in float32, so that even the terms count that make up for rounding."""
    far = {**data, 'mean': None, 'scale': 1 / 64}
    def state():
        solver = solver_of(far, normalization=norm)
        rng = np.random.default_rng(1)
        for k, a in solver.model.params.items():                                 # no gamma of 1, no beta of 0
            if k[0] in 'gb': a += rng.normal(size=a.shape).astype(a.dtype) / 3
        for _ in range(3): solver.train_step()
        return np.concatenate([a.ravel() for a in solver.model.state_dict().values()])
    right, unseen, count = state(), [], 0
    for source, where in mutants(getattr(layers, name)):
        space, count = {}, count + 1
        exec(compile(source, name, 'exec'), vars(layers), space)
        with monkeypatch.context() as m, np.errstate(all='ignore'):
            m.setattr(layers, name, space[name])
            try: same = (state() == right).all()
            except Exception: same = False                                        # it does not even run
        if same: unseen.append(where)
    assert count and set(unseen) <= set(NO_DIFFERENCE), unseen


# what a user overrides

def test_a_subclass_that_overrides_loss_is_what_trains_and_what_is_evaluated(data):
    class Mine(FullyConnectedNet):
        calls = dict(train=0, test=0)
        def loss(self, X, y=None):
            self.calls['test' if y is None else 'train'] += 1
            found = super().loss(X, y)
            if y is None: return np.eye(10)[np.zeros(len(X), int)]                 # class 0, whatever it sees
            for g in found[1].values(): g[...] = 0
            return found
    solver = solver_of(data, Mine, normalization='batchnorm')
    before = solver.model.params.flat.copy()
    solver.train()
    assert (solver.model.params.flat == before).all() and Mine.calls['train'] == 3
    assert solver.val_acc_history[-1] == np.mean(data['y_val'] == 0) and Mine.calls['test'] > 0


@pytest.mark.parametrize('method', ['forward', 'backward'])
def test_a_subclass_that_overrides_a_direction_is_what_trains(method, data):
    class Mine(FullyConnectedNet): pass
    calls = []
    def changed(self, *args):
        calls.append(args)
        found = getattr(FullyConnectedNet, method)(self, *args)
        if method == 'forward': return 2 * found[0], found[1]
        for g in found.values(): g *= -1
        return found
    setattr(Mine, method, changed)
    assert (trained(data, Mine) != trained(data)).any() and len(calls) == 3
    if method == 'forward':
        solver = solver_of(data, Mine)
        solver.check_accuracy(data['X_val'], data['y_val'])
        assert len(calls) == 4 and calls[-1][1] == 'test'


def test_a_function_in_place_of_loss_is_what_trains_and_what_is_evaluated(data):
    solver = solver_of(data)
    real, seen = solver.model.loss, []
    def loss(X, y=None):
        seen.append(y is None)
        return real(X, y)
    solver.model.loss = loss
    solver.train()
    assert seen.count(False) == 3 and seen.count(True) >= 2


def test_a_loss_of_two_batches_has_two_sets_of_gradients(data):
    "A subclass that calls the loss twice in a step, and one that keeps the gradients of the step before."
    class Twice(FullyConnectedNet):
        def loss(self, X, y=None):
            if y is None: return super().loss(X)
            (a, first), (b, second) = super().loss(X[::2], y[::2]), super().loss(X[1::2], y[1::2])
            return (a + b) / 2, {k: (first[k] + second[k]) / 2 for k in first}
    assert np.allclose(trained(data, Twice, dtype=float), trained(data, dtype=float), rtol=0, atol=1e-12)
    kept = []
    class Keeps(FullyConnectedNet):
        def loss(self, X, y=None):
            found = super().loss(X, y)
            if y is not None: kept.append((found[1], {k: g.copy() for k, g in found[1].items()}))
            return found
    trained(data, Keeps, normalization='batchnorm', dropout=.5)
    for grads, copies in kept:
        for k in grads: assert (grads[k] == copies[k]).all()


def test_a_norm_defined_anew_is_what_trains(data, monkeypatch):
    "A row of the table looks its functions up by name."
    right = trained(data, normalization='rmsnorm')
    f = layers.rmsnorm_forward
    def rmsnorm_forward(x, gamma, param): out, cache = f(x, gamma, param); return 2 * out, cache
    monkeypatch.setattr(layers, 'rmsnorm_forward', rmsnorm_forward)                 # without out=, which is no obligation
    assert (trained(data, normalization='rmsnorm') != right).any()


def test_a_new_norm_is_a_row(data, monkeypatch):
    "A stranger's norm, with a parameter and a state of its own, in a net, saved and loaded."
    def shrink_forward(x, size, param):
        param['seen'] = param['seen'] + (param['mode'] == 'train')
        return size * x / 2, (size, x)
    def shrink_backward(dout, cache):
        size, x = cache
        return size * dout / 2, (dout * x / 2).sum(axis=0)
    monkeypatch.setitem(layers.NORMS, 'shrink', layers.Norm('shrink', shrink_forward, shrink_backward, {'size': np.ones}, {'seen': np.zeros}))
    solver = solver_of(data, normalization='shrink')
    solver.train()
    state = solver.last_state
    assert {'size1', 'seen2'} <= state.keys() and (state['seen1'] == 3).all() and (state['size1'] != 1).any()
    twin = solver_of(data, normalization='shrink').model
    twin.load_state_dict(state)
    solver.model.load_state_dict(state)
    assert (twin.loss(data['X_val']) == solver.model.loss(data['X_val'])).all()


def test_memory_is_lent_while_training_only(data):
    solver = solver_of(data, normalization='batchnorm')
    seen = []
    class Watch:
        def after_step(self, solver, loss, grads): seen.append(solver.model.memory)
    solver.hooks = [Watch()]
    solver.train()
    assert len(seen) == 3 and None not in seen and solver.model.memory is None


def row_call(name, x):
    "A forward pass of a norm of the table, as a network makes it: the result, the cache, and its dictionary."
    norm, param = layers.NORMS[name], {'mode': 'train'}
    param |= {k: make(x.shape[1]) for k, make in norm.state.items()}
    out, cache = norm.forward(x, *(make(x.shape[1]) for make in norm.params.values()), param)
    return out, cache, param


@pytest.mark.parametrize('name', [n for n, norm in layers.NORMS.items() if 'out' in inspect.signature(norm.backward).parameters])
def test_a_backward_may_write_into_its_dout(name):
    x, dout = np.random.default_rng(0).normal(size=(2, 7, 5))
    apart = layers.NORMS[name].backward(dout.copy(), row_call(name, x)[1])
    inside = layers.NORMS[name].backward(lent := dout.copy(), row_call(name, x)[1], out=lent)
    assert all(np.array_equal(a, b) for a, b in zip(apart, inside))


@pytest.mark.parametrize('name', [n for n, norm in layers.NORMS.items() if norm.state])
def test_a_batch_that_is_not_finite_leaves_the_state_finite(name):
    x = np.random.default_rng(0).normal(size=(7, 5))
    for bad in np.nan, np.inf:
        x[2, 3] = bad
        with np.errstate(invalid='ignore'): _, _, param = row_call(name, x)
        assert all(np.isfinite(param[k]).all() for k in layers.NORMS[name].state)
