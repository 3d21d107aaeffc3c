"""Full disks, folders that are read-only, forbidden or gone, and clocks that jump: a clear error, and nothing lost."""
import errno, io, os, resource, shutil, subprocess, sys, tempfile, time
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

if not hasattr(os, 'fork'): pytest.skip('needs fork', allow_module_level=True)

from bnnp import solver
from bnnp.datasets import DataError, load_images
from bnnp.runs import run, train_command
from bnnp.checkpoints import checkpoints
from bnnp.logs import RunLog, read_log
from killing import fail, forked, record
from test_data import ARCHIVE, FAKE, FILES, GOOD, assert_right
from test_kill import CONFIG, DATA, NAME, finish, lines, load, names, outcome, site, still_readable, train, uninterrupted, worth

OPTIONS = '--dataset shapes10 --num_train 120 --hidden_dims 12 12 --epochs 3 --batch_size 30 --threads 1'.split()


def attempt(job):
    "A job that reports its failure: kind and text of the exception."
    def tried():
        try: return job() or 'done'
        except Exception as e: return f'{type(e).__name__}: {e}'
    return tried


def as_command(*options, cwd=None):
    "Status and what it wrote to stderr, of the train command in a process of its own."
    def job():
        if cwd: os.chdir(cwd)
        with redirect_stderr(io.StringIO()) as err, redirect_stdout(io.StringIO()):
            try: train_command([*OPTIONS, *map(str, options)])
            except SystemExit as e: return [e.code if isinstance(e.code, int) else 1, err.getvalue() or str(e.code)]
        return [0, err.getvalue()]
    return job


def named(text, folder):
    "An error of the system that says which file."
    return text.startswith(('OSError', 'FileNotFoundError', 'PermissionError', 'DataError')) and str(folder) in text and '\n' not in text


# every change can fail

@pytest.mark.parametrize('error', [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS], ids=errno.errorcode.get)
def test_every_change_of_a_run_can_fail(tmp_path, uninterrupted, error):
    "The disk is full, broken, over quota or read-only from the k-th change on; later it is well again."
    changes, failures = uninterrupted[2], 0
    places = sorted({k for k, how in worth(changes)})
    for i, k in enumerate(places[error % 4::4]):                # each kind of error takes another quarter
        folder = tmp_path/str(i)
        folder.mkdir()
        said = fail(attempt(lambda: train(folder)), k, error)
        if said != 'done':
            assert named(said, folder), said
            failures += 1
        still_readable(folder)
        assert not list(folder.rglob('*.tmp'))                  # nobody killed it: it tidies up itself
        finish(folder, uninterrupted)
    assert failures >= len(places) / 4 - 4
    print(f'{failures} failures')


def test_every_change_of_a_download_can_fail(tmp_path, site):
    changes = record(load(site, tmp_path/'whole'))
    failures = 0
    for i, k in enumerate(range(1, len(changes), 2)):
        folder = tmp_path/str(i)
        said = fail(attempt(load(site, folder)), k, errno.ENOSPC)
        assert said == 'done' or named(said, folder), said
        failures += said != 'done'
        forked(load(site, folder))
        left = [n for n in names(folder) if n != f'data/{ARCHIVE}.part']     # it stays if the disk failed after the last file was there
        assert left == [f'data/{FAKE.folder}/{name}' for name in sorted(FILES)]
    assert failures >= 20
    print(f'{failures} failures')


# real disks

@contextmanager
def small_disk(size):
    "A file system of so many bytes, if we may mount one; else this test is skipped, and says so."
    place = Path(tempfile.mkdtemp())
    try: done = subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', str(place)], capture_output=True, text=True)
    except OSError as e: pytest.skip(f'no tmpfs: {e}')
    if done.returncode: pytest.skip(f'no tmpfs: {done.stderr.strip()}')
    try: yield place
    finally:
        subprocess.run(['umount', '-l', str(place)])
        place.rmdir()


@pytest.mark.parametrize('size', [8192, 200_000, 700_000, 1_400_000])
def test_a_disk_that_is_full(tmp_path, uninterrupted, size):
    "No room for the log, for the first checkpoint, for the second, for the third beside two others."
    with small_disk(size) as disk:
        said = forked(attempt(lambda: train(disk)))[1]
        assert said.startswith('OSError: [Errno 28] No space left on device') and str(disk) in said, said
        still_readable(disk)
        assert not list(disk.rglob('*.tmp'))
        kept = {p: p.read_bytes() for p in disk.rglob('*.npz')}
        assert forked(attempt(lambda: train(disk)))[1] == said   # the second try ends as the first
        assert {p: p.read_bytes() for p in kept} == kept
        shutil.copytree(disk, tmp_path/'larger')
    finish(tmp_path/'larger', uninterrupted)


