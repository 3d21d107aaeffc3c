"""What the data notebook cannot show: servers that misbehave, processes that are killed, files made to do harm.

Every server is on 127.0.0.1 and every archive is 75 kB of noise with a manifest of its own.
"""
import gzip, hashlib, http.server, io, os, pickle, signal, socket, subprocess, sys, tarfile, textwrap, threading, time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from bnnp import datasets
from bnnp.datasets import DataError, File, PYTHON_VERSION, load_images, read_idx, read_python_batch

ROWS = 4
rng = np.random.default_rng(0)
X = rng.integers(0, 256, (6 * ROWS, 3, 32, 32), dtype=np.uint8)
y = rng.integers(0, 10, 6 * ROWS)


# fake archives

def python_batch(labels, pixels):
    "A file of the Python version."
    return b''.join([
        b'\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x04fakeq\x03U\x06labelsq\x04]q\x05(', *(b'K' + bytes([k]) for k in labels),
        b'eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09(K\x01M',
        len(labels).to_bytes(2, 'little'), b'M\x00\x0c\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b',
        b'(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T', pixels.size.to_bytes(4, 'little'),
        pixels.tobytes(), b'tbu.'])


NAMES = [file.name for file in PYTHON_VERSION.files]
FILES = {name: python_batch(y[i:i + ROWS], X[i:i + ROWS]) for i, name in zip(range(0, 6 * ROWS, ROWS), NAMES)}
ARCHIVE = PYTHON_VERSION.archives[0].name


def member(name, content=b'', **attributes):
    "One entry of an archive."
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for k, v in attributes.items(): setattr(info, k, v)
    return info, content


def archive(members):
    "The bytes of a .tar.gz."
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode='w') as tar:
        for info, content in members: tar.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


def manifest(raw, files=FILES):
    "The manifest that makes these bytes right."
    about = lambda name, content, rows=None: File(name, len(content), hashlib.sha256(content).hexdigest(), rows)
    files = tuple(about(name, content, slice(i, i + ROWS)) for i, (name, content) in zip(range(0, 6 * ROWS, ROWS), files.items()))
    return replace(PYTHON_VERSION, files=files, archives=(about(ARCHIVE, raw),), content='content', num_train=5 * ROWS, num_test=ROWS)


def members():
    "What a good archive holds, and a file that nobody reads."
    return [member(f'{PYTHON_VERSION.folder}/{name}', content) for name, content in {**FILES, 'batches.meta': b'x'}.items()]


GOOD = archive(members())
FAKE = manifest(GOOD)
BODIES = {'good': GOOD, 'wrong': GOOD[:2] + bytes(len(GOOD) - 2), 'short': GOOD[:-9],
          'html': b'<html>not here</html>'.ljust(len(GOOD))}


