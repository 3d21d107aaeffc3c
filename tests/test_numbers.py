"""Every layer beside exact arithmetic: sixty-digit decimals, for numbers of any size, type and memory layout."""
import decimal, itertools, warnings
from decimal import Decimal

import numpy as np
import pytest

from bnnp import layers
from bnnp.arrays import sum_rows, total
from bnnp.layers import *
from bnnp.network import FullyConnectedNet
from bnnp.optim import RULES
from bnnp.speed import Memory

decimal.setcontext(decimal.Context(prec=60, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN))
exactly = np.frompyfunc(lambda v: Decimal(float(v)), 1, 1)                      # every binary number is a decimal
root, power, logarithm = (np.frompyfunc(f, 1, 1) for f in (Decimal.sqrt, Decimal.exp, Decimal.ln))
FLOATS = np.float16, np.float32, np.float64


# each layer in exact arithmetic: arrays of decimals in, arrays of decimals out, as its definition says

def mean(a, axis): return a.mean(axis=axis, keepdims=True)


def exact_norm(x, gamma, beta, dout, eps, axis):
    "out, dx, dgamma, dbeta of normalising along `axis`; gamma and beta broadcast against x."
    xc = x - mean(x, axis)
    s = root(mean(xc * xc, axis) + Decimal(eps))
    xhat, dxhat = xc / s, gamma * dout
    dx = (dxhat - mean(dxhat, axis) - xhat * mean(dxhat * xhat, axis)) / s
    return gamma * xhat + beta, dx, dout * xhat, dout


def exact_batchnorm(x, gamma, beta, dout, eps=1e-5, axis=0):
    out, dx, dgamma, dbeta = exact_norm(x, gamma, beta, dout, eps, axis)
    return out, dx, dgamma.sum(axis=0), dbeta.sum(axis=0)


