"""Build the site: `python docs/build.py` makes `_docs/` out of `nbs/` and `_quarto.yml`, without Quarto, and fails if anything in it is broken."""
import argparse, json, os, shutil, subprocess, sys, time, warnings
from pathlib import Path

import jinja2, yaml
from nbdev.config import get_config
from nbdev.serve import proc_nbs

from page import contents, render
from source import read_page

HERE = Path(__file__).parent
LIBRARIES = {'katex': ('dist/katex.min.css', 'LICENSE'), 'minisearch': ('dist/umd/index.js', 'LICENSE.txt')}


def install_npm():
    "Install what package-lock.json says, unless it is there."
    have, want = HERE/'node_modules/.package-lock.json', HERE/'package-lock.json'
    if have.exists() and have.stat().st_mtime >= want.stat().st_mtime: return
    subprocess.run(['npm', 'ci', '--silent', '--prefix', HERE], check=True)


def sidebar(config):
    "The files of the sidebar, in order: the order of the book."
    def files(items):
        for item in items:
            if isinstance(item, str): yield item
            else: yield from files(item['contents']) if 'contents' in item else [item['href']]
    return list(files(config['website']['sidebar']['contents']))


def version_date(root):
    "Day of the last commit, or today."
    git = subprocess.run(['git', '-C', root, 'log', '-1', '--format=%cs'], capture_output=True, text=True)
    return git.stdout.strip() or time.strftime('%Y-%m-%d')


def copy_assets(site):
    "Our own style and script, and the libraries', each with its licence."
    shutil.copytree(HERE/'assets', site/'assets')
    for package, files in LIBRARIES.items():
        (site/'assets'/package).mkdir()
        for file in files: shutil.copy2(HERE/'node_modules'/package/file, site/'assets'/package)
    shutil.copytree(HERE/'node_modules/katex/dist/fonts', site/'assets/katex/fonts', ignore=shutil.ignore_patterns('*.ttf', '*.woff'))


def write_pages(site, pages, soups, cfg):
    "Each page in its frame, and its pictures."
    frame = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), autoescape=True).get_template('template.html')
    for i, (page, soup) in enumerate(zip(pages, soups)):
        around = dict(previous=pages[i - 1] if i else None, next=pages[i + 1] if i + 1 < len(pages) else None)
        html = frame.render(page=page, pages=pages, body=jinja2.utils.markupsafe.Markup(soup.body.decode_contents()), toc=contents(soup),
                            cfg=cfg, date=version_date(cfg.config_path), **around)
        (site/f'{page.name}.html').write_text(html, encoding='utf-8')
        for name, data in page.files.items():
            (site/name).parent.mkdir(exist_ok=True)
            (site/name).write_bytes(data)


def build(site, cfg):
    "Write the whole site; returns its pages."
    install_npm()
    with warnings.catch_warnings(action='ignore'): processed = proc_nbs(n_workers=2, force=True)
    order = sidebar(yaml.safe_load((cfg.config_path/'_quarto.yml').read_text(encoding='utf-8')))
    pages = [read_page(processed/name, cfg.nbs_path/name) for name in order]
    home = f'{cfg.doc_host.rstrip("/")}/{cfg.doc_baseurl.strip("/")}/'
    soups = render(pages, cfg.nbs_path/'references.bib', home)
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir()
    copy_assets(site)
    write_pages(site, pages, soups, cfg)
    if (HERE/'live/__init__.py').exists():
        from live import add_live
        add_live(site, {p.path: site/f'{p.name}.html' for p in pages if p.path.suffix == '.ipynb'})
    return pages


def main():
    begin, cfg = time.time(), get_config()
    site = cfg.config_path/cfg.doc_path.name
    pages = build(site, cfg)
    print(f'{len(pages)} pages in {site} ({time.time() - begin:.0f} s)')


if __name__ == '__main__': main()