# a server for each way to misbehave: the address is /HOW/anything

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args): pass

    def do_GET(self):
        how = self.path.split('/')[1]
        self.server.asked.append((how, self.headers['Range']))
        try: getattr(self, how, self.plain)(how)
        except (BrokenPipeError, ConnectionResetError): pass

    def head(self, body, ranges=True, length=True):
        "Send the headers; returns what is left to send."
        start = int(self.headers['Range'][6:-1]) if ranges and self.headers['Range'] else 0
        self.send_response(206 if start else 200)
        if start: self.send_header('Content-Range', f'bytes {start}-{len(body) - 1}/{len(body)}')
        if length: self.send_header('Content-Length', len(body) - start)
        self.end_headers()
        return body[start:]

    def send(self, body, rate=None, upto=None):
        "Send at `rate` bytes per second, and no more than `upto` bytes."
        body = body[:upto]
        step = int(rate * .02) if rate else len(body)
        for i in range(0, len(body), step or 1):
            self.wfile.write(body[i:i + step])
            if rate: time.sleep(.02)

    def plain(self, how): self.send(self.head(BODIES[how]))
    def html(self, how): self.send(self.head(BODIES[how], ranges=False))
    def short(self, how): self.send(self.head(BODIES[how], ranges=False))
    def norange(self, how): self.send(self.head(GOOD, ranges=False))
    def cut(self, how): self.send(self.head(GOOD), upto=30_000)
    def cut_norange(self, how): self.send(self.head(GOOD, ranges=False), upto=30_000)
    def nothing(self, how): self.head(GOOD)
    def unsized(self, how): self.send(self.head(GOOD, length=False))
    def endless(self, how): self.send(self.head(GOOD + bytes(99_999), ranges=False, length=False))
    def slow10(self, how): self.send(self.head(GOOD), rate=10_000)
    def slow30(self, how): self.send(self.head(GOOD), rate=30_000)
    def slow100(self, how): self.send(self.head(GOOD), rate=100_000)

    def stall(self, how):
        self.send(self.head(GOOD), upto=20_000)
        self.wfile.flush()
        self.server.stop.wait(5)

    def mute(self, how): self.server.stop.wait(5)

    def loop(self, how):
        self.send_response(302)
        self.send_header('Location', self.path)
        self.end_headers()

    def circle(self, how):
        "To a second address and back to the first."
        self.send_response(301)
        self.send_header('Location', self.path[:-1] if self.path.endswith('?') else self.path + '?')
        self.end_headers()

    def promises_more(self, how):
        self.send_response(200)
        self.send_header('Content-Length', len(GOOD) + 5000)
        self.end_headers()
        self.wfile.write(GOOD)

    def promises_less(self, how):
        self.send_response(200)
        self.send_header('Content-Length', len(GOOD) - 5000)
        self.end_headers()
        self.wfile.write(GOOD)

    def missing(self, how): self.send_error(404, 'Gone fishing')

    def otherrange(self, how):
        self.send_response(206)
        self.send_header('Content-Range', f'bytes 7-{len(GOOD) - 1}/{len(GOOD)}')
        self.end_headers()
        self.wfile.write(GOOD[7:])

    def garbage(self, how): self.wfile.write(b'\x00\xff' * 1000)


@pytest.fixture(scope='module')
def site():
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads, server.asked, server.stop = True, [], threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.stop.set()
    server.shutdown()


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path, request):
    "A cache of its own for each test, no proxy, no BNNP_DATA."
    if 'site' in request.fixturenames: request.getfixturevalue('site').asked.clear()
    for name in ('XDG_CACHE_HOME', 'LOCALAPPDATA', 'HOME'): monkeypatch.setenv(name, str(tmp_path/'home'))
    monkeypatch.delenv('BNNP_DATA', raising=False)
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setattr(datasets, 'TIMEOUT', .3)


def urls(site, *hows): return tuple(f'http://127.0.0.1:{site.server_port}/{how}/{{}}' for how in hows)


def get(site, place, *hows): return load_images(replace(FAKE, mirrors=urls(site, *hows)), place)
def found(place, m=FAKE): return load_images(m, place, download=False)


def assert_right(loaded):
    np.testing.assert_array_equal(np.concatenate([loaded['X_train'], loaded['X_test']]), X)
    np.testing.assert_array_equal(np.concatenate([loaded['y_train'], loaded['y_test']]), y)


def complaint(f, *args, **kwargs):
    "The text of the DataError, which is one line."
    with pytest.raises(DataError) as caught: f(*args, **kwargs)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def names(place): return sorted(p.name for p in Path(place).iterdir())


# downloads

def test_download_leaves_only_the_folder_and_asks_once(site, tmp_path):
    assert_right(get(site, tmp_path/'d', 'good'))
    assert names(tmp_path/'d') == [FAKE.folder]
    assert names(tmp_path/'d'/FAKE.folder) == sorted(FILES)
    site.asked.clear()
    assert_right(get(site, tmp_path/'d', 'good'))
    assert site.asked == []


@pytest.mark.parametrize('bad', ['wrong', 'html', 'short', 'loop', 'circle', 'missing', 'nothing', 'garbage', 'mute', 'stall',
                                 'endless', 'promises_more', 'promises_less', 'cut_norange'])
