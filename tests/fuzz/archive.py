"""An archive of CIFAR-10, read and unpacked. The manifest calls it right, so that all depends on the reader.

The first byte says whether the rest is a .tar.gz, a tar, or a tar whose headers get valid checksums.
"""
import gzip, hashlib, io, shutil, tarfile
from dataclasses import replace

from bnnp import datasets
from bnnp.datasets import DataError, File, PYTHON_VERSION
from .fence import FOLDER
from .python_batch import batch

PLACE, NAME = FOLDER/'archive', 'a.tar.gz'
FILES = {'b1': batch(), 'b2': batch(5)}


def file(name, content): return File(name, len(content), hashlib.sha256(content).hexdigest())


M = replace(PYTHON_VERSION, folder='f', files=tuple(file(*about) for about in FILES.items()))


def tar(*more, format=tarfile.USTAR_FORMAT, **attributes):
    "A good tar with more members in front."
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode='w', format=format) as t:
        for name, content in [*more, *((f'f/{name}', content) for name, content in FILES.items())]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for k, v in attributes.items(): setattr(info, k, v)
            t.addfile(info, io.BytesIO(content))
    return raw.getvalue().rstrip(b'\0') + bytes(1024)


TARS = [tar(), tar(('../evil', b'x'), ('/tmp/evil', b'x')), tar(('f/b1', b''), type=tarfile.SYMTYPE, linkname='/etc/passwd'),
        tar(('x' * 300, b'long'), format=tarfile.GNU_FORMAT), tar(('f/ä', b''), format=tarfile.PAX_FORMAT),
        tar(format=tarfile.PAX_FORMAT, pax_headers={'GNU.sparse.map': '0,1', 'GNU.sparse.size': '3', 'GNU.sparse.major': '1',
                                                    'GNU.sparse.minor': '0', 'GNU.sparse.name': 'f/b1', 'size': '9'}),
        tar(type=tarfile.GNUTYPE_SPARSE, format=tarfile.GNU_FORMAT)]
SEEDS = [b'\0' + gzip.compress(TARS[0], mtime=0), *(b'\1' + t for t in TARS), *(b'\2' + t for t in TARS)]
TOKENS = [b'ustar\x0000', b'ustar  \0', *(bytes([c]) for c in b'01234567xgLKSD'), b'f/b1', b'77777777777', b'\x80' + b'\xff' * 10,
          b'\xff' * 12, b'12 size=99\n', b'25 GNU.sparse.map=0,-1\n', b'22 GNU.sparse.major=1\n', b'../', bytes(512)]


def repaired(raw: bytes) -> bytes:
    "A tar with the right checksum in each block that looks like a header."
    blocks = [raw[i:i + 512] for i in range(0, len(raw), 512)]
    for i, b in enumerate(blocks):
        if len(b) == 512 and b[257:262] == b'ustar':
            total = 256 + sum(b[:148]) + sum(b[156:])
            blocks[i] = b[:148] + b'%06o\0 ' % total + b[156:]
    return b''.join(blocks)


def refused(use) -> bool:
    "Did it end in the documented error?"
    try:
        with datasets._named(PLACE): use()
    except DataError as e:
        assert str(e).isprintable() and len(str(e)) < 500, str(e)
        return True
    return False


def target(data: bytes):
    kind, raw = data[0] % 3 if data else 0, data[1:]
    if kind: raw = gzip.compress(repaired(raw) if kind == 2 else raw, 0, mtime=0)
    m = replace(M, archives=(file(NAME, raw),), mirrors=('http://127.0.0.1:9/{}',))
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    (PLACE/NAME).write_bytes(raw)                           # as it is found
    refused(lambda: [*datasets._contents(PLACE/NAME, m)])
    (PLACE/NAME).rename(PLACE/f'{NAME}.part')               # as it comes
    failed = refused(lambda: datasets._download(m, PLACE))
    left = {p.relative_to(PLACE).as_posix(): p for p in PLACE.rglob('*')}
    assert left.keys() <= {f'{NAME}.part', 'f', 'f/b1', 'f/b2'} if failed else left.keys() == {'f', 'f/b1', 'f/b2'}, left
    for name, content in FILES.items(): assert f'f/{name}' not in left or left[f'f/{name}'].read_bytes() == content
