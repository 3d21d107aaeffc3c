"""Build the site: `python docs/build.py` makes `_docs/` out of `nbs/` and `_quarto.yml`, without Quarto, and fails if anything in it is broken."""
import argparse, json, os, shutil, subprocess, sys, time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader
from nbdev.config import get_config
from nbdev.serve import proc_nbs

from check import problems
from page import contents, inner, render, search_index
from source import read_page

HERE = Path(__file__).parent
BUNDLED = 'katex', 'minisearch', *(f'@fontsource-variable/source-{name}' for name in ('serif-4', 'sans-3', 'code-pro'))


def install_npm():
    "Install what package-lock.json says, unless it is there."
    npm = shutil.which('npm') or sys.exit("there is no npm here: pip install -e '.[docs]' brings it")
    have, want = HERE/'node_modules/.package-lock.json', HERE/'package-lock.json'
    if not have.exists() or have.stat().st_mtime < want.stat().st_mtime: subprocess.run([npm, 'ci', '--silent'], cwd=HERE, check=True)


def sidebar(config):
    "The book's parts, in order: pairs of a title, or None, and the files in it."
    for entry in config['website']['sidebar']['contents']:
        if isinstance(entry, str): yield None, [entry]
        else: yield entry['section'], entry['contents']


def version_date(root):
    "Day of the last commit, or today."
    git = subprocess.run(['git', '-C', root, 'log', '-1', '--format=%cs'], capture_output=True, text=True)
    return git.stdout.strip() or time.strftime('%Y-%m-%d')


def bundle(site):
    "Our style and script with the libraries and fonts that they import, and the licences of these."
    subprocess.run([HERE/'node_modules/.bin/esbuild', 'assets/site.js', 'assets/style.css', '--bundle', '--minify', '--splitting', '--format=esm',
                    f'--outdir={site}/assets', '--loader:.woff2=file', '--loader:.woff=empty', '--loader:.ttf=empty', '--asset-names=[name]',
                    '--log-level=warning'], cwd=HERE, check=True)
    shutil.copy2(HERE/'assets/icon.svg', site/'assets')
    shutil.copy2(HERE.parent/'LICENSE', site/'assets/LICENSE.txt')
    for package in BUNDLED:
        licence = next((HERE/'node_modules'/package).glob('LICENSE*'))
        shutil.copy2(licence, site/'assets'/f'LICENSE.{package.split("/")[-1]}.txt')


def write_pages(site, parts, pages, bodies, cfg):
    "Each page in its frame, its pictures, and the index that search looks through."
    env = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True)
    env.globals |= dict(cfg=cfg, date=version_date(cfg.config_path), pages=pages, parts=parts)
    frame = env.get_template('template.html')
    for before, page, after, body in zip([None, *pages], pages, [*pages[1:], None], bodies):
        html = frame.render(page=page, body=inner(body), toc=list(contents(body)), previous=before, next=after)
        (site/f'{page.name}.html').write_text(html, encoding='utf-8')
        for name, data in page.files.items():
            (site/name).parent.mkdir(exist_ok=True)
            (site/name).write_bytes(data)
    (site/'assets/search.json').write_text(json.dumps(search_index(pages, bodies), ensure_ascii=False), encoding='utf-8')


def build(site, cfg, live=True):
    "Write the whole site, with or without Python for the browser; returns what is wrong with it."
    os.environ['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])   # where the docs extra puts Node.js
    install_npm()
    os.environ['PYTHONWARNINGS'] = 'ignore'    # of nbdev's worker processes: about cells with imports and other code
    processed = proc_nbs(n_workers=2, force=True)
    config = yaml.safe_load((cfg.config_path/'_quarto.yml').read_text(encoding='utf-8'))
    for name in [name for _, names in sidebar(config) for name in names]:
        if not (processed/name).exists(): sys.exit(f'_quarto.yml lists {name}, which is not in nbs/')
    parts = [(title, [read_page(processed/name, cfg.nbs_path/name) for name in names]) for title, names in sidebar(config)]
    pages = [page for _, group in parts for page in group]
    for title, group in parts:
        if not title: group[0].number = ''                            # what stands outside the parts is no chapter
    bodies = render(pages, cfg.nbs_path/'references.bib', f'{cfg.doc_host.rstrip("/")}/{cfg.doc_baseurl.strip("/")}/')
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir()
    bundle(site)
    write_pages(site, parts, pages, bodies, cfg)
    if live:
        from live import add_live                                   # with what it imports, only where it is wanted
        add_live(site, {p.path: site/f'{p.name}.html' for p in pages if p.path.suffix == '.ipynb'})
    left_out = {p.name for p in cfg.nbs_path.glob('[!_.]*') if p.suffix in ('.ipynb', '.qmd')} - {p.path.name for p in pages}
    return [*problems(site, pages), *(f'nbs/{name} is not in the sidebar of _quarto.yml' for name in sorted(left_out))]


def serve(site, port):
    "The site on this machine, until Ctrl-C. If the port is taken, another is."
    at = lambda port: ThreadingHTTPServer(('127.0.0.1', port), partial(SimpleHTTPRequestHandler, directory=site))
    try: server = at(port)
    except OSError: server = at(0)
    print(f'open http://127.0.0.1:{server.server_port} in a browser; Ctrl-C ends', flush=True)
    try: server.serve_forever()
    except KeyboardInterrupt: print()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--no-live', action='store_true', help='leave out the live cells, and with them the download of Python for the browser')
    parser.add_argument('--serve', nargs='?', type=int, const=8000, metavar='PORT', help='then serve it on this machine (default port: 8000)')
    begin, cfg, args = time.time(), get_config(), parser.parse_args()
    site = cfg.config_path/cfg.doc_path.name
    wrong = build(site, cfg, live=not args.no_live)
    for line in wrong: print(line, file=sys.stderr)
    print(f'{len(list(site.glob("*.html")))} pages in {site}, {len(wrong)} wrong, {time.time() - begin:.0f} s')
    if args.serve is not None: serve(site, args.serve)
    return bool(wrong)


if __name__ == '__main__': sys.exit(main())
