"""Everything that may change is in `settings.ini`; this file only hands it to setuptools."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
config = ConfigParser(delimiters=['='])
config.read(here / 'settings.ini', encoding='utf-8')
cfg = config['DEFAULT']
extras = ('dev', 'dask', 'docs', 'parity', 'bench')

setup(
    name=cfg['lib_name'],
    version=cfg['version'],
    description=cfg['description'],
    long_description=(here / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author=cfg['author'],
    author_email=cfg['author_email'],
    url=cfg['git_url'],
    license='Apache-2.0',
    keywords=cfg['keywords'],
    classifiers=[
        f'Intended Audience :: {cfg["audience"]}',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(include=['bnnp', 'bnnp.*']),
    package_dir={'': '.'},    # so that `pip install -e` writes a path, which `import bnnp` finds from the folder above a checkout too
    python_requires='>=' + cfg['min_python'],
    install_requires=cfg['requirements'].split(),
    extras_require={name: cfg[f'{name}_requirements'].split() for name in extras},
    entry_points={'console_scripts': cfg['console_scripts'].split(), 'nbdev': ['bnnp=bnnp._modidx:d']},
    zip_safe=False,
)
