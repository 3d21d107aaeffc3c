"""What experiments read: the summary with all results, and the logs of runs. The input is taken as one, and as the other."""
import json, shutil

from bnnp.runs import RunConfig
from bnnp.sweeps import Experiment, Result, key, known_results, log_path, record_of, store, stored, summary_table, trials
from .fence import FOLDER

PLACE = FOLDER/'results'
E = Experiment('e', 'Is it read?', RunConfig((2,), dataset='shapes10'), factors=dict(normalization=(None, 'batchnorm')), seeds=2)
VALUE = dict(loss=[2.], train_acc=[.1, .2], val_acc=[.1, .2], seconds=[0., 1.], steps=4, diverged=False, best_epoch=1, best_val_acc=.2,
             best_train_acc=.2, final_val_acc=.2, final_train_acc=.2, gap=0., final_loss=2., weights='abc')
shutil.rmtree(PLACE, ignore_errors=True)
WHOLE = store(E, [Result(t, VALUE, 1.) for t in trials(E)], PLACE).read_bytes()
LAST = json.dumps(dict(kind='value') | record_of(trials(E)[0], VALUE, 1.)).encode()
SEEDS = [WHOLE, WHOLE.replace(b'"gap":0.0', b'"gap":null'), WHOLE.replace(b'"seed":0', b'"seed":[]'),
         b'{"kind": "header"}\n' + LAST + b'\n', LAST, b'', b'\n\n', b'{}\n[]']
WORDS = ['key', 'seed', 'parts', 'common', 'label', 'value', 'took', 'kind', 'changes', 'gap', 'best_val_acc', 'final_val_acc', *map(key, trials(E))]
TOKENS = [*(b'"%s"' % w.encode() for w in WORDS), b': ', b', ', b'\n', b'[' * 3000, b'{"a":' * 3000, b'\xc2\x85', b'\xe2\x80\xa8', b'9' * 4500,
          b'\xff', b'1e400', b'NaN']


def target(data: bytes):
    shutil.rmtree(PLACE, ignore_errors=True)
    log = log_path(PLACE, E, trials(E)[0])
    log.parent.mkdir(parents=True)
    log.write_bytes(data)
    (PLACE/'e_shapes10.jsonl').write_bytes(data)
    for summary in (None, PLACE):
        try:
            there, missing = known_results(E, PLACE, summary)
            assert len(there) + len(missing) == 4
            if there:
                assert '\n' in str(summary_table(there, E.outcomes))      # it has lines
                store(E, there, PLACE/'new')
        except ValueError as e:
            if not str(e).startswith(str(PLACE)) and 'result' not in str(e): raise
            assert str(e).isprintable(), str(e)
