"""The calls that the notebooks of CS231n (2016 to 2026) and CS182 make, in the signatures of their years."""
import io, pickle, time, warnings
from contextlib import redirect_stdout

import matplotlib
import numpy as np
import pytest

matplotlib.use('Agg')
import matplotlib.pyplot as plt

import bnnp.course as course
from bnnp.course import *
from bnnp.data import load_shapes10

SIZES = dict(input_dim=15, num_classes=10, weight_scale=5e-2, dtype=np.float64)


@pytest.fixture(scope='module')
def data():
    X, y = load_shapes10(400)
    X = X.astype(np.float32) - X.mean(axis=0, dtype=np.float32)      # as the courses give them: centred, not scaled
    return dict(X_train=X[:300], y_train=y[:300], X_val=X[300:], y_val=y[300:], X_test=X[300:], y_test=y[300:])


def small(data, num_train): return data | {k: data[k][:num_train] for k in ('X_train', 'y_train')}


def check_net(model, X, y, tolerance=1e-5):
    "The notebooks' gradient check: all parameters by central differences, in place."
    loss, grads = model.loss(X, y)
    for name in sorted(grads):
        f = lambda _: model.loss(X, y)[0]
        found = rel_error(eval_numerical_gradient(f, model.params[name], verbose=False, h=1e-5), grads[name])
        assert found < tolerance, (name, found)
    return loss


def toy(N=2):
    np.random.seed(231)
    return np.random.randn(N, 15), np.random.randint(10, size=(N,))


# fully connected nets

def test_layers_as_the_first_notebook_checks_them():
    np.random.seed(231)
    x, w, b, dout = np.random.randn(10, 2, 3), np.random.randn(6, 5), np.random.randn(5), np.random.randn(10, 5)
    _, cache = affine_forward(x, w, b)
    for grad, f, a in zip(affine_backward(dout, cache), (lambda x: affine_forward(x, w, b)[0], lambda w: affine_forward(x, w, b)[0],
                                                         lambda b: affine_forward(x, w, b)[0]), (x, w, b)):
        assert rel_error(eval_numerical_gradient_array(f, a, dout), grad) < 1e-8
    _, cache = affine_relu_forward(x, w, b)
    assert [a.shape for a in affine_relu_backward(dout, cache)] == [(10, 2, 3), (6, 5), (5,)]
    x = np.random.randn(10, 10)
    assert (relu_backward(x, relu_forward(x)[1]) == x * (x > 0)).all()


def test_both_losses():
    np.random.seed(231)
    x, y = .001 * np.random.randn(50, 10), np.random.randint(10, size=50)
    for f, expected in (svm_loss, 9), (softmax_loss, 2.3):
        loss, dx = f(x, y)
        assert abs(loss - expected) < .01
        assert rel_error(eval_numerical_gradient(lambda x: f(x, y)[0], x, verbose=False), dx) < 1e-7
    with pytest.raises(ValueError, match='labels'): svm_loss(x, y + 1)


@pytest.mark.parametrize('reg, printed', [(0, 2.3004790897684924), (3.14, 7.052114776533016)])
def test_initial_loss_and_gradients(reg, printed):
    X, y = toy()
    for each in {0: [0], 3.14: [0, 3.14]}[reg]: model = FullyConnectedNet([20, 30], reg=each, **SIZES)
    assert abs(check_net(model, X, y, 1e-4) - printed) < 1e-13


def test_update_rules_as_they_are_checked():
    w, dw, v = (np.linspace(*ends, num=20).reshape(4, 5) for ends in ((-.4, .6), (-.6, .4), (.6, .9)))
    config = {'learning_rate': 1e-3, 'velocity': v}
    next_w, _ = sgd_momentum(w, dw, config=config)
    assert abs(next_w.flat[[0, -1]] - [.1406, 1.4096]).max() < 1e-8 and abs(config['velocity'].flat[[0, -1]] - [.5406, .8096]).max() < 1e-8
    config = {'learning_rate': 1e-2, 'cache': v}
    assert abs(rmsprop(w, dw, config=config)[0].flat[[0, -1]] - [-.39223849, .59576619]).max() < 1e-8
    config = {'learning_rate': 1e-2, 'm': v, 'v': np.linspace(.7, .5, 20).reshape(4, 5), 't': 5}
    assert abs(adam(w, dw, config=config)[0].flat[[0, -1]] - [-.40094747, .59801459]).max() < 1e-8 and config['t'] == 6


