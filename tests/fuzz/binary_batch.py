"""A batch of CIFAR-10's binary version; the input's first byte says how many images are asked for."""
from bnnp.datasets import DataError, read_binary_batch

SEEDS = [b'\1' + b'\3' + bytes(3072), b'\2' + (b'\7' + b'\xff' * 3072) * 2, b'\0', b'\1' + b'\x0a' * 3073]
TOKENS = [bytes(3072), b'\x09', b'\x0a']


def target(data: bytes):
    rows, data = data[0] % 4 if data else 1, data[1:]
    try: labels, pixels = read_binary_batch(data, rows)
    except DataError as e:
        assert str(e).isprintable() and len(str(e)) < 500, str(e)
        return
    assert labels.shape == (rows,) and pixels.shape == (rows, 3072) and (labels < 10).all()
