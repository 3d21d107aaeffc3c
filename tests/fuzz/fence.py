"""What no reader may do, whatever it reads: run code, touch files elsewhere, take long, take much memory."""
import os, resource, signal, sys, sysconfig, tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

sys.dont_write_bytecode = True
HOME = tempfile.TemporaryDirectory(prefix='bnnp_fuzz_', dir='/dev/shm' if os.path.isdir('/dev/shm') else None)
FOLDER = Path(HOME.name).resolve()                      # the only place where a target may write
SECONDS, MEGABYTES = 5, 256                             # of processor time for an input; more than before the first
INSTALLED = tuple({os.path.realpath(p) + os.sep for p in (sys.prefix, sys.base_prefix, sysconfig.get_paths()['stdlib'],
                                                          Path(__file__).parents[2])}) + ('<frozen', '<string>')
RUNS = {'os.system', 'os.exec', 'os.fork', 'os.forkpty', 'os.posix_spawn', 'os.spawn', 'os.startfile', 'subprocess.Popen',
        'pickle.find_class', 'socket.connect', 'socket.bind', 'ctypes.dlopen', 'webbrowser.open', 'pty.spawn'}
CHANGES = {'os.mkdir', 'os.rmdir', 'os.remove', 'os.rename', 'os.link', 'os.symlink', 'os.truncate', 'os.chmod', 'os.chown',
           'os.utime', 'os.mkfifo', 'os.mknod', 'shutil.rmtree', 'shutil.move', 'shutil.copyfile', 'shutil.unpack_archive'}
READABLE = ('/dev/null', '/proc/self/', '/etc/localtime')


class Escape(BaseException):
    "A reader left the fence. No reader can catch this by accident."


class state: armed, escapes, floor = False, [], 0


def inside(path, folder=-1):
    "Is a path in the folder of the targets? It may be relative to an open folder."
    if isinstance(path, int): return True                # a file that is open already
    if folder >= 0: path = os.path.join(os.readlink(f'/proc/self/fd/{folder}'), os.fsdecode(path))
    return (os.path.realpath(os.fsdecode(path)) + os.sep).startswith(str(FOLDER) + os.sep)


def forbidden(event, args):
    "Is this something that no reader may do?"
    if event in RUNS: return True
    if event == 'exec': return not args[0].co_filename.startswith(INSTALLED) or args[0].co_filename == '<string>'
    if event in CHANGES:
        paths, relative = [a for a in args[:2] if isinstance(a, (str, bytes, os.PathLike))], isinstance(args[-1], int)
        return not all(inside(path, args[-1] if relative and event != 'os.truncate' else -1) for path in paths)
    if event != 'open' or inside(args[0]): return False
    path, mode, flags = args
    writes = any(c in (mode or '') for c in 'wax+') or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    return bool(writes) or not os.path.realpath(os.fsdecode(path)).startswith(INSTALLED + READABLE)


def hook(event, args):
    "See every event that Python announces."
    if not state.armed: return
    state.armed = False                                  # what the check itself does is no event
    try:
        if not forbidden(event, args): return
        state.escapes.append(f'{event} {args!r}'[:300])
        raise Escape(state.escapes[-1])
    finally: state.armed = True


def late(number, frame): raise Escape(f'more than {SECONDS} s of processor time')
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(target, data):
    "Give an input to a target; an `Escape` if it left the fence."
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    state.escapes, state.armed = [], True
    try: target(data)
    finally:
        state.armed = False
        signal.setitimer(signal.ITIMER_PROF, 0)
    if state.escapes: raise Escape(state.escapes[0])
    if peak() > state.floor + MEGABYTES: raise Escape(f'{peak() - state.floor:.0f} MB more than before')


@contextmanager
def fence(module):
    "Within the block, `run` holds a target to the rules; its good inputs are run before, for what is imported late."
    if not getattr(state, 'hooked', False): sys.addaudithook(hook)
    state.hooked = True
    for seed in module.SEEDS: module.target(seed)
    before, limits = signal.signal(signal.SIGPROF, late), resource.getrlimit(resource.RLIMIT_AS)
    with suppress(OSError): Path('/proc/self/clear_refs').write_text('5')      # forget the highest so far
    state.floor = peak()
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), limits[1]))
    try: yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGPROF, before)
