"""A file of MNIST; the input's first byte says how many labels or images are asked for."""
import numpy as np

from bnnp.datasets import DataError, read_idx

HEADS = {code: np.array([code, n, *sides], '>i4').tobytes() for code, n, *sides in ((2049, 3), (2051, 2, 28, 28))}
SEEDS = [b'\3' + HEADS[2049] + b'\7\2\1', b'\2' + HEADS[2051] + bytes(2 * 784), b'\0' + HEADS[2049][:4] + bytes(4), b'\1']
TOKENS = [*HEADS.values(), b'\0\0\0\1', b'\xff\xff\xff\xff', b'\x0a', bytes(784)]


def target(data: bytes):
    rows, data = data[0] % 4 if data else 1, data[1:]
    try: labels, pixels = read_idx(data, rows)
    except DataError as e:
        assert str(e).isprintable() and len(str(e)) < 500, str(e)
        return
    assert (labels is None) != (pixels is None)
    if pixels is None: assert labels.shape == (rows,) and labels.dtype == np.uint8 and (labels < 10).all()
    else: assert pixels.shape == (rows, 28, 28) and pixels.dtype == np.uint8
