"""Which cells of a notebook can run in a browser, and why the others cannot."""
import dis, json, re
from types import CodeType

FLAGS = {'slow': 'it takes minutes, or needs CIFAR-10', 'parity': 'it needs PyTorch or ONNX', 'bench': 'it needs an idle machine and other libraries'}
BUILD_ONLY = r'\bnbdev\b|nbdev_export\(|show_doc\('          # of no use to a reader


def names(code, *kinds):
    "Names that compiled code reads or binds at the top level, by the instructions that do it."
    found = {i.argval for i in dis.get_instructions(code) if i.opname in kinds}
    return found.union(*(names(c, *kinds) for c in code.co_consts if isinstance(c, CodeType) and 'LOAD_GLOBAL' in kinds))


def why_not(raw):
    "Why a cell cannot run in a browser, judged by its flags alone; None if it can. `#| not-live: …` gives the reason itself."
    flags = dict(re.findall(r'^#\| *([\w-]+):? *(.*)$', raw, re.M))
    if flags.get('eval') == 'false': return 'it is not run in the book either'
    return flags.get('not-live') or next((FLAGS[flag] for flag in FLAGS if flag in flags), None)


def live_cells(notebook):
    "The code cells of a notebook in order, each with its id, its code, and True or the reason why it cannot run."
    found, have, lost = [], set(), {}                        # lost: names that only a cell which cannot run binds
    for cell in json.loads(notebook.read_text(encoding='utf-8'))['cells']:
        raw = ''.join(cell['source'])
        code = re.sub(r'^#\|.*\n?', '', raw, flags=re.M).strip()
        if cell['cell_type'] != 'code' or not code or re.search(BUILD_ONLY, code): continue
        compiled = compile(code, notebook.name, 'exec')
        missing = sorted(lost.keys() & names(compiled, 'LOAD_NAME', 'LOAD_GLOBAL'))
        why = why_not(raw) or (lost[missing[0]] if missing else None)
        bound = names(compiled, 'STORE_NAME')
        if why: lost |= dict.fromkeys(bound - have, why)
        else:
            have |= bound
            for name in bound: lost.pop(name, None)
        exercise = re.search(r'^#\| *exercise: *(\w+)', raw, re.M)                # a cell by itself: no other needs it
        found.append({'id': cell['id'], 'source': code, 'run': why or True} | ({'exercise': exercise[1]} if exercise else {}))
    return found
