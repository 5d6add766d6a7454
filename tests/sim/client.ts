/** A client program: the real SDK over the simulated network. */
import { createHash } from "node:crypto";
import { Client } from "../../sdk/client.ts";
import { CallFailedError, PlatformError } from "../../sdk/errors.ts";
import { fromName, type FunctionHandle } from "../../sdk/handle.ts";
import type { Fetch } from "../../sdk/ports.ts";
import type { SpecInput } from "./topology.ts";
import { type Manifest, routes, STREAM_PATHS } from "../../sdk/protocol.ts";
import type { Seen } from "./ledger.ts";
import type { Deed, Done } from "./machine/deed.ts";
import type { Network } from "./network.ts";
import { ORIGIN } from "./platform.ts";
import type { Process } from "./process.ts";

/** All functions have the same code: what a call does stands in its input. */
const BUNDLE = new TextEncoder().encode(`{"version":1,"files":{"app.js":"export {}"}}`);
const DIGEST = createHash("sha256").update(BUNDLE).digest("hex");
const AGAIN_MS = 200;

export class SimulatedClient {
  readonly process: Process;
  readonly workspace: string;
  readonly sdk: Client;
  /** Without the SDK. */
  readonly fetch: Fetch;

  constructor(process: Process, network: Network, of: { readonly workspace: string; readonly key: string }) {
    this.process = process;
    this.workspace = of.workspace;
    const { clock, random } = process;
    this.fetch = network.fetchOf(process, process.name);
    this.sdk = new Client({ url: ORIGIN, key: of.key, fetch: this.fetch, clock, random, patience: "10m" });
  }

  handle(app: string, name: string): FunctionHandle<Deed, Done> {
    return fromName<(deed: Deed) => Done>(app, name, { client: this.sdk });
  }

  /** Makes functions the newest deployment of an app. */
  async deploy(app: string, functions: readonly SpecInput[]): Promise<void> {
    const path = STREAM_PATHS.bundle.replace(":digest", DIGEST);
    await this.persist(() => this.sdk.fetch({ method: "PUT", path, body: BUNDLE }));
    const manifest = { sdkVersion: "0.1.0", functions: functions.map(whole) } as unknown as Manifest;
    await this.persist(() => this.sdk.send(routes.createDeployment, { app, bundle: DIGEST, manifest }));
  }

  /** Does something that may be repeated until it is done. */
  async persist<T>(attempt: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (!isPassing(error)) throw error;
        await this.process.clock.sleep(AGAIN_MS);
      }
    }
  }

  /** How a call ended, by the word of the SDK. */
  async seen(waiting: Promise<unknown>): Promise<Seen> {
    try {
      return { value: await waiting };
    } catch (error) {
      if (error instanceof CallFailedError) return { failure: error.failure.kind };
      throw error;
    }
  }
}

/** Nobody knows whether it arrived, or something inside went wrong: to be tried again. */
const isPassing = (error: unknown): boolean =>
  error instanceof PlatformError && ["bad_gateway", "unavailable", "internal"].includes(error.code);

const whole = (spec: SpecInput): SpecInput => ({
  kind: "function",
  body: "ts",
  entry: spec.name,
  methods: [{ name: spec.name, kind: "call", stream: false }],
  ...spec,
});