def exact_images(axes, G=None):
    "The same for images (N, C, H, W)."
    def reference(x, gamma, beta, dout, eps=1e-5):
        N, C, H, W = x.shape
        cut = lambda a: np.broadcast_to(a, x.shape).reshape((N, G, C // G, H, W) if G else x.shape)
        per_channel = lambda a: a.reshape(C, 1, 1)
        results = exact_norm(cut(x), cut(per_channel(gamma)), cut(per_channel(beta)), cut(dout), eps, axes)
        out, dx, dgamma, dbeta = (a.reshape(x.shape) for a in results)
        return out, dx, dgamma.sum(axis=(0, 2, 3)), dbeta.sum(axis=(0, 2, 3))
    return reference


def exact_test_mode(x, gamma, beta, dout, mu, var, eps=1e-5):
    xhat, s = (x - mu) / root(var + Decimal(eps)), root(var + Decimal(eps))
    return gamma * xhat + beta, gamma * dout / s, (dout * xhat).sum(axis=0), dout.sum(axis=0)


def exact_softmax(x, y):
    z = x - x.max(axis=1)[:, None]
    log_p = z - logarithm(power(z).sum(axis=1))[:, None]
    N, right = len(x), (np.arange(len(x)), y)
    dx = power(log_p)
    dx[right] -= 1
    return -sum(log_p[right]) / N, dx / N


# each layer of the library: what it makes of arrays, forward and back

def both(forward, backward, *more):
    "A layer as a function of x, gamma, beta and dout."
    def layer(x, gamma, beta, dout, param={'mode': 'train'}):
        out, cache = forward(x, gamma, beta, *more, dict(param))
        return out, *backward(dout, cache)
    return layer


NORMS = {
    'batchnorm': (both(batchnorm_forward, batchnorm_backward), exact_batchnorm, (7, 3)),
    'batchnorm, closed form': (both(batchnorm_forward, batchnorm_backward_alt), exact_batchnorm, (7, 3)),
    'layernorm': (both(layernorm_forward, layernorm_backward),
                  lambda *arrays: exact_batchnorm(*arrays, axis=1), (4, 6)),
    'spatial batchnorm': (both(spatial_batchnorm_forward, spatial_batchnorm_backward), exact_images((0, 2, 3)), (3, 2, 2, 3)),
    'groupnorm': (both(spatial_groupnorm_forward, spatial_groupnorm_backward, 2), exact_images((2, 3, 4), 2), (2, 4, 3, 2)),
    'instance norm': (both(spatial_groupnorm_forward, spatial_groupnorm_backward, 3), exact_images((2, 3, 4), 3), (2, 3, 3, 2)),
}


def draw(shape, dtype, size=1, ratio=0, seed=0):
    "x with deviations of `size` and means of `ratio` deviations, gamma, beta, dout."
    rng = np.random.default_rng(seed)
    with np.errstate(over='ignore', under='ignore'):
        return [a.astype(dtype) for a in (size * (rng.normal(size=shape) + ratio), *rng.normal(size=(2, shape[1])), rng.normal(size=shape))]


def units(got, exact, scale=None):
    """The largest error, in units in the last place of the largest exact number, or of `scale`.

    Subnormal numbers have a fixed step instead of digits; division by sqrt(eps) makes it 316 times larger."""
    got, exact = np.atleast_1d(got), np.atleast_1d(exact)
    assert got.shape == exact.shape and np.isfinite(got.astype(float)).all(), got
    if not exact.size: return 0
    scale = max(abs(exact).ravel()) if scale is None else scale
    unit = max(float(scale) * np.finfo(got.dtype).eps, 316 * float(np.finfo(got.dtype).smallest_subnormal))
    return float(max(abs(exactly(got) - exact).ravel())) / unit


SIZES = {np.float16: (1e-7, 1e-5, 1e-3, 1, 300, 1e4), np.float32: (1e-40, 1e-30, 1e-20, 1e-6, 1, 1e6, 1e19, 1e20, 1e30),
         np.float64: (1e-310, 1e-30, 1e-9, 1, 1e15, 1e30)}


@pytest.mark.parametrize('name', NORMS)
@pytest.mark.parametrize('dtype', FLOATS)
def test_norms_of_numbers_of_any_size(name, dtype):
    layer, reference, shape = NORMS[name]
    for size, ratio in itertools.product(SIZES[dtype], (0, 3)):
        x, gamma, beta, dout = draw(shape, dtype, size, ratio)
        with np.errstate(over='raise', invalid='raise', divide='raise'): results = layer(x, gamma, beta, dout)
        for result, exact in zip(results, reference(*map(exactly, (x, gamma, beta, dout)))):
            assert result.dtype == dtype
            # dx is a small difference of terms that are up to 316 where nothing varies: a unit is one of those
            assert units(result, exact) < 8, (size, ratio)


@pytest.mark.parametrize('name', NORMS)
@pytest.mark.parametrize('ratio', [1e2, 1e4, 1e6])
def test_norms_of_numbers_far_from_zero(name, ratio):
    "A mean of a million deviations: the numbers themselves have lost digits, what is made of them loses none."
    layer, reference, shape = NORMS[name]
    arrays = draw(shape, np.float32, 1, ratio)
    for result, exact in zip(layer(*arrays), reference(*map(exactly, arrays))): assert units(result, exact) < 8


@pytest.mark.parametrize('axis', [0, 1, 2, (0, 2), (1, 2), -1])
def test_normalizing_along_any_axis(axis):
    x, _, _, dout = draw((4, 3, 5), np.float32, 1e25, 10)
    z = normalize(x, axis, 1e-5)
    one = np.full((1, 1, 1), Decimal(1))
    out, dx, _, _ = exact_norm(exactly(x), one, 0 * one, exactly(dout), 1e-5, axis)
    ours = normalize_backward(dout, z, axis)
    assert z.xhat.dtype == np.float32 and units(z.xhat, out) < 2 and units(ours.astype(np.float32), dx) < 8


@pytest.mark.parametrize('ratio', [0, 1e4, 1e6])
def test_a_column_of_a_million(ratio):
    rng = np.random.default_rng(0)
    x, dout = (rng.normal(size=(10**6, 2)) + ratio).astype(np.float32), rng.normal(size=(10**6, 2)).astype(np.float32)
    wide, wide_dout = x.astype(np.longdouble), dout.astype(np.longdouble)
    xc = wide - wide.mean(axis=0)
    s = np.sqrt((xc * xc).mean(axis=0) + np.longdouble(1e-5))
    xhat = xc / s
    dx = (wide_dout - wide_dout.mean(axis=0) - xhat * (wide_dout * xhat).mean(axis=0)) / s
    exact = xhat, dx, (wide_dout * xhat).sum(axis=0), wide_dout.sum(axis=0)
    one, zero = np.ones(2, np.float32), np.zeros(2, np.float32)
    for backward in batchnorm_backward, batchnorm_backward_alt:
        out, cache = batchnorm_forward(x, one, zero, {'mode': 'train'})
        for ours, right in zip((out, *backward(dout, cache)), exact):
            assert abs(ours - right).max() <= np.finfo(np.float32).eps * abs(right).max()


def test_what_is_attainable_at_a_mean_of_a_million_deviations():
    "Rounding the inputs to float32 costs a hundred thousand times more than all the arithmetic."
    rng = np.random.default_rng(0)
    real = 1e6 + rng.normal(size=(100, 50))
    x = real.astype(np.float32)
    xhat = lambda x: normalize(x, 0, 1e-5).xhat.astype(np.longdouble)
    ours, of_rounded, of_real = xhat(x), xhat(x.astype(np.longdouble)), xhat(real.astype(np.longdouble))
    assert abs(ours - of_rounded).max() < 3e-7 and 1e-2 < abs(of_rounded - of_real).max() < 1e-1


@pytest.mark.parametrize('dtype', FLOATS)
def test_constant_columns(dtype):
    for value in 0, .1, 1e3 / 3, np.finfo(dtype).tiny / 3, min(float(np.finfo(dtype).max) / 2, 1e30):
        x, gamma, beta, dout = draw((6, 3), dtype)
        x[:, 1] = value
        for backward in batchnorm_backward, batchnorm_backward_alt:
            results = both(batchnorm_forward, backward)(x, gamma, beta, dout)
            assert (results[0][:, 1] == beta[1]).all()
            exact = exact_batchnorm(*map(exactly, (x, gamma, beta, dout)))
            assert max(map(units, results, exact)) < 4
        with pytest.raises(ValueError, match='eps must be > 0'): batchnorm_forward(x, gamma, beta, {'mode': 'train', 'eps': 0})
    with pytest.raises(ValueError, match='eps must be > 0'):
        batchnorm_forward(x, gamma, beta, {'mode': 'test', 'eps': 0, 'running_var': np.zeros(3)})


@pytest.mark.parametrize('dtype', FLOATS)
def test_test_mode_of_any_size(dtype):
    for size in SIZES[dtype]:
        x, gamma, beta, dout = draw((5, 3), dtype, size, 2)
        p = {'mode': 'train', 'momentum': 0}
        batchnorm_forward(x, gamma, beta, p)
        mu, var = p['running_mean'].copy(), p['running_var'].copy()
        xc = exactly(x) - exactly(x).mean(axis=0)
        # statistics are kept in double precision, and are as exact as the type that the layer works in
        for found, exact in (mu, exactly(x).mean(axis=0)), (var, (xc * xc).sum(axis=0) / 4):
            assert units(found, exact) < 8 * np.finfo(np.result_type(dtype, np.float32)).eps / np.finfo(float).eps
        p['mode'] = 'test'
        for backward in batchnorm_backward, batchnorm_backward_alt:
            with np.errstate(over='raise', invalid='raise', divide='raise'):
                results = both(batchnorm_forward, backward)(x, gamma, beta, dout, p)
            exact = exact_test_mode(*map(exactly, (x, gamma, beta, dout, mu, var)))
            assert all(r.dtype == dtype for r in results) and max(map(units, results, exact)) < 4
        assert (p['running_mean'] == mu).all() and (p['running_var'] == var).all()


@pytest.mark.parametrize('dtype', FLOATS)
def test_affine_of_any_size(dtype):
    rng = np.random.default_rng(0)
    for size in SIZES[dtype]:
        if size == 1e4: continue                                                # its sums are beyond float16
        with np.errstate(under='ignore'):
            x, w, b, dout = [a.astype(dtype) for a in (
                size * rng.normal(size=(4, 2, 3)), rng.normal(size=(6, 5)), rng.normal(size=5), rng.normal(size=(4, 5)))]
        out, cache = affine_forward(x, w, b)
        X, W, B, d = map(exactly, (x.reshape(4, 6), w, b, dout))
        dx, dw, db = affine_backward(dout, cache)
        for ours, exact, scale in ((out, X @ W + B, abs(X) @ abs(W) + abs(B)), (dx.reshape(4, 6), d @ W.T, abs(d) @ abs(W.T)),
                                   (dw, X.T @ d, abs(X.T) @ abs(d)), (db, d.sum(axis=0), abs(d).sum(axis=0))):
            assert ours.dtype == dtype and units(ours, exact, max(scale.ravel())) < 4
        assert dx.shape == x.shape


@pytest.mark.parametrize('dtype', FLOATS)
def test_sums_over_many_rows(dtype):
    ones = np.ones((20_000, 2), dtype)
    _, cache = affine_forward(np.zeros_like(ones), np.zeros((2, 2), dtype), np.zeros(2, dtype))
    assert affine_backward(ones, cache)[2].tolist() == [20_000] * 2
    for _, backward in ((0, batchnorm_backward), (0, batchnorm_backward_alt)):
        cache = batchnorm_forward(ones, ones[0], ones[0], {'mode': 'train'})[1]
        assert backward(ones, cache)[2].tolist() == [20_000] * 2


@pytest.mark.parametrize('dtype', FLOATS)
def test_softmax_loss_of_scores_of_any_size(dtype):
    rng = np.random.default_rng(0)
    y = rng.integers(6, size=5)
    for size in 0, 1e-30, 1e-3, 1, 10, 1e2, 1e4, 1e30:
        if size > 1e4 and dtype == np.float16: continue
        with np.errstate(under='ignore'): x = (size * rng.normal(size=(5, 6))).astype(dtype)
        with np.errstate(over='raise', invalid='raise', divide='raise'): loss, dx = softmax_loss(x, y)
        exact_loss, exact_dx = exact_softmax(exactly(x), y)
        assert loss.dtype == dx.dtype == dtype and units(dx, exact_dx, 1 / 5) < 4
        assert units(loss, exact_loss, max(exact_loss, Decimal(size), 1)) < 4, size


@pytest.mark.parametrize('dtype', FLOATS)
def test_softmax_loss_at_ten_thousand(dtype):
    x, y = np.array([[1e4, -1e4, 0], [1e4, 1e4, 1e4], [-1e4, -1e4, -1e4], [1, 1e4, 9992]], dtype), np.array([0, 1, 2, 2])
    with np.errstate(all='raise', under='ignore'): loss, dx = softmax_loss(x, y)
    exact_loss, exact_dx = exact_softmax(exactly(x), y)
    assert units(loss, exact_loss) < 2 and units(dx, exact_dx) < 2
    for wrong in 1, 2: assert abs(softmax_loss(x[:1], [wrong])[0] - (2e4, 1e4)[wrong - 1]) == 0


def test_scores_of_masked_classes():
    loss, dx = softmax_loss(np.array([[0., -np.inf, 0.]]), [0])
    assert loss == np.log(2) and dx.tolist() == [[-.5, 0, .5]]


@pytest.mark.parametrize('dtype', FLOATS)
def test_relu_and_dropout_do_not_round(dtype):
    x = np.array([[-0.0, 0.0, np.finfo(dtype).smallest_subnormal, -np.finfo(dtype).tiny, np.finfo(dtype).max, np.inf, -np.inf, 2]], dtype)
    out, cache = relu_forward(x)
    assert out.dtype == dtype and out.tolist() == [[0, 0, x[0, 2], 0, x[0, 4], np.inf, 0, 2]]
    assert relu_backward(np.arange(1, 9, dtype=dtype)[None], cache).tolist() == [[0, 0, 3, 0, 5, 6, 0, 8]]
    for inverted, scale in ((False, 1), (True, 2)):
        p = {'p': .5, 'mode': 'train', 'seed': 1, 'inverted': inverted}
        out, cache = dropout_forward(x[:, 2:4], p)
        kept = dropout_mask((1, 2), .5, 1)
        assert out.dtype == dtype and out.tolist() == np.where(kept, scale * x[:, 2:4], 0).tolist()
        assert dropout_backward(x[:, 2:4], cache).tolist() == out.tolist()


@pytest.mark.parametrize('dtype', FLOATS)
def test_a_single_number(dtype):
    "An array of no axes has no first axis to cut into pieces."
    for x in -2, 0, 3:
        x, dout = np.array(x, dtype), np.array(5, dtype)
        out, cache = relu_forward(x)
        dx = relu_backward(dout, cache)
        assert (out, dx) == (max(x, 0), 5 * (x > 0)) and out.dtype == dx.dtype == dtype and np.shape(dx) == ()
        for seed in range(4):
            out, cache = dropout_forward(x, {'p': .5, 'mode': 'train', 'seed': seed, 'inverted': True})
            kept = bool(dropout_mask((), .5, seed))
            assert out == 2 * kept * x and dropout_backward(dout, cache) == 10 * kept and out.dtype == dtype


# where few numbers are normalised, dx is a small difference of large terms: each number of it, relative to itself

def wide_norm(x, gamma, dout, axes, eps=1e-5, rms=False):
    "dx of a normalization in extended precision; gamma broadcasts against x."
    x, gamma, dout = (a.astype(np.longdouble) for a in (x, gamma, dout))
    mean = lambda a: a.mean(axis=axes, keepdims=True)
    xc = x if rms else x - mean(x)
    s, d = np.sqrt(mean(xc * xc) + np.longdouble(eps)), gamma * dout
    xhat = xc / s
    return (d - xhat * mean(d * xhat) - (0 if rms else mean(d))) / s


FEW = {     # the layer, the shape of x and the axes for n numbers that share a mean
    'batchnorm': (NORMS['batchnorm'][0], lambda n: (n, 5), (0,)), 'batchnorm, closed form': (NORMS['batchnorm, closed form'][0], lambda n: (n, 5), (0,)),
    'layernorm': (NORMS['layernorm'][0], lambda n: (5, n), (1,)), 'spatial batchnorm': (NORMS['spatial batchnorm'][0], lambda n: (1, 5, 1, n), (0, 2, 3)),
    'instance norm': (both(spatial_groupnorm_forward, spatial_groupnorm_backward, 5), lambda n: (2, 5, n, 1), (2, 3)),
    'groupnorm': (both(spatial_groupnorm_forward, spatial_groupnorm_backward, 1), lambda n: (5, n, 1, 1), (1, 2, 3)),
}


@pytest.mark.parametrize('name', FEW)
@pytest.mark.parametrize('n', [1, 2, 3, 4])
def test_where_few_numbers_are_normalised(name, n):
    layer, shape, axes = FEW[name]
    errors = []
    for seed in range(50):
        x, gamma, beta, dout = draw(shape(n), np.float32, seed=seed)
        dx, exact = layer(x, gamma, beta, dout)[1], wide_norm(x, gamma.reshape(-1, 1, 1) if x.ndim == 4 else gamma, dout, axes)
        errors.append(abs(dx - exact) / np.where(exact == 0, 1, abs(exact)))
    assert np.median(errors) < (5e-8 if n < 3 else 2e-7)


def test_layer_norm_of_one_and_two():
    one, zero = np.ones(2, np.float32), np.zeros(2, np.float32)
    cache = layernorm_forward(np.array([[1, 2]], np.float32), one, zero, {})[1]
    assert layernorm_backward(np.array([[1, 0]], np.float32), cache)[0].tolist() == [[np.float32(3.9997600119993e-5), np.float32(-3.9997600119993e-5)]]


# sums over a million rows, in units in the last place of double precision

def test_a_million_rows_in_double_precision():
    rng, N, wide = np.random.default_rng(0), 10**6, np.longdouble
    x, dout = rng.random((N, 2)) + .1, rng.random((N, 2)) + .5
    one, zero, d = np.ones(2), np.zeros(2), dout.astype(wide)
    mu = x.astype(wide).mean(axis=0)
    var = ((x - mu)**2).mean(axis=0)
    close = lambda ours, exact: float(max(abs(ours - exact) / exact)) < 4 * np.finfo(float).eps
    assert close(sum_rows(dout), d.sum(axis=0)) and close(affine_backward(dout, affine_forward(x, np.eye(2), zero)[1])[2], d.sum(axis=0))
    z = normalize(x, 0, 1e-5)
    assert close(z.mu[0], mu) and close(z.var[0], var)
    in_test = {'mode': 'test', 'running_mean': zero, 'running_var': one, 'eps': 0}
    for param in {'mode': 'train'}, in_test:
        cache = batchnorm_forward(x, one, zero, dict(param))[1]
        for backward in batchnorm_backward, batchnorm_backward_alt:
            _, dgamma, dbeta = backward(dout, cache)
            assert close(dbeta, d.sum(axis=0)) and (param != in_test or close(dgamma, (d * x).sum(axis=0)))
    assert close(layernorm_backward(dout, layernorm_forward(x, one, zero, {})[1])[2], d.sum(axis=0))
    xhat = x / np.sqrt((x.astype(wide)**2).mean(axis=1, keepdims=True) + wide(1e-5))
    assert close(rmsnorm_backward(dout, rmsnorm_forward(x, one, {})[1])[1], (d * xhat).sum(axis=0))
    images, of_images = (a.T.reshape(2, 100, 100, 100).swapaxes(0, 1) for a in (x, dout))
    for forward, backward, *more in ((spatial_batchnorm_forward, spatial_batchnorm_backward), (spatial_groupnorm_forward, spatial_groupnorm_backward, 1)):
        cache = forward(images, one, zero, *more, {'mode': 'train'})[1]
        assert close(backward(of_images, cache)[2], d.sum(axis=0))
    z, right = x.astype(wide), rng.integers(2, size=N)
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(N), right]
    assert close(softmax_loss(x, right)[0][None], losses.mean()[None])


@pytest.mark.parametrize('dtype', [np.float32, float])
@pytest.mark.parametrize('n', [100, 1000, 2048, 20_000, 10**6])
def test_sums_along_a_row(dtype, n):
    "Equal numbers are the hardest: rounding goes one way."
    x, dout, one, zero = np.full((2, n), .1, dtype), np.full((2, n), .7, dtype), np.ones(n, dtype), np.zeros(n, dtype)
    off = lambda ours, right, scale: float(abs(ours - right).max() / abs(scale).max()) / np.finfo(dtype).eps
    wide, d = (a[0, 0].astype(np.longdouble) for a in (x, dout))
    s = np.sqrt(wide**2 + np.longdouble(1e-5))
    out, cache = rmsnorm_forward(x, one, {})
    assert off(out, wide / s, wide / s) < 4 and off(rmsnorm_backward(dout, cache)[0], d / s - wide**2 * d / s**3, d / s) < 8
    x[:, n // 3:] = 3.3
    xc = x - x.astype(np.longdouble).mean(axis=1, keepdims=True)
    xhat = xc / np.sqrt((xc * xc).mean(axis=1, keepdims=True) + np.longdouble(1e-5))
    assert off(layernorm_forward(x, one, zero, {})[0], xhat, xhat) < 4
    w = np.full((n // 10, 10), .1, dtype)
    assert off(total((0, 1), w, w), w[0, 0].astype(np.longdouble)**2 * w.size, w[0, 0]**2 * w.size) < 4


@pytest.mark.parametrize('dtype', [np.float16, np.float32])
def test_rms_norm_of_one_number(dtype):
    "What is left of dx is eps / (x² + eps)^1.5."
    for x in .5, 1, 2, 3:
        cache = rmsnorm_forward(np.array([[x]], dtype), np.ones(1, dtype), {})[1]
        dx, exact = rmsnorm_backward(np.ones((1, 1), dtype), cache)[0], 1e-5 / (x * x + 1e-5)**1.5
        assert dx.dtype == dtype and units(dx, exactly(np.array([[exact]]))) < 2


@pytest.mark.parametrize('dtype', FLOATS)
@pytest.mark.parametrize('kept', [np.float16, np.float32, np.float64, '>f4', int, list])
def test_running_statistics_keep_their_type(dtype, kept):
    "What was given stays in its type; whole numbers and lists become float64."
    x, gamma, beta, _ = draw((6, 3), dtype)
    start = lambda value: [float(value)] * 3 if kept is list else np.full(3, value, kept)
    calls = (lambda p: batchnorm_forward(x, gamma, beta, p), lambda p: spatial_batchnorm_forward(x[:, :, None, None], gamma, beta, p),
             lambda p: affine_bn_relu_forward(x, np.eye(3, dtype=dtype), beta, gamma, beta, p))
    for layer in calls:
        p = {'mode': 'train', 'running_mean': start(0), 'running_var': start(1)}
        for mode in 'train', 'train', 'test':
            p['mode'] = mode
            out, _ = layer(p)
            assert out.dtype == dtype and {p[k].dtype for k in ('running_mean', 'running_var')} == {np.dtype(float if kept in (int, list) else kept)}


# update rules beside decimals

def exact_rule(name, w, gradients):
    "The weight after some steps with the default settings."
    w, first, second = Decimal(float(w)), Decimal(0), Decimal(0)
    b1, b2, rho, eps = Decimal(.9), Decimal(.999), Decimal(.99), Decimal(1e-8)
    for t, g in enumerate(map(Decimal, map(float, gradients)), 1):
        if name == 'sgd': w -= Decimal(1e-2) * g
        if name == 'sgd_momentum':
            first = b1 * first - Decimal(1e-2) * g
            w += first
        if name == 'sgd_momentum_torch':
            first = b1 * first + g
            w -= Decimal(1e-2) * first
        if name == 'rmsprop':
            second = rho * second + (1 - rho) * g * g
            w -= Decimal(1e-2) * g / (second.sqrt() + eps)
        if name == 'adam':
            first, second = b1 * first + (1 - b1) * g, b2 * second + (1 - b2) * g * g
            w -= Decimal(1e-3) * first / (1 - b1**t) / ((second / (1 - b2**t)).sqrt() + eps)
    assert name in ('sgd', 'sgd_momentum', 'sgd_momentum_torch', 'rmsprop', 'adam')
    return w


@pytest.mark.parametrize('dtype, sizes', [(np.float16, (6e-8, 1e-7, 1e-6, 1e-4, 1e-3, 1e-2, 1, 300, 6e4)), (np.float32, (1e-38, 1e-30, 1e-20, 1e-8, 1e-3, 1, 1e10, 1e19, 5e19)), (float, (1e-300, 1e-30, 1e-8, 1, 1e30, 1e150))])
@pytest.mark.parametrize('name', ['sgd', 'sgd_momentum', 'sgd_momentum_torch', 'rmsprop', 'adam'])
def test_update_rules_with_gradients_of_any_size(name, dtype, sizes):
    for size, steps in itertools.product(sizes, (1, 2, 10)):
        gradients, w, config = np.full(steps, size, dtype), np.array([0, .5], dtype), None
        gradients[1::2] /= 2
        for g in gradients: w, config = RULES[name](w, np.array([g, 0], dtype), config)
        assert w.dtype == dtype and w[1] == .5 and units(w[0], exact_rule(name, 0, gradients)) < 32, (size, steps)


# types, layouts, and what belongs to the caller

def draw_for(name):
    "Inputs of a layer by name, as float64, and a function of them that gives all its results."
    rng = np.random.default_rng(1)
    if name in NORMS: return draw(NORMS[name][2], float, 3, 1), NORMS[name][0]
    if name == 'rmsnorm':
        def rmsnorm(x, gamma, dout):
            out, cache = rmsnorm_forward(x, gamma, {})
            return out, *rmsnorm_backward(dout, cache)
        return [rng.normal(size=s) for s in ((7, 3), 3, (7, 3))], rmsnorm
    if name == 'batchnorm, test':
        p = {'mode': 'test', 'running_mean': np.ones(3), 'running_var': np.full(3, 4.)}
        return draw((7, 3), float, 3, 1), lambda *arrays: both(batchnorm_forward, batchnorm_backward)(*arrays, p)
    if name == 'affine':
        def affine(x, w, b, dout):
            out, cache = affine_forward(x, w, b)
            return out, *affine_backward(dout, cache)
        return [rng.normal(size=s) for s in ((4, 2, 3), (6, 5), 5, (4, 5))], affine
    activations = dict(relu=(relu_forward, relu_backward), sigmoid=(sigmoid_forward, sigmoid_backward), tanh=(tanh_forward, tanh_backward))
    if name in activations:
        def activation(x, dout):
            out, cache = activations[name][0](x)
            return out.copy(), activations[name][1](dout, cache)
        return list(rng.normal(size=(2, 4, 3, 2))), activation
    if name == 'dropout':
        def dropout(x, dout):
            out, cache = dropout_forward(x, {'p': .3, 'mode': 'train', 'seed': 3, 'inverted': True})
            return out, dropout_backward(dout, cache), dropout_forward(x, {'p': .3, 'mode': 'test'})[0]
        return list(rng.normal(size=(2, 4, 3, 2))), dropout
    if name == 'softmax': return [rng.normal(size=(4, 6)) * 5], lambda x: softmax_loss(x, np.arange(4))
    if name == 'affine relu':
        def affine_relu(x, w, b, dout):
            out, cache = affine_relu_forward(x, w, b)
            return out, *affine_relu_backward(dout, cache)
        return [rng.normal(size=s) for s in ((4, 6), (6, 5), 5, (4, 5))], affine_relu
    def affine_bn_relu(x, w, b, gamma, beta, dout):
        out, cache = affine_bn_relu_forward(x, w, b, gamma, beta, {'mode': 'train'})
        return out, *affine_bn_relu_backward(dout, cache)
    return [rng.normal(size=s) for s in ((4, 6), (6, 5), 5, 5, 5, (4, 5))], affine_bn_relu


ALL = *NORMS, 'rmsnorm', 'batchnorm, test', 'affine', 'relu', 'sigmoid', 'tanh', 'dropout', 'softmax', 'affine relu', 'affine bn relu'


def test_no_layer_is_left_out():
    import inspect
    calls = inspect.getsource(inspect.getmodule(test_no_layer_is_left_out))
    public = [name for name in layers.__all__ if name.endswith(('_forward', '_backward', '_alt', '_loss', '_gradient', '_gradients'))]
    left_out = [name for name in public if name not in calls]
    assert len(public) >= 23 and not left_out, f'draw inputs for {left_out} in this file, as for rmsnorm'


LAYOUTS = {
    'Fortran order': np.asfortranarray, 'every other': lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    'backwards': lambda a: a[::-1].copy()[::-1], 'byte-swapped': lambda a: a.astype(a.dtype.newbyteorder()),
    'read-only': lambda a: np.lib.stride_tricks.as_strided(a, writeable=False), 'transposed': lambda a: a.T.copy().T,
    'unaligned': lambda a: np.frombuffer(b'x' + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
    'a masked array': np.ma.asarray, 'nested lists': lambda a: a.tolist(),
}


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('name', ALL)
def test_memory_layout_does_not_matter(name, layout):
    arrays, layer = draw_for(name)
    plain, other = layer(*arrays), layer(*map(LAYOUTS[layout], arrays))
    for a, b in zip(plain, other):
        a, b = np.asarray(a), np.asarray(b)
        assert b.dtype == float and b.dtype.isnative and a.shape == b.shape
        # the bias before batch norm has a gradient of zero: what rounding leaves of it is in proportion to dout, whose sum it is
        scale = max(abs(a).max(), abs(np.asarray(arrays[-1])).max())
        assert np.allclose(a, b, rtol=0, atol=8 * np.finfo(float).eps * scale)


@pytest.mark.parametrize('name', ALL)
@pytest.mark.parametrize('dtype', FLOATS)
def test_precision_is_kept_and_inputs_are_left_alone(name, dtype):
    arrays, layer = draw_for(name)
    arrays = [a.astype(dtype) for a in arrays]
    before = [a.tobytes() for a in arrays]
    results = layer(*arrays)
    exact = layer(*(a.astype(float) for a in arrays))
    for ours, wide in zip(results, exact):
        size = max(abs(wide).max(), 1)                            # the gradient of a bias before batch norm is zero
        assert ours.dtype == dtype and np.allclose(ours, wide, rtol=0, atol=8 * np.finfo(dtype).eps * size)
        assert not any(np.shares_memory(ours, a) for a in arrays)
    for r in results: np.asarray(r)[...] = 7                      # what is returned belongs to the caller
    assert [a.tobytes() for a in arrays] == before


@pytest.mark.parametrize('name', ALL)
@pytest.mark.parametrize('dtype', [np.int8, np.uint8, np.int64, np.uint64, bool])
def test_whole_numbers_are_numbers(name, dtype):
    "Bytes and truth values do not wrap around: 16 times 16 is 256."
    arrays, layer = draw_for(name)
    arrays = [abs(np.round(20 * a)).astype(dtype) for a in arrays]
    for ours, exact in zip(layer(*arrays), layer(*(a.astype(float) for a in arrays))):
        assert np.allclose(np.asarray(ours, float), exact, rtol=1e-12, atol=1e-12), name


@pytest.mark.parametrize('name', ALL)
def test_nan_and_infinity_are_not_hidden(name):
    "A number that is none makes results that are none; they are never turned into something that looks right."
    arrays, layer = draw_for(name)
    for bad in np.nan, np.inf:
        x = arrays[0].copy()
        x.flat[0] = abs(bad)
        with np.errstate(all='ignore'): out = np.asarray(layer(x, *arrays[1:])[0])
        dropped = name == 'dropout' and not dropout_mask(x.shape, .3, 3).flat[0]
        clipped = np.isinf(bad) and name in ('affine relu', 'sigmoid', 'tanh')
        assert dropped or clipped or not np.isfinite(out).all()
    with pytest.raises(ValueError): layer(np.array([['a', 'b']]), *arrays[1:])
    with pytest.raises(ValueError): layer(None, *arrays[1:])


def test_a_nan_does_not_stay_in_the_running_statistics():
    for bad in np.nan, np.inf, -np.inf:
        x, gamma, beta, _ = draw((5, 3), np.float32)
        p = {'mode': 'train'}
        batchnorm_forward(x, gamma, beta, p)
        before = p['running_mean'].copy(), p['running_var'].copy()
        x[2, 1] = bad
        with np.errstate(invalid='ignore'): out, _ = batchnorm_forward(x, gamma, beta, p)
        assert np.isnan(out[:, 1]).all() and np.isfinite(out[:, [0, 2]]).all()
        for old, new in zip(before, (p['running_mean'], p['running_var'])):
            assert (old == new).tolist() == [False, True, False] and np.isfinite(new).all()
        p['mode'] = 'test'
        assert np.isfinite(batchnorm_forward(x[:2], gamma, beta, p)[0]).all()


def test_a_batch_with_a_nan_leaves_a_net_as_it_was():
    net = FullyConnectedNet([5, 4], 6, use_batchnorm=True, seed=0)
    X, y = np.random.default_rng(0).normal(size=(4, 6)), np.array([0, 1, 2, 3])
    net.loss(X, y)
    X[1, 2] = np.nan
    for net.memory in None, Memory():
        with np.errstate(invalid='ignore'), pytest.raises(ValueError, match='NaN or infinity in row 1'): net.loss(X, y)
        assert np.isfinite(net.loss(X[2:])).all()


def test_a_net_in_float32_of_numbers_of_any_size():
    "Batch norm makes the loss the same for inputs of any size that float32 can multiply by the weights."
    X, y = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32), np.array([0, 1, 2, 3])
    single, double = (FullyConnectedNet([5], 6, use_batchnorm=True, weight_scale='he', seed=0, dtype=t) for t in (np.float32, float))
    for size in 1e-30, 1e-10, 1, 1e10, 1e18, 1e20, 1e30:
        (loss, grads), (wide_loss, wide_grads) = (net.loss(np.float32(size) * X, y) for net in (single, double))
        assert np.isclose(loss, wide_loss, rtol=1e-5)
        for name in grads: assert np.allclose(grads[name], wide_grads[name], rtol=0, atol=1e-5 * max(abs(wide_grads[name]).max(), 1e-35)), (size, name)


# sizes at the edge

def test_a_batch_of_one():
    for dtype in FLOATS:
        x, gamma, beta, dout = draw((1, 3), dtype, 50)
        for backward in batchnorm_backward, batchnorm_backward_alt:
            out, dx, dgamma, dbeta = both(batchnorm_forward, backward)(x, gamma, beta, dout)
            assert (out == beta).all() and (dx == 0).all() and (dgamma == 0).all() and (dbeta == dout[0]).all()


@pytest.mark.parametrize('N, D', [(0, 3), (3, 0), (0, 0)])
def test_empty_arrays(N, D):
    "Nothing in, nothing out, and no warning; where a mean of nothing would be needed, an error that says so."
    x, w, b, dout = np.zeros((N, D)), np.zeros((D, 2)), np.ones(2), np.zeros((N, 2))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        out, cache = affine_forward(x, w, b)
        assert out.tolist() == [[1, 1]] * N and [a.shape for a in affine_backward(dout, cache)] == [(N, D), (D, 2), (2,)]
        out, cache = relu_forward(x)
        assert out.shape == relu_backward(x, cache).shape == (N, D)
        for mode in 'train', 'test':
            out, cache = dropout_forward(x, {'p': .5, 'mode': mode, 'seed': 0})
            assert out.shape == dropout_backward(x, cache).shape == (N, D)
        with pytest.raises(ValueError, match='N, C > 0'): softmax_loss(x, np.zeros(N, int))
        for forward, backward in ((batchnorm_forward, batchnorm_backward), (batchnorm_forward, batchnorm_backward_alt),
                                  (layernorm_forward, layernorm_backward)):
            if N == 0 or forward is layernorm_forward:
                with pytest.raises(ValueError, match='> 0'): forward(x, np.ones(D), np.ones(D), {'mode': 'train'})
                continue
            out, cache = forward(x, np.ones(D), np.ones(D), {'mode': 'train'})
            assert [a.shape for a in (out, *backward(x, cache))] == [(N, D), (N, D), (D,), (D,)]
        images = np.zeros((N, D, 2, 2))
        with pytest.raises(ValueError, match='none of them 0'): spatial_batchnorm_forward(images, np.ones(D), np.ones(D), {'mode': 'train'})
        with pytest.raises(ValueError, match='none of them 0'): spatial_groupnorm_forward(images, np.ones(D), np.ones(D), 1, {})