def test_a_file_that_may_grow_no_further(tmp_path, uninterrupted):
    "A limit on the size of files, as some clusters have."
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        train(tmp_path)
    said = forked(attempt(limited))[1]
    assert said.startswith('OSError: [Errno 27] File too large') and '_step_0.npz' in said
    finish(tmp_path, uninterrupted)


def test_the_command_says_it_in_a_line(tmp_path):
    with small_disk(200_000) as disk: status, err = forked(as_command('--log_dir', disk/'logs', '--checkpoint_dir', disk/'c'))[1]
    assert status == 1 and err.startswith(f'error: {disk}') and err.endswith('No space left on device') and err.count('\n') == 0


# folders that are not ours

def as_nobody(job):
    "The job as a user without rights; root may write anywhere."
    def dropped():
        if os.geteuid() == 0:
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
        return job()
    return dropped


@pytest.fixture
def open_folder():
    "A folder that anybody may enter."
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    yield place
    for p in place.rglob('*'):
        if p.is_dir(): p.chmod(0o755)
    shutil.rmtree(place)


@pytest.mark.parametrize('mode', [0o555, 0o000], ids=['read-only', 'forbidden'])
@pytest.mark.parametrize('which', ['logs', 'checkpoints'])
def test_a_folder_we_may_not_write_to(open_folder, which, mode):
    "Known before the first step, not hours later."
    for name in 'logs', 'checkpoints':
        (open_folder/name).mkdir()
        (open_folder/name).chmod(0o777)
    (open_folder/which).chmod(mode)
    said = forked(as_nobody(attempt(lambda: train(open_folder))))[1]
    assert said == f"PermissionError: [Errno 13] Permission denied: '{open_folder/which}'"
    (open_folder/which).chmod(0o755)
    assert names(open_folder) == []


def test_a_log_we_may_not_write_to(open_folder, uninterrupted):
    "Somebody else's log is left alone: a new run takes the next name, a resume says why not."
    for name in 'logs', 'checkpoints':
        (open_folder/name).mkdir()
        (open_folder/name).chmod(0o777)
    train(open_folder)
    log = open_folder/'logs'/f'{NAME}.jsonl'
    log.write_bytes(b''.join(log.read_bytes().splitlines(True)[:-1]))       # without its result
    log.chmod(0o444)
    before = log.read_bytes()
    said = forked(as_nobody(attempt(lambda: train(open_folder))))[1]
    assert said.startswith('PermissionError') and log.name in said
    assert forked(as_nobody(attempt(lambda: train(open_folder, resume=False))))[1] == 'done'
    assert log.read_bytes() == before and (open_folder/'logs'/f'{NAME}_2.jsonl').exists()


def test_data_we_may_only_read(open_folder):
    "Data in a read-only folder, and no cache."
    folder = open_folder/FAKE.folder
    folder.mkdir()
    for name, content in FILES.items(): (folder/name).write_bytes(content)
    (open_folder/f'{FAKE.folder}.lock').touch()                  # left by somebody's download
    def job():
        os.environ.update(HOME='/nonexistent', XDG_CACHE_HOME='/nonexistent')
        assert_right(load_images(FAKE, open_folder, download=False))
    folder.chmod(0o555)
    open_folder.chmod(0o555)
    assert forked(as_nobody(attempt(job)))[1] == 'done'
    open_folder.chmod(0o755)


def test_data_we_may_not_read(open_folder):
    (open_folder/ARCHIVE).write_bytes(GOOD)
    (open_folder/ARCHIVE).chmod(0o000)
    said = forked(as_nobody(attempt(lambda: load_images(FAKE, open_folder) and None)))[1]
    assert said.startswith('DataError') and 'Permission denied' in said and ARCHIVE in said


# folders that vanish

def vanishing(folder, at, monkeypatch):
    "Delete a folder when the epoch `at` is written down."
    write = RunLog.write
    def writing(self, kind, **fields):
        if kind == 'epoch' and fields['epoch'] == at: shutil.rmtree(folder)
        write(self, kind, **fields)
    monkeypatch.setattr(RunLog, 'write', writing)


