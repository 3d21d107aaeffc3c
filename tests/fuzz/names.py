"""File names: of checkpoints, of temporary files that may be somebody's, of logs. One a line."""
import os, shutil, tempfile

from bnnp.plots import find_logs, natural
from bnnp.checkpoints import checkpoints
from bnnp.files import remove_leftovers
from .fence import FOLDER

PLACE = FOLDER/'names'
SEEDS = [b'a_step_1.npz\na_step_20.npz\na_step_x.npz\nb_step_1.npz', b'a_step_1.npz.bnnp_1_2.tmp\na.bnnp_999999_1.tmp\nother.tmp',
         b'a.jsonl\n.b.jsonl\nc.jsonl.gz\nseed_10.jsonl\nseed_9.JSONL']
TOKENS = [b'a_step_', b'.npz', b'.bnnp_', b'.tmp', b'_', b'9' * 19, b'9' * 40, b'0', b'\xd9\xa3', b'\xc2\xb2', b'.jsonl', b'\n', b'-1']


def target(data: bytes):
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    tempfile.tempdir, before = str(PLACE), tempfile.tempdir
    try:
        for name in data.replace(b'/', b'_').replace(b'\0', b'_').split(b'\n')[:20]:
            path = os.path.join(os.fsencode(PLACE), name[:200])
            if os.path.exists(path): continue
            open(path, 'wb').close()
        others = {p.name for p in PLACE.iterdir() if not p.name.endswith('.tmp')}
        checkpoints(PLACE/'a')
        sorted(PLACE.iterdir(), key=natural)
        find_logs(PLACE)
        remove_leftovers(PLACE)
        assert {p.name for p in PLACE.iterdir()} >= others
    finally: tempfile.tempdir = before
