"The lock that CI installs from: exact, hashed, and what settings.ini asks for, on every Python that is supported."
import re
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PYTHONS = '3.10.13', '3.11.7', '3.12.1', '3.13.0'
LOCKED_EXTRAS = 'requirements', 'dev_requirements', 'dask_requirements', 'docs_requirements'


def entries(name):
    "Each requirement of a lock with its hashes."
    text = re.sub(r'^ *#.*\n', '', (ROOT/'requirements'/name).read_text(), flags=re.M).replace('\\\n', ' ')
    for line in text.splitlines():
        spec, *hashes = line.split(' --hash=')
        yield Requirement(spec), [h.strip() for h in hashes]


def wanted():
    "The direct requirements that the lock answers."
    config = ConfigParser(delimiters=['='])
    config.read(ROOT/'settings.ini', encoding='utf-8')
    return [Requirement(r) for extra in LOCKED_EXTRAS for r in config['DEFAULT'][extra].split()]


def normal(name): return re.sub(r'[-_.]+', '-', name).lower()


def pins(name, python):
    "Package to version, as pip on that Python would read the lock on Linux."
    env = dict(python_version=python.rpartition('.')[0], python_full_version=python, sys_platform='linux', os_name='posix')
    chosen = [r for r, _ in entries(name) if r.marker is None or r.marker.evaluate(env)]
    assert len({normal(r.name) for r in chosen}) == len(chosen), 'a package is locked twice'
    return {normal(r.name): str(r.specifier).removeprefix('==') for r in chosen}


@pytest.mark.parametrize('name', ['dev.lock', 'tools.lock'])
def test_every_entry_is_exact_and_hashed(name):
    for requirement, hashes in entries(name):
        assert re.fullmatch(r'==[^*,]+', str(requirement.specifier)), requirement
        assert hashes and all(re.fullmatch('sha256:[0-9a-f]{64}', h) for h in hashes), requirement


@pytest.mark.parametrize('python', PYTHONS)
def test_the_lock_is_what_settings_ask_for(python):
    locked = pins('dev.lock', python)
    for requirement in wanted():
        version = locked.get(normal(requirement.name))
        assert version and requirement.specifier.contains(version), f'{requirement}, but {version} is locked: run .ci/lock'
