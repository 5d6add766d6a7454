/** The clients of a world at work: each deploys its app, then does one thing after another, several at a time. */
import { PlatformError } from "../../sdk/errors.ts";
import type { SimulatedClient } from "./client.ts";
import type { AppShape } from "./topology.ts";
import { TASKS } from "./workload/mod.ts";
import type { Scene, Task } from "./workload/task.ts";
import type { World } from "./world.ts";

interface Member {
  readonly client: SimulatedClient;
  readonly app: AppShape;
}

export class Crowd {
  readonly #world: World;
  readonly #members: readonly Member[];
  /** Things that are being done. */
  #doing = new Set<string>();

  constructor(world: World) {
    this.#world = world;
    this.#members = world.topology.apps.map((app, i) => ({
      app,
      client: world.client(`client-${i + 1}`, app.workspace),
    }));
  }

  /** What clients still do, in words. */
  get doing(): readonly string[] {
    return [...this.#doing];
  }

  /** Works until an instant, or until there are calls enough. */
  work(until: number): void {
    this.operate("begin", () => this.#world.operator.begin());
    for (const member of this.#members) this.#work(member, until);
  }

  /** Nothing is to be kept warm any more, or to come by itself. */
  retire(): void {
    this.operate("tidy", () => this.#world.operator.tidy());
    for (const { client, app } of this.#members) {
      const functions = app.functions.map((spec) => ({
        ...spec,
        schedules: [],
        scale: { ...spec.scale, min: 0, scaledownWindow: "1s" },
      }));
      this.#attempt(client.process.name, "retire", () => client.deploy(app.name, functions));
    }
  }

  operate(what: string, act: () => Promise<void>): void {
    this.#attempt("operator", what, act);
  }

  async #work({ client, app }: Member, until: number): Promise<void> {
    const { dice: all, timeline, ledger, callsMax, topology } = this.#world;
    const dice = all.of(client.process.name).of("work");
    await this.#attempt(client.process.name, "deploy", () => client.deploy(app.name, app.functions));
    const everyMs = dice.spread(400, 5_000);
    const tasks = dice.some(TASKS, 0.7);
    for (let n = 1; timeline.now < until && ledger.wishes.length < callsMax; n++) {
      this.#begin(client, dice.pick(tasks), n, {
        client,
        dice: dice.of(n),
        ledger,
        apps: [app],
        hosts: topology.hosts,
        pause: (ms) => client.process.clock.sleep(ms),
      });
      await client.process.clock.sleep(dice.between(0, 2 * everyMs));
    }
  }

  #begin(client: SimulatedClient, task: Task, n: number, scene: Scene): void {
    this.#attempt(client.process.name, `${task.name} ${n}`, () => task.run(scene));
  }

  async #attempt(name: string, what: string, act: () => Promise<void>): Promise<void> {
    const { story } = this.#world;
    const doing = `${name}: ${what}`;
    this.#doing.add(doing);
    story.tell(name, `begins ${what}`);
    try {
      await act();
    } catch (error) {
      if (!isRefusal(error)) this.#world.violate(`${doing}: ${(error as Error).stack ?? error}`);
    }
    story.tell(name, `ends ${what}`);
    this.#doing.delete(doing);
  }
}

/** A redeploy took the function away. */
const isRefusal = (error: unknown): boolean => error instanceof PlatformError && error.code === "not_found";