def test_a_bad_mirror_gives_way_to_a_good_one(site, tmp_path, bad):
    start = time.monotonic()
    assert_right(get(site, tmp_path/'d', bad, 'good'))
    assert {how for how, _ in site.asked} == {bad, 'good'}
    assert names(tmp_path/'d') == [FAKE.folder]
    assert time.monotonic() - start < 5


@pytest.mark.parametrize('bad, reason', [
    ('html', 'no gzip archive'), ('short', 'bytes, not'), ('loop', 'redirect'), ('missing', 'Gone fishing'),
    ('wrong', 'SHA-256'), ('nothing', 'connection broke'),
    ('garbage', '127.0.0.1'), ('mute', 'timed out'), ('otherrange', 'no gzip archive'),
    ('endless', 'more than'), ('circle', 'redirect'), ('promises_more', 'bytes, not'), ('promises_less', 'bytes, not')])
def test_when_no_mirror_is_good_the_error_names_the_reason_and_the_way_out(site, tmp_path, bad, reason):
    text = complaint(get, site, tmp_path/'d', bad)
    assert reason in text and 'cifar-10-python.tar.gz' in text and 'BNNP_DATA' in text
    assert set(names(tmp_path/'d')) <= {f'{ARCHIVE}.part'}


def test_a_cut_connection_is_taken_up_where_it_broke(site, tmp_path):
    assert_right(get(site, tmp_path/'d', 'cut'))
    starts = [r for _, r in site.asked]
    assert starts == [None, 'bytes=30000-', 'bytes=60000-']


def test_a_server_without_ranges_starts_over(site, tmp_path):
    (tmp_path/f'{ARCHIVE}.part').write_bytes(GOOD[:40_000])
    assert_right(get(site, tmp_path, 'norange'))


def test_a_server_without_length_is_fine(site, tmp_path): assert_right(get(site, tmp_path, 'unsized'))


@pytest.mark.parametrize('old', [b'x' * 40_000, b'x' * len(GOOD), b'x' * 99_999, b'', GOOD],
                         ids=['wrong', 'wrong and full', 'too long', 'empty', 'complete'])
def test_an_old_part_does_no_harm(site, tmp_path, old):
    (tmp_path/f'{ARCHIVE}.part').write_bytes(old)
    assert_right(get(site, tmp_path, 'good'))
    assert names(tmp_path) == [FAKE.folder, 'home'][:len(names(tmp_path))]


def test_a_part_is_not_lost_to_a_web_page(site, tmp_path):
    part = tmp_path/f'{ARCHIVE}.part'
    part.write_bytes(GOOD[:40_000])
    for bad in ('html', 'loop', 'missing', 'short', 'otherrange', 'mute'):
        complaint(get, site, tmp_path, bad)
        assert part.read_bytes() == GOOD[:40_000]


def test_no_network_at_all(tmp_path, monkeypatch):
    def fail(*args, **kwargs): raise socket.gaierror(-2, 'Name or service not known')
    monkeypatch.setattr(socket, 'getaddrinfo', fail)
    for name in ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    text = complaint(load_images, FAKE, tmp_path/'d')
    assert text.count('Name or service not known') == len(FAKE.mirrors)
    assert names(tmp_path/'d') == []


# other processes

SCRIPT = """
    import sys
    from dataclasses import replace
    sys.path.insert(0, {tests!r})
    from bnnp import datasets
    from test_data import FAKE
    datasets.DATASETS['cifar10'] = replace(FAKE, mirrors=({url!r},))
    {before}
    sys.exit(datasets.data_command(['--data_dir', {place!r}]))
"""


def spawn(site, how, place, before=''):
    "`bnnp_data` in a process of its own."
    code = textwrap.dedent(SCRIPT)
    code = code.format(tests=str(Path(__file__).parent), url=urls(site, how)[0], place=str(place), before=before)
    heed = None if os.name == 'nt' else lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)   # a shell's background jobs ignore it
    return subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)


def wait_for_part(place, size=20_000):
    "Wait until the download in `place` has some bytes; returns how many."
    part = Path(place)/f'{ARCHIVE}.part'
    for _ in range(1000):
        if part.exists() and part.stat().st_size > size: return part.stat().st_size
        time.sleep(.01)
    raise AssertionError('no download began')


