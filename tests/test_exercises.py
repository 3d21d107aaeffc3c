"""Files that do what no layer does: they loop, fork, fill the memory, write elsewhere, or claim a result."""
import json, os, subprocess, sys
from pathlib import Path

import numpy as np
import pytest

from bnnp import exercises
from bnnp.exercises import EXERCISES, check
from bnnp.grade import Settings, grade, grade_command
from bnnp.sandbox import Sandbox

pytestmark = pytest.mark.skipif(os.name != 'posix', reason='the worker needs pipes and limits that only POSIX systems have')
RELU = 'def relu_forward(x): return np.maximum(x, 0), x\ndef relu_backward(dout, cache): return dout * (cache > 0)\n'
FAST = Settings(seconds=2)


def submission(folder, code, name='layers.py'):
    path = folder/name
    path.write_text('import os, sys\nimport numpy as np\n' + code)
    return path


def results_of(*paths, settings=FAST): return {g.name: g.report for g in grade(paths, settings)[0]}


@pytest.mark.parametrize('body, said', {
    'while True: pass': 'stopped after 2 seconds',
    'os._exit(0)': 'ended by itself',
    'raise SystemExit': 'SystemExit',
    'raise KeyboardInterrupt': 'KeyboardInterrupt',
    'os.fork()': 'may not call os.fork',
    'os.system("true")': 'may not call os.system',
    'import subprocess; subprocess.Popen(["true"])': 'may not call',
    'import socket; socket.create_connection(("127.0.0.1", 9))': 'may not call socket',
    'import ctypes; ctypes.CDLL(None)': 'may not call ctypes',
    'os.kill(os.getppid(), 9)': 'may not call os.kill',
    'np.ones(1 << 36)': 'MemoryError',
    'return relu_forward(x)': 'RecursionError',
    'from bnnp.layers import relu_forward as f; return f(x)': 'ModuleNotFoundError'}.items())
def test_one_bad_function_costs_its_own_points_only(tmp_path, body, said):
    code = f'def relu_forward(x):\n    {body}\ndef affine_forward(x, w, b): return x.reshape(len(x), -1) @ w + b, None\n'
    found = results_of(submission(tmp_path, code))
    assert said in ' '.join(found['relu_forward'].diagnoses) and not found['relu_forward'].passed
    assert found['affine_forward'].passed


@pytest.mark.parametrize('how', ["open({0!r}, 'w')", "os.open({0!r}, os.O_CREAT | os.O_WRONLY)", "np.save({0!r}, x)", "os.remove({1!r})", "os.rename({1!r}, {0!r})",
                                 "os.symlink('/', 'here'); open('here' + {0!r}, 'w')", "os.mkdir({0!r})", "os.truncate({1!r}, 0)", "os.chmod({1!r}, 0)"])
def test_nothing_is_written_outside_its_own_folder(tmp_path, how):
    target, kept = tmp_path/'target.npy', tmp_path/'kept.txt'
    kept.write_text('kept')
    path = submission(tmp_path, f'def relu_forward(x):\n    {how.format(str(target), str(kept))}\n    return np.maximum(x, 0), x\n')
    assert 'PermissionError' in ' '.join(results_of(path)['relu_forward'].diagnoses)
    assert not target.exists() and kept.read_text() == 'kept'


def test_its_own_folder_is_writable_and_disappears(tmp_path):
    path = submission(tmp_path, "def where(x):\n    open('own.txt', 'w').write('a')\n    return [os.getcwd(), os.path.exists('own.txt')]\n")
    with Sandbox(path, seconds=5) as box: folder, written = box.function('where')(1)
    assert written and not Path(folder).exists()


def test_a_file_that_grows_without_end_is_stopped(tmp_path):
    path = submission(tmp_path, "def relu_forward(x):\n    with open('big', 'wb') as f:\n        while True: f.write(b'0' * (1 << 16))\n")
    assert 'File too large' in str(results_of(path, settings=Settings(seconds=60))['relu_forward'])      # by its size, not by the clock


