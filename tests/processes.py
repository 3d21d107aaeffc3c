"""Processes that a process started, and how to wait for what they do."""
import time
from pathlib import Path


def children(pid):
    "Processes that a process started; none if it has ended."
    try: return [int(child) for path in Path(f'/proc/{pid}/task').glob('*/children') for child in path.read_text().split()]
    except OSError: return []


def alive(pid):
    try: return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError: return False


def until(condition, seconds=300):
    "Wait for something to become true."
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(.02)
