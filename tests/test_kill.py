"""Killed anywhere, and gone on with, it ends with the same bits.

Each test runs in processes forked from one that has everything loaded, so that hundreds of kills take a minute.
`BNNP_LONG=1` in the environment tries every place and a thousand random moments, where a day's test leaves out most
writes in the middle of a checkpoint and takes thirty moments. `pytest -s` prints how many kills there were.
"""
import http.server, json, os, random, shutil, signal, sys, threading, time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

if not hasattr(os, 'fork'): pytest.skip('kills need fork', allow_module_level=True)

from bnnp.data import get_data
from bnnp.datasets import load_images
from bnnp.runs import RunConfig, run, run_name
from bnnp import solver
from bnnp.checkpoints import CheckpointError, checkpoints, load_checkpoint, pack
from bnnp.logs import read_log
from killing import forked, kill, points, record

LONG = bool(os.environ.get('BNNP_LONG'))
DATA = get_data('shapes10', num_train=120, num_val=40, num_test=40)
CONFIG = RunConfig((12, 12), 'batchnorm', dropout=.25, reg=1e-3, epochs=4, batch_size=30, lr_decay=.9, num_train=120, dataset='shapes10')
NAME = run_name(CONFIG, 'shapes10')


def train(folder, resume=True):
    "One run with all there is to save, from wherever it was; what the job returns is thrown away."
    run(CONFIG, folder/'logs', folder/'checkpoints', resume=resume, data=DATA, verbose=False)


def lines(path):
    "A log's lines as they count in the end, without times."
    found = read_log(path)
    timeless = lambda line: {k: v for k, v in line.items() if k not in ('seconds', 'started')}
    return [timeless(line) for line in (found.header, *found.train, *found.epochs, found.result)]


def outcome(folder):
    "All that must be equal: every array of the last two checkpoints as bytes, what is beside them, and the log."
    saved = []
    for path in checkpoints(folder/'checkpoints'/NAME):
        arrays, state = {}, load_checkpoint(path)
        rest = pack({k: v for k, v in state.items() if k != 'seconds'}, arrays)
        saved.append(({k: (a.dtype.str, a.shape, a.tobytes()) for k, a in arrays.items()}, rest))
    return saved, lines(folder/'logs'/f'{NAME}.jsonl')


def names(folder): return sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())


def still_readable(folder):
    "Whatever happened: each log has its header, and each checkpoint under its name is whole."
    for path in (folder/'logs').glob('*.jsonl'): read_log(path)
    for path in checkpoints(folder/'checkpoints'/NAME): load_checkpoint(path)


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp('uninterrupted')
    changes = record(lambda: train(folder))
    return outcome(folder), names(folder), changes


def finish(folder, uninterrupted):
    "Go on to the end in a new process, and compare."
    forked(lambda: train(folder))
    assert names(folder) == uninterrupted[1]                    # no temporary file, no second log
    assert outcome(folder) == uninterrupted[0]


def worth(changes):
    "Places to kill a run at: all of them, or fewer where a file grows under its temporary name, as one write there is like another."
    inside = lambda what: what[0] == 'write' and what[1].endswith('.tmp')
    def kept(k, how):
        if LONG or not inside(changes[k]): return True
        edge = not (inside(changes[k - 1]) and inside(changes[k + 1])) or changes[k][2] > 10_000
        return edge and how == 'half'
    return [(k, how) for k, how in points(changes) if kept(k, how)]


def test_every_step_of_a_run(tmp_path, uninterrupted):
    "Killed before, in and after each write, fsync, rename and deletion of a whole run, log and checkpoints."
    places, kills = worth(uninterrupted[2]), 0
    assert len(places) >= 100 and {what[0] for what in uninterrupted[2]} >= {'open', 'write', 'fsync', 'replace', 'unlink', 'mkdir'}
    for i, (k, how) in enumerate(places):
        folder = tmp_path/str(i)
        folder.mkdir()
        kills += kill(lambda: train(folder), k, how)
        still_readable(folder)
        finish(folder, uninterrupted)
    assert kills >= len(places) - 3                             # the time it takes is a number of varying length
    print(f'{kills} kills')


def test_every_step_of_a_resume(tmp_path, uninterrupted):
    "The same for a run that was killed once already, in the middle of a checkpoint."
    middle = [k for k, what in enumerate(uninterrupted[2]) if what[0] == 'replace'][2]
    first = tmp_path/'first'
    first.mkdir()
    assert kill(lambda: train(first), middle, 'before')
    again = lambda i: Path(shutil.copytree(first, tmp_path/str(i)))
    recorded = again('recorded')
    places, kills = worth(record(lambda: train(recorded))), 0
    for i, (k, how) in enumerate(places):
        folder = again(i)
        kills += kill(lambda: train(folder), k, how)
        still_readable(folder)
        finish(folder, uninterrupted)
    assert kills >= len(places) - 3                             # the time it takes is a number of varying length
    print(f'{kills} kills')


