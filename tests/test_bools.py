"""A bool is no step, no size and no count: each function that takes a number refuses `True`, and says so."""
import numpy as np
import pytest

from bnnp import course, data, gradient_check, layers, network, optim, solver, statistics

x, gamma = np.random.default_rng(0).normal(size=(6, 4)), np.ones(4)
images, y = np.ones((6, 4, 2, 2)), np.arange(6) % 3
splits = dict(X_train=x, y_train=y, X_val=x, y_val=y)
square, both = lambda a: (a * a).sum(), lambda params: sum((a * a).sum() for a in params.values())
train = lambda **numbers: {'mode': 'train', **numbers}
net = network.FullyConnectedNet([5], 4, 3, seed=0)

# a call, and the arguments that are numbers, each with a value that is allowed
CALLS = {
    'eval_numerical_gradient': (lambda **k: gradient_check.eval_numerical_gradient(square, x[0], **k), dict(h=1e-5)),
    'eval_numerical_gradient, third argument': (lambda h: gradient_check.eval_numerical_gradient(square, x[0], h), dict(h=1e-5)),
    'eval_numerical_gradient_array': (lambda **k: gradient_check.eval_numerical_gradient_array(np.square, x, x, **k), dict(h=1e-5)),
    'grad_check_sparse': (lambda **k: gradient_check.grad_check_sparse(square, x, 2 * x, **k), dict(num_checks=2, h=1e-5, seed=0)),
    'complex_step_gradient': (lambda **k: gradient_check.complex_step_gradient(square, x, **k), dict(h=1e-30)),
    'check_gradient': (lambda **k: gradient_check.check_gradient(square, x, 2 * x, **k), dict(h=1e-30, tol=1e-9, scale=1.)),
    'check_projected': (lambda **k: gradient_check.check_projected(both, {'w': x}, {'w': 2 * x}, **k),
                        dict(h=1e-30, tol=1e-9, scale=1., directions=2, seed=0)),
    'ledger': (lambda **k: gradient_check.ledger([('x', x, x)], **k), dict(tol=1e-9, scale=1.)),
    'course.eval_numerical_gradient': (lambda **k: course.eval_numerical_gradient(square, x[0], False, **k), dict(h=1e-5)),
    'load_shapes10': (data.load_shapes10, dict(n=2, seed=0)),
    'load_data': (lambda **k: data.load_data('shapes10', **k), dict(num_train=20, num_val=10, num_test=10)),
    'get_data': (lambda **k: data.get_data('shapes10', **dict(num_train=20, num_val=10, num_test=10) | k),
                 dict(num_train=20, num_val=10, num_test=10, split=1)),
    'epoch_batches': (data.epoch_batches, dict(num_train=10, batch_size=2, seed=0, epoch=0)),
    'take_batch': (lambda **k: data.take_batch(x, [0, 1], **k), dict(scale=2.)),
    'Augment': (data.Augment, dict(shift=2, seed=0)),
    'batchnorm_forward': (lambda **k: layers.batchnorm_forward(x, gamma, gamma, train(**k)), dict(eps=1e-5, momentum=.9)),
    'layernorm_forward': (lambda **k: layers.layernorm_forward(x, gamma, gamma, k), dict(eps=1e-5)),
    'rmsnorm_forward': (lambda **k: layers.rmsnorm_forward(x, gamma, k), dict(eps=1e-5)),
    'spatial_batchnorm_forward': (lambda **k: layers.spatial_batchnorm_forward(images, gamma, gamma, train(**k)), dict(eps=1e-5, momentum=.9)),
    'spatial_groupnorm_forward': (lambda G=2, **k: layers.spatial_groupnorm_forward(images, gamma, gamma, G, k), dict(G=2, eps=1e-5)),
    'softmax_loss': (lambda **k: layers.softmax_loss(x, y, **k), dict(smoothing=.1)),
    'dropout_forward': (lambda **k: layers.dropout_forward(x, train(**{'p': .5} | k)), dict(p=.5, seed=0, layer=1, step=2)),
    'dropout_mask': (lambda p=.5, **k: layers.dropout_mask((2, 3), p, **k), dict(p=.5, seed=0, layer=1, step=2)),
    'course.dropout_forward_2018': (lambda **k: course.dropout_forward_2018(x, train(**k)), dict(p=.5)),
    'FullyConnectedNet': (lambda hidden_dims=5, **k: network.FullyConnectedNet([hidden_dims], **k),
                          dict(hidden_dims=5, input_dim=4, num_classes=3, dropout=.5, reg=.1, weight_scale=.1, seed=0, label_smoothing=.1,
                               dropout_keep_ratio=.5)),
    'course.FullyConnectedNet': (lambda hidden_dims=5, **k: course.FullyConnectedNet([hidden_dims], **k),
                                 dict(hidden_dims=5, input_dim=4, num_classes=3, dropout=.5, reg=.1, weight_scale=.1, seed=0)),
    'course.TwoLayerNet': (course.TwoLayerNet, dict(input_dim=4, hidden_dim=5, num_classes=3, weight_scale=.1, reg=.1, seed=0)),
    'course.NeuralNet.loss': (lambda **k: course.NeuralNet(4, 5, 3).loss(x, y, **k), dict(reg=.1)),
    'course.NeuralNet.train': (lambda **k: course.NeuralNet(4, 5, 3).train(x, y, x, y, **k),
                               dict(learning_rate=.1, learning_rate_decay=.9, reg=.1, num_iters=2, batch_size=2)),
    'course.visualize_grid': (lambda **k: course.visualize_grid(images, **k), dict(ubound=255., padding=1)),
    'Solver': (lambda **k: solver.Solver(net, splits, **k),
               dict(lr_decay=.9, batch_size=2, num_epochs=2, num_train_samples=2, num_val_samples=2, print_every=2, seed=0, log_every=2, threads=1,
                    weight_decay=.1)),
    'Solver.check_accuracy': (lambda **k: solver.Solver(net, splits).check_accuracy(x, y, **k), dict(num_samples=2, batch_size=2)),
    'mean_interval': (lambda **k: statistics.mean_interval(x, **k), dict(level=.9)),
    'median_interval': (lambda **k: statistics.median_interval(x[:, 0], **k), dict(level=.9)),
    'seeds_needed': (statistics.seeds_needed, dict(spread=1.5, difference=1.2, power=.8, level=.9)),
} | {name: (lambda rule=rule, **k: rule(x, x, k), {k: v for k, v in rule(x, x, None)[1].items() if k in optim.KINDS and k not in ('nesterov', 'amsgrad')})
     for name, rule in optim.RULES.items()}


SAYS = {'hidden_dims': 'hidden_dim', 'learning_rate_decay': 'lr_decay'}           # what the message calls it
MEANS_NONE = {('FullyConnectedNet', 'dropout'), ('course.FullyConnectedNet', 'dropout')}     # False, and None


@pytest.mark.parametrize('name', CALLS)
def test_true_is_no_number(name, capsys):
    call, numbers = CALLS[name]
    for number, allowed in numbers.items():
        others = {k: v for k, v in numbers.items() if k != number and (name, number, k) not in EXCLUDE}
        call(**{number: allowed}, **others)
        for flag in [True, np.True_] + [False] * ((name, number) not in MEANS_NONE):
            with pytest.raises(ValueError, match=SAYS.get(number, number)): call(**{number: flag}, **others)


# two spellings of one thing do not go together
EXCLUDE = {('FullyConnectedNet', a, b) for a, b in (('dropout', 'dropout_keep_ratio'), ('dropout_keep_ratio', 'dropout'))} | {
    ('FullyConnectedNet', k, 'dropout_keep_ratio') for k in CALLS['FullyConnectedNet'][1]}
