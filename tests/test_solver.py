"""What a user overrides is what trains and what is evaluated; hooks; and twenty times Ctrl-C, at every moment of a run."""
import os, pickle, random, signal, threading, time, warnings

import numpy as np
import pytest

from bnnp.data import get_data
from bnnp.checkpoints import pack
from bnnp.network import FullyConnectedNet
from bnnp.solver import HOOK, Solver, expect

DATA = get_data('shapes10', num_train=200, num_val=40, num_test=40)


def solver(net=FullyConnectedNet, name=None, epochs=3, **options):
    "A solver with all that there is to save; eight steps in an epoch."
    if isinstance(net, type): net = net((12, 12), normalization='batchnorm', dropout=.25, weight_scale='he', reg=1e-3, seed=3)
    options = dict(update_rule='adam', lr_decay=.9) | options
    return Solver(net, DATA, num_epochs=epochs, batch_size=25, checkpoint_name=name, verbose=False, threads=1, **options)


def bits(s):
    "All that two equal runs have in common."
    arrays = {}
    rest = pack({k: v for k, v in s.state().items() if k not in ('seconds', 'model')} | dict(last=s.last_state), arrays)
    return {k: a.tobytes() for k, a in arrays.items()}, rest


def trained(**options):
    s = solver(**options)
    s.train()
    return s


@pytest.fixture(scope='module')
def straight(): return bits(trained())


# what trains

class Louder(FullyConnectedNet):
    def loss(self, X, y=None):
        if y is None: return super().loss(X)
        loss, grads = super().loss(X, y)
        return 2 * loss, grads


class Lighter(FullyConnectedNet):
    def forward(self, X, mode): return super().forward(X * .5, mode)


class Steeper(FullyConnectedNet):
    def backward(self, *args):
        grads = super().backward(*args)
        grads.flat[:] *= 1.01
        return grads


@pytest.mark.parametrize('kind, same', [(FullyConnectedNet, True), (Louder, False), (Lighter, False), (Steeper, False)])
def test_a_subclass_is_what_trains(kind, same, straight): assert (bits(trained(net=kind)) == straight) == same


@pytest.mark.parametrize('name', ['loss', 'forward', 'backward'])
def test_a_method_put_in_place_is_what_trains_and_is_evaluated(name, straight):
    s, calls = solver(), []
    method = getattr(s.model, name)
    setattr(s.model, name, lambda *args: calls.append(len(args)) or method(*args))
    s.train()
    assert bits(s) == straight and len(calls) >= s.total
    if name != 'backward': assert len(calls) >= s.total + 2 * 4      # each epoch, training and validation
    def broken(*args): raise ZeroDivisionError
    setattr(s.model, name, broken)
    s.num_epochs += 1
    with pytest.raises(ZeroDivisionError): s.train()


def test_a_method_changed_between_two_steps():
    s = solver()
    s.train_step()
    before = s.model.params.flat.copy()
    s.model.backward = lambda *args: s.model.params.zeros_like()
    s.rule = lambda w, dw, config, out=None: (w - dw, config)
    s.in_place = False
    s.train_step()
    assert np.array_equal(s.model.params.flat, before)


def test_what_is_evaluated_is_what_was_trained():
    class Zero(FullyConnectedNet):
        def loss(self, X, y=None): return np.zeros((len(X), 10)) if y is None else super().loss(X, y)
    s = trained(net=Zero)
    assert set(s.val_acc_history) == {np.mean(DATA['y_val'] == 0)}


# hooks

class Diary:
    "Write down all that happens."
    def __init__(self): self.lines = []
    def before_step(self, s, X, y): self.lines.append(('before', s.step, X.shape, y.shape))
    def after_step(self, s, loss, grads): self.lines.append(('after', s.step, float(loss), set(grads)))
    def after_epoch(self, s): self.lines.append(('epoch', s.step, s.val_acc_history[-1]))


def test_hooks_are_called_in_order_and_change_nothing(straight):
    diary = Diary()
    s = trained(hooks=[diary, diary])
    assert bits(s) == straight and diary.lines[::2] == diary.lines[1::2]
    expected = [('epoch', 0)]
    for step in range(s.total):
        expected += [('before', step), ('after', step + 1)]
        if (step + 1) % 8 == 0: expected.append(('epoch', step + 1))
    assert [line[:2] for line in diary.lines[::2]] == expected
    assert [line[2] for line in diary.lines[::2] if line[0] == 'after'] == s.loss_history
    assert diary.lines[2][2:] == ((25, 3, 32, 32), (25,))


