"""A batch of CIFAR-10's Python version, which is a pickle."""
import pickle

import numpy as np

from bnnp.datasets import DataError, read_python_batch


def batch(label=3, pixels=bytes(range(256)) * 12, names=False):
    "A file of one image, as Python 2 wrote it."
    more = b'U\tfilenamesq\x0c]q\x0dU\x05a.pngq\x0ea' if names else b''
    return b''.join([
        b'\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x03oneq\x03U\x06labelsq\x04]q\x05(K', bytes([label]),
        b'eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09',
        b'(K\x01M\x01\x00M\x00\x0c\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T', len(pixels).to_bytes(4, 'little'), pixels, b'tb',
        more, b'u.'])


SEEDS = [batch(), batch(9), batch(names=True), batch(pixels=b'x'), pickle.dumps({b'labels': [1], b'data': b'abc'}, 2), pickle.dumps(print, 2),
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
