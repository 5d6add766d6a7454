/** What an engine prints while it builds: whole lines of it, and what it did when it failed. Pure. */
import type { Told } from "./json_lines.ts";

/** `Step 2/5 : RUN …` of Docker, `STEP 2/5: RUN …` of Podman. */
const STEP = /^step (\d+)\/(\d+) ?: (.*)$/i;
/** Lines that a failure repeats. */
const LAST_LINES = 12;
const STEP_LENGTH_MAX = 200;
/** Podman says it of each step, and Docker between them: nothing that a person needs. */
const NOISE = /^( ?---> (Running in )?[0-9a-f]+|--> [0-9a-f]+|Removing intermediate container .*)$/;

export class BuildOutput {
  readonly #say: (stream: "stdout" | "stderr" | "system", text: string) => void;
  #rest = "";
  #step: string | null = null;
  #last: string[] = [];

  constructor(say: (stream: "stdout" | "stderr" | "system", text: string) => void) {
    this.#say = say;
  }

  push({ stream, status, id }: Told): void {
    if (stream !== undefined) this.#take(stream);
    else if (status !== undefined && id === undefined) this.#line(status);
  }

  end(): void {
    if (this.#rest !== "") this.#line(this.#rest);
    this.#rest = "";
  }

  /** Why there is no image: the step, what the engine says, and what was printed last. */
  explain(message: string): string {
    this.end();
    const where = this.#step === null ? "" : `${this.#step} failed: `;
    const last = this.#last.length === 0 ? "" : `\n${this.#last.join("\n")}`;
    return `Cannot build the image: ${where}${message.trim()}${last}`;
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop()!;
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    // deno-lint-ignore no-control-regex
    const text = line.replace(/\x1b\[[0-9;]*m/g, "").trimEnd();
    if (text.trim() === "" || NOISE.test(text)) return;
    const [, n, of, what] = STEP.exec(text) ?? [];
    if (n === undefined) {
      this.#last = [...this.#last, text].slice(-LAST_LINES);
      return this.#say("stdout", text);
    }
    const said = plainly(what!);
    const step = said.length > STEP_LENGTH_MAX ? `${said.slice(0, STEP_LENGTH_MAX)}…` : said;
    this.#step = `step ${n} of ${of} (${step})`;
    this.#last = [];
    this.#say("system", `Step ${n} of ${of}: ${step}`);
  }
}

/** `RUN ["/bin/sh","-c","make"]` as a person would write it: `RUN make`. */
function plainly(step: string): string {
  const words = wordsOf(/^RUN (\[.*\])$/.exec(step)?.[1] ?? "");
  if (words === null) return step;
  const [program, ...rest] = words;
  if (program === "/bin/sh") return `RUN ${rest.at(-1)}`;
  return `RUN ${(program === "env" ? rest.filter((word) => !/^\w+=/.test(word)) : words).join(" ")}`;
}

function wordsOf(json: string): string[] | null {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}
