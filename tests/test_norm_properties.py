"""Normalising layers beside the definition in plain loops, for any shape and memory layout; and what they must leave alone."""
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from bnnp.gradient_check import check_gradient
from bnnp.layers import (batchnorm_backward, batchnorm_backward_alt, batchnorm_forward, layernorm_backward,
                         layernorm_forward, normalize, normalize_backward,
                         spatial_batchnorm_backward, spatial_batchnorm_forward, spatial_groupnorm_backward,
                         spatial_groupnorm_forward)

many = settings(derandomize=True, max_examples=50, deadline=None, database=None)
small = st.integers(1, 4)
layouts = st.sampled_from([np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
                           lambda a: a[::-1].copy()[::-1]])


def standardised(values, eps):
    "A list of numbers, less their mean, over the root of their variance plus eps, in Python's own arithmetic."
    mean = math.fsum(values) / len(values)
    var = math.fsum((v - mean)**2 for v in values) / len(values)
    return [(v - mean) / math.sqrt(var + eps) for v in values]


def by_loops(x, sets, gamma, beta, eps=1e-5):
    "Normalise each set of indices of x on its own."
    out = np.empty(x.shape)
    for indices in sets:
        for (n, c, h, w), value in zip(indices, standardised([float(x[i]) for i in indices], eps)):
            out[n, c, h, w] = gamma[c] * value + beta[c]
    return out


def draw(shape, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) * 3 + 7, *rng.normal(size=(2, shape[1])), rng.normal(size=shape)


@many
@given(small, small, small, small, st.integers(0, 10**6), layouts)
def test_spatial_batchnorm_is_its_definition(N, C, H, W, seed, layout):
    x, gamma, beta, _ = draw((N, C, H, W), seed)
    sets = [[(n, c, h, w) for n in range(N) for h in range(H) for w in range(W)] for c in range(C)]
    out, _ = spatial_batchnorm_forward(layout(x), gamma, beta, {'mode': 'train'})
    assert np.allclose(out, by_loops(x, sets, gamma, beta), rtol=0, atol=1e-10)


