/**
 * The network between clients, runners and apis: requests and answers take their time, get lost, come twice, come late, break off;
 * and parts of it lie apart for a while. A request is answered by the real app, without a socket.
 */
import type { Fetch } from "../../sdk/ports.ts";
import type { Answer } from "../../api/app.ts";
import type { Dice } from "./dice.ts";
import type { Process } from "./process.ts";
import { carry } from "./response.ts";
import type { Story } from "./story.ts";
import type { Timeline } from "./timeline.ts";

/** How the network is; probabilities are of one request. */
export interface NetworkWeather {
  /** Of one way, least and most. */
  readonly latencyMs: readonly [number, number];
  readonly lostRequest: number;
  readonly lostReply: number;
  readonly duplicate: number;
  /** Comes late: up to {@link LATE_MS_MAX}. */
  readonly late: number;
  /** An answer that breaks off in the middle. */
  readonly broken: number;
}

export const FINE_NETWORK: NetworkWeather = {
  latencyMs: [0.1, 3],
  lostRequest: 0,
  lostReply: 0,
  duplicate: 0,
  late: 0,
  broken: 0,
};

const LATE_MS_MAX = 8_000;
/** Whoever is cut off for longer than this gives its connections up. */
const RESET_AFTER_MS = 15_000;

/** Somebody who answers requests. */
interface Host {
  readonly process: Process;
  readonly answer: Answer;
}

/** Where a process stands: partitions are between places. */
export type Place = string;

export interface NetworkOptions {
  readonly timeline: Timeline;
  readonly story: Story;
  readonly dice: Dice;
}

/** One request on its way. */
export interface Passage {
  readonly from: Process;
  readonly to: Host;
  readonly url: string;
  readonly init: RequestInit;
  readonly resolve: (response: Response) => void;
  readonly reject: (error: Error) => void;
}

export class Network {
  weather = FINE_NETWORK;
  readonly #timeline: Timeline;
  readonly #story: Story;
  readonly #dice: Dice;
  #hosts: Host[] = [];
  /** Until when a place is apart from all apis. */
  readonly #apart = new Map<Place, number>();
  requests = 0;

  constructor({ timeline, story, dice }: NetworkOptions) {
    this.#timeline = timeline;
    this.#story = story;
    this.#dice = dice.of("network");
  }

  /** From now on this process takes requests, as one of those behind the one address. */
  open(process: Process, answer: Answer): void {
    const host = { process, answer };
    this.#hosts.push(host);
    process.onEnd(() => this.#close(host));
  }

  /** Takes no more requests. */
  closeOf(process: Process): void {
    this.#hosts = this.#hosts.filter((host) => host.process !== process);
  }

  /** Separates a place from the apis. */
  part(place: Place, ms: number): void {
    this.#story.tell("network", `${place} is apart for ${Math.round(ms)} ms`);
    this.#apart.set(place, Math.max(this.#apart.get(place) ?? 0, this.#timeline.now + ms));
  }

  /** The `fetch` of a process that stands at a place. */
  fetchOf(from: Process, place: Place): Fetch {
    return (input, init = {}) =>
      new Promise((resolve, reject) => {
        const signal = init.signal ?? null;
        if (signal?.aborted) return reject(signal.reason);
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
        this.#send({ from, place, url: String(input), init, resolve, reject });
      });
  }

  #send({ place, ...way }: Omit<Passage, "to"> & { readonly place: Place }): void {
    this.requests++;
    const apartMs = (this.#apart.get(place) ?? -Infinity) - this.#timeline.now;
    if (apartMs > 0) return this.#wait(way, place, apartMs);
    if (this.#hosts.length === 0) return this.#fail(way, "connection refused");
    const to = this.#dice.pick(this.#hosts);
    const { lostRequest, lostReply, duplicate, late } = this.weather;
    const lateMs = this.#dice.chance(late) ? this.#dice.spread(20, LATE_MS_MAX) : 0;
    if (this.#dice.chance(lostRequest)) return this.#fail(way, "the request was lost", lateMs);
    this.#deliver({ ...way, to }, { lateMs, lost: this.#dice.chance(lostReply) });
    if (this.#dice.chance(duplicate)) {
      this.#story.tell("network", `doubles ${nameOf(way)}`);
      this.#deliver({ ...way, to: this.#dice.pick(this.#hosts) }, {
        lateMs: this.#dice.spread(1, 2_000),
        lost: false,
      });
    }
  }

  /** Packets wait for the way to open, as TCP repeats them; for long they don't. */
  #wait(way: Omit<Passage, "to">, place: Place, apartMs: number): void {
    if (apartMs > RESET_AFTER_MS || this.#dice.chance(0.3)) {
      return this.#fail(way, "the network is away", Math.min(apartMs, RESET_AFTER_MS));
    }
    this.#timeline.after(apartMs + this.latency(), () => this.#send({ ...way, place }));
  }

  #deliver(passage: Passage, fate: { readonly lateMs: number; readonly lost: boolean }): void {
    if (fate.lateMs > 0) {
      this.#story.tell("network", `delays ${nameOf(passage)} by ${Math.round(fate.lateMs)} ms`);
    }
    if (fate.lost) this.#story.tell("network", `will lose the reply to ${nameOf(passage)}`);
    this.#timeline.after(fate.lateMs + this.latency(), () =>
      passage.to.process.enter(() => {
        this.#story.tellStatement(passage.to.process.name, `gets ${nameOf(passage)}`);
        const broken = this.#dice.chance(this.weather.broken);
        carry(passage, { timeline: this.#timeline, latency: () => this.latency(), lost: fate.lost, broken });
      }));
    passage.to.process.onEnd(() => this.#fail(passage, "connection reset"));
  }

  latency(): number {
    return this.#dice.between(...this.weather.latencyMs);
  }

  #fail(way: Omit<Passage, "to">, why: string, afterMs = 0): void {
    this.#timeline.after(afterMs + this.latency(), () =>
      way.from.enter(() => {
        way.reject(new TypeError(`error sending request: ${why}`));
      }));
  }

  #close(host: Host): void {
    this.#hosts = this.#hosts.filter((one) => one !== host);
  }
}

const nameOf = ({ from, url, init }: Omit<Passage, "to">): string =>
  `${init.method ?? "GET"} ${new URL(url).pathname} of ${from.name}`;
