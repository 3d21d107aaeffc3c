"""Every reader for a moment on damaged files, and each file that once got through; `python -m tests.fuzz all` goes on for longer."""
import importlib, io, itertools, os, pickle, subprocess, sys, tarfile, zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

pytest.importorskip('resource', reason='the fence needs a POSIX system')
sys.path.insert(0, str(Path(__file__).parents[1]))                          # for `tests`, which is no installed package
from bnnp.logs import MAX_FILE, log_line
from tests.fuzz import TARGETS, archive, checkpoint, fence, mutate, names, results, resume, run_log

EXAMPLES = dict(run_log=40, results=60, archive=60, resume=80)               # the slow ones
module = pytest.fixture(params=TARGETS)(lambda request: importlib.import_module(f'tests.fuzz.{request.param}'))


@pytest.fixture(autouse=True)
def home(monkeypatch):
    "The targets set this."
    monkeypatch.setenv('XDG_CACHE_HOME', str(fence.FOLDER/'cache'))


def test_damaged_files(module):
    name = module.__name__.rpartition('.')[2]

    @settings(max_examples=EXAMPLES.get(name, 200), deadline=None, database=None)
    @given(st.integers(0, 1 << 64).map(lambda number: mutate.damaged(module, number)) | st.binary(max_size=200))
    def check(data): fence.run(module.target, data)
    with fence.fence(module): check()


# the fence itself

def leaves(data): exec(compile(data, 'from_the_input', 'exec'))


def takes_long(data):
    while True: pass


def takes_much(data): return len(b'x' * 100_000_000)


def swallows(data):
    try: open('/tmp/bnnp_escaped', 'w')
    except BaseException: pass


ESCAPES = {'code': leaves, 'time': takes_long, 'memory': takes_much, 'swallowed': swallows,
           'command': lambda _: os.system('true'), 'write': lambda _: open('/tmp/bnnp_escaped', 'w'),
           'folder': lambda _: os.mkdir('/tmp/bnnp_escaped'), 'read': lambda _: open('/etc/passwd'),
           'name': lambda _: pickle.loads(b'cos\nsystem\n.')}


@pytest.mark.parametrize('how', ESCAPES)
def test_the_fence_holds(how, monkeypatch):
    monkeypatch.setattr(fence, 'SECONDS', .3)
    monkeypatch.setattr(fence, 'MEGABYTES', 40)
    with fence.fence(names), pytest.raises(fence.Escape): fence.run(ESCAPES[how], b'1')
    assert not os.path.exists('/tmp/bnnp_escaped')


# what once got through

def record(key, value):
    "A record of an extended header, which begins with its own length."
    body = f' {key}={value}\n'.encode()
    n = len(body) + 1
    while len(str(n)) + len(body) != n: n += 1
    return str(n).encode() + body


def extended(content, size=None, kind=tarfile.XHDTYPE):
    "A tar's header about the next member."
    info = tarfile.TarInfo('about')
    info.type, info.size = kind, len(content) if size is None else size
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def sparse():
    "A tar's header of a sparse member whose map goes on in a block that is not there."
    info = tarfile.TarInfo('x')
    info.type = tarfile.GNUTYPE_SPARSE
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[482] = 1
    raw[148:156] = b' ' * 8
    raw[148:156] = b'%06o\0 ' % sum(raw)
    return bytes(raw)


def stored(members):
    "A zip archive, its members not packed."
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, 'w') as z:
        for name, content in members.items(): z.writestr(name, content)
    return raw.getvalue()


