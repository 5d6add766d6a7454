/**
 * What is to be told to the api: reports, log lines and events, in the order they happened, cut into batches that fit one
 * exchange. A call's log lines are put in before its report, so they never arrive after it.
 */
import type { ContainerLogRecord, EventRecord, LogRecord, Report } from "../sdk/protocol.ts";

/** What one exchange carries. */
export interface Batch {
  readonly reports: Map<number, Report[]>;
  readonly logs: LogRecord[];
  readonly events: EventRecord[];
  readonly containerLogs: ContainerLogRecord[];
  reportCount: number;
  characters: number;
}

const BATCH_REPORTS_MAX = 10_000;
const BATCH_RECORDS_MAX = 50_000;
/** Some 4 M characters are at most 12 MiB of JSON, within the limit of a body. */
const BATCH_CHARACTERS_MAX = 4 * 1024 * 1024;
/** Above this, guests are not read any more and what they print is dropped. */
const CHARACTERS_MAX = 64 * 1024 * 1024;
const RECORD_CHARACTERS = 64;

export class Outbox {
  #batches: Batch[] = [emptyBatch()];
  #characters = 0;
  #roomWaiters: (() => void)[] = [];
  /** Called when the first thing is put in, and for every report. */
  onReport: () => void = () => {};
  onRecord: () => void = () => {};

  /** Reports of the batch that goes next. */
  get reports(): number {
    return this.#batches[0]!.reportCount;
  }

  get empty(): boolean {
    return this.#batches.length === 1 && isEmpty(this.#batches[0]!);
  }

  /** True when there is more than one exchange can carry. */
  get crowded(): boolean {
    return this.#batches.length > 1;
  }

  /** True when all that was put in has arrived. */
  get settled(): boolean {
    return this.#characters === 0;
  }

  get full(): boolean {
    return this.#characters > CHARACTERS_MAX;
  }

  report(lease: number, report: Report, characters: number): void {
    const batch = this.#batchFor(characters);
    const done = batch.reports.get(lease);
    if (done === undefined) batch.reports.set(lease, [report]);
    else done.push(report);
    batch.reportCount++;
    this.onReport();
  }

  log(record: LogRecord): void {
    this.#batchFor(record[5].length).logs.push(record);
    this.onRecord();
  }

  event(record: EventRecord, characters: number): void {
    this.#batchFor(characters).events.push(record);
    this.onRecord();
  }

  containerLog(record: ContainerLogRecord): void {
    this.#batchFor(record[4].length).containerLogs.push(record);
    this.onRecord();
  }

  /** Takes the oldest batch; null when there is nothing to tell. */
  take(): Batch | null {
    if (this.empty) return null;
    const batch = this.#batches.shift()!;
    if (this.#batches.length === 0) this.#batches.push(emptyBatch());
    return batch;
  }

  /** A batch has arrived (or was given up): it takes no more room. */
  release(batch: Batch): void {
    this.#characters -= batch.characters;
    if (this.full) return;
    for (const resume of this.#roomWaiters.splice(0)) resume();
  }

  /** Puts batches back to the front, in their order. */
  putBack(batches: readonly Batch[]): void {
    this.#batches.unshift(...batches);
  }

  /** Resolves when there is room again; null when there is room. */
  room(): Promise<void> | null {
    return this.full ? new Promise((resolve) => this.#roomWaiters.push(resolve)) : null;
  }

  #batchFor(characters: number): Batch {
    let batch = this.#batches.at(-1)!;
    if (isFull(batch, characters)) this.#batches.push(batch = emptyBatch());
    batch.characters += characters + RECORD_CHARACTERS;
    this.#characters += characters + RECORD_CHARACTERS;
    return batch;
  }
}

/**
 * One batch as many, each with a single report: after the api refused it as a whole, the one to blame is found this way. Log
 * lines and events go first, by themselves.
 */
export function apart(batch: Batch): Batch[] {
  const { logs, events, containerLogs } = batch;
  const records = { ...emptyBatch(), logs, events, containerLogs };
  const singles = [...batch.reports].flatMap(([lease, done]) =>
    done.map((report) => ({ ...emptyBatch(), reports: new Map([[lease, [report]]]), reportCount: 1 }))
  );
  const parts = isEmpty(records) ? singles : [records, ...singles];
  if (parts.length > 0) parts.at(-1)!.characters = batch.characters;
  return parts;
}

export const emptyBatch = (): Batch => ({
  reports: new Map(),
  logs: [],
  events: [],
  containerLogs: [],
  reportCount: 0,
  characters: 0,
});

/** Lines and events of a batch. */
export const recordsOf = ({ logs, events, containerLogs }: Batch): number =>
  logs.length + events.length + containerLogs.length;

const isEmpty = (batch: Batch): boolean => batch.reportCount + recordsOf(batch) === 0;

const isFull = (batch: Batch, characters: number): boolean =>
  batch.reportCount >= BATCH_REPORTS_MAX || recordsOf(batch) >= BATCH_RECORDS_MAX ||
  (batch.characters > 0 && batch.characters + characters > BATCH_CHARACTERS_MAX);
