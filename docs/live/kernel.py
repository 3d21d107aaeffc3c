"""The Python side of live cells: runs one cell at a time as a notebook would, and posts what it shows to the page."""
import ast, base64, io, json, linecache, logging, os, pprint, sys, time, traceback, types, warnings

import __main__

os.environ['MPLBACKEND'] = 'agg'
logging.getLogger('matplotlib.font_manager').setLevel(logging.ERROR)     # says on each first use that it looks for fonts
warnings.filterwarnings('ignore', 'tqdm:disabling monitor support')      # which is a thread, and there are none here
sys.modules['_multiprocessing'] = types.ModuleType('_multiprocessing')   # absent here; fastcore imports what imports it, and calls none of it

FORMS = {'html': '_repr_html_', 'svg': '_repr_svg_', 'png': '_repr_png_', 'markdown': '_repr_markdown_'}
MOST = 200_000    # characters that one cell may print
send = print      # the worker puts its own in place
quiet = False     # True while a cell runs whose output stays as it is stored in the page


def post(kind, **content): send(json.dumps(dict(kind=kind, **content)))


class Stream(io.TextIOBase):
    "Standard output or error: each line at once, but at most 20 messages a second from a loop that prints without end."
    encoding = 'utf-8'

    def __init__(self, name): self.name, self.waiting, self.sent, self.burst, self.room = name, '', 0., 0, MOST

    def write(self, text):
        self.waiting += text
        pause = time.monotonic() - self.sent
        if pause > .2: self.burst = 0
        if pause > .05 or '\n' in text and self.burst < 100: self.flush()
        return len(text)

    def flush(self):
        text, self.waiting = self.waiting[:self.room], ''
        if not text or quiet: return
        self.room, self.burst, self.sent = self.room - len(text), self.burst + 1, time.monotonic()
        post('stream', name=self.name, text=text if self.room else f'{text}\n… (the rest is not shown)\n')


def picture(figure):
    "A Matplotlib figure as PNG, at the resolution of the figures that are stored in the pages."
    out = io.BytesIO()
    figure.savefig(out, format='png', dpi=150, bbox_inches='tight')
    return out.getvalue()


def as_text(value):
    "An object as a notebook writes it: long collections over several lines."
    text = repr(value)
    return pprint.pformat(value, sort_dicts=False) if len(text) > 79 and type(value) in (dict, list, tuple, set) else text


def content(value):
    "The richest form that an object has, with its name."
    for form, method in FORMS.items():
        shown = getattr(value, method, None) if not isinstance(value, type) else None
        data = shown() if shown else None
        if data is not None: return form, data
    if hasattr(value, 'savefig'): return 'png', picture(value)
    return 'text', as_text(value)


def display(*values, display_id=None, update=False, clear=False, **_):
    "What `IPython.display.display` does."
    if display_id is True: display_id = f'display-{time.monotonic_ns()}'
    handle = Handle(display_id) if display_id and not update else None
    if quiet: return handle
    sys.stdout.flush(), sys.stderr.flush()
    for value in values:
        form, data = content(value)
        if isinstance(data, bytes): data = base64.b64encode(data).decode()
        post('display', form=form, data=data, display=display_id, update=update)
    return handle


class Handle:
    "What was displayed with an id, to be replaced later."
    def __init__(self, display_id): self.display_id = display_id
    def display(self, value): display(value, display_id=self.display_id)
    def update(self, value): display(value, display_id=self.display_id, update=True)


def as_form(form):
    "A class whose instances show what they are made of, text or the bytes of a picture, in that form."
    return type(form.capitalize(), (), {'__init__': lambda self, data, **_: setattr(self, 'data', data), FORMS[form]: lambda self: self.data})


def stand_in_for_ipython():
    "The few names that notebooks take from IPython, which is too large to load for them."
    ipython, shown = types.ModuleType('IPython'), types.ModuleType('IPython.display')
    ipython.display, ipython.get_ipython = shown, lambda: None
    shown.display, shown.DisplayHandle = display, Handle
    shown.update_display = lambda value, display_id: display(value, display_id=display_id, update=True)
    shown.clear_output = lambda wait=False: quiet or (sys.stdout.flush(), post('clear', wait=wait))
    shown.HTML, shown.Markdown, shown.SVG, shown.Image = map(as_form, ('html', 'markdown', 'svg', 'png'))
    sys.modules |= {'IPython': ipython, 'IPython.display': shown}


def show_figures():
    "Show and close the figures that a cell leaves open, as notebooks do."
    plt = sys.modules.get('matplotlib.pyplot')
    if not plt: return
    if not quiet: display(*map(plt.figure, plt.get_fignums()))
    plt.close('all')


def execute(source, name):
    "Run a cell's statements and display the value of the last, if it is an expression."
    tree, scope = ast.parse(source, name), __main__.__dict__
    is_value = tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(';')
    last = tree.body.pop().value if is_value else None
    exec(compile(tree, name, 'exec'), scope)
    value = eval(compile(ast.Expression(last), name, 'eval'), scope) if last else None
    if value is not None: display(value)


def explain(error):
    "The traceback as Python prints it, without the frames of this file."
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == __file__: trace = trace.tb_next
    return ''.join(traceback.format_exception(type(error), error, trace))


def run(source, name, is_quiet):
    "Run a cell; True if it ended without an error."
    global quiet
    quiet = is_quiet
    sys.stdout, sys.stderr = Stream('stdout'), Stream('stderr')
    linecache.cache[name] = len(source), None, source.splitlines(True), name     # so that tracebacks quote the cell
    try:
        execute(source, name)
        show_figures()
    except BaseException as error:      # SystemExit and KeyboardInterrupt too: they end a cell, not the page's Python
        sys.stdout.flush()
        post('error', text=explain(error))
        if plt := sys.modules.get('matplotlib.pyplot'): plt.close('all')
        return False
    finally: sys.stdout.flush(), sys.stderr.flush()
    return True


stand_in_for_ipython()