def test_a_hook_may_end_training_and_what_it_raises_comes_through():
    class Enough:
        def after_epoch(self, s): s.num_epochs = min(s.num_epochs, max(s.step // 8, 1))
    assert trained(hooks=[Enough()]).step == 8
    class Broken:
        def after_step(self, s, loss, grads): raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError): trained(hooks=[Broken()])
    with pytest.raises(ValueError, match='a hook must be'): expect('a hook', object(), HOOK)


# Ctrl-C

class Impatient:
    "Press Ctrl-C twenty times, once, at some moment."
    def __init__(self, moment, step): self.moment, self.at = moment, step
    def press(self, moment, s):
        if (moment, s.step) != (self.moment, self.at): return
        self.moment = None
        for _ in range(20): signal.raise_signal(signal.SIGINT)
    def before_step(self, s, X, y): self.press('before', s)
    def after_step(self, s, loss, grads): self.press('after', s)
    def after_epoch(self, s): self.press('epoch', s)


class Watched(FullyConnectedNet):
    "Tells when it is asked for a loss, and for scores."
    press = lambda self, moment: None
    def loss(self, X, y=None):
        self.press('evaluation' if y is None else 'inside')
        return super().loss(X, y)


def go_on(s, again):
    "Call train until all is done, whatever is in the way."
    while s.step < s.total or s.last_state is None:
        try: s.train()
        except KeyboardInterrupt: pass
        except RuntimeError:
            if not s.resume(): s = again()
    return s


@pytest.mark.parametrize('moment', ['before', 'inside', 'after', 'epoch', 'evaluation'])
def test_twenty_times_ctrl_c_in_and_out_of_every_step(tmp_path, straight, moment):
    for step in range(0, 25, 8 if moment in ('epoch', 'evaluation') else 1):
        hook = Impatient(moment, step)
        s = solver(Watched, tmp_path/str(step), hooks=[hook])
        s.model.press = lambda where: hook.press(where, s)
        assert bits(go_on(s, None)) == straight, step


@pytest.mark.skipif(os.name != 'posix', reason='signals to oneself')
def test_ctrl_c_at_any_moment(tmp_path, straight):
    rng, old = random.Random(0), signal.signal(signal.SIGINT, lambda *_: None)     # outside of train nobody listens
    try:
        for i in range(15):
            waits = [rng.expovariate(1 / .004) for _ in range(20)]
            def strike():
                for wait in waits: time.sleep(wait), os.kill(os.getpid(), signal.SIGINT)
            new = lambda: solver(name=tmp_path/f'{i}_{rng.random()}')
            thread = threading.Thread(target=strike)
            thread.start()
            try: s = go_on(new(), new)
            finally: thread.join()
            assert bits(s) == straight
    finally: signal.signal(signal.SIGINT, old)


def test_a_solver_that_was_trained_can_be_pickled(straight):
    s = pickle.loads(pickle.dumps(trained(epochs=2)))
    s.num_epochs = 3
    s.train()
    assert bits(s) == straight


def test_an_interruption_that_tore_a_step_is_refused_without_a_checkpoint():
    hook = Impatient('inside', 5)
    s = solver(Watched)
    s.model.press = lambda where: hook.press(where, s)
    with pytest.raises(KeyboardInterrupt): s.train()
    with pytest.raises(RuntimeError, match='step 5'): s.train()
    s.reset()
    s.train()
    assert s.step == s.total


def test_memory_is_lent_while_it_trains():
    class Ask:
        def __init__(self): self.lent = []
        def before_step(self, s, X, y): self.lent.append(s.model.memory)
    ask = Ask()
    s = trained(hooks=[ask])
    assert all(m is not None and m is ask.lent[0] for m in ask.lent) and s.model.memory is None and s.memory is None
    s = solver(epochs=1, hooks=[ask])
    s.model.memory = mine = type(ask.lent[0])()                                    # who lends it memory keeps it
    s.train()
    assert s.model.memory is mine is ask.lent[-1]