@pytest.mark.parametrize('forged', [
    'print(\'{"score": 100, "tests": []}\')', 'sys.stdout = None', 'sys.exit(0)',
    '\nfor fd in range(3, 20):\n    try: os.write(fd, b\'{"value": 1, "args": [], "random": false, "names": ["relu_forward"], "skipped": []}\\n\')\n    except OSError: pass'])
def test_a_forged_result_gives_no_points(tmp_path, forged):
    "At the top of a file, and in a function that is wrong."
    wrong = RELU.replace('np.maximum(x, 0)', 'x')
    for code in (f'if True:\n    {forged}\n{wrong}' if not forged.startswith('\n') else forged + '\n' + wrong, wrong.replace('): return x, x', f'):\n    {forged.strip()}\n    return x, x'.replace('\n    try', '\n        try').replace('\n    except', '\n        except'))):
        try: found = results_of(submission(tmp_path, code))
        except ValueError: continue                                            # it could not even be read
        assert not found['relu_forward'].passed


def test_no_process_is_left(tmp_path):
    path = submission(tmp_path, 'def relu_forward(x):\n    while True: pass\n')
    with Sandbox(path, seconds=1) as box:
        with pytest.raises(Exception, match='stopped'): box.function('relu_forward')([1.])
        pid = box.process.pid
    with pytest.raises(ProcessLookupError): os.kill(pid, 0)


def test_the_command_writes_what_gradescope_reads(tmp_path, capsys):
    points, out = tmp_path/'points.json', tmp_path/'results.json'
    points.write_text(json.dumps(dict(points=dict(relu_forward=2, relu_backward=1.5, adam=3), visibility='after_due_date', seconds=5)))
    assert grade_command([str(submission(tmp_path, RELU.replace('cache > 0', 'cache >= 0'))), '--points', str(points), '--json', str(out)]) == 1
    found = json.loads(out.read_text())
    assert {t['name']: (t['score'], t['max_score'], t['status']) for t in found['tests']} == {
        'relu_forward': (2, 2, 'passed'), 'relu_backward': (0, 1.5, 'failed'), 'adam': (0, 3, 'failed')}
    assert found['score'] == 2 and found['visibility'] == 'after_due_date' and found['stdout_visibility'] in ('hidden', 'visible')
    assert all(t['visibility'] == 'after_due_date' and t['output_format'] == 'text' and isinstance(t['output'], str) for t in found['tests'])
    assert 'holds at equality' in capsys.readouterr().out


@pytest.mark.parametrize('name, content, said', [('missing.py', None, 'missing.py'), ('python2.py', 'print "no"', 'as in Python 2'), ('broken.py', 'def f(: pass', 'SyntaxError'), ('empty.py', '', 'none of the exercises'),
                                                 ('loops.py', 'x = [i for i in iter(int, 1)]', 'stopped'), ('notes.ipynb', '{', 'Error')])
def test_what_cannot_be_graded_is_said(tmp_path, capsys, name, content, said):
    path, out = tmp_path/name, tmp_path/'results.json'
    if content is not None: path.write_text(content)
    points = tmp_path/'points.json'
    points.write_text('{"seconds": 2}')
    assert grade_command([str(path), '--points', str(points), '--json', str(out)]) == 2
    assert said in capsys.readouterr().err and json.loads(out.read_text())['score'] == 0


def test_a_notebook_is_graded_by_its_cells(tmp_path):
    cells = [dict(cell_type='markdown', source='# layers'), dict(cell_type='code', source=['%matplotlib inline\n', 'import numpy as np\n', '!ls\n', RELU]), dict(cell_type='code', source='plot(1 / 0)')]
    path = tmp_path/'mine.ipynb'
    path.write_text(json.dumps(dict(cells=cells)))
    assert all(r.passed for r in results_of(path).values()) and len(results_of(path)) == 2


