"""Small damages to a good file."""
import random

NUMBERS = [b'0', b'-1', b'1e999', b'9' * 30, b'NaN', b'null', b'true', b'""', b'[]', b'{}', b'\\ud800', b'\xff\xff\xff\xff', b'\0\0\0\0']


def damage(data: bytes, rng: random.Random, seeds: list, tokens: list) -> bytes:
    "The input with one thing wrong."
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice([1, 1, 2, 4, 8, 64, 512]))
    how, word = rng.randrange(9), rng.choice([*tokens, *NUMBERS])
    if how == 0: return data[:at]
    if how == 1: return data[:at] + data[end:]
    if how == 2: return data[:at] + bytes(rng.randrange(256) for _ in range(end - at)) + data[end:]
    if how == 3: return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:] if at < len(data) else data
    if how == 4: return data[:at] + word + data[at:]
    if how == 5: return data[:at] + word + data[at + len(word):]
    if how == 6: return data[:at] + data[at:end] * rng.choice([2, 3, 100]) + data[end:]
    if how == 7: return data[:at] + rng.choice(seeds)[at:]
    old = rng.choice([t for t in tokens if t in data] or [b'\0'])
    return data.replace(old, word, 1)


def damaged(module, number: int, longest: int = 20_000) -> bytes:
    "Input number so-and-so of a target: a good one with one to eight things wrong."
    rng = random.Random(number)
    data = rng.choice(module.SEEDS)
    for _ in range(rng.choice([1, 1, 2, 3, 8])): data = damage(data, rng, module.SEEDS, module.TOKENS)
    return data[:longest]
