/**
 * What is remembered of when a function had work: a summary of fixed size, from which keepalive.ts predicts. Pure.
 *
 * Work comes in *bursts*, whatever its parts are (calls, requests): from the first piece after a *gap* until nothing is left to do.
 * So noting it takes two events per burst, and a scheduler that looks once a second misses nothing that matters.
 */

/** When in the day there is work: bursts by hour (UTC), older days counting less. */
export interface Day {
  readonly at: number;
  readonly hours: readonly number[];
}

export interface History {
  /** Start of the last burst. */
  readonly burstAt: number;
  /** Its end; null while it lasts. */
  readonly idleAt: number | null;
  /** Bursts, each forgotten at the rates of {@link FORGET_S}; as of `burstAt`. */
  readonly bursts: readonly number[];
  readonly day: Day;
  /** Of the last gaps, by {@link AGES_S}: how many ended at that age, and how many seconds they spent there. */
  readonly ended: readonly number[];
  readonly spent: readonly number[];
  /** Milliseconds between the starts of the last {@link INTERVALS} bursts. */
  readonly intervals: readonly number[];
  /** Ends of the last {@link QUIETS} gaps that were longer than {@link QUIET_S}. */
  readonly quietEnds: readonly number[];
}

export interface WorkEvent {
  /** `work`: there is some, after none. `idle`: nothing is left. */
  readonly kind: "work" | "idle";
  readonly at: number;
}

/** When a function had work, and when it is to be loaded without any. */
export interface Activity {
  /** Since when it has had no work; null while it has. */
  readonly idleAt: number | null;
  /** The stretch of this gap in which it is to be loaded: from its start, or from later on. Null while it has work. */
  readonly loadAt: number | null;
  readonly keepUntil: number | null;
  /** Null: what is noted still holds, so that it need not be known. */
  readonly history: History | null;
}

/** Work of a function began, or ended: what is known of it then. */
export interface Note extends Activity {
  readonly functionId: number;
  readonly history: History;
}

/** Ages of a gap, in seconds: the edges of cells in which all ages are taken as alike. Nothing is predicted beyond the last. */
export const AGES_S = [
  ...[0, 10, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1_200, 1_800, 2_700],
  ...[3_600, 5_400, 7_200, 10_800, 14_400, 21_600, 28_800, 43_200, 57_600, 86_400],
];
export const CELLS = AGES_S.length - 1;
/** Nothing is known of when in the day there is work. */
export const NO_DAY: Day = { at: 0, hours: Array<number>(24).fill(0) };
/** From minutes to days: how fast bursts are forgotten, in seconds to 1/e. */
export const FORGET_S = [300, 900, 3_600, 14_400, 86_400, 345_600];
/** Gaps after which one counts half. */
const GAPS_HALF = 40;
const INTERVALS = 16;
const QUIETS = 4;
/** A longer gap ends a session. */
const QUIET_S = 600;
const DAY_FORGET_MS = 5 * 86_400_000;
const HOUR_MS = 3_600_000;

/** What is known after an event. One that says nothing new changes nothing. */
export function observe(history: History | null, { kind, at }: WorkEvent): History {
  if (history === null) return kind === "work" ? first(at) : { ...first(at), idleAt: at };
  if (kind === "idle") return history.idleAt === null ? { ...history, idleAt: at } : history;
  return history.idleAt === null ? history : next(history, history.idleAt, Math.max(at, history.idleAt));
}

const zeros = (n: number): number[] => Array<number>(n).fill(0);

const first = (at: number): History => ({
  burstAt: at,
  idleAt: null,
  bursts: FORGET_S.map(() => 1),
  day: observeDay(null, at),
  ended: zeros(CELLS),
  spent: zeros(CELLS),
  intervals: [],
  quietEnds: [],
});

function next(history: History, idleAt: number, at: number): History {
  const gapS = (at - idleAt) / 1000;
  const { ended, spent } = withGap(history, gapS);
  return {
    burstAt: at,
    idleAt: null,
    bursts: burstsAt(history, at).map((n) => short(n + 1)),
    day: observeDay(history.day, at),
    ended,
    spent,
    intervals: [...history.intervals, at - history.burstAt].slice(-INTERVALS),
    quietEnds: gapS > QUIET_S ? [...history.quietEnds, at].slice(-QUIETS) : history.quietEnds,
  };
}

/** Bursts, forgotten up to an instant. */
export const burstsAt = ({ bursts, burstAt }: History, at: number): number[] =>
  bursts.map((n, i) => n * Math.exp(-(at - burstAt) / 1000 / FORGET_S[i]!));

const KEEP = 0.5 ** (1 / GAPS_HALF);

function withGap({ ended, spent }: History, gapS: number): Pick<History, "ended" | "spent"> {
  const endsIn = (i: number) => gapS >= AGES_S[i]! && gapS < AGES_S[i + 1]!;
  return {
    ended: ended.map((n, i) => short(n * KEEP + Number(endsIn(i)))),
    spent: spent.map((s, i) => short(s * KEEP + secondsIn(i, gapS))),
  };
}

/** What a gap spent in a cell. One that ended as it came there spent a moment. */
export const secondsIn = (cell: number, gapS: number): number =>
  gapS < AGES_S[cell]! ? 0 : Math.max(0.5, Math.min(gapS, AGES_S[cell + 1]!) - AGES_S[cell]!);

/** The day after one more burst. */
export function observeDay(day: Day | null, at: number): Day {
  const { hours, at: before } = day ?? { hours: zeros(24), at };
  const kept = Math.exp(-Math.max(0, at - before) / DAY_FORGET_MS);
  const hour = Math.floor(at / HOUR_MS) % 24;
  return { at: Math.max(at, before), hours: hours.map((n, i) => short(n * kept + Number(i === hour))) };
}

/** Four digits say enough, and the summary is kept as text. */
const short = (n: number): number => Number(n.toPrecision(4));
