/**
 * Virtual time: a heap of events by (instant, order of entry). One event happens, then everything that can go on without time
 * passing goes on, then the next one happens. An event that asks the database is waited for, so nothing else moves meanwhile.
 */
import { setImmediate } from "node:timers";

type Happening = () => void | Promise<void>;

export interface Entry {
  readonly at: number;
  readonly seq: number;
  happen: Happening | null;
}

/** The first instant of every simulation: a full hour, so that the calendar of a seed is easy to read. */
export const EPOCH = Date.UTC(2026, 0, 1);

export class Timeline {
  #now = EPOCH;
  #seq = 0;
  readonly #heap: Entry[] = [];
  /** Events so far. */
  events = 0;

  get now(): number {
    return this.#now;
  }

  /** Lets something happen at an instant, or now when that is over. Take it back with {@link cancel}. */
  at(instant: number, happen: Happening): Entry {
    const entry: Entry = { at: Math.max(instant, this.#now), seq: this.#seq++, happen };
    push(this.#heap, entry);
    return entry;
  }

  after(ms: number, happen: Happening): Entry {
    return this.at(this.#now + ms, happen);
  }

  cancel(entry: Entry): void {
    entry.happen = null;
  }

  /** Resolves after `ms`, for what belongs to no process. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Lets time pass until `over` says so, or until an instant. */
  async run(over: () => boolean, until: number): Promise<void> {
    await turn();
    while (!over()) {
      const entry = pop(this.#heap);
      if (entry === undefined || entry.at > until) {
        if (entry !== undefined) push(this.#heap, entry);
        this.#now = until;
        return;
      }
      if (entry.happen === null) continue;
      this.#now = entry.at;
      this.events++;
      const happening = entry.happen();
      if (happening !== undefined) await happening;
      await turn();
    }
  }
}

/** Whatever can go on has gone on: a macrotask comes after all microtasks. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const before = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.seq < b.seq);

function push(heap: Entry[], entry: Entry): void {
  let i = heap.push(entry) - 1;
  for (let parent = (i - 1) >> 1; i > 0 && before(entry, heap[parent]!); parent = (i - 1) >> 1) {
    heap[i] = heap[parent]!;
    i = parent;
  }
  heap[i] = entry;
}

function pop(heap: Entry[]): Entry | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (first === undefined || last === undefined || heap.length === 0) return first;
  let i = 0;
  for (let child = 1; child < heap.length; child = 2 * i + 1) {
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
    if (!before(heap[child]!, last)) break;
    heap[i] = heap[child]!;
    i = child;
  }
  heap[i] = last;
  return first;
}