def test_a_course_net_is_graded_by_its_class(tmp_path):
    layers = submission(tmp_path, RELU + 'from bnnp_is_not_here import *\n')
    net = tmp_path/'fc_net.py'
    net.write_text('''
import numpy as np
from .layers import *
class TwoLayerNet(object):
    def __init__(self, input_dim=3072, hidden_dim=100, num_classes=10, weight_scale=1e-3, reg=0.0):
        self.params, self.reg = {}, reg
    def loss(self, X, y=None):
        W1, b1, W2, b2 = (self.params[k] for k in ('W1', 'b1', 'W2', 'b2'))
        h, cache = relu_forward(X @ W1 + b1)
        s = h @ W2 + b2
        s = s - s.max(axis=1, keepdims=True); total = np.exp(s).sum(axis=1, keepdims=True); p = np.exp(s) / total
        n = np.arange(len(y)); loss = (np.log(total)[:, 0] - s[n, y]).mean() + .5 * self.reg * (np.sum(W1**2) + np.sum(W2**2))
        p[n, y] -= 1; p /= len(y); da = relu_backward(p @ W2.T, cache)
        return loss, dict(W1=X.T @ da + self.reg * W1, b1=da.sum(0), W2=h.T @ p + self.reg * W2, b2=p.sum(0))
''')
    assert results_of(layers, net)['two_layer_loss'].passed
    net.write_text(net.read_text().replace('h.T @ p + self.reg * W2', 'h.T @ p'))
    assert 'self' not in results_of(layers, net)['two_layer_loss'].diagnoses[0] and 'reg * W2' in results_of(layers, net)['two_layer_loss'].diagnoses[0]


def test_the_console_script_is_there():
    found = subprocess.run([str(Path(sys.executable).with_name('bnnp_grade')), '--help'], capture_output=True, text=True)
    assert found.returncode == 0 and '--points' in found.stdout
    assert len(EXERCISES) > 20


def in_place(x, gamma, beta, bn_param):
    "Batch norm that updates the arrays of the running statistics, and keeps a dictionary of its own."
    test, mu, var = bn_param['mode'] == 'test', x.mean(0), x.var(0)
    for k, new in () if test else (('running_mean', mu), ('running_var', var)):
        bn_param[k] *= bn_param['momentum']
        bn_param[k] += (1 - bn_param['momentum']) * new
    if test: mu, var = bn_param['running_mean'], bn_param['running_var']
    inv_std = (var + bn_param['eps'])**-.5
    return gamma * (x - mu) * inv_std + beta, dict(test=test, inv_std=inv_std, gamma=gamma, xhat=(x - mu) * inv_std)


def backward(dout, cache, less=0):
    "`less` is taken from the number of rows."
    N, dxhat, xhat = max(len(dout) - less, 1), dout * cache['gamma'], cache['xhat']
    paths = 0 if cache.get('test') else dxhat.sum(0) / N + xhat * (dxhat * xhat).sum(0) / N
    return cache['inv_std'] * (dxhat - paths), (dout * xhat).sum(0), dout.sum(0)


def test_the_state_of_a_forward_may_be_written_while_its_backward_is_checked():
    assert check('batchnorm_backward', backward, forward=in_place).passed


def test_a_factor_that_is_infinite_for_one_row_is_named():
    assert 'multiplied by N/(N-1)' in check('batchnorm_backward', lambda dout, cache: backward(dout, cache, 1)).diagnoses[0]


@pytest.mark.parametrize('name, option, number', [('sgd', 'learning_rate', .01), ('rmsprop', 'decay_rate', .5), ('adam', 'beta2', .999),
                                                 ('batchnorm_forward', 'momentum', .9), ('batchnorm_forward', 'eps', 1e-8)])
def test_a_number_in_the_place_of_an_option_is_named(name, option, number):
    def wrong(*args):
        *rest, options = args
        known, options[option] = options[option], number
        found = EXERCISES[name].forms[0](*rest, options)
        options[option] = known
        return found
    assert f'nothing depends on `{option}`' in check(name, wrong).diagnoses[0]


