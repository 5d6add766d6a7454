/** A call as a person follows it: its logs as they come, its progress at the bottom, its end in one line. */
import type { Call, EventItem, LogItem } from "../protocol/calls.ts";
import type { Output, Style } from "./output.ts";
import { progressBar } from "./progress_bar.ts";
import { waitText } from "./wait_text.ts";
import { size, span, trim } from "./words.ts";

const STYLE_BY_STATE: Readonly<Record<Call["state"], Style>> = {
  queued: "yellow",
  running: "cyan",
  succeeded: "green",
  failed: "red",
  cancelled: "dim",
  expired: "dim",
};

export const paintState = (output: Output, state: Call["state"]): string =>
  output.paint(STYLE_BY_STATE[state], state);

/** One log line, with its stream where that tells something. */
export function logLine(output: Output, { stream, text }: Pick<LogItem, "stream" | "text">): string {
  const line = text.replace(/\n$/, "");
  if (stream === "system") return output.paint("dim", `· ${line}`);
  return stream === "stderr" ? output.paint("red", line) : line;
}

/** Shows a call while it runs. Logs and events arrive on two streams and in any order. */
export class CallView {
  readonly #output: Output;
  #bar = "";
  #numbers = "";
  /** Why it waited when that was last said. */
  #reason = "";

  constructor(output: Output) {
    this.#output = output;
  }

  log(item: LogItem): void {
    const line = item.text.replace(/\n$/, "");
    this.#output.note(item.stream === "system" ? this.#output.tint("dim", `· ${line}`) : line);
  }

  event(item: EventItem): void {
    switch (item.kind) {
      case "queued":
        return this.#show("queued");
      case "started":
        return this.#show("running");
      case "report":
        return this.#report(item);
      case "progress":
        return this.#progress(Number(item.done), Number(item.total));
      case "yield":
        return this.#output.json
          ? this.#output.note(JSON.stringify(item.value))
          : this.#output.print(JSON.stringify(item.value));
      case "artifact":
        return this.#output.note(`artifact ${item.name}@${item.version}, ${size(Number(item.size))}`);
      case "retry":
        return this.#retry(item);
    }
  }

  /** It waits: one line at the bottom; where there is none, a line for every new reason. */
  waits(waiting: NonNullable<Call["waiting"]>, now: number): void {
    const text = waitText(waiting, now);
    if (this.#output.live) this.#output.status(`${this.#output.tint("yellow", "queued")}: ${text}`);
    else if (waiting.reason !== this.#reason) this.#output.note(`queued: ${text}`);
    this.#reason = waiting.reason;
  }

  /** It runs, as far as is known. */
  waitsNoMore(): void {
    if (this.#reason !== "") this.#show("running");
    this.#reason = "";
  }

  end(): void {
    this.#output.clearStatus();
  }

  #report({ seq: _seq, at: _at, kind: _kind, attempt: _attempt, ...numbers }: EventItem): void {
    this.#numbers = Object.entries(numbers).map(([name, value]) => `${name} ${shortNumber(value)}`).join(
      "  ",
    );
    if (this.#output.live) this.#show("running");
    else this.#output.note(`report ${this.#numbers}`);
  }

  #progress(done: number, total: number): void {
    this.#bar = progressBar(done, total);
    if (this.#output.live) this.#show("running");
    else this.#output.note(`progress ${done}/${total}`);
  }

  #retry({ failure, attempt }: EventItem): void {
    const { kind, message = "" } = (failure ?? {}) as Partial<NonNullable<Call["failure"]>>;
    const how = kind === "preempted" ? "gave way, it goes on later" : "failed, trying again";
    this.#output.note(this.#output.tint("yellow", `attempt ${attempt} ${how}: ${message.split("\n")[0]}`));
  }

  #show(phase: string): void {
    this.#output.status(
      [this.#output.tint("cyan", phase), this.#bar, this.#numbers].filter((part) => part !== "").join(
        "  ",
      ),
    );
  }
}

const shortNumber = (value: unknown): string =>
  typeof value === "number" ? String(Number(value.toPrecision(4))) : JSON.stringify(value);

/** `✓ digits/train succeeded in 1.2 s, attempt 1, 0.6 GPU-seconds` */
export function summary(output: Output, call: Call): string {
  const took = call.endedAt === null
    ? ""
    : ` in ${span(Date.parse(call.endedAt) - Date.parse(call.createdAt))}`;
  const gpu = call.usage.gpuSeconds === 0 ? "" : `, ${trim(call.usage.gpuSeconds)} GPU-seconds`;
  const mark = call.state === "succeeded" ? output.tint("green", "✓") : output.tint("red", "✗");
  return `${mark} ${call.app}/${call.function} ${call.state}${took}, attempt ${call.attempt}${gpu}`;
}

/** Why it failed and where, for a person. */
export function failureText(output: Output, { failure }: Call): string | undefined {
  if (failure === undefined) return undefined;
  const head = `${failure.kind}: ${failure.message}`;
  const stack = failure.stack?.split("\n").filter((line) => /^\s+at /.test(line)).join("\n");
  return output.tint("red", head) + (stack ? `\n${output.tint("dim", stack)}` : "");
}
