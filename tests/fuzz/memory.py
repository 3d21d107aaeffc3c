"""The list of files that were checked before, `verified.json` in the cache."""
import json, os

from bnnp import data as reader
from .fence import FOLDER

SEEDS = [b'{}', b'{"/a/b": "c99cafc152244af753f735de768cd75f 31035704 1"}', b'[1]', b'"a"', b'null', '{"é": 3}'.encode(),
         json.dumps({str(i): 'x' for i in range(120)}).encode()]
TOKENS = [b'{', b'}', b'[', b'"', b':', b',', b'[' * 3000, b'{"":' * 3000, b'\xef\xbb\xbf', b'\xff\xfe', b'9' * 5000]


def target(data: bytes):
    os.environ['XDG_CACHE_HOME'] = str(FOLDER/'cache')
    path = reader.cache_dir()/'verified.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    assert isinstance(reader._recall(), dict)
    reader._remember({'now': 'right'})
    assert reader._recall()['now'] == 'right' and os.listdir(path.parent) == ['verified.json']
