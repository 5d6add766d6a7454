/** Images that this node builds for the platform: begun once each, told of as they go, given up when they are no longer wanted. */
import type { Clock, Log } from "../sdk/ports.ts";
import { type BuildLine, type BuildReport, LIMITS, type WantedBuild } from "../sdk/protocol.ts";
import { ApiRefused, type NodeApi, persist } from "./api.ts";
import { BuildError, BuildLost, type EngineImages } from "./engine.ts";

export interface BuildsDeps {
  readonly api: Pick<NodeApi, "buildFiles" | "buildCredential" | "reportBuild">;
  readonly clock: Clock;
  readonly log: Log;
  readonly images: EngineImages;
  /** Ends all. */
  readonly over: AbortSignal;
}

const keyOf = ({ image, attempt }: WantedBuild): string => `${image}/${attempt}`;

export class Builds {
  readonly #deps: BuildsDeps;
  /** Those that were ever begun: an old answer may name one again that is over. */
  readonly #begun = new Map<string, AbortController>();

  constructor(deps: BuildsDeps) {
    this.#deps = deps;
  }

  /** Begins what is new among the wanted, and gives up what is no longer. */
  want(wanted: readonly WantedBuild[]): void {
    const keys = new Set(wanted.map(keyOf));
    for (const [key, giveUp] of this.#begun) if (!keys.has(key)) giveUp.abort();
    for (const build of wanted) {
      if (this.#begun.has(keyOf(build))) continue;
      const giveUp = new AbortController();
      this.#begun.set(keyOf(build), giveUp);
      this.#serve(build, AbortSignal.any([giveUp.signal, this.#deps.over]), giveUp);
    }
  }

  async #serve(wanted: WantedBuild, signal: AbortSignal, giveUp: AbortController): Promise<void> {
    const { api, clock, images, log } = this.#deps;
    const { image, attempt } = wanted;
    log(`image.${wanted.do}`, { image, attempt, tag: wanted.tag });
    const teller = new Teller(wanted, { api, clock, signal, refused: () => giveUp.abort() });
    try {
      if (wanted.do === "remove") {
        const kept = await images.remove(wanted, signal);
        await teller.end({ removed: true, ...kept === null ? {} : { kept } });
      } else await teller.end(await this.#build(wanted, teller, signal));
    } catch (error) {
      log("image.untold", { image, attempt, error: String(error) });
    }
  }

  async #build(wanted: WantedBuild, teller: Teller, signal: AbortSignal) {
    const { api, clock, images } = this.#deps;
    const late = new AbortController(), done = new AbortController();
    clock.sleep(LIMITS.buildSeconds * 1_000, done.signal).then(() => late.abort());
    const either = AbortSignal.any([signal, late.signal]);
    const { context, registry } = wanted;
    try {
      return await images.build(wanted, {
        signal: either,
        files: async () =>
          context === null ? null : await persist(clock, either, () => api.buildFiles(context, either)),
        credential: registry === null
          ? null
          : await persist(clock, either, () => api.buildCredential(wanted.image, either)),
        say: (stream, text) => teller.say(stream, text),
      });
    } catch (error) {
      if (late.signal.aborted && !done.signal.aborted) return failure(TOO_LONG);
      if (error instanceof BuildLost) {
        teller.say("system", error.message);
        return { lost: error.message };
      }
      const isKnown = error instanceof BuildError || error instanceof ApiRefused;
      return failure(isKnown ? error.message : `Cannot build the image: ${error}`);
    } finally {
      done.abort();
    }
  }
}

const TOO_LONG = `Cannot build the image: it took longer than ${LIMITS.buildSeconds / 3_600} hours`;
const failure = (message: string) => ({ failure: message.slice(0, LIMITS.failureMessageLength) });

type End = NonNullable<BuildReport["end"]>;

interface TellerDeps extends Pick<BuildsDeps, "clock"> {
  readonly api: Pick<NodeApi, "reportBuild">;
  readonly signal: AbortSignal;
  /** The build is not ours any more. */
  readonly refused: () => void;
}

/** Lines of one report. */
const LINES_MAX = 2_000;

/** Tells of one build: what it prints, a report under way at a time, and last how it ended. */
class Teller {
  readonly #wanted: WantedBuild;
  readonly #deps: TellerDeps;
  #lines: BuildLine[] = [];
  #count = 0;
  #telling: Promise<void> | null = null;

  constructor(wanted: WantedBuild, deps: TellerDeps) {
    this.#wanted = wanted;
    this.#deps = deps;
  }

  say(stream: BuildLine[2], text: string): void {
    if (this.#count >= LIMITS.buildLogLines) return;
    this.#lines.push([this.#count++, this.#deps.clock.now(), stream, text.slice(0, LIMITS.logLineBytes)]);
    this.#telling ??= this.#tell().catch(this.#deps.refused);
  }

  async #tell(): Promise<void> {
    await Promise.resolve(); // join what this turn still says
    while (this.#lines.length > 0) await this.#report(this.#lines.splice(0, LINES_MAX));
    this.#telling = null;
  }

  async end(end: End): Promise<void> {
    await this.#telling;
    await this.#report([], end);
  }

  async #report(lines: BuildLine[], end?: End): Promise<void> {
    const { api, clock, signal } = this.#deps;
    const { image, attempt } = this.#wanted;
    const report = { attempt, lines, ...(end === undefined ? {} : { end }) };
    await persist(clock, signal, () => api.reportBuild(image, report, signal));
  }
}
