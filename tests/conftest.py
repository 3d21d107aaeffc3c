"""Tests that take minutes, or a browser, wait until they are asked for: `pytest tests --all`, or by the name of their file."""
from pathlib import Path

LONG = {'test_exercises', 'test_kill', 'test_faults', 'test_fuzz', 'test_live', 'test_site', 'test_sweep'}


def pytest_addoption(parser): parser.addoption('--all', action='store_true', help=f'also {", ".join(sorted(LONG))}')


def pytest_ignore_collect(collection_path, config):
    named = {Path(arg.split('::')[0]).resolve() for arg in config.args}
    if collection_path.stem in LONG and not config.getoption('--all') and collection_path not in named: return True


def pytest_terminal_summary(terminalreporter, config):
    if not config.getoption('--all'): terminalreporter.write_line(f'left out unless named, or with --all: {", ".join(sorted(LONG))}')