def test_a_log_folder_that_vanishes(tmp_path, uninterrupted, monkeypatch):
    vanishing(tmp_path/'logs', 2, monkeypatch)
    said = forked(attempt(lambda: train(tmp_path)))[1]
    monkeypatch.undo()
    assert said.startswith('FileNotFoundError') and f'{NAME}.jsonl' in said
    assert [p.name[-11:] for p in checkpoints(tmp_path/'checkpoints'/NAME)] == ['_step_0.npz', '_step_4.npz']
    forked(lambda: train(tmp_path))                              # from the checkpoint: the log begins there, the numbers are the same
    assert outcome(tmp_path)[0] == uninterrupted[0][0]
    assert lines(tmp_path/'logs'/f'{NAME}.jsonl')[-1] == uninterrupted[0][1][-1]


def test_a_checkpoint_folder_that_vanishes(tmp_path, uninterrupted, monkeypatch):
    vanishing(tmp_path/'checkpoints', 2, monkeypatch)
    assert forked(attempt(lambda: train(tmp_path)))[1] == 'done'
    assert outcome(tmp_path) == uninterrupted[0] and names(tmp_path) == uninterrupted[1]


def test_a_working_folder_that_is_gone(tmp_path):
    gone = tmp_path/'gone'
    gone.mkdir()
    def job():
        os.chdir(gone)
        gone.rmdir()
        return as_command()()
    status, err = forked(job)[1]
    assert status == 1 and err.startswith('error: ') and 'No such file' in err and '\n' not in err


# clocks

@pytest.mark.parametrize('jump', [-10**9, 10**9], ids=['back', 'ahead'])
def test_a_clock_that_jumps(tmp_path, uninterrupted, jump):
    "Order comes from step numbers and times from a clock that cannot be set; file times decide nothing."
    def jumping():
        real, calls = time.time, iter(range(10**9))
        time.time = lambda: real() + jump * (next(calls) % 2)
        train(tmp_path)
    middle = [k for k, what in enumerate(uninterrupted[2]) if what[0] == 'replace'][3]
    from killing import kill
    assert kill(jumping, middle, 'after')
    for i, p in enumerate(sorted(tmp_path.rglob('*.*'), reverse=jump > 0)): os.utime(p, (max(0, 10**9 + i * jump // 100),) * 2)
    forked(jumping)
    assert outcome(tmp_path) == uninterrupted[0] and names(tmp_path) == uninterrupted[1]
    epochs = read_log(tmp_path/'logs'/f'{NAME}.jsonl').epochs
    assert [e['seconds'] for e in epochs] == sorted(e['seconds'] for e in epochs) and epochs[-1]['seconds'] < 1000


def test_a_data_file_whose_time_was_set_back_is_checked_again(tmp_path, monkeypatch):
    "Same size, same time of last change, another content: a copy with kept times, or a clock that was wrong."
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path/'cache'))
    folder = tmp_path/FAKE.folder
    folder.mkdir()
    for name, content in FILES.items(): (folder/name).write_bytes(content)
    read = lambda: load_images(FAKE, tmp_path, download=False)
    assert_right(read())
    batch = folder/'test_batch'
    then = batch.stat().st_mtime_ns
    batch.write_bytes(FILES['test_batch'][:-10] + b'\xff' + FILES['test_batch'][-9:])
    os.utime(batch, ns=(then, then))
    with pytest.raises(DataError, match='has the SHA-256'): read()


# memory, and nobody to talk to

def test_a_net_that_does_not_fit_into_memory(tmp_path):
    def job():
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30,) * 2)
        return as_command('--hidden_dims', 30_000, 30_000, '--log_dir', tmp_path/'logs', '--checkpoint_dir', tmp_path/'c')()
    status, err = forked(job)[1]
    assert status == 1 and err.startswith('error: ') and 'llocate' in err, err


def test_a_device_that_is_always_full(tmp_path):
    "Output to /dev/full is lost, the run is not."
    if not os.path.exists('/dev/full'): pytest.skip('no /dev/full')
    def job():
        full = os.open('/dev/full', os.O_WRONLY)
        os.dup2(full, 1); os.dup2(full, 2)
        train_command([*OPTIONS, '--log_dir', str(tmp_path/'logs'), '--checkpoint_dir', str(tmp_path/'c')])
    assert forked(attempt(job))[1] == 'done'
    (log,) = (tmp_path/'logs').iterdir()
    assert read_log(log).result
