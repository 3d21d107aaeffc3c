"""A batch of CIFAR-10's Python version, which is a pickle."""
import pickle

import numpy as np

from bnnp.data import DataError, read_python_batch


def batch(label=3, pixels=bytes(range(256)) * 12, names=False):
    "A file of one picture, as Python 2 wrote it."
    more = b'U\tfilenamesq\x0a]q\x0bU\x05a.pngq\x0cas' if names else b''
    return b''.join([
        b'\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K', bytes([label]), b'eU\x04dataq\x04cnumpy.core.multiarray\n_reconstruct\nq\x05',
        b'cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01\x87Rq\x09',
        b'(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T', len(pixels).to_bytes(4, 'little'), pixels, b'tbu',
        more, b'.'])


SEEDS = [batch(), batch(9), batch(pixels=b'x'), pickle.dumps({b'labels': [1], b'data': b'abc'}, 2), pickle.dumps(print, 2),
         pickle.dumps(print, 4), pickle.dumps({'a': [1, 2.5, None, (1,)]}, 0)]
TOKENS = [b'}', b']', b'(', b'N', b'\x89', b'K\x01', b'M\x04\x00', b'J\xff\xff\xff\x7f', b'U\x06labels', b'U\x04data', b'q\x01',
          b't', b'e', b'u', b'\x85', b'\x87', b'R', b'b', b'.', b'cnumpy\ndtype\n', b'cos\nsystem\n', b'c', b'i', b'o', b'\x81',
          b'\x93', b'h\x00', b'P', b'Q', b'\x82\x01', b'T\xff\xff\xff\xff', b'r\xff\xff\xff\xff']


def target(data: bytes):
    try: labels, pixels = read_python_batch(data, 1)
    except DataError as e:
        assert str(e).isprintable() and len(str(e)) < 500, str(e)
        return
    assert labels.shape == (1,) and pixels.shape == (1, 3072) and labels.dtype == pixels.dtype == np.uint8 and labels[0] < 10