def test_an_explanation_leaves_right_what_is_right():
    "Summed before the mask, db1 is wrong and dW1 right. That no maximum is subtracted does not hide it."
    def net(params, X, y, reg):
        loss, grads = EXERCISES['two_layer_loss'].forms[0](params, X, y, reg)
        h = np.maximum(0, X @ params['W1'] + params['b1'])
        e = np.exp(h @ params['W2'] + params['b2'])
        d = (e / e.sum(1, keepdims=True) - np.eye(3)[y]) / len(X)
        return loss, grads | dict(b1=(d @ params['W2'].T).sum(0))
    said = check('two_layer_loss', net).diagnoses
    assert said[0].startswith('in grads b1, `dh` stands where `da` belongs') and 'nan or infinite with large scores' in said[-1]


def test_not_a_number_is_said_as_such():
    found = check('softmax_loss', lambda x, y: (np.nan, np.full_like(x, np.nan)))
    assert not found.passed and found.diagnoses[0].startswith('loss, dx: nan or infinite') and 'lacks' not in str(found)


NET = """
class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size, std=1e-4):
        self.params = {NAME + '1': std * np.ones((input_size, hidden_size)), 'b1': np.zeros(hidden_size),
                       NAME + '2': std * np.ones((hidden_size, output_size)), 'b2': np.zeros(output_size)}
    def loss(self, X, y=None, reg=0.0):
        W1, b1, W2, b2 = self.params.values()
        h = np.maximum(X.dot(W1) + b1, 0)
        s = h.dot(W2) + b2
        s = s - s.max(axis=1)[:, None]
        logs = s - np.log(np.exp(s).sum(axis=1))[:, None]
        d = np.exp(logs) - np.eye(len(b2))[y]
        d /= len(X)
        da = d.dot(W2.T) * (h > 0)
        loss = -logs[range(len(y)), y].mean() + HALF * reg * ((W1 * W1).sum() + (W2 * W2).sum())
        return loss, {'W1': X.T.dot(da) + 2 * HALF * reg * W1, 'b1': da.sum(axis=0), 'W2': h.T.dot(d) + 2 * HALF * reg * W2, 'b2': d.sum(axis=0)}
"""


@pytest.mark.parametrize('half', [.5, 1.])
def test_a_net_whose_loss_takes_reg_is_graded(tmp_path, half):
    code = f'NAME, HALF = "W", {half}\n' + NET
    report = results_of(submission(tmp_path, code))['two_layer_loss']
    assert report.passed and any('no 1/2' in n for n in report.notes) == (half == 1)
    for old, new, says in ((' - s.max(axis=1)[:, None]', '', 'no maximum is subtracted'), ('s.max(axis=1)[:, None]', 's.max()', 'max` mixes all rows'),
                           ('-logs[range(len(y)), y]', '-np.log(np.exp(logs)[range(len(y)), y])', 'a probability that can be 0'), ('h.T.dot(d) + 2', 'h.T.dot(d) + 0', 'reg * W2')):
        said = results_of(submission(tmp_path, code.replace(old, new)))['two_layer_loss'].diagnoses
        assert says in said[0], (old, said)
    said = results_of(submission(tmp_path, code.replace('"W"', '"weights"')))['two_layer_loss'].diagnoses
    assert 'are called weights1, b1, weights2, b2, where W1, b1, W2, b2 are expected' in said[0]


@pytest.mark.parametrize('name, code', {
    'relu_backward': 'def relu_backward(dA, cache): return np.where(cache > 0, dA, 0)',
    'affine_backward': 'def affine_backward(d, cache):\n    x, w, b = cache\n    return (d @ w.T).reshape(x.shape), x.reshape(len(x), -1).T @ d, d.sum(axis=0)',
    'dropout_backward': 'def dropout_backward(dout, cache):\n    param, mask = cache\n    return dout * mask if param["mode"] == "train" else dout'}.items())
def test_a_backward_without_its_forward_gets_a_cache_as_courses_pack_it(tmp_path, name, code):
    report = results_of(submission(tmp_path, code))[name]
    assert report.passed and 'the cache being' in report.notes[0]
    wrong = code.replace('cache > 0', 'cache >= 0').replace('d.sum(axis=0)', 'd.mean(axis=0)').replace('dout * mask', 'dout * (mask > 0) * 3')
    report = results_of(submission(tmp_path, wrong))[name]
    assert not report.passed and 'Error' not in report.diagnoses[0]


