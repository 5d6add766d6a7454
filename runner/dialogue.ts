/**
 * What a guest says, checked and passed to whom it concerns. Nothing it says is believed: a frame that does not fit the protocol,
 * the moment, or the calls it was given is a violation.
 */
import { z } from "zod";
import type { Failure } from "../sdk/protocol.ts";
import type { CallCheckpoint, CheckpointOf, LeaseOf } from "./api.ts";
import type { HeldCall } from "./calls.ts";
import { GuestFrame, type Resumes } from "./frames.ts";
import type { LinkSink } from "./link.ts";
import type { Outbox } from "./outbox.ts";
import type { BodySink, Services } from "./services.ts";
import type { LogStream, Violation, Work } from "./work.ts";

export interface DialogueDeps {
  readonly container: string;
  readonly work: Work;
  readonly services: Services;
  readonly outbox: Outbox;
  /** It has connected, or, with what runs in it, is back. */
  hello(resumes: Resumes | undefined): Violation;
  ready(): void;
  broken(message: string): void;
  /** A line that was said outside a call. */
  aside(stream: LogStream, text: string): void;
  violation(reason: string): void;
  endOfTurn(): void;
}

type Frame<T extends GuestFrame["t"]> = Extract<GuestFrame, { t: T }>;

export class Dialogue implements LinkSink {
  readonly #deps: DialogueDeps;
  #stage: "silent" | "loading" | "ready" | "over" = "silent";
  /** Takes the body of the frame before. */
  #body: BodySink | null = null;

  constructor(deps: DialogueDeps) {
    this.#deps = deps;
  }

  frame(value: unknown, characters: number): void {
    if (this.#stage === "over") return;
    const wrong = isResult(value)
      ? this.#deps.work.result(value.c, value.v ?? null, characters)
      : this.#checked(value, characters);
    if (wrong !== null) this.violation(wrong);
  }

  body(piece: Uint8Array, last: boolean): void {
    if (this.#stage === "over") return;
    if (this.#body === null) return this.violation("bytes after a frame that has none");
    this.#body.piece(piece);
    if (!last) return;
    this.#body.end();
    this.#body = null;
  }

  violation(reason: string): void {
    if (this.#stage === "over") return;
    this.#stage = "over";
    this.#deps.violation(reason);
  }

  endOfTurn(): void {
    this.#deps.endOfTurn();
  }

  hold(): Promise<void> | null {
    return this.#deps.outbox.room() ?? this.#deps.services.room();
  }

  #checked(value: unknown, characters: number): Violation {
    const parsed = GuestFrame.safeParse(value);
    if (!parsed.success) return z.prettifyError(parsed.error).replaceAll("\n", "; ").slice(0, 500);
    const wrong = this.#outOfPlace(parsed.data);
    return wrong ?? this.#take(parsed.data, characters);
  }

  #outOfPlace({ t }: GuestFrame): Violation {
    if ((t === "hello") !== (this.#stage === "silent")) {
      return t === "hello" ? "a second hello" : `${t} before hello`;
    }
    if (t === "ready" && this.#stage === "ready") return "ready after ready";
    return null;
  }

  #take(frame: GuestFrame, characters: number): Violation {
    const { work, services } = this.#deps;
    switch (frame.t) {
      case "hello":
        this.#stage = frame.resumes === undefined ? "loading" : "ready";
        return this.#deps.hello(frame.resumes);
      case "ready":
        this.#stage = "ready";
        this.#deps.ready();
        return null;
      case "broken":
        this.#deps.broken(frame.stack?.includes(frame.message) ? frame.stack : frame.message);
        return null;
      case "result":
        return work.result(frame.c, frame.v ?? null, characters);
      case "error":
        return work.error(frame.c, failureOf(frame));
      case "log":
        return this.#log(frame);
      case "event":
        return work.event(frame.c, frame.kind, frame.data, characters);
      case "recalled":
        return work.recalled(frame.calls);
      case "fetch":
        return this.#expect(services.fetch(frame), frame.bytes ?? 0);
      case "fetch-abort":
        return services.abortFetch(frame.n), null;
      case "checkpoint-save":
        return this.#expect(services.save(frame.n, this.#checkpointOf(frame.c, frame.name)), frame.bytes);
      case "checkpoint-load":
        return services.load(frame.n, this.#loadedBy(frame)), null;
      case "value-save":
        return this.#expect(services.saveValue(frame.n), frame.bytes);
      case "value-load":
        return services.loadValue(frame.n, frame.id), null;
      case "artifact-save":
        return this.#expect(services.publish(frame, this.#leaseOf(frame.c)), frame.bytes);
    }
  }

  #log({ c, stream, text }: Frame<"log">): Violation {
    if (c !== undefined) return this.#deps.work.log(c, stream, text);
    this.#deps.aside(stream, text);
    return null;
  }

  #expect(sink: BodySink, bytes: number): null {
    if (bytes === 0) sink.end();
    else this.#body = sink;
    return null;
  }

  #loadedBy({ c, name }: Frame<"checkpoint-load">): CheckpointOf | null {
    if (c !== undefined) return this.#checkpointOf(c, name);
    return name === undefined ? null : { by: { container: this.#deps.container }, name };
  }

  #checkpointOf(c: number, name: string | undefined): CallCheckpoint | null {
    const by = this.#leaseOf(c);
    return by === null ? null : { by, name };
  }

  #leaseOf(c: number): LeaseOf | null {
    const call: HeldCall | undefined = this.#deps.work.running(c);
    return call === undefined ? null : { lease: call.lease.id, index: call.index };
  }
}

/** The frame that comes thousands of times a second, recognised without a schema. */
function isResult(value: unknown): value is { t: "result"; c: number; v?: Frame<"result">["v"] } {
  if (typeof value !== "object" || value === null) return false;
  const { t, c } = value as { t?: unknown; c?: unknown };
  return t === "result" && typeof c === "number" && Number.isInteger(c) && c >= 0;
}

/** Texts a store can keep. */
function failureOf({ message, stack, retryable }: Frame<"error">): Omit<Failure, "kind"> {
  const clean = (text: string) => text.toWellFormed().replaceAll("\0", "\ufffd");
  return { message: clean(message), retryable, ...(stack === undefined ? {} : { stack: clean(stack) }) };
}