TAR = archive.TARS[0]
DEEP = b'[' * 100_000
NPY = b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f4', 'shape': (3, 3), 'fortran_order': False".ljust(117) + b'\n'
ONCE = {
    'a chain of extended headers': (archive, b'\1' + extended(record('a', 'b')) * 2000 + TAR),
    'a chain of long names': (archive, b'\1' + extended(b'x', kind=tarfile.GNUTYPE_LONGNAME) * 2000 + TAR),
    'a sparse map of words': (archive, b'\1' + extended(record('GNU.sparse.map', '0,x') + record('GNU.sparse.size', '3')) + TAR),
    'a sparse size of words': (archive, b'\1' + extended(record('GNU.sparse.major', '1') + record('GNU.sparse.minor', '0')
                                                         + record('GNU.sparse.realsize', 'x')) + TAR),
    'a sparse map that breaks off': (archive, b'\1' + sparse()),
    'a record longer than any': (archive, b'\1' + extended(b'9999999999999999999999 path=x\n') + TAR),
    'a member of exabytes': (archive, b'\1' + extended(record('size', '8' * 18)) + tarfile.TarInfo('x').tobuf()),
    'a member of negative size': (archive, b'\1' + extended(record('size', '-99999')) + TAR),
    'an array header without end': (checkpoint, b'\0' + stored({'state.npy': NPY})),
    'a temporary file of an impossible process': (names, b'x.bnnp_99999999999999999999_1.tmp'),
    'a shared folder of an impossible process': (names, b'bnnp_shared_99999999999999999999_x'),
    'an array with a line break in its name': (resume, resume.SEEDS[0].replace(b'"running_mean1"', b'"running\\nmean1"')),
    'a setting with a line break in its name': (resume, resume.SEEDS[0].replace(b'"lr_decay"', b'"\\rlr_decay"')),
    'a log without end': (run_log, run_log.SEEDS[0] + DEEP),
    'results without end': (results, b'{}\n' + DEEP),
    'a result without seconds': (results, results.WHOLE.replace(b'"took":1.0,', b'')),
    'a result without its numbers': (results, results.WHOLE.replace(b'"best_val_acc":0.2,', b'')),
    'a result that is too large a number': (results, results.WHOLE.replace(b'"gap":0.0', b'"gap":' + b'9' * 400)),
}


@pytest.mark.parametrize('name', ONCE)
def test_what_once_got_through(name):
    module, data = ONCE[name]
    with fence.fence(module): fence.run(module.target, data)


def test_a_summary_may_hold_any_character(tmp_path):
    from bnnp.sweeps import Result, read_summary, store, trials
    trial = trials(results.E)[0]
    path = store(results.E, [Result(trial, dict(results.VALUE, said='a\x85b\u2028c'), 1.)], tmp_path)
    (line,) = read_summary(path)
    assert line['value']['said'] == 'a\x85b\u2028c'


LINE = {'short': lambda i: b'{"kind":"train","step":%d}\n' % i,
        'lists': lambda i: b'{"kind":"train","step":%d,"x":[%s]}\n' % (i, b','.join([b'{}'] * 300_000)),
        'names': lambda i: b'{"kind":"train","step":%d,%s}\n' % (i, b','.join(b'"%x":1' % j for j in range(i * 90_000, i * 90_000 + 90_000))),
        'often': lambda i: log_line('train', step=i, loss=2.) + log_line('resume', step=i)}


@pytest.mark.skipif(os.name != 'posix', reason='needs resource')
@pytest.mark.parametrize('kind', LINE)
def test_the_worst_logs_that_are_read_at_all(tmp_path, kind):
    "As large as a log may be: 5 s of processor time and 256 MB, NumPy and Matplotlib included."
    with open(tmp_path/'a.jsonl', 'wb') as f:
        f.write(log_line('header'))
        for i in itertools.count():
            line = LINE[kind](i)
            if f.tell() + len(line) > MAX_FILE: break
            f.write(line)
    code = ('import resource, sys; from bnnp.logs import read_log; read_log(sys.argv[1])\n'
            'used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime, used.ru_maxrss / 1024)')
    said = subprocess.run([sys.executable, '-c', code, tmp_path/'a.jsonl'], capture_output=True, text=True, check=True).stdout
    seconds, megabytes = map(float, said.split())
    assert seconds < 5 and megabytes < 256, said
