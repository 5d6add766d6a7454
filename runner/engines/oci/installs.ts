/** Packages that a function needs beside its image: installed once, in a container of that image, and mounted ever after. */
import type { Clock } from "../../../sdk/ports.ts";
import type { Assignment } from "../../../sdk/protocol.ts";
import { StartError } from "../../engine.ts";
import { LineSplitter } from "../../lines.ts";
import { Once } from "../once.ts";
import type { OciClient } from "./client.ts";
import { create } from "./create.ts";
import type { Networks } from "./egress.ts";
import type { Premises } from "./guest_sandbox.ts";
import {
  type Install,
  installed,
  installSandbox,
  NO_PACKAGES,
  npmInstall,
  type Packages,
  pythonInstall,
} from "./packages.ts";
import { patiently } from "./removal.ts";
import type { Sandbox } from "./sandbox.ts";
import { formatReference, type Reference } from "../../../sdk/image_reference.ts";

export interface InstallsDeps {
  readonly client: OciClient;
  readonly premises: Premises;
  readonly networks: Pick<Networks, "openOut">;
  readonly clock: Clock;
  /** Keeps what was installed. */
  readonly folder: string;
  /** Of the tools that install: where packages come from. */
  readonly env: Readonly<Record<string, string>>;
}

type Say = (text: string) => void;

const SAID_MAX = 4_000;

export class Installs {
  readonly #deps: InstallsDeps;
  readonly #once = new Once();

  constructor(deps: InstallsDeps) {
    this.#deps = deps;
  }

  /** What an assignment needs beside its image, which must be here. */
  async packages(assignment: Assignment, reference: Reference, say: Say): Promise<Packages> {
    const install = installOf(assignment);
    if (install === null) return NO_PACKAGES;
    const key = await this.#keyOf(install, assignment, reference);
    const folder = await this.#once.do(key, () => this.#ensure(key, install, assignment, reference, say));
    return installed(install, folder, this.#deps.env);
  }

  /** The same packages in another image are others: its Python, its libraries. A tag may come to mean another image. */
  async #keyOf(install: Install, { spec, external }: Assignment, reference: Reference): Promise<string> {
    const image = (await this.#deps.client.image(reference))?.Id;
    const text = JSON.stringify([image, install.target, spec.requirements, external]);
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    return new Uint8Array(digest).toHex().slice(0, 32);
  }

  async #ensure(
    key: string,
    install: Install,
    { spec }: Assignment,
    reference: Reference,
    say: Say,
  ): Promise<string> {
    const home = `${this.#deps.folder}/${key}`;
    const place = { folder: `${home}/files`, tmp: `${home}/tmp` };
    if (await isComplete(home)) return place.folder;
    await Deno.remove(home, { recursive: true }).catch(() => {});
    const { uid, gid } = this.#deps.premises.owner;
    for (const folder of [place.folder, place.tmp]) {
      await Deno.mkdir(folder, { recursive: true, mode: 0o755 });
      await Deno.chown(folder, uid, gid);
    }
    await Deno.writeTextFile(`${place.tmp}/requirements.txt`, `${spec.requirements.join("\n")}\n`);
    const { premises, networks, env } = this.#deps;
    const image = formatReference(reference);
    const { mode: network, seal } = await networks.openOut();
    say(capital(install.what.replace(/^install/, "installing")));
    await this.#run(
      `berth-install-${key}`,
      installSandbox(install, premises, { ...place, image, network, env }),
      {
        what: install.what,
        say,
        seal,
      },
    );
    await Deno.remove(place.tmp, { recursive: true });
    await Deno.writeTextFile(complete(home), "");
    return place.folder;
  }

  async #run(
    name: string,
    sandbox: Sandbox,
    { what, say, seal }: { what: string; say: Say; seal(): void },
  ): Promise<void> {
    const { client, clock } = this.#deps;
    const remove = () => patiently(clock, () => client.remove(name));
    await remove(); // what an earlier failure has left
    const id = await create(client, name, sandbox);
    try {
      const attached = await client.attach(id);
      await client.start(id);
      seal();
      const said: string[] = [];
      const tell = (line: string) => {
        said.push(line);
        say(line);
      };
      await Promise.all([attached.stdout, attached.stderr].map((stream) => readLines(stream, tell)));
      const code = await client.wait(id);
      if (code === 0) return;
      throw new StartError(`Cannot ${what}: ${said.join("\n").slice(-SAID_MAX) || `exit code ${code}`}`);
    } finally {
      await remove();
    }
  }
}

function installOf({ spec, external }: Assignment): Install | null {
  if (spec.body === "python" && spec.requirements.length > 0) return pythonInstall(spec.requirements);
  if (spec.body === "ts" && external.length > 0) return npmInstall(external);
  return null;
}

async function readLines(stream: ReadableStream<Uint8Array>, tell: (line: string) => void): Promise<void> {
  const lines = new LineSplitter();
  for await (const chunk of stream) for (const line of lines.push(chunk)) tell(line);
  for (const line of lines.flush()) tell(line);
}

const capital = (text: string): string => text[0]!.toUpperCase() + text.slice(1);

/** Written last: what is without it was interrupted. Out of reach for what is installed. */
const complete = (home: string): string => `${home}/complete`;

const isComplete = (home: string): Promise<boolean> =>
  Deno.stat(complete(home)).then(() => true, () => false);