def test_dropout_is_diagnosed_in_the_reading_of_p_that_fits():
    def layer(share, train, test, draw='uniform'):
        def dropout_forward(x, dropout_param):
            p, rng = dropout_param['p'], np.random.default_rng(dropout_param['seed'])
            kept = (rng.uniform(size=x.shape) if draw == 'uniform' else rng.normal(size=x.shape)) < share(p)
            return (x * kept * train(p) if dropout_param['mode'] == 'train' else x * test(p)), None
        return check('dropout_forward', dropout_forward, course=True)
    p, drop, one = (lambda p: p), (lambda p: 1 - p), (lambda p: 1)
    over_p, over_drop = (lambda p: 1 / p), (lambda p: 1 / (1 - p))
    assert layer(p, one, p).passed and layer(p, over_p, one).passed and layer(drop, one, drop).passed and layer(drop, over_drop, one).passed
    for report, says in ((layer(p, over_p, drop), 'at test by 1 - p, the probability of dropping; the right factors are 1 / p and 1'),
                         (layer(p, over_drop, one), '1 / (1 - p): it divides by the probability of dropping'), (layer(p, over_p, one, 'normal'), 'normal numbers'),
                         (layer(p, one, one), 'gets p times as much'), (layer(drop, over_p, one), '1 / p: it divides by the probability of dropping')):
        assert len(report.diagnoses) == 1 and says in report.diagnoses[0], report


BIASED = EXERCISES['batchnorm_forward'].forms[0], ('var * N / max(N - 1, 1)', 'var'), ('np.ones(D)', 'np.zeros(D)')

@pytest.mark.parametrize('change, says', {
    ('running_mean) / np.sqrt(running_var + eps)', 'running_mean) / np.sqrt(running_var)'): 'eps is missing',
    ('gamma * xhat + beta', "(gamma * xhat + beta if bn_param['mode'] == 'train' else xhat)"): 'gamma and beta are not applied at test',
    ('gamma * xhat + beta', 'xhat'): 'gamma and beta are not applied in either mode',
    ('(running_var + eps)', '(x.var(axis=0) + eps)'): 'the standard deviation of its own batch',
    ('np.sqrt(var + eps)', 'np.sqrt(var) + eps'): 'eps is added to the quotient',
    ('+ (1 - momentum) * unbiased', '+ (1 - momentum) * np.sqrt(unbiased)'): 'the standard deviation stands where the variance',
    ('running_mean + (1 - momentum) * mu', 'running_mean * 0 + mu'): ''}.items())
def test_batch_norm_is_diagnosed_in_the_convention_that_it_follows(change, says):
    form = exercises._like(BIASED[0], 'of_a_course', *BIASED[1:])
    assert check('batchnorm_forward', form, course=True).passed and not check('batchnorm_forward', form).passed
    report = check('batchnorm_forward', exercises._like(form, 'of_a_course', change), course=True)
    assert not report.passed and says in report.diagnoses[0] and 'not explained' not in str(report)
    assert not any('float64' in n for n in report.notes) and any('starts at 0' in n for n in report.notes)


def test_a_forward_that_fails_is_named_as_such(tmp_path):
    fails = 'def layernorm_forward(x, gamma, beta, ln_param): return nothing\n'
    code = fails + 'def layernorm_backward(dout, cache):\n    xhat, gamma, std = cache\n    return dout, dout, dout\n'
    said = results_of(submission(tmp_path, code))['layernorm_backward'].diagnoses
    assert len(said) == 1 and 'since layernorm_forward, whose cache it takes, fails: NameError' in said[0]
    for body in 'raise ValueError', 'return x', 'while True: pass':
        report = results_of(submission(tmp_path, RELU.replace('return np.maximum(x, 0), x', body)))['relu_backward']
        assert report.passed and 'relu_forward' in report.notes[0]
    assert 'forward=' not in str(results_of(submission(tmp_path, code.replace(fails, '')))['layernorm_backward'])