def test_at_any_moment(tmp_path, uninterrupted):
    "Killed by a clock, again and again until the run is over."
    rng, kills, i = random.Random(0), 0, 0
    start = time.monotonic()
    forked(lambda: train(tmp_path/'timed'))
    whole = time.monotonic() - start
    while kills < (1000 if LONG else 30):
        folder, i = tmp_path/str(i), i + 1
        folder.mkdir()
        for _ in range(rng.randrange(1, 6)):
            def strike(pid): time.sleep(rng.uniform(0, whole)); os.kill(pid, signal.SIGKILL)
            try: status = forked(lambda: train(folder), after=strike)[0]
            except ProcessLookupError: break
            if status != -signal.SIGKILL: break
            kills += 1
            still_readable(folder)
        finish(folder, uninterrupted)
    print(f'{kills} kills in {i} runs')


def test_without_resume_nothing_is_lost_or_left(tmp_path, uninterrupted):
    "The next start need not be a resume: it has a name of its own, and clears away what the killed one left."
    for i, k in enumerate([k for k, what in enumerate(uninterrupted[2]) if what[0] == 'replace'] + [2, 3, 4]):
        folder = tmp_path/str(i)
        folder.mkdir()
        assert kill(lambda: train(folder), k, 'before')
        kept = {p: p.read_bytes() for p in folder.rglob('*.*') if p.suffix in ('.jsonl', '.npz') and b'\n' in p.read_bytes()}
        forked(lambda: train(folder, resume=False))
        assert not list(folder.rglob('*.tmp'))
        assert all(p.read_bytes() == content for p, content in kept.items())
        assert all(read_log(p).header for p in (folder/'logs').iterdir())


def in_place(path, state):
    "How not to write a checkpoint."
    arrays = {}
    text = json.dumps(pack(state, arrays))
    with open(path, 'wb') as f: np.savez(f, state=np.array(text), **arrays)


def test_a_checkpoint_written_in_place_would_be_found_out(tmp_path, monkeypatch):
    "The test of the test."
    monkeypatch.setattr(solver, 'save_checkpoint', in_place)
    changes = record(lambda: train(tmp_path/'recorded'))
    middle = [k for k, what in enumerate(changes) if what[0] == 'write' and '_step_8.npz' in what[1]][3]
    assert kill(lambda: train(tmp_path/'killed'), middle, 'half')
    with pytest.raises(CheckpointError): still_readable(tmp_path/'killed')


def test_what_is_renamed_is_on_disk_before(uninterrupted):
    "A power cut is not a kill: what was not synced may be lost. Files are synced before they get their name, folders after."
    changes = uninterrupted[2]
    for i, what in enumerate(changes):
        if what[0] not in ('replace', 'link'): continue
        temporary, path = what[1:3]
        written = max(j for j in range(i) if changes[j][0] == 'write' and changes[j][1] == temporary)
        assert ('fsync', temporary) in changes[written:i] and ('fsync', os.path.dirname(path)) == changes[i + 1 + (what[0] == 'link')]
    for i, what in enumerate(changes):
        if what[0] == 'write' and what[1].endswith('.jsonl') and what[2] > 1: assert changes[i + 1] == ('fsync', what[1])


# the data

from test_data import ARCHIVE, FAKE, FILES, GOOD, Handler, assert_right, urls


class Slow(Handler):
    "Sends the archive in a dozen pieces."
    def steps(self, how):
        body = self.head(GOOD)
        for i in range(0, len(body), 7000):
            self.wfile.write(body[i:i + 7000])
            self.wfile.flush()
            time.sleep(.002)


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    "The server in a process of its own, so that forked processes share nothing with it."
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Slow)
    server.daemon_threads, server.asked, server.stop = True, [], threading.Event()
    pid = os.fork()
    if not pid:
        try: server.serve_forever()
        finally: os._exit(0)
    server.socket.close()
    yield server
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def load(site, folder):
    "Have the data, from the cache or the server."
    def job():
        os.environ.update(XDG_CACHE_HOME=str(folder/'cache'), NO_PROXY='127.0.0.1', no_proxy='127.0.0.1')
        os.environ.pop('BNNP_DATA', None)
        sys.stderr = open(os.devnull, 'w')
        assert_right(load_images(replace(FAKE, mirrors=urls(site, 'steps')), folder/'data'))
    return job


def all_there(folder):
    "The folder of batches and nothing else, but for what is left by who was killed between the last file and the last deletion."
    last = {f'data/{ARCHIVE}.part', f'data/{FAKE.folder}.lock'}
    return [name for name in names(folder) if name not in last] == [f'data/{FAKE.folder}/{name}' for name in sorted(FILES)]


def test_every_step_of_a_download(tmp_path, site):
    "Killed before, in and after each change, from the first byte to the last file unpacked."
    changes = [what for what in record(load(site, tmp_path/'whole')) if what[1] != os.devnull]
    assert all_there(tmp_path/'whole') and len(names(tmp_path/'whole')) == len(FILES)
    assert sum(what[0] == 'write' for what in changes) >= 15 and 'replace' in {what[0] for what in changes}
    places, kills = points(changes), 0
    for i, (k, how) in enumerate(places):
        folder = tmp_path/str(i)
        kills += kill(load(site, folder), k + 1, how)           # the first change is that of stderr
        for path in (folder/'data'/FAKE.folder).glob('*batch_?'): assert path.read_bytes() == FILES[path.name]
        forked(load(site, folder))
        assert all_there(folder), names(folder)
    assert kills >= .9 * len(places)                            # a download may come in fewer pieces
    print(f'{kills} kills')