def test_momentum_of_cs182_as_it_is_checked():
    from bnnp.optim import sgd_momentum_torch as sgd_momentum
    w, dw, v = (np.linspace(*ends, num=20).reshape(4, 5) for ends in ((-.4, .6), (-.6, .4), (.6, .9)))
    config = {'learning_rate': 1e-3, 'velocity': v}
    next_w, _ = sgd_momentum(w, dw, config=config)
    assert abs(next_w.flat[[0, -1]] - [-.39994, .59879]).max() < 1e-8 and abs(config['velocity'].flat[[0, -1]] - [-.06, 1.21]).max() < 1e-8


def test_fifty_images_are_learned_by_heart(data):
    np.random.seed(231)
    model = FullyConnectedNet([100, 100], weight_scale=1e-2, dtype=np.float64)
    solver = Solver(model, small(data, 50), print_every=10, num_epochs=20, batch_size=25, update_rule='sgd',
                    optim_config={'learning_rate': 5e-3}, verbose=False)
    solver.train()
    assert max(solver.train_acc_history) == 1 and len(solver.loss_history) == 40
    plt.plot(solver.loss_history, 'o')


def test_update_rules_compared_and_recorded(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    solvers = {}
    for update_rule in ['sgd', 'sgd_momentum', 'rmsprop', 'adam']:
        np.random.seed(100)
        solver = Solver(FullyConnectedNet([30] * 5, weight_scale=5e-2), data, num_epochs=2, batch_size=100, update_rule=update_rule,
                        optim_config={'learning_rate': 1e-3}, verbose=False, log_acc_iteration=True)
        solvers[update_rule] = solver
        solver.train()
        solver.record_histories_as_npz('submission_logs/optimizer_experiment_{}'.format(update_rule))
    for solver in solvers.values():
        plt.plot(solver.log_acc_iteration_history, solver.train_acc_history)
    assert solver.log_acc_iteration_history == [0, 2, 5]
    with np.load('submission_logs/optimizer_experiment_adam.npz', allow_pickle=False) as f:
        assert sorted(f) == ['train_accs', 'train_losses', 'val_accs'] and f['train_losses'].tolist() == solvers['adam'].loss_history


# two layers

def test_two_layer_net_of_a_solver(data):
    np.random.seed(231)
    N, D, H, C, std = 3, 5, 50, 7, 1e-3
    np.random.randn(N, D), np.random.randint(C, size=N)
    model = TwoLayerNet(input_dim=D, hidden_dim=H, num_classes=C, weight_scale=std)
    for i in 1, 2:
        assert abs(model.params[f'W{i}'].std() - std) < std / 10 and (model.params[f'b{i}'] == 0).all()
    model = TwoLayerNet(3 * 32 * 32, 50, 10)
    assert model.params['W1'].dtype == np.float64
    solver = Solver(model, data, update_rule='sgd', optim_config={'learning_rate': 1e-3}, lr_decay=.95, num_epochs=2, batch_size=100,
                    print_every=100, verbose=False)
    solver.train()
    W1 = model.params['W1'].reshape(3, 32, 32, -1).transpose(3, 1, 2, 0)
    assert visualize_grid(W1, padding=3).astype('uint8').shape == (8 * 35 - 3, 8 * 35 - 3, 3)
    assert (np.argmax(model.loss(data['X_val']), axis=1) == data['y_val']).mean() == solver.best_val_acc


def test_two_layer_net_that_trains_itself(data):
    def init_toy_model():
        np.random.seed(0)
        return NeuralNet(4, 10, 3, std=1e-1)
    np.random.seed(1)
    X, y = 10 * np.random.randn(5, 4), np.array([0, 1, 2, 2, 1])
    net = init_toy_model()
    scores = net.loss(X)
    assert np.abs(scores[[0, -1]] - [[-.81233741, -1.27654624, -.70335995], [-.00618733, -.12435261, -.15226949]]).max() < 1e-7
    loss, grads = net.loss(X, y, reg=.05)
    assert abs(loss - 1.30378789133) < 1e-10
    for name in grads:
        assert rel_error(eval_numerical_gradient(lambda W: net.loss(X, y, reg=.05)[0], net.params[name], verbose=False), grads[name]) < 1e-7
    stats = init_toy_model().train(X, y, X, y, learning_rate=1e-1, reg=5e-6, num_iters=100, verbose=False)
    assert stats['loss_history'][-1] < .2 and net.reg == 0
    rows = [data[k].reshape(len(data[k]), -1) for k in ('X_train', 'X_val')]
    net = NeuralNet(32 * 32 * 3, 50, 10)
    stats = net.train(rows[0], data['y_train'], rows[1], data['y_val'], num_iters=7, batch_size=100, learning_rate=1e-4,
                      learning_rate_decay=.95, reg=.25, verbose=False)
    assert [len(stats[k]) for k in ('loss_history', 'train_acc_history', 'val_acc_history')] == [7, 3, 3]
    assert net.predict(rows[1]).shape == (100,)


def test_saving_the_best_model(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, other = (TwoLayerNet(hidden_dim=10) for _ in range(2))
    model.save('best_two_layer_net.npy')
    assert [p.name for p in tmp_path.iterdir()] == ['best_two_layer_net.npz']
    assert other.load('best_two_layer_net.npy') and (other.loss(data['X_val']) == model.loss(data['X_val'])).all()
    assert not other.load('none_such')
    for name in 'net_0.25', 'net_0.5': model.save(name)
    assert len(list(tmp_path.iterdir())) == 3


# batch norm

def test_batch_norm_forward_and_backward():
    np.random.seed(231)
    a = np.maximum(0, np.random.randn(200, 50) @ np.random.randn(50, 60)) @ np.random.randn(60, 3)
    gamma, beta = np.array([1., 2., 3.]), np.array([11., 12., 13.])
    out, _ = batchnorm_forward(a, gamma, beta, {'mode': 'train'})
    assert abs(out.mean(axis=0) - beta).max() < 1e-8 and abs(out.std(axis=0) - gamma).max() < 1e-6
    x, gamma, beta, dout = 5 * np.random.randn(4, 5) + 12, np.random.randn(5), np.random.randn(5), np.random.randn(4, 5)
    bn_param = {'mode': 'train'}
    _, cache = batchnorm_forward(x, gamma, beta, bn_param)
    dx, dgamma, dbeta = batchnorm_backward(dout, cache)
    f = lambda _: batchnorm_forward(x, gamma, beta, bn_param)[0]
    for a, grad in (x, dx), (gamma, dgamma), (beta, dbeta): assert rel_error(eval_numerical_gradient_array(f, a, dout), grad) < 1e-7
    t1 = time.time()
    dx2, dgamma2, dbeta2 = batchnorm_backward_alt(dout, cache)
    assert rel_error(dx, dx2) < 1e-8 and 'speedup: %.2fx' % (time.time() - t1 + 1e-9)
    ln, cache = layernorm_forward(x, gamma, beta, {})
    assert [g.shape for g in layernorm_backward(dout, cache)] == [(4, 5), (5,), (5,)]


@pytest.mark.parametrize('options', [dict(use_batchnorm=True), dict(normalization='batchnorm')])
def test_net_with_batch_norm(options):
    X, y = toy()
    assert abs(FullyConnectedNet([20, 30], reg=0, **SIZES, **options).loss(X, y)[0] - 2.2611955101340957) < 1e-13
    assert abs(FullyConnectedNet([20, 30], reg=3.14, **SIZES, **options).loss(X, y)[0] - 6.996533220108303) < 1e-13
    X, y = toy(5)
    model = FullyConnectedNet([10, 8], **SIZES, **options)
    loss, grads = model.loss(X, y)
    for name in ('W1', 'W2', 'W3', 'gamma1', 'beta2', 'b3'):
        assert rel_error(eval_numerical_gradient(lambda _: model.loss(X, y)[0], model.params[name], verbose=False), grads[name]) < 1e-4
    assert len(model.bn_params) == 2 and model.use_batchnorm


@pytest.mark.parametrize('off', [None, False])
def test_with_and_without_batch_norm(data, off):
    np.random.seed(231)
    bn_model = FullyConnectedNet([50] * 3, weight_scale=2e-2, normalization='batchnorm')
    model = FullyConnectedNet([50] * 3, weight_scale=2e-2, normalization=off)
    for m in bn_model, model:
        solver = Solver(m, small(data, 200), num_epochs=2, batch_size=50, update_rule='adam', optim_config={'learning_rate': 1e-3},
                        verbose=False, print_every=20)
        solver.train()
        assert max(solver.train_acc_history) >= 0 and np.mean(solver.loss_history[-100:]) > 0
    assert bn_model.use_batchnorm and not model.use_batchnorm and not model.bn_params


def test_sweep_over_weight_scales_and_rates_ends(data):
    best = {}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for weight_scale in np.logspace(-4, 2, num=3):
            for learning_rate in 10**-3.5, 1e6:
                model = FullyConnectedNet([20] * 3, weight_scale=weight_scale, normalization=None)
                solver = Solver(model, data, num_epochs=2, batch_size=50, update_rule='sgd', optim_config={'learning_rate': learning_rate}, verbose=False)
                solver.train()
                best[weight_scale, learning_rate] = max(solver.val_acc_history), solver.loss_history[-1]
    assert len(best) == 6 and any(np.isnan(loss) for _, loss in best.values())


# dropout

@pytest.mark.parametrize('p', [.25, .4, .7])
def test_dropout_layers(p):
    np.random.seed(231)
    x = np.random.randn(500, 500) + 10
    for forward, dropped in (dropout_forward, p), (course.dropout_forward_2018, 1 - p):
        out, _ = forward(x, {'mode': 'train', 'p': p})
        out_test, _ = forward(x, {'mode': 'test', 'p': p})
        assert abs(out.mean() - 10) < .2 and (out_test == x).all() and abs((out == 0).mean() - dropped) < .01
        x_small, dout = x[:10, :10].copy(), np.random.randn(10, 10)
        param = {'mode': 'train', 'p': p, 'seed': 123}
        _, cache = forward(x_small, param)
        numeric = eval_numerical_gradient_array(lambda xx: forward(xx, param)[0], x_small, dout)
        assert rel_error(dropout_backward(dout, cache), numeric) < 1e-7
    with pytest.raises(ValueError, match=r'p must be a number in \(0, 1\], got 0'): course.dropout_forward_2018(x, {'mode': 'train', 'p': 0})


@pytest.mark.parametrize('net, name, values', [(FullyConnectedNet, 'dropout', [0, .25, .5, None]), (FullyConnectedNet, 'dropout_keep_ratio', [1, .75, .5]),
                                               (course.FullyConnectedNet_2018, 'dropout', [1, .75, .5])])
def test_nets_with_dropout_of_three_eras(net, name, values):
    X, y = toy()
    for value in values:
        check_net(net([12, 10], seed=123, **{name: value}, **SIZES | {'weight_scale': .3}), *toy(8), 1e-4)
        model = net([20, 30], seed=123, **{name: value}, **SIZES)
        p = 1 - value if value and 'keep' in name or net is course.FullyConnectedNet_2018 else value or 0
        assert model.dropout_param['p'] == p and model.use_dropout == (p > 0)
    np.random.seed(231)
    np.random.randn(2, 15), np.random.randint(10, size=2)
    assert abs(net([20, 30], **{name: values[0]}, **SIZES).loss(X, y)[0] - 2.3004790897684924) < 1e-13


def test_dropout_experiment(data):
    solvers = {}
    for dropout in [0, .75]:
        solver = Solver(FullyConnectedNet([100], dropout=dropout), small(data, 200), num_epochs=2.0, batch_size=100, update_rule='adam',
                        optim_config={'learning_rate': 5e-4}, verbose=False, print_every=100)
        solver.train()
        solvers[dropout] = solver
    assert [len(s.train_acc_history) for s in solvers.values()] == [3, 3]


def test_where_p_means_keep_is_said():
    with pytest.raises(ValueError, match='FullyConnectedNet_2018.*dropout_keep_ratio=1'): FullyConnectedNet([20], dropout=1)


# the solver

def test_attributes_and_methods(data):
    model = FullyConnectedNet([10])
    solver = Solver(model, data, batch_size=100, num_epochs=1, verbose=False)
    assert solver.epoch == 0 and solver.update_rule is sgd and all((getattr(solver, k) == data[k]).all() for k in ('X_train', 'y_train', 'X_val', 'y_val'))
    solver._step()
    assert len(solver.loss_history) == 1
    solver._reset()
    assert solver.loss_history == [] and solver.best_params is None
    solver.train()
    solver.train()
    assert solver.epoch == 2 and len(solver.loss_history) == 6 and len(solver.val_acc_history) == 3
    assert (solver.predict(data['X_val']) == model.loss(data['X_val']).argmax(axis=1)).all()
    assert solver.check_accuracy(data['X_val'], data['y_val'], num_samples=50, batch_size=10) <= 1
    with pytest.raises(ValueError, match="'speed'"): Solver(model, data, speed=3)
    with pytest.raises(ValueError, match='adma'): Solver(model, data, update_rule='adma')


def test_what_seeds_fix(data):
    def history(global_seed, **options):
        np.random.seed(global_seed)
        solver = Solver(FullyConnectedNet([10], dropout=.5, seed=123), data, num_epochs=1, batch_size=50, verbose=False, **options)
        solver.train()
        return solver.loss_history
    assert history(7) == history(7) != history(8)
    model = FullyConnectedNet([10])
    seen = []
    for seed in 7, 7, 8:
        np.random.seed(seed)
        solver = Solver(model, data, num_epochs=1, verbose=False)
        solver._step()
        seen.append(solver.training_batch()[1].tolist())
    assert seen[0] == seen[1] != seen[2]
    np.random.seed(231)
    X = np.random.randn(3)
    np.random.seed(231)
    Solver(model, data)                                              # neither draws before training
    FullyConnectedNet([1], input_dim=1, num_classes=1, dropout=.5, weight_scale=0, seed=1)
    assert np.random.randn(3).tolist() != X.tolist()                 # weights do, two of them here


def test_the_best_parameters_of_a_loop(data):
    class Snapshot:
        def after_epoch(self, solver): best.append((dict(solver.model.params), {k: w.copy() for k, w in solver.model.params.items()}))
    best, model = [], FullyConnectedNet([20], use_batchnorm=True)
    solver = Solver(model, data, num_epochs=3, batch_size=50, update_rule='adam', verbose=False, hooks=[Snapshot()])
    solver.train()
    for kept, copied in best:
        for name in kept: assert (kept[name] == copied[name]).all(), name
    assert (best[0][0]['W1'] != best[-1][0]['W1']).any()
    kept, copied = dict(model.params), {k: w.copy() for k, w in model.params.items()}
    for p, w in model.params.items(): model.params[p] = w + 1          # a loop of one's own
    assert all((kept[k] == copied[k]).all() and (model.params[k] == kept[k] + 1).all() for k in kept)
    model.params = best[0][0]
    assert (model.params['W1'] == best[0][0]['W1']).all()


def test_pickles_of_a_course_are_refused_in_words(data, tmp_path):
    model = FullyConnectedNet([10])
    (tmp_path/'run_epoch_2.pkl').write_bytes(pickle.dumps({'epoch': 2}))
    np.save(tmp_path/'best.npy', {'W1': np.ones(3)}, allow_pickle=True)
    for name in 'run_epoch_2.pkl', 'best.npy':
        with pytest.raises(ValueError, match='load_state_dict'): model.load(tmp_path/name)
    with pytest.raises(ValueError, match='load_state_dict'): Solver(model, data, checkpoint_name=str(tmp_path/'run')).resume()


def test_a_net_of_a_course_is_translated():
    class Theirs:
        params = {'W1': np.ones((4, 3)), 'b1': np.zeros(3), 'gamma1': np.ones(3), 'beta1': np.zeros(3), 'W2': np.ones((3, 2)), 'b2': np.zeros(2)}
        bn_params = [{'mode': 'test', 'running_mean': np.full(3, .5), 'running_var': np.full(3, 4.)}]
    net = FullyConnectedNet([3], 4, 2, use_batchnorm=True, dtype=float)
    net.load_state_dict(course_state(Theirs))
    assert np.allclose(net.loss(np.ones((2, 4))), 3 * (4 - .5) / np.sqrt(4 + 1e-5))


def test_convolutions_say_that_they_are_missing():
    for name in 'conv_forward_naive', 'max_pool_forward_naive', 'ThreeLayerConvNet', 'conv_forward_fast', 'conv_relu_forward':
        with pytest.raises(NotImplementedError, match='no convolutions'): getattr(course, name)(np.ones((1, 3, 4, 4)))


def test_verbose_is_the_third_argument():
    with redirect_stdout(io.StringIO()) as out: grad = eval_numerical_gradient(lambda x: (x**3).sum(), np.array([1., 2.]), True)
    assert np.allclose(grad, [3, 12]) and out.getvalue().count('\n') == 2
    with redirect_stdout(io.StringIO()) as out: eval_numerical_gradient(lambda x: (x**3).sum(), np.array([1., 2.]), False)
    assert not out.getvalue()


def test_one_star_has_all_names():
    names = ('FullyConnectedNet TwoLayerNet Solver get_CIFAR10_data load_CIFAR10 eval_numerical_gradient eval_numerical_gradient_array grad_check_sparse '
             'rel_error affine_forward affine_backward relu_forward relu_backward affine_relu_forward affine_relu_backward batchnorm_forward '
             'batchnorm_backward batchnorm_backward_alt layernorm_forward layernorm_backward dropout_forward dropout_backward softmax_loss svm_loss '
             'spatial_batchnorm_forward spatial_groupnorm_backward affine_bn_relu_forward sgd sgd_momentum rmsprop adam visualize_grid')
    assert set(names.split()) <= set(course.__all__)