@pytest.mark.parametrize('name, code, says', [
    ('layernorm_forward', 'def layernorm_forward(x, gamma, beta, eps=1e-5): return gamma * (x - x.mean(1)[:, None]) / np.sqrt(x.var(1) + eps)[:, None], None',
     'called as layernorm_forward(x, gamma, beta, ln_param), where ln_param is a dictionary of eps; yours takes other arguments'),
    ('dropout_forward', 'def dropout_forward(x, p): return x / (1 - p), None', 'where dropout_param is a dictionary of p, mode, seed'),
    ('relu_forward', 'def relu_forward(x, slope): return x, x', 'called as relu_forward(x); yours takes other arguments'),
    ('relu_forward', 'def relu_forward(x): return np.clip(x, 0, 1000), x', 'the output is cut off at 1000'),
    ('rmsprop', 'def rmsprop(w, dw, config):\n    c = config["cache"] = config["decay_rate"] * config.get("cache", 0) + (1 - config["decay_rate"]) * dw * dw\n'
                '    return (w - config["learning_rate"] * dw) / (np.sqrt(c) + config["epsilon"]), config', 'too many parentheses: `w` is divided')])
def test_what_is_wrong_is_said(tmp_path, name, code, says):
    assert says in results_of(submission(tmp_path, code))[name].diagnoses[0]


SCORES = '''def softmax_loss(x, y):
    i, z = np.arange(len(x)), x - x.max(axis=1, keepdims=True)
    logs = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    dx = np.exp(logs)
    dx[i, y] -= 1
    return -logs[i, y].mean(), dx / len(x)
'''
DROP = '''def dropout_forward(x, dropout_param):
    p, rng = dropout_param['p'], np.random.default_rng(dropout_param['seed'])
    factors = (rng.uniform(size=x.shape) >= p) / (1 - p)
    return (x * factors if dropout_param['mode'] == 'train' else x), None
'''
GRAD = '''def eval_numerical_gradient(f, x):
    grad = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        a, b = x.copy(), x.copy()
        a[i] += 1e-5
        b[i] -= 1e-5
        grad[i] = (f(a) - f(b)) / 2e-5
    return grad
'''

@pytest.mark.parametrize('code, old, new, says', [
    (SCORES, 'x.max(axis=1, keepdims=True)', 'x.max()', 'no axis is given: the `max`'), (SCORES, 'x.max(', 'x.min(', 'the smallest is subtracted'),
    (SCORES, '[i, y]', '[i, y - 1]', 'y counts from 0'), (SCORES, 'x - x.max', 'np.float32(x) - np.float32(x).max', 'is computed in float32'),
    (SCORES, 'logs[i, y].mean()', '(y * logs).mean()', 'not one-hot'), (SCORES, '.sum(axis=1, keepdims=True)', '.sum(axis=1)', 'make them a column'),
    (DROP, '(rng.uniform(size=x.shape) >= p) / (1 - p)', 'rng.normal(1, p, x.shape)', 'no unit is dropped'),
    (DROP, 'return', 'factors = globals().setdefault("kept", factors)\n    return', 'or a mask is kept'),
    (GRAD, 'in np.ndindex(x.shape)', 'in range(len(x))', 'several entries of x are stepped at once'), (GRAD, 'x.copy(), x.copy()', 'x, x', 'at x only'),
    (RELU, 'np.maximum(x, 0)', 'np.max(x, 0)', 'np.maximum goes entry by entry'), (RELU, 'return np.maximum(x, 0), x', 'sys.exit()', 'must neither end the program'),
    (RELU, 'return np.maximum(x, 0), x', 'return (x, x[0]), np.maximum(x, 0)', 'out is a tuple of 2, where numbers'),
    ('def affine_forward(x, w, b): return x.reshape(len(x), -1) @ w + b, (x, w, b)\ndef affine_backward(dout, cache):\n    x, w, b = cache\n'
     '    return (dout @ w.T).reshape(x.shape), x.reshape(len(x), -1).T @ dout, dout.sum(0)', 'x, w, b = cache', 'b, x, w = cache', 'in the order [3, 1, 2]')])
