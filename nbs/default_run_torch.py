"""The default run in PyTorch: python default_run_torch.py FOLDER [--fused], with the folder of the batches of CIFAR-10 for Python."""
import json, pickle, sys, time
from pathlib import Path

import numpy as np
import torch
from torch import nn

folder, fused, start = Path(sys.argv[1]), '--fused' in sys.argv, time.perf_counter()
torch.manual_seed(0)


def read(*names):
    batches = [pickle.loads((folder/name).read_bytes(), encoding='latin1') for name in names]
    return np.concatenate([b['data'] for b in batches]), torch.tensor(np.concatenate([b['labels'] for b in batches]))


X, y = read(*(f'data_batch_{i}' for i in range(1, 6)))
X_test, y_test = read('test_batch')
mean, std = X[:49_000].mean(axis=0, dtype=np.float32), float(X[:49_000].std(dtype=np.float32))
X, X_test = (torch.from_numpy((a.astype(np.float32) - mean) / std) for a in (X, X_test))

layers = [part for D in (3072, 100, 100, 100, 100) for part in (nn.Linear(D, 100), nn.BatchNorm1d(100), nn.ReLU())]
model = nn.Sequential(*layers, nn.Linear(100, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused)
schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, .9)
few = torch.randperm(49_000)[:1000]


def accuracy(X, y):
    model.eval()
    with torch.no_grad(): right = (model(X).argmax(1) == y).float().mean().item()
    model.train()
    return right


best, state = 0., None
for epoch in range(10):
    total = 0.
    for index in torch.randperm(49_000).split(100):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X[index]), y[index])
        loss.backward()
        optimizer.step()
        total += loss.item()
    schedule.step()
    train, val = accuracy(X[few], y[few]), accuracy(X[49_000:], y[49_000:])
    if val > best: best, state = val, {k: v.clone() for k, v in model.state_dict().items()}
    with open('default_run.jsonl', 'a') as log: log.write(json.dumps(dict(epoch=epoch + 1, loss=total / 490, train=train, val=val)) + '\n')
    print(f'epoch {epoch + 1}  loss {total / 490:.3f}  training {train:.3f}  validation {val:.3f}')
model.load_state_dict(state)
print(f'test accuracy {accuracy(X_test, y_test):.3f}, {time.perf_counter() - start:.1f} s')
