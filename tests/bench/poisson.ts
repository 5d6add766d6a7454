/** Poisson regression with a log link, by Newton's method. Pure. */

/** `count` events while `exposure` lasted, expected as exposure × exp(w · x). */
export interface Sample {
  readonly x: readonly number[];
  readonly count: number;
  readonly exposure: number;
}

const STEPS = 30;
const CLOSE_ENOUGH = 0.01;

/** The likeliest weights, each drawn to zero by its ridge. */
export function poisson(samples: readonly Sample[], ridge: (i: number) => number): number[] {
  const likelihood = (weights: readonly number[]) => logLikelihood(samples, weights, ridge);
  let weights = samples[0]!.x.map(() => 0), reached = likelihood(weights);
  for (let step = 0; step < STEPS; step++) {
    const direction = newtonStep(samples, weights, ridge);
    const found = uphill(weights, direction, likelihood, reached);
    if (found === null) break;
    weights = found.weights;
    if (found.reached - reached < CLOSE_ENOUGH) break;
    reached = found.reached;
  }
  return weights;
}

type Likelihood = (weights: readonly number[]) => number;

/** The full step or a part of it, whichever first leads up. */
function uphill(
  weights: readonly number[],
  direction: readonly number[],
  likelihood: Likelihood,
  reached: number,
) {
  for (let share = 1; share > 1e-4; share /= 2) {
    const moved = weights.map((w, i) => w + share * direction[i]!);
    const there = likelihood(moved);
    if (there > reached) return { weights: moved, reached: there };
  }
  return null;
}

const rateOf = (x: readonly number[], weights: readonly number[]): number =>
  Math.exp(Math.min(20, x.reduce((sum, value, i) => sum + value * weights[i]!, 0)));

function logLikelihood(
  samples: readonly Sample[],
  weights: readonly number[],
  ridge: (i: number) => number,
): number {
  let sum = 0;
  for (const { x, count, exposure } of samples) {
    const rate = rateOf(x, weights);
    sum += count * Math.log(rate) - exposure * rate;
  }
  return sum - weights.reduce((all, w, i) => all + ridge(i) * w * w / 2, 0);
}

function newtonStep(
  samples: readonly Sample[],
  weights: readonly number[],
  ridge: (i: number) => number,
): number[] {
  const n = weights.length;
  const slope = weights.map((w, i) => -ridge(i) * w);
  const curve = weights.map((_, i) => weights.map((_, j) => i === j ? ridge(i) : 0));
  for (const { x, count, exposure } of samples) {
    const expected = exposure * rateOf(x, weights);
    for (let i = 0; i < n; i++) {
      slope[i]! += (count - expected) * x[i]!;
      const row = curve[i]!, by = expected * x[i]!;
      if (by !== 0) { for (let j = 0; j < n; j++) row[j]! += by * x[j]!; }
    }
  }
  return solve(curve, slope);
}

/** Gaussian elimination with pivots. */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, right[i]!]);
  for (let i = 0; i < rows.length; i++) {
    const pivot = rows.slice(i).reduce((best, row) => Math.abs(row[i]!) > Math.abs(best[i]!) ? row : best);
    rows.splice(i, 0, ...rows.splice(rows.indexOf(pivot), 1));
    for (const row of rows.slice(i + 1)) {
      const factor = row[i]! / pivot[i]!;
      for (let j = i; j < row.length; j++) row[j]! -= factor * pivot[j]!;
    }
  }
  const out = right.map(() => 0);
  for (let i = rows.length - 1; i >= 0; i--) {
    const known = out.reduce((sum, value, j) => sum + value * rows[i]![j]!, 0);
    out[i] = (rows[i]![right.length]! - known) / rows[i]![i]!;
  }
  return out;
}