def test_a_killed_process_leaves_a_part_that_the_next_one_continues(site, tmp_path):
    process = spawn(site, 'slow30', tmp_path)
    wait_for_part(tmp_path)
    process.kill()
    process.communicate()
    have = (tmp_path/f'{ARCHIVE}.part').stat().st_size
    assert_right(get(site, tmp_path, 'good'))
    assert site.asked[-1] == ('good', f'bytes={have}-') and have > 20_000


@pytest.mark.skipif(os.name == 'nt', reason='Windows has no SIGINT for one process')
def test_ctrl_c_keeps_the_part_and_exits_130(site, tmp_path):
    process = spawn(site, 'slow30', tmp_path)
    wait_for_part(tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and 'kept' in err and 'Traceback' not in err
    part = (tmp_path/f'{ARCHIVE}.part').read_bytes()
    assert len(part) > 20_000 and GOOD.startswith(part)


def test_two_processes_at_once_download_once(site, tmp_path):
    processes = [spawn(site, 'slow100', tmp_path/'d') for _ in range(2)]
    results = [p.communicate(timeout=120) for p in processes]
    assert [p.returncode for p in processes] == [0, 0], results
    assert len(site.asked) == 1
    assert sum('waiting' in err for _, err in results) <= 1
    assert names(tmp_path/'d') == [FAKE.folder]
    assert_right(found(tmp_path/'d'))


def test_the_command_says_one_line_and_exits_1(site, tmp_path):
    process = spawn(site, 'missing', tmp_path/'d')
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1 and out == '' and err.startswith('bnnp_data: cifar10') and err.count('\n') == 1


# disks

def test_a_place_that_cannot_be_made(site, tmp_path):
    (tmp_path/'file').write_text('in the way')
    text = complaint(get, site, tmp_path/'file'/'d', 'good')
    assert str(tmp_path/'file') in text
    assert (tmp_path/'file').read_text() == 'in the way' and site.asked == []


@pytest.mark.skipif(os.name == 'nt' or os.geteuid() == 0, reason='root may write everywhere')
def test_a_place_that_is_read_only(site, tmp_path):
    (tmp_path/'d').mkdir(mode=0o500)
    assert 'Permission denied' in complaint(get, site, tmp_path/'d', 'good')


@pytest.mark.skipif(os.name == 'nt', reason='no limit on file sizes on Windows')
def test_a_full_disk_keeps_the_part(site, tmp_path):
    limit = 'import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))'
    process = spawn(site, 'good', tmp_path, limit)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1 and f'{ARCHIVE}.part: File too large' in err and 'Traceback' not in err
    assert (tmp_path/f'{ARCHIVE}.part').read_bytes() == GOOD[:50_000]
    assert_right(get(site, tmp_path, 'good'))


@pytest.fixture
def small_disk(tmp_path):
    "A file system of 112 kB, which holds the archive but not what is in it."
    place = tmp_path/'disk'
    place.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=112k', 'tmpfs', str(place)]
    try: done = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error: pytest.skip(f'no tmpfs: {error}')
    if done.returncode: pytest.skip(f'no tmpfs: {done.stderr.strip()}')
    yield place
    subprocess.run(['umount', str(place)])


def test_a_disk_that_fills_while_unpacking(site, small_disk):
    text = complaint(get, site, small_disk, 'good')
    assert 'No space left on device' in text
    assert (small_disk/f'{ARCHIVE}.part').read_bytes() == GOOD
    assert not any('tmp' in name for name in names(small_disk/FAKE.folder)) and 'is missing' in complaint(found, small_disk)


# archives made to do harm; their manifests call them right

HOSTILE = {
    'a path that leads out': [member('../evil', b'x'), member('/tmp/bnnp_evil', b'x')],
    'a link that leads out': [member(f'{FAKE.folder}', type=tarfile.SYMTYPE, linkname='/tmp')],
    'an extra file': [member(f'{FAKE.folder}/evil', b'x'), member('evil', b'x')],
    'a hard link': [member(f'{FAKE.folder}/link', type=tarfile.LNKTYPE, linkname='/etc/passwd')],
    'a device': [member('null', type=tarfile.CHRTYPE)],
}


@pytest.mark.parametrize('name', HOSTILE)
@pytest.mark.parametrize('where', ['found', 'downloaded'])
def test_only_expected_members_are_read_or_written(site, tmp_path, name, where):
    raw = archive(HOSTILE[name] + members())
    m, place = manifest(raw), tmp_path/'d'
    place.mkdir()
    if where == 'found':
        (place/ARCHIVE).write_bytes(raw)
        assert_right(found(place, m))
        assert names(place) == [ARCHIVE]
    else:
        BODIES['hostile'] = raw
        assert_right(load_images(replace(m, mirrors=urls(site, 'hostile')), place))
        assert names(place) == [m.folder] and names(place/m.folder) == sorted(FILES)
    assert not list(tmp_path.rglob('evil')) and not Path('/tmp/bnnp_evil').exists()


@pytest.mark.parametrize('member, reason', [
    (member(f'{FAKE.folder}/data_batch_3', type=tarfile.SYMTYPE, linkname='/etc/passwd'), 'data_batch_3 is missing'),
    (member(f'{FAKE.folder}/data_batch_3', type=tarfile.FIFOTYPE), 'data_batch_3 is missing'),
    (member(f'{FAKE.folder}/data_batch_3', bytes(50_000)), 'data_batch_3: is longer'),
    (None, 'data_batch_3 is missing'),
], ids=['link', 'pipe', 'too large', 'missing'])
def test_an_expected_member_that_is_something_else(site, tmp_path, member, reason):
    raw = archive(([member] if member else []) + [m for m in members() if not m[0].name.endswith('_3')])
    m = manifest(raw)
    (tmp_path/ARCHIVE).write_bytes(raw)
    assert reason in complaint(found, tmp_path, m)
    BODIES['odd'] = raw
    assert reason in complaint(load_images, replace(m, mirrors=urls(site, 'odd')), tmp_path/'d')
    assert not (tmp_path/'d'/m.folder/'data_batch_3').exists()


@pytest.mark.parametrize('raw', [GOOD[:-20], GOOD[:5000], b'\x1f\x8b' + bytes(999), gzip.compress(b'no tar' * 99), b''],
                         ids=['short', 'shorter', 'no deflate', 'no tar', 'empty'])
def test_archives_that_break_off_inside(tmp_path, raw):
    m = manifest(raw)
    (tmp_path/ARCHIVE).write_bytes(raw)
    assert ARCHIVE in complaint(found, tmp_path, m)


# pickles made to do harm

def test_a_pickle_that_would_run_a_command_is_not_run(tmp_path):
    class Harm:
        def __reduce__(self): return os.system, (f'touch {tmp_path}/ran',)
    folder = tmp_path/FAKE.folder
    folder.mkdir()
    for name, content in FILES.items(): (folder/name).write_bytes(content)
    for protocol in range(6):
        harmful = pickle.dumps({'data': Harm()}, protocol)
        complaint(read_python_batch, harmful, ROWS)
        for content in (harmful, harmful.ljust(len(FILES['data_batch_2']))):
            (folder/'data_batch_2').write_bytes(content)
            assert 'data_batch_2' in complaint(found, tmp_path)
    assert not (tmp_path/'ran').exists()


HEAD = b'\x80\x02'
HARMFUL = {
    'a call by another instruction': HEAD + b'(cos\nsystem\nU\x02lso.',
    'INST': HEAD + b'(U\x02lsios\nsystem\n.',
    'an extension': HEAD + b'\x82\x01.',
    'a persistent object': HEAD + b'Pabc\n.',
    'STACK_GLOBAL': HEAD + b'U\x02osU\x06system\x93.',
    'a name that is not ended': HEAD + b'c' + b'a' * 10_000,
    'a name with control characters': HEAD + b'c\x1b[2Jos\nsys\x07tem\n.',
    'a string longer than the file': HEAD + b'T\xff\xff\xff\xffabc.',
    'a reference to the memo': HEAD + b'}q\x00h\x00.',
    'numpy called with other arguments': HEAD + b'cnumpy\ndtype\nU\x01O\x85R.',
    'an array of another type': FILES['test_batch'].replace(b'u1', b'O8'),
    'an array of another shape': FILES['test_batch'].replace(b'M\x00\x0c\x86', b'M\x01\x0c\x86'),
    'a number in place of the labels': HEAD + b'}(U\x06labelsJ\xff\xff\xff\x7fU\x04dataK\x00u.',
    'a mark without end': HEAD + b'(' * 2_000_000,
    'very deep nesting as a key': HEAD + b'}(N' + b'\x85' * 99_000 + b'Nu.',
    'very deep nesting': HEAD + b'N' + b'\x85' * 99_000 + b'.',
    'a reference that is never called': FILES['test_batch'].replace(b'}q\x01(', b'}q\x01(U\x01xcos\nsystem\n'),
    'nothing': b'', 'only a head': HEAD, 'a stop on an empty stack': HEAD + b'.', 'a pop of nothing': HEAD + b'e.',
    'a build of nothing': HEAD + b'b.', 'a call of nothing': HEAD + b'R.',
}


@pytest.mark.parametrize('name', HARMFUL)
def test_other_pickles_are_refused(name):
    text = complaint(read_python_batch, HARMFUL[name], ROWS)
    assert text.isprintable()


def test_memory_stays_bounded_by_the_file():
    import tracemalloc
    tracemalloc.start()
    head = FILES['test_batch'][:FILES['test_batch'].index(b'](') if b'](' in FILES['test_batch'] else 54]
    for content in (HEAD + b'](' + b'K\x07' * 1_000_000 + b'e.', HEAD + b'N' * 3_000_000, HEAD + b'(' * 3_000_000,
                    head + b'(' + b'K\x07' * 1_000_000 + b'e.', head + (b'(' + b'K\x07' * 1000 + b'e') * 1000 + b'.',
                    FILES['test_batch'].replace(b'q\x01', b'r\xff\xff\xff\xff', 1)):
        complaint(read_python_batch, content, ROWS)
    assert tracemalloc.get_traced_memory()[1] < 40e6
    tracemalloc.stop()


OPCODES = [b'}', b']', b'(', b'N', b'\x89', b'K\x01', b'M\x04\x00', b'J\xff\xff\xff\xff', b'U\x06labels', b'U\x04data',
           b'q\x01', b't', b'e', b'u', b'\x85', b'\x86', b'\x87', b'R', b'b', b'.', b'cnumpy\ndtype\n',
           b'cnumpy\nndarray\n', b'0', b'h\x00', b'c']


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(OPCODES)).map(b''.join) | st.binary(max_size=100))
def test_any_program_ends_in_a_data_error(program):
    with pytest.raises(DataError): read_python_batch(HEAD + program, ROWS)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(FILES['test_batch']) - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed_or_only_data(at, change):
    content = bytearray(FILES['test_batch'])
    content[at] ^= change
    try: labels, pixels = read_python_batch(bytes(content), ROWS)
    except DataError: return
    assert labels.shape == (ROWS,) and pixels.shape == (ROWS, 3072) and labels.max() <= 9


