"""Going on with a run from a checkpoint that somebody wrote: the input is its meta and what its arrays are, as JSON."""
import json, warnings

import numpy as np

from bnnp.network import FullyConnectedNet
from bnnp.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from bnnp.solver import Solver
from .fence import FOLDER

NAME = FOLDER/'resume'/'r'
rng = np.random.default_rng(0)
DATA = dict(X_train=rng.normal(size=(4, 3)), y_train=np.array([0, 1, 0, 1]), X_val=rng.normal(size=(2, 3)), y_val=np.array([0, 1]))


def solver(rule='adam'):
    net = FullyConnectedNet((2,), 3, num_classes=2, normalization='batchnorm', dtype='float64', seed=0)
    return Solver(net, DATA, update_rule=rule, batch_size=2, num_epochs=2, verbose=False, checkpoint_name=NAME, threads=1)


def saved(rule, steps):
    "What a checkpoint of the run holds, as JSON, with dtype and shape in place of each array."
    s = solver(rule)
    s.end_epoch()
    for _ in range(steps): s.train_step()
    state = load_checkpoint(f'{NAME}_step_0.npz') | s.state()
    for path in NAME.parent.glob('*'): path.unlink()
    return json.dumps(dict(rule=rule, state=told(state))).encode()


def told(state):
    if isinstance(state, dict): return {k: told(v) for k, v in state.items()}
    return [state.dtype.str, list(state.shape)] if isinstance(state, np.ndarray) else state


def built(value):
    "The state that the JSON tells of."
    if isinstance(value, dict): return {k: built(v) for k, v in value.items()}
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)): return value
    return np.full([abs(int(n)) % 9 for n in value[1]][:3], 1, value[0])


SEEDS = [saved('adam', 0), saved('adam', 1), saved('sgd_momentum', 1)]
WORDS = ['state', 'format', 'threads', 'model', 'best', 'step', 'seconds', 'best_val_acc', 'best_epoch', 'optim', 'settings', 'all', 'learning_rate', 'beta1', 't',
         '<f8', '<f4', '<c16', '<U3', '|b1', '<i8', 'W1', 'loss_history']
TOKENS = [*(b'"%s"' % w.encode() for w in WORDS), b': ', b', ', b'{"a": 1}', b'[3, 2]', b'[-1]', b'1e300', b'-1e300', b'0.5', b'2']


def target(data: bytes):
    try:
        told_of = json.loads(data)
        rule = 'sgd_momentum' if told_of.get('rule') == 'sgd_momentum' else 'adam'
        state = built(told_of['state'])
        for path in NAME.parent.glob('*'): path.unlink()
        save_checkpoint(f'{NAME}_step_1.npz', state)
    except Exception: return                             # not a checkpoint to begin with
    s = solver(rule)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            if not s.resume(): return
    except CheckpointError as e:
        assert len(str(e).splitlines()) == 1 and str(NAME) in str(e), str(e)
        return
    with np.errstate(all='ignore'):
        try: s.train_step()
        except FloatingPointError: pass
