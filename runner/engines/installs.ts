/** Packages beside a bundle: npm packages that are not in it, and virtual environments for Python. Installed once, then shared. */
import type { Clock, Log } from "../../sdk/ports.ts";
import { type Command, type Spawn, StartError } from "../engine.ts";
import { Once } from "./once.ts";
import { Shelf } from "./shelf.ts";

export interface InstallsDeps {
  readonly spawn: Spawn;
  /** Folder of the virtual environments. */
  readonly venvs: string;
  /** MiB of them that are kept. */
  readonly budgetMiB: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly deno: string;
  /** Environment of the tools that install. */
  readonly env: Readonly<Record<string, string>>;
}

type Say = (text: string) => void;

const OUTPUT_MAX = 4_000;
/** Deno ends its errors with one of its own, of no use to anybody. */
const BACKTRACE = /\n+Stack backtrace:[\s\S]*$/;

export class Installs {
  readonly #deps: InstallsDeps;
  readonly #once = new Once();
  readonly #shelf: Shelf;

  constructor(deps: InstallsDeps) {
    this.#deps = deps;
    this.#shelf = new Shelf({ ...deps, folder: deps.venvs });
  }

  /** Has npm packages (`npm:name@version`) in Deno's cache, where `--cached-only` finds them. */
  async external(packages: readonly string[], say: Say): Promise<void> {
    if (packages.length === 0) return;
    const { deno, env } = this.#deps;
    const names = packages.join(", ");
    await this.#once.do(`external ${names}`, async () => {
      say(`Installing ${names}`);
      const args = ["cache", "--no-config", "--no-lock", "--node-modules-dir=none", ...packages];
      await this.#run(`install ${names}`, { command: deno, args, env, cwd: this.#deps.venvs });
      return "";
    });
  }

  /** The Python to run with these requirements: that of the machine when there are none. It is kept until `over` settles. */
  async python(requirements: readonly string[], say: Say, over: Promise<unknown>): Promise<string> {
    if (requirements.length === 0) return "python3";
    const text = `${requirements.join("\n")}\n`;
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)))
      .toHex();
    const fill = (home: string) => this.#createVenv(home, text, say);
    return `${await this.#shelf.hold(digest.slice(0, 32), over, fill)}/bin/python3`;
  }

  /** Keeps what a Python belongs to until `over` settles. */
  use(python: string, over: Promise<unknown>): void {
    const { venvs } = this.#deps;
    if (python.startsWith(`${venvs}/`)) this.#shelf.use(python.slice(venvs.length + 1).split("/")[0]!, over);
  }

  async #createVenv(folder: string, requirements: string, say: Say): Promise<void> {
    const { env } = this.#deps;
    say("Creating the virtual environment");
    await this.#run("create the virtual environment", {
      command: "python3",
      args: ["-m", "venv", folder],
      env,
    });
    const list = `${folder}/requirements.txt`;
    await Deno.writeTextFile(list, requirements);
    say(`Installing ${requirements.trim().split("\n").length} requirements`);
    const args = ["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "-r", list];
    await this.#run("install the requirements", { command: `${folder}/bin/python3`, args, env });
  }

  async #run(what: string, command: Command): Promise<void> {
    const { code, stdout, stderr } = await this.#deps.spawn.output(command).catch((cause) => {
      throw new StartError(`Cannot ${what}: ${cause instanceof Error ? cause.message : cause}`, { cause });
    });
    if (code === 0) return;
    const said = (stderr.trim() || stdout.trim()).replace(BACKTRACE, "");
    throw new StartError(`Cannot ${what}: ${said.slice(-OUTPUT_MAX)}`);
  }
}
