"""Tests that take minutes, or a browser, wait until they are asked for: `pytest tests --all`, or by the name of their file."""
from pathlib import Path

import pytest

LONG = {'test_exercises', 'test_kill', 'test_faults', 'test_fuzz', 'test_live', 'test_site', 'test_sweep'}


def pytest_addoption(parser): parser.addoption('--all', action='store_true', help=f'also {", ".join(sorted(LONG))}, and what is marked `long`')


def pytest_configure(config):
    config.addinivalue_line('markers', 'long: takes many seconds; run with --all, or when its file is named')
    if config.option.durations is None: config.option.durations = 10                  # the slowest ten, after each run


def named(path, config): return path in {Path(arg.split('::')[0]).resolve() for arg in config.args}


def pytest_ignore_collect(collection_path, config):
    if collection_path.stem in LONG and not config.getoption('--all') and not named(collection_path, config): return True


def pytest_collection_modifyitems(config, items):
    left = [i for i in items if i.get_closest_marker('long') and not config.getoption('--all') and not named(i.path, config)]
    items[:] = [i for i in items if i not in left]
    config.hook.pytest_deselected(items=left)


def pytest_sessionstart(session):
    empty = [p.name for p in (Path(__file__).parents[1]/'bnnp').glob('*.py') if not p.stat().st_size]
    if empty: pytest.exit(f'bnnp/{empty[0]} is empty: nbdev_export needs UTF-8, run PYTHONUTF8=1 nbdev_export', 2)


def pytest_terminal_summary(terminalreporter, config):
    if not config.getoption('--all'): terminalreporter.write_line(f'left out unless named, or with --all: {", ".join(sorted(LONG))}, and tests marked `long`')
