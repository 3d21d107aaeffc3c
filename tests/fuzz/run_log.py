"""The log of a run, and all that the curves say of it; the input may hold several logs, one after the other."""
import json, math, shutil

from bnnp import plots
from bnnp.logs import LogError, is_log, log_line, read_log
from .fence import FOLDER

PLACE, NEXT = FOLDER/'logs', b'\n=====\n'
CONFIG = dict(hidden_dims=[100, 100], normalization='batchnorm', dropout=0.5, lr=1e-3, epochs=3, split=1, seed=1)


def log(**header):
    "A log of a finished run."
    lines = [log_line('header', name='a', config=CONFIG, seed=1, dataset=dict(name='shapes10', num_train=5), **header),
             *(log_line('train', step=s, epoch=s / 4, loss=2.3 - s / 9) for s in range(1, 5)),
             *(log_line('epoch', epoch=e, step=4 * e, loss=e and 2. - e, train_acc=.1 * e, val_acc=.1, seconds=1.) for e in (0, 1)),
             log_line('resume', step=4), log_line('stopped', step=4, why='the loss is nan'),
             log_line('result', steps=4, best_epoch=1, val_acc=.1, train_acc=.1, seconds=1., test_acc=None)]
    return b''.join(lines)


SEEDS = [log(), log(extra=dict(test=True)) + NEXT + log(label='b').replace(b'"seed": 1', b'"seed": 2') + NEXT + log()[:-150], b'',
         b'{"kind": "header"', b'[]', log_line('header', config=[], dataset=3, seed=None) + log_line('epoch', step=1, epoch=0, val_acc=1)]
WORDS = ['kind', 'header', 'train', 'epoch', 'resume', 'stopped', 'result', 'step', 'loss', 'val_acc', 'config', 'seed', 'dataset',
         'name', 'format', 'split', 'hidden_dims', 'why', 'extra']
TOKENS = [*(b'"%s"' % w.encode() for w in WORDS), b': ', b', ', b'[' * 900, b'{"a":' * 900, b']' * 900, b'\n', NEXT, b'$', b'{}',
          b'-Infinity', b'1e308', b'9' * 4500, b'\\u001b', b'\\u2028', b'\xe2\x80\xa8']


def target(data: bytes):
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    for i, part in enumerate(data.split(NEXT)[:4]):
        path = PLACE/f'{i}.jsonl'
        path.write_bytes(part)
        assert is_log(path)
        try: run = read_log(path)
        except LogError as e:
            assert str(e).startswith(str(path)) and str(e).isprintable(), str(e)
            continue
        json.dumps(run.header), plots.epochs_done(run), plots.title([run])
    runs, skipped = plots.load_runs(PLACE)
    for reason in skipped: assert reason[1].isprintable(), reason
    if not runs: return
    texts = [plots.note(run) for run in runs]
    for band in (None, 'range', 'interval'):
        groups = plots.by_seed(runs) if band else [[run] for run in runs]
        texts += plots.labels(groups, band)
        for group in groups:
            for name in plots.PANELS: plots.together([plots.curves(run)[name] for run in group], band)
    for text in texts: assert text.isprintable() and len(text) < 1000, text
    assert all(math.isfinite(v) for run in runs for c in plots.curves(run).values() for v in c.flat)