def test_a_mistake_in_a_style_of_its_own_is_named(tmp_path, code, old, new, says):
    assert old in code and all(r.passed for r in results_of(submission(tmp_path, code)).values())
    assert says in next(r for r in results_of(submission(tmp_path, code.replace(old, new))).values() if not r.passed).diagnoses[0]


@pytest.mark.parametrize('name, changes, says', [
    ('adam', [('beta2 * config.get', 'beta1 * config.get'), ('(1 - beta2) * dw**2', '(1 - beta1) * dw**2')], '`beta1` stands where `beta2` belongs'),
    ('rmsprop', [('dw**2', 'dw * 2')], '`* 2` stands where the square'), ('rel_error', [('np.maximum(1e-8, np.abs(x) + np.abs(y))', '(1e-8 + np.abs(x) + np.abs(y))')], 'is added, where it is a lower bound'),
    ('two_layer_loss', [('np.maximum(0, a)', 'a'), (' * (a > 0)', '')], 'there is no ReLU'),
    ('two_layer_loss', [('(W2**2).sum()', 'sum((params[k]**2).sum() for k in ("W2", "b1", "b2"))'), ('db2 =', 'db2 = reg * b2 +'), ('db1 =', 'db1 = reg * b1 +')], 'biases are regularized'),
    ('layernorm_forward', [('x.var(axis=1, keepdims=True)', 'x.std(axis=1, keepdims=True, ddof=1)'), ('np.sqrt(var + eps)', '(var + eps)')], 'two mistakes'),
    ('batchnorm_forward', [('max(N - 1, 1)', '(N - 1)')], 'a batch of one row'),
    ('batchnorm_backward', [('inv_std = 1 / np.sqrt(var + eps)', 'inv_std = 1 / np.sqrt(var + 1.1 * eps)')], 'may come from eps')])
def test_a_line_of_a_textbook_form_that_was_changed_is_named(name, changes, says):
    assert says in check(name, exercises._like(EXERCISES[name].forms[0], 'changed', *changes)).diagnoses[0]


def test_what_a_file_sets_and_how_it_returns_does_not_count(tmp_path):
    assert results_of(submission(tmp_path, 'old = np.seterr(all="raise")\n' + SCORES))['softmax_loss'].passed
    assert results_of(submission(tmp_path, 'def sgd(w, dw, config): return [w - config["learning_rate"] * dw, config]'))['sgd'].passed


def layernorm(dout, cache, gamma=1, axis=1, over=None):
    "The gradients, with gamma in place of that of the cache."
    xhat, inv_std = cache['xhat'], cache['inv_std']
    d = dout * (cache['gamma'] if over is None else 1)
    dx = inv_std * (d - d.mean(1, keepdims=True) * (axis == 1) - d.sum(0) / d.shape[1] * (axis == 0) - xhat * (d * xhat).mean(1, keepdims=True))
    return dx * (1 if gamma is None else cache['gamma']), (dout * xhat).sum(0), dout.sum(0)


@pytest.mark.parametrize('options, says', [(dict(), 'multiplied by gamma once more'), (dict(over=1), 'gamma outside the means'), (dict(over=1, axis=0), 'outside a sum over the batch')])
def test_a_gamma_in_another_place_is_named(options, says):
    assert check('layernorm_backward', lambda dout, cache: layernorm(dout, cache, None)).passed
    assert says in check('layernorm_backward', lambda dout, cache: layernorm(dout, cache, **options)).diagnoses[0]


def test_the_mean_in_the_place_of_the_centred_x_is_named():
    def wrong(dout, cache):
        d, mu, inv_std = cache['gamma'] * dout, cache['mu'], cache['inv_std']
        return inv_std * (d - d.mean(0)) - inv_std**3 * mu**2 * d.mean(0), (dout * cache['xhat']).sum(0), dout.sum(0)
    assert 'the mean mu in place of x - mu' in check('batchnorm_backward', wrong).diagnoses[0]