# folders

@pytest.mark.parametrize('broken, reason', [
    (lambda f: f.write_bytes(f.read_bytes()[:9000]), 'is shorter than'),
    (lambda f: f.write_bytes(b'<html>'), 'is shorter than'),
    (lambda f: f.write_bytes(f.read_bytes()[:-1] + b','), 'has the SHA-256'),
    (lambda f: f.write_bytes(bytes(50_000)), 'is longer than'),
], ids=['cut', 'page', 'changed', 'too long'])
def test_a_damaged_folder_is_reported_and_left_alone(site, tmp_path, broken, reason):
    folder = tmp_path/FAKE.folder
    folder.mkdir()
    for name, content in FILES.items(): (folder/name).write_bytes(content)
    broken(folder/'data_batch_4')
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    text = complaint(get, site, tmp_path, 'good')
    assert reason in text and 'data_batch_4' in text
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before and site.asked == []


def test_a_folder_that_lacks_a_file_is_completed(site, tmp_path):
    folder = tmp_path/FAKE.folder
    folder.mkdir()
    (folder/'data_batch_1').write_bytes(FILES['data_batch_1'])
    assert 'data_batch_2 is missing' in complaint(found, tmp_path)
    assert_right(get(site, tmp_path, 'good'))
    assert_right(found(tmp_path))


