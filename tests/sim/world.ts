/** One simulated world: everything that a seed draws, put together and running on one timeline. */
import type { Socket } from "../../api/gateway/connection.ts";
import type { Log } from "../../sdk/ports.ts";
import { MemoryBlobs } from "../setup/memory_blobs.ts";
import { DEFAULT_WORKSPACE } from "../../api/assemble.ts";
import { SimulatedClient } from "./client.ts";
import { Cloud, FINE_CLOUD } from "./cloud.ts";
import { Crowd } from "./crowd.ts";
import { Database, FINE_DATABASE, type Watcher } from "./database/database.ts";
import type { Sessions } from "./database/sessions.ts";
import type { Rewrite } from "./database/statement.ts";
import { Dice } from "./dice.ts";
import { Fleet, type Member } from "./fleet.ts";
import { Ledger } from "./ledger.ts";
import { Machine, type MachineShape } from "./machine/machine.ts";
import { FINE_NETWORK, Network } from "./network.ts";
import { Operator } from "./operator.ts";
import { JOIN_TOKEN, type PlatformPorts, startApi, startRunner, startScheduler } from "./platform.ts";
import { Process } from "./process.ts";
import { type Life, Service } from "./service.ts";
import { fieldsOf, Story, type Telling } from "./story.ts";
import { Timeline } from "./timeline.ts";
import { drawTopology, type Topology } from "./topology.ts";

export interface WorldOptions {
  readonly seed: number;
  readonly sessions: Sessions;
  readonly telling: Telling;
  readonly rewrite: Rewrite;
  readonly watchers: Watcher[];
}

/** The admin key of a workspace, known from the start. */
export const keyOf = (workspace: string): string => `berth_simulation_of_${workspace}`;

const DIAL_MS = 1;

/** What a process logs when something happened that must not: more than a thing of the world that went wrong. */
function isBug(event: string, fields: Readonly<Record<string, unknown>>): boolean {
  switch (event) {
    case "scheduler.failed":
      return fields.away === false;
    case "api.failed":
      return fields.code === "internal";
    default:
      return ["sync.error", "exchange.error", "container.start_error"].includes(
        event,
      );
  }
}

export class World {
  readonly timeline = new Timeline();
  readonly dice: Dice;
  readonly story: Story;
  readonly topology: Topology;
  readonly network: Network;
  readonly database: Database;
  readonly fleet = new Fleet();
  readonly cloud: Cloud;
  readonly apis: readonly Service[];
  readonly schedulers: readonly Service[];
  readonly operator: Operator;
  readonly crowd: Crowd;
  readonly ledger = new Ledger();
  /** Clients make no more calls than about this many. */
  readonly callsMax: number;
  /** What must never be, and was. */
  readonly violations: string[] = [];
  readonly #ports: PlatformPorts;

  constructor({ seed, sessions, telling, rewrite, watchers }: WorldOptions) {
    const { timeline, fleet } = this;
    const dice = this.dice = new Dice(`seed ${seed}`);
    const story = this.story = new Story(timeline, telling);
    this.callsMax = Math.round(dice.of("size").spread(6, 100));
    this.topology = drawTopology(dice.of("topology"));
    this.network = new Network({ timeline, story, dice });
    this.database = new Database({ timeline, story, dice, sessions, rewrite, watchers });
    const build = (shape: MachineShape, token: string) => this.#member(shape, token, true);
    this.cloud = new Cloud({ timeline, story, dice, fleet, build });
    this.#ports = {
      database: this.database,
      network: this.network,
      blobs: new MemoryBlobs({ now: () => Math.floor(timeline.now) }),
      dial: (from) => (address) => this.#dial(from, address),
      provider: (process) => this.cloud.provider(process),
    };
    this.apis = named("api", this.topology.apis).map((name) => this.#service(name, startApi));
    this.schedulers = named("scheduler", this.topology.schedulers).map((name) =>
      this.#service(name, startScheduler)
    );
    for (const shape of this.topology.machines) fleet.add(this.#member(shape, JOIN_TOKEN, false));
    this.operator = new Operator(this.client("operator", DEFAULT_WORKSPACE), this.topology.pools);
    this.crowd = new Crowd(this);
  }

  get services(): readonly Service[] {
    return [...this.apis, ...this.schedulers, ...this.fleet.runners];
  }

  /** Nothing goes wrong any more. What is apart or down comes back in its own time. */
  calm(): void {
    this.story.tell("world", "all is well from now on");
    this.network.weather = FINE_NETWORK;
    this.database.weather = FINE_DATABASE;
    this.cloud.weather = FINE_CLOUD;
    for (const { machine } of this.fleet.members) machine.cure();
  }

  violate(what: string): void {
    this.story.tell("VIOLATION", what);
    this.violations.push(what);
  }

  client(name: string, workspace: string): SimulatedClient {
    return new SimulatedClient(this.#process(name, name), this.network, { workspace, key: keyOf(workspace) });
  }

  /** Any api reaches any container; who is gone refuses. */
  async #dial(from: Process, address: string): Promise<Socket> {
    await from.clock.sleep(DIAL_MS);
    const guest = this.fleet.guests.find(({ assignment }) => `sim:${assignment.id}` === address);
    if (guest === undefined) throw new Error("Connection refused");
    return guest.connect(from);
  }

  #member(shape: MachineShape, token: string, rented: boolean): Member {
    const { timeline, story, dice } = this;
    const violated = (what: string) => this.violate(what);
    const machine = new Machine(shape, { timeline, story, dice, violated });
    const start = (ports: PlatformPorts, process: Process) => startRunner(ports, { machine, token }, process);
    return { machine, runner: this.#service(`runner-${shape.name}`, start, rented), rented };
  }

  #service(
    name: string,
    start: (ports: PlatformPorts, process: Process) => Promise<Life>,
    mortal = false,
  ): Service {
    return new Service({
      name,
      timeline: this.timeline,
      story: this.story,
      process: (life) => this.#process(name, `${name} life ${life}`),
      start: (process) => start(this.#ports, process),
      mortal,
    });
  }

  #process(name: string, chance: string): Process {
    const { timeline, story } = this;
    const dice = this.dice.of(chance);
    const skewMs = dice.between(-1, 1) * this.topology.skewMsMax;
    const log: Log = (event, fields = {}) => {
      story.tell(name, `${event}${fieldsOf(fields)}`);
      if (isBug(event, fields)) this.violate(`${name} logs ${event}${fieldsOf(fields, 2_000)}`);
    };
    return new Process({ timeline, log, dice, name, skewMs });
  }
}

const named = (name: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${name}-${i + 1}`);
