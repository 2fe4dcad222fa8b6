/** Medians and ratios of samples. */

/** The middle one, or the mean of the two in the middle; `undefined` of nothing. */
export function median(samples: readonly number[]): number | undefined {
  const sorted = [...samples].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  return upper === undefined || lower === undefined ? undefined : (lower + upper) / 2;
}

/** The smallest sample that `fraction` of all are not above (nearest rank). */
export function percentile(samples: readonly number[], fraction: number): number | undefined {
  const sorted = Float64Array.from(samples).sort();
  return sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)];
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** How much y grows for one of x: the line with the least squares; `undefined` where all points have one x. */
export function slope(points: readonly Point[]): number | undefined {
  return leastSquares(points)?.slope;
}

/** As `slope`, with its standard error; `undefined` for fewer than three points. */
export function slopeWithError(
  points: readonly Point[],
): { readonly slope: number; readonly error: number } | undefined {
  const line = points.length < 3 ? undefined : leastSquares(points);
  if (line === undefined) return undefined;
  const left = points.reduce((sum, { x, y }) => sum + (y - line.y - line.slope * (x - line.x)) ** 2, 0);
  return { slope: line.slope, error: Math.sqrt(left / (points.length - 2) / line.spread) };
}

function leastSquares(points: readonly Point[]) {
  const mean = (of: (point: Point) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const x = mean((point) => point.x);
  const y = mean((point) => point.y);
  const spread = points.reduce((sum, point) => sum + (point.x - x) ** 2, 0);
  const shared = points.reduce((sum, point) => sum + (point.x - x) * (point.y - y), 0);
  return spread > 0 ? { x, y, spread, slope: shared / spread } : undefined;
}

/** Median of ours over median of theirs. */
export function ratioOfMedians(ours: readonly number[], theirs: readonly number[]): number | undefined {
  const own = median(ours);
  const other = median(theirs);
  return own === undefined || other === undefined || other === 0 ? undefined : own / other;
}

/**
 * The median over the rounds of our sample over theirs in the same round: on a shared machine both suffer alike
 * within a round.
 */
export function medianOfRatios(ours: readonly number[], theirs: readonly number[]): number | undefined {
  const ratios = ours.flatMap((own, round) => {
    const other = theirs[round];
    return other === undefined || other === 0 ? [] : [own / other];
  });
  return median(ratios);
}