# MNIST

@pytest.mark.parametrize('data', [b'', b'\0\0\x08\x01', b'\0\0\x08\x01\0\0\0\3\1\2', b'\0\0\x08\x01\0\0\0\3\1\2\3\4',
                                  b'\0\0\x08\x01\xff\xff\xff\xff\1\2\3', b'\0\0\x08\x01\0\0\0\3\1\2\x0a',
                                  b'\0\0\x08\3\0\0\0\3\0\0\0\x1c\0\0\0\x1b' + bytes(3 * 784), b'<html>'])
def test_other_files_of_digits_are_refused(data): complaint(read_idx, data, 3)


def test_a_damaged_gz(tmp_path):
    content = b'\0\0\x08\x01\0\0\0\3\1\2\3'
    m = replace(FAKE, files=(File('labels', len(content), hashlib.sha256(content).hexdigest(), slice(3)),), num_train=3, num_test=0,
                read=read_idx)
    packed = gzip.compress(content)
    for raw in (packed[:-9], packed[:5], b'', b'no gzip', packed[:-8] + bytes(8), gzip.compress(bytes(9_000_000))):
        (tmp_path/'labels.gz').write_bytes(raw)
        assert 'labels: ' in complaint(found, tmp_path, m)
    (tmp_path/'labels.gz').write_bytes(packed)
    assert found(tmp_path, m)['y_train'].tolist() == [1, 2, 3]


