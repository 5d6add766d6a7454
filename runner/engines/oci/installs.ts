/** Packages that a function needs beside its image: installed once, in a container of that image, and mounted ever after. */
import type { Clock, Log } from "../../../sdk/ports.ts";
import type { Assignment } from "../../../sdk/protocol.ts";
import { type Spawn, StartError } from "../../engine.ts";
import { LineSplitter } from "../../lines.ts";
import { Shelf } from "../shelf.ts";
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
  readonly spawn: Spawn;
  readonly clock: Clock;
  readonly log: Log;
  /** Keeps what was installed. */
  readonly folder: string;
  /** MiB of it that are kept. */
  readonly budgetMiB: number;
  /** Of the tools that install: where packages come from. */
  readonly env: Readonly<Record<string, string>>;
}

type Say = (text: string) => void;

interface Filling {
  readonly key: string;
  readonly install: Install;
  readonly assignment: Assignment;
  readonly reference: Reference;
  readonly say: Say;
}

const SAID_MAX = 4_000;

export class Installs {
  readonly #deps: InstallsDeps;
  readonly #shelf: Shelf;

  constructor(deps: InstallsDeps) {
    this.#deps = deps;
    this.#shelf = new Shelf(deps);
  }

  /** What an assignment needs beside its image, which must be here; it is kept until `over` settles. */
  async packages(
    assignment: Assignment,
    reference: Reference,
    { say, over }: { readonly say: Say; readonly over: Promise<unknown> },
  ): Promise<Packages> {
    const install = installOf(assignment);
    if (install === null) return NO_PACKAGES;
    const key = await this.#keyOf(install, assignment, reference);
    const home = await this.#shelf.hold(
      key,
      over,
      (home) => this.#fill(home, { key, install, assignment, reference, say }),
    );
    return installed(install, filesOf(home), this.#deps.env);
  }

  /** The same packages in another image are others: its Python, its libraries. A tag may come to mean another image. */
  async #keyOf(install: Install, { spec, external }: Assignment, reference: Reference): Promise<string> {
    const image = (await this.#deps.client.image(reference))?.Id;
    const text = JSON.stringify([image, install.target, spec.requirements, external]);
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    return new Uint8Array(digest).toHex().slice(0, 32);
  }

  async #fill(home: string, { key, install, assignment: { spec }, reference, say }: Filling): Promise<void> {
    const place = { folder: filesOf(home), tmp: `${home}/tmp` };
    const { uid, gid } = this.#deps.premises.owner;
    for (const folder of [place.folder, place.tmp]) {
      await Deno.mkdir(folder, { recursive: true, mode: 0o755 });
      await Deno.chown(folder, uid, gid);
    }
    await Deno.writeTextFile(`${place.tmp}/requirements.txt`, `${spec.requirements.join("\n")}\n`);
    const { premises, networks, env } = this.#deps;
    const image = formatReference(reference);
    const { mode: network, guard, seal } = await networks.openOut();
    await guard();
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

/** What is mounted. What lies beside it is out of its reach. */
const filesOf = (home: string): string => `${home}/files`;