def test_keys_that_a_norm_adds_are_noted():
    def adds(x, gamma, beta, ln_param):
        ln_param['mode'] = 'train'
        return EXERCISES['layernorm_forward'].forms[0](x, gamma, beta, ln_param)
    report = check('layernorm_forward', adds)
    assert report.passed and "adds 'mode' to the dictionary `ln_param`" in report.notes[0]


PRINTS = 'def relu_forward(x):\n    if x is None: print "x is", x\n    print "%d of %d" % (len(x),\n                       1)\n    return np.maximum(x, 0), x\ndef relu_backward(dout, cache): return dout * (cache > 0) dout\n'

def test_what_cannot_be_parsed_costs_itself_only(tmp_path, capsys):
    path = submission(tmp_path, PRINTS + RELU.splitlines()[1].replace('relu_', 'leaky_') + '\n')
    grades, skipped = grade([path], FAST)
    assert [(g.name, g.report.passed) for g in grades] == [('relu_forward', True)]
    assert len(skipped) == 3 and all('as in Python 2' in s for s in skipped[:2]) and 'line 8: SyntaxError' in skipped[2] and 'from line 8 on is skipped' in skipped[2]
    (tmp_path/'broken.ipynb').write_text('{')
    grades, skipped = grade([path, tmp_path/'broken.ipynb'], FAST)
    assert len(grades) == 1 and 'broken.ipynb cannot be read: JSONDecodeError' in skipped[-1]
    many = submission(tmp_path, RELU + ''.join(f'x{i} = missing{i}\n' for i in range(9)), 'many.py')
    assert grade_command([str(many)]) == 0 and 'and 4 more' in capsys.readouterr().out


@pytest.mark.parametrize('cell', ['?np.sum', 'np.sum?', 'files = !ls', '!pip install \\\n    numpy', '%time x = 1\n', 'if True:\n    %matplotlib inline', '%%bash\nls', 'print "x"'])
@pytest.mark.parametrize('old', [False, True])
def test_cells_that_are_no_python_are_skipped(tmp_path, cell, old):
    sources = ['import numpy as np\n' + cell if not cell.startswith('%%') else 'import numpy as np', cell, '%%time\n' + RELU]
    cells = [{'cell_type': 'code', 'input' if old else 'source': s.splitlines(True)} for s in sources]
    path = tmp_path/'mine.ipynb'
    path.write_text(json.dumps(dict(nbformat=3, worksheets=[dict(cells=cells)]) if old else dict(cells=cells)), encoding='utf-8-sig')
    found = results_of(path)
    assert len(found) == 2 and all(r.passed for r in found.values())


def test_code_that_trains_is_stopped_and_the_rest_graded(tmp_path):
    path = submission(tmp_path, 'losses = [i for i in iter(int, 1)]\n' + RELU)
    grades, skipped = grade([path], FAST)
    assert all(g.report.passed for g in grades) and len(grades) == 2
    assert 'line 3: stopped after' in skipped[0] and '__main__' in skipped[0]


def test_names_match_without_case_and_underscores(tmp_path, capsys):
    path = submission(tmp_path, 'def SGD(w, dw, config): return w - config["learning_rate"] * dw, config\nclass Adam: pass\n' + RELU.replace('relu_forward', 'ReLU_Forward'))
    assert grade_command([str(path)]) == 0
    out = capsys.readouterr().out
    assert out.count('passed') == 3 and 'not in the files: affine_forward' in out and ' adam' in out.split('not in the files')[1]


def test_both_nets_of_a_course_are_graded(tmp_path):
    net = 'class {}:\n    def __init__(self, *args, **kwargs): self.params = dict.fromkeys(["W1", "b1", "W2", "b2"])\n    def loss(self, X, y): return {}\n'
    report = results_of(submission(tmp_path, net.format('TwoLayerNet', '0, {}') + net.format('FullyConnectedNet', 'None')))['two_layer_loss']
    assert not report.passed and any('FullyConnectedNet.loss would not pass: nothing is returned' in n for n in report.notes)
