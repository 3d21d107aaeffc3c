"""What GitHub would refuse when it reads the workflows. Their schema is checked by .ci/run."""
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[1]/'.github/workflows'
LEVELS = ['none', 'read', 'write']


def triggers(workflow): return workflow[True]                   # YAML 1.1 reads the key `on` so


def granted(workflow, job):
    "The permissions of a job: its own if it names any, else its workflow's; what is not named is not granted."
    return job.get('permissions', workflow.get('permissions', {}))


def complaints(workflows):
    "What is wrong with some workflows, by file name."
    for name, workflow in workflows.items():
        if not isinstance(workflow.get('permissions'), dict): yield f'{name} does not say its permissions'; continue
        for key, job in workflow['jobs'].items():
            needs = job.get('needs', [])
            for other in [needs] if isinstance(needs, str) else needs:
                if other not in workflow['jobs']: yield f'{name}: {key} needs {other}, which is not there'
            called = workflows.get(Path(job.get('uses', '')).name)
            if not called: continue
            if 'workflow_call' not in triggers(called): yield f'{name}: {key} calls what cannot be called'
            have = granted(workflow, job)
            for inner, callee in called['jobs'].items():
                for scope, level in granted(called, callee).items():
                    if LEVELS.index(level) > LEVELS.index(have.get(scope, 'none')):
                        yield f'{name}: {key} grants {scope}: {have.get(scope, "none")}, but {inner}, which it calls, asks for {level}'


def read(): return {p.name: yaml.safe_load(p.read_text(encoding='utf-8')) for p in sorted(FOLDER.glob('*.yml'))}


def test_callers_grant_what_the_called_ask_for():
    workflows = read()
    assert {'test.yml', 'release.yml', 'site.yml'} <= workflows.keys()
    assert list(complaints(workflows)) == []


@pytest.mark.parametrize('change, said', [
    (lambda w: w['test.yml']['jobs']['all'].update(permissions={'pages': 'write'}), 'release.yml: test grants pages: none, but all, which it calls, asks for write'),
    (lambda w: w['release.yml'].update(permissions={}), 'release.yml: test grants contents: none, but all, which it calls, asks for read'),
    (lambda w: w['test.yml'].pop('permissions'), 'test.yml does not say its permissions'),
    (lambda w: triggers(w['test.yml']).pop('workflow_call'), 'release.yml: test calls what cannot be called'),
    (lambda w: w['site.yml']['jobs']['publish'].update(needs='tests'), 'site.yml: publish needs tests, which is not there')])
def test_a_mistake_is_found(change, said):
    workflows = read()
    change(workflows)
    assert said in complaints(workflows)
