"""Everything that bnnp reads from a file, each reader with a function `target(data: bytes)` that must come back.

A target gives the bytes to a reader and lets only the reader's documented error pass unseen; anything else that comes out is a
bug. `SEEDS` are good inputs to start from, `TOKENS` are words worth inserting. `tests/test_fuzz.py` runs all of them for a moment;
`python -m tests.fuzz TARGET --seconds 60 --seed 1` runs one as long as you like.
"""
TARGETS = 'python_batch idx archive run_log checkpoint resume results names'.split()