@many
@given(small, st.sampled_from([(1, 1), (4, 2), (6, 3), (6, 2), (4, 4), (5, 1)]), small, small, st.integers(0, 10**6), layouts)
def test_groupnorm_is_its_definition(N, channels, H, W, seed, layout):
    C, G = channels
    x, gamma, beta, _ = draw((N, C, H, W), seed)
    sets = [[(n, c, h, w) for c in range(C) if c * G // C == g for h in range(H) for w in range(W)] for n in range(N) for g in range(G)]
    out, _ = spatial_groupnorm_forward(layout(x), gamma, beta, G, {})
    assert np.allclose(out, by_loops(x, sets, gamma, beta), rtol=0, atol=1e-10)


@many
@given(st.integers(2, 4), st.sampled_from([(4, 2), (6, 3), (3, 1)]), st.integers(2, 3), small, st.integers(0, 10**6), layouts)
def test_gradients_for_any_layout(N, channels, H, W, seed, layout):
    C, G = channels
    x, gamma, beta, dout = draw((N, C, H, W), seed)
    for forward, backward in ((lambda x: spatial_batchnorm_forward(x, gamma, beta, {'mode': 'train'}), spatial_batchnorm_backward),
                              (lambda x: spatial_groupnorm_forward(x, gamma, beta, G, {}), spatial_groupnorm_backward)):
        dx = backward(layout(dout), forward(layout(x))[1])[0]
        check_gradient(lambda x: forward(x)[0], x, dx, dout, tol=1e-10)


@many
@given(st.sampled_from([0, 1, 2, 3, (0, 2, 3), (1, 2, 3), (2, 3), (-1,), (0, 1, 2, 3)]), st.integers(0, 10**6))
def test_a_tuple_of_axes_is_one_long_axis(axes, seed):
    x, _, _, dxhat = draw((3, 4, 2, 3), seed)
    z = normalize(x, axes, 1e-5)
    dx = normalize_backward(dxhat, z, axes)
    last = tuple(np.atleast_1d(axes) % 4)
    others = [a for a in range(4) if a not in last]
    size = math.prod(x.shape[a] for a in last)
    flat = lambda a: a.transpose(*others, *last).reshape(-1, size)
    long = normalize(flat(x), 1, 1e-5)
    assert np.allclose(flat(z.xhat), long.xhat, rtol=0, atol=1e-12)
    expected = normalize_backward(flat(dxhat), long, 1)
    assert np.allclose(flat(dx), expected, rtol=0, atol=1e-12 * (1 + abs(long.inv_std).max()))


both_backwards = pytest.mark.parametrize('backward', [batchnorm_backward, batchnorm_backward_alt])


@both_backwards
@many
@given(N=st.integers(1, 8), D=small, seed=st.integers(0, 10**6), eps=st.sampled_from([1e-8, 1e-5, .1, 10.]),
       scale=st.floats(-2, 2), offset=st.floats(-3, 3))
def test_the_gradient_is_exact_with_any_eps(backward, N, D, seed, eps, scale, offset):
    rng, p = np.random.default_rng(seed), {'mode': 'train', 'eps': eps}
    x, dout = 10**scale * (rng.normal(size=(N, D)) + offset), rng.normal(size=(N, D))
    gamma, beta = rng.normal(size=(2, D))
    cache = batchnorm_forward(x, gamma, beta, dict(p))[1]
    size = abs(gamma * cache.inv_std).max()
    check_gradient(lambda x: batchnorm_forward(x, gamma, beta, dict(p))[0], x, backward(dout, cache)[0], dout, scale=size)


@both_backwards
@many
@given(N=st.integers(1, 8), D=small, seed=st.integers(0, 10**6), dtype=st.sampled_from([np.float32, np.float64]))
def test_in_test_mode_the_gradient_is_diagonal(backward, N, D, seed, dtype):
    rng = np.random.default_rng(seed)
    x, dout, gamma, beta, mean = (rng.normal(size=n).astype(dtype) for n in ((N, D), (N, D), D, D, D))
    p = {'mode': 'test', 'running_mean': mean, 'running_var': rng.gamma(2, size=D).astype(dtype)}
    dx = backward(dout, batchnorm_forward(x, gamma, beta, p)[1])[0]
    expected = gamma / np.sqrt(p['running_var'].astype(float) + 1e-5) * dout
    assert np.allclose(dx, expected, rtol=8 * np.finfo(dtype).eps, atol=0)
    alone = [backward(d[None], batchnorm_forward(row[None], gamma, beta, p)[1])[0][0] for d, row in zip(dout, x)]
    assert np.array_equal(dx, alone)


@many
@given(st.integers(3, 12), st.integers(0, 10**6), st.floats(-3, 3), st.floats(-3, 3), st.sampled_from([0, 1e-5, .5]))
def test_the_jacobian_loses_two_directions(N, seed, scale, offset, eps):
    x = 10**scale * (np.random.default_rng(seed).normal(size=N) + offset)
    z = normalize(x[:, None], 0, eps)
    var, inv_std = z.var[0], z.inv_std[0]
    J = normalize_backward(np.eye(N), z, 0)
    assert np.allclose(J, J.T, rtol=0, atol=1e-12 * inv_std)
    values = np.linalg.svd(J / inv_std, compute_uv=False)
    assert np.allclose(values, [1] * (N - 2) + [eps / (var[0] + eps), 0], rtol=0, atol=1e-9)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_inputs_are_left_alone_and_precision_kept(dtype):
    arrays = [a.astype(dtype) for a in draw((3, 4, 2, 3), 0)]
    for a in arrays: a.flags.writeable = False
    x, gamma, beta, dout = arrays
    p = {'mode': 'train'}
    for (out, cache), backward in ((spatial_batchnorm_forward(x, gamma, beta, p), spatial_batchnorm_backward),
                                   (spatial_groupnorm_forward(x, gamma, beta, 2, {}), spatial_groupnorm_backward)):
        results = [out, *backward(dout, cache)]
        assert {a.dtype for a in results} == {np.dtype(dtype)}
        assert not any(np.shares_memory(r, a) for r in results for a in arrays)
    assert p['running_mean'].dtype == np.float64


def test_lists_and_whole_numbers_are_taken():
    x = [[[[1, 2]], [[3, 5]]]]
    out, cache = spatial_groupnorm_forward(x, [1, 1], [0, 0], 2, {'eps': 0})
    assert np.allclose(out, [[[[-1, 1]], [[-1, 1]]]])
    assert spatial_groupnorm_backward(np.ones((1, 2, 1, 2)), cache)[2].tolist() == [2, 2]


def test_spatial_batchnorm_in_test_mode_changes_no_state_and_sees_no_other_image():
    x, gamma, beta, _ = draw((5, 4, 2, 3), 0)
    p = {'mode': 'train'}
    spatial_batchnorm_forward(x, gamma, beta, p)
    p['mode'] = 'test'
    before = {k: np.copy(v) for k, v in p.items()}
    out, _ = spatial_batchnorm_forward(x, gamma, beta, p)
    alone = np.concatenate([spatial_batchnorm_forward(image[None], gamma, beta, p)[0] for image in x])
    assert np.array_equal(out, alone)
    assert all(np.array_equal(before[k], p[k]) for k in before)


def test_layernorm_of_rows_is_group_norm_with_one_group():
    x, gamma, beta, dout = draw((5, 4, 1, 1), 3)
    rows, cache = layernorm_forward(x[..., 0, 0], gamma, beta, {})
    images, group_cache = spatial_groupnorm_forward(x, gamma, beta, 1, {})
    assert np.allclose(rows, images[..., 0, 0], rtol=0, atol=1e-14)
    for a, b in zip(layernorm_backward(dout[..., 0, 0], cache), spatial_groupnorm_backward(dout, group_cache)):
        assert np.allclose(a.ravel(), b.ravel(), rtol=0, atol=1e-13)


def test_no_normalisation_of_batch_statistics_for_a_single_pixel():
    out, _ = batchnorm_forward(np.array([[5.]]), np.ones(1), np.array([2.]), {'mode': 'train'})
    assert out.tolist() == [[2.]]
    out, _ = spatial_groupnorm_forward(np.full((2, 3, 1, 1), 9.), np.ones(3), np.arange(3.), 3, {})
    assert out[..., 0, 0].tolist() == [[0, 1, 2]] * 2
