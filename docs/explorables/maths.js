// The formulas of the explorables, for one column of numbers. tests/test_live.py holds them beside bnnp's.

export const mean = a => a.reduce((sum, v) => sum + v, 0) / a.length;
export const times = (a, b) => a.map((v, i) => v * b[i]);

/** Batch normalization of a column, and what its backward pass needs. */
export function batchnorm(x, gamma = 1, beta = 0, eps = 1e-5) {
  const mu = mean(x), centred = x.map(v => v - mu), variance = mean(times(centred, centred)), s = Math.sqrt(variance + eps);
  const xhat = centred.map(v => v / s);
  return { mu, s, xhat, out: xhat.map(v => gamma * v + beta) };
}

/** Its gradient: what is left of dout beside its mean and its part along xhat, times gamma / s. */
export function batchnormGradient(dout, { xhat, s }, gamma = 1) {
  const level = mean(dout), slope = mean(times(dout, xhat));
  const rest = dout.map((d, i) => d - level - slope * xhat[i]);
  return { level, slope, rest, dx: rest.map(r => gamma / s * r) };
}

/** Sums of a unit's inputs under every dropout mask, with the probability of each: exact, 2^n of them. */
export function dropoutSums(inputs, p) {
  let found = [[0, 1]];
  for (const v of inputs) found = found.flatMap(([sum, chance]) => [[sum + v, chance * (1 - p)], [sum, chance * p]]);
  return found;
}

/** What a unit puts out in training (values and chances, mean, standard deviation) and in test mode. */
export function dropoutOutput(inputs, p, inverted, relu) {
  const through = v => relu ? Math.max(v, 0) : v, whole = inputs.reduce((a, b) => a + b, 0);
  const outcomes = dropoutSums(inputs, p).map(([sum, chance]) => [through(inverted ? sum / (1 - p) : sum), chance]);
  const average = outcomes.reduce((sum, [v, chance]) => sum + v * chance, 0);
  const variance = outcomes.reduce((sum, [v, chance]) => sum + (v - average) ** 2 * chance, 0);
  return { outcomes, average, deviation: Math.sqrt(variance), test: through(inverted ? whole : (1 - p) * whole) };
}

/** Spread of the output BN(c w x) and length of the gradient with respect to the weights c w; x is a list of features, each a column. */
export function scaleOfWeights(x, w, dout, c, eps = 1e-5) {
  const products = dout.map((_, i) => x.reduce((sum, feature, k) => sum + c * w[k] * feature[i], 0));
  const forward = batchnorm(products, 1, 0, eps), { dx } = batchnormGradient(dout, forward);
  const dw = x.map(feature => times(feature, dx).reduce((a, b) => a + b, 0));
  return { spread: Math.sqrt(mean(times(forward.out, forward.out))), gradient: Math.hypot(...dw) };
}