# homes

@pytest.mark.skipif(os.name == 'nt', reason='Windows has no user without a home')
@pytest.mark.parametrize('argv', [[], ['--data_dir', 'here'], ['--data_dir', '~/x'], ['--data_dir', '~nosuchuser/x'], ['--dataset', 'mnist']])
def test_a_user_without_home(monkeypatch, capsys, argv):
    "No HOME, and a user id that the system does not know."
    def unknown(uid): raise KeyError(uid)
    monkeypatch.setattr('pwd.getpwuid', unknown)
    for name in ('HOME', 'XDG_CACHE_HOME'): monkeypatch.delenv(name)
    assert datasets.data_command([*argv, '--no_download']) == 1
    said = capsys.readouterr().err
    assert said.startswith('bnnp_data: ') and said.count('\n') == 1
    assert ('no such home directory' in said) == any(arg.startswith('~') for arg in argv)


@pytest.mark.skipif(os.name == 'nt', reason='no flock on Windows')
def test_two_processes_on_a_file_system_without_locks(site, tmp_path):
    "They may get in each other's way, but what they leave can be used."
    none = """
    import errno, fcntl
    def flock(*args): raise OSError(errno.ENOLCK, 'No locks available')
    fcntl.flock = flock
    """
    for how in 20 * ['slow100', 'good'] if os.environ.get('BNNP_LONG') else ['slow100', 'good']:
        processes = [spawn(site, how, tmp_path/'d', textwrap.dedent(none).strip()) for _ in range(2)]
        results = [p.communicate(timeout=120) for p in processes]
        assert all('Traceback' not in err for _, err in results), results
        assert_right(get(site, tmp_path/'d', 'good'))
        for path in sorted((tmp_path/'d').rglob('*'), reverse=True): path.rmdir() if path.is_dir() else path.unlink()


def test_importing_is_light():
    code = 'import sys, numpy; before = set(sys.modules); import bnnp.data, bnnp.datasets; print(*(set(sys.modules) - before))'
    loaded = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()
    assert 'bnnp.data' in loaded
    assert not {'matplotlib', 'urllib.request', 'http.client', 'tarfile', 'tqdm', 'fastcore'} & set(loaded)
