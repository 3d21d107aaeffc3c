"""Which cells of a notebook can run in a browser, and why the others cannot."""
import dis, json, re
from types import CodeType

FLAGS = {'slow': 'it takes minutes, or needs CIFAR-10', 'parity': 'it needs PyTorch', 'bench': 'it needs an idle machine and other libraries'}
CALLS = {                                                    # what a browser's Python cannot do
    r'\b(subprocess\.|bench_command\(|compare\(\W|press_ctrl_c\()|\bos\.(kill|fork)': 'it starts other programs',
    r'\bThread|\bthreads=[2-9]|_answers\(|\badam_difference\(\w+[).]|\bpart_times\(': 'it starts threads',
    r'try_lock\(|locked\(|remove_leftovers\(|remove_dead\(|_9{9}_|\(300, 2\.\)\]': 'it needs the locks and processes of an operating system',
    r'HTTPServer|downloaded\(': 'it needs a server',
    r'\bsteep\(rule, 2e19\)': 'WebAssembly does not say when a number overflows',
    r'abs\(once - exact\)': 'it depends on the order in which BLAS adds',
    r"import_module\('(test_|killing)|\.\./requirements": 'it needs a checkout of the project',
    r'\bworkers=[2-9]': 'it starts processes',
}
BUILD_ONLY = r'\bnbdev\b|nbdev_export\(|show_doc\('          # of no use to a reader


def names(code, *kinds):
    "Names that compiled code reads or binds at the top level, by the instructions that do it."
    found = {i.argval for i in dis.get_instructions(code) if i.opname in kinds}
    return found.union(*(names(c, *kinds) for c in code.co_consts if isinstance(c, CodeType) and 'LOAD_GLOBAL' in kinds))


def why_not(raw, code):
    "Why a cell cannot run in a browser, judged by itself alone; None if it can. What is exported only defines something."
    flags = dict(re.findall(r'^#\| *([\w-]+):? *(.*)$', raw, re.M))
    if flags.get('eval') == 'false': return 'it is not run in the book either'
    for flag in FLAGS.keys() & flags.keys(): return FLAGS[flag]
    if {'export', 'exports'} & flags.keys() or re.fullmatch(r'(\s*(from|import) .*(\n +.*)*)+', code): return None
    return next((why for pattern, why in CALLS.items() if re.search(pattern, code)), None)


def live_cells(notebook):
    "The code cells of a notebook in order, each with its id, its code, and True or the reason why it cannot run."
    found, have, lost = [], set(), {}                        # lost: names that only a cell which cannot run binds
    for cell in json.loads(notebook.read_text(encoding='utf-8'))['cells']:
        raw = ''.join(cell['source'])
        code = re.sub(r'^#\|.*\n?', '', raw, flags=re.M).strip()
        if cell['cell_type'] != 'code' or not code or re.search(BUILD_ONLY, code): continue
        compiled = compile(code, notebook.name, 'exec')
        missing = sorted(lost.keys() & names(compiled, 'LOAD_NAME', 'LOAD_GLOBAL'))
        why = why_not(raw, code) or (lost[missing[0]] if missing else None)
        bound = names(compiled, 'STORE_NAME')
        if why: lost |= dict.fromkeys(bound - have, why)
        else:
            have |= bound
            for name in bound: lost.pop(name, None)
        found.append({'id': cell['id'], 'source': code, 'run': why or True})
    return found
