"""Kill a process at a chosen system call, and what a process did in the order in which it did it.

`record(job)` runs a job in a forked process and lists every change that it made to the file system: files opened for
writing, writes, fsyncs, renames, deletions. `kill(job, k, how)` runs it again and ends it by SIGKILL at the k-th of them:
before it is done, after it, or, for a write, when half of its bytes are in the file. `fail(job, k, errno)` has the k-th
change, and each one after it that needs the same, fail with an error of the system. No debugger is needed: the child
replaces the functions of `os`, `io` and `builtins` by which Python reaches the system.
"""
import builtins, io, json, os, signal, sys, traceback
from pathlib import Path

CHANGES = 'replace', 'rename', 'unlink', 'rmdir', 'mkdir', 'truncate', 'link', 'symlink', 'ftruncate'
TIMES = 'before', 'half', 'after'


class Script:
    "The changes so far, and the one at which to die, or from which on to fail."
    def __init__(self, fatal=None, how='before', report=None, errno=None):
        self.count, self.fatal, self.how, self.report, self.errno = 0, fatal, how, report, errno

    def die(self): os.kill(os.getpid(), signal.SIGKILL)

    def fails(self, what):
        "Is this a change that cannot be made any more? To delete, and to make shorter, needs no room."
        return self.errno and self.count > self.fatal and what[0] not in ('unlink', 'rmdir', 'truncate')

    def step(self, what, act, half=None):
        "Make a change, unless death comes first."
        mine = self.count == self.fatal
        self.count += 1
        if self.report is not None: self.report.append(what)
        if self.fails(what):
            if half and mine: half()                            # a full disk takes what fits
            path = None if what[0] in ('write', 'fsync') else what[1]
            raise OSError(self.errno, os.strerror(self.errno), path)
        if self.errno: return act()
        if mine and self.how == 'before': self.die()
        if mine and self.how == 'half':
            if half: half()
            self.die()
        try: return act()
        finally:
            if mine: self.die()


class Raw(io.FileIO):
    "A file whose writes are steps of a script."
    script = None

    def write(self, data):
        data = bytes(data)
        write = super().write
        return self.script.step(('write', self.name, len(data)), lambda: write(data), lambda: write(data[:len(data) // 2]))

    def truncate(self, size=None):
        truncate = super().truncate
        return self.script.step(('truncate', self.name), lambda: truncate(size))


def install(script):
    "From now on this process makes its changes as steps of the script."
    Raw.script, names, real_open, real_os_open = script, {}, io.open, os.open

    def opened(file, mode='r', buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        if isinstance(file, int) or not set(mode) & set('wax+'):
            return real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        def act():
            raw = Raw(file, mode.replace('b', '').replace('t', ''), closefd, opener)
            names[raw.fileno()] = os.fspath(file)
            return raw
        raw = script.step(('open', os.fspath(file), mode), act)
        if buffering == 0: return raw
        binary = io.BufferedRandom(raw) if '+' in mode else io.BufferedWriter(raw)
        return binary if 'b' in mode else io.TextIOWrapper(binary, encoding, errors, newline)

    def os_opened(path, flags, mode=0o777, *, dir_fd=None):
        make = lambda: real_os_open(path, flags, mode, dir_fd=dir_fd)
        handle = script.step(('create', os.fspath(path)), make) if flags & os.O_CREAT else make()
        names[handle] = os.fspath(path)
        return handle

    def step_of(name, function):
        def changed(*args, **kwargs):
            what = name, *(names.get(a, a) if isinstance(a, int) else os.fspath(a) for a in args if isinstance(a, (int, str, os.PathLike)))
            return script.step(what, lambda: function(*args, **kwargs))
        return changed

    builtins.open = io.open = opened
    os.open = os_opened
    for name in (*CHANGES, 'fsync'): setattr(os, name, step_of(name, getattr(os, name)))
    os.remove = os.unlink


def forked(job, script=None, after=None):
    "Run a job in a child process; its exit status (minus the signal if it was killed) and what it returned, if it did."
    sys.stdout.flush(); sys.stderr.flush()
    out, into = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(out)
        write, status = os.write, 1
        try:
            if script: install(script)
            result = job()
            status = 0
        except BaseException: result = traceback.format_exc()
        text = json.dumps([result, script.report if script else None], default=str).encode()
        while text: text = text[write(into, text):]
        os._exit(status)
    os.close(into)
    if after: after(pid)
    with os.fdopen(out, 'rb') as f: text = f.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == -signal.SIGKILL: return status, None, None
    result, report = json.loads(text)
    if status: raise AssertionError(f'the process failed by itself:\n{result}')
    return status, result, report


def record(job):
    "Every change that a job makes, in order."
    return [tuple(what) for what in forked(job, Script(report=[]))[2]]


def kill(job, k, how='before'):
    "Run a job and end it at its k-th change; True if it lived so long."
    return forked(job, Script(k, how))[0] == -signal.SIGKILL


def fail(job, k, errno):
    "Run a job whose k-th change fails, and those after it; what it returns."
    return forked(job, Script(k, errno=errno))[1]


def points(changes):
    "Each place at which a job can be killed: its number, and when."
    return [(k, how) for k, what in enumerate(changes) for how in TIMES if how != 'half' or what[0] == 'write' and what[2] > 1]
