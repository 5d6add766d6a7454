/**
 * A runner: joins its node to the platform, runs one session after another, and leaves in order when it is told to.
 */
import type { Gpu, JoinNode } from "../sdk/protocol.ts";
import type { Clock, Log, Random } from "../sdk/ports.ts";
import { ApiRefused, type NodeApi, persist, type RunnerApi } from "./api.ts";
import type { Engine } from "./engine.ts";
import type { GpuHealth } from "./gpu_health.ts";
import { Session } from "./session.ts";
import type { SessionVolumes } from "./volumes.ts";

/** What this machine is and has. */
export interface Machine {
  readonly name: string;
  /** That it takes its token to be of; undefined leaves it to the token. */
  readonly pool: string | undefined;
  readonly host: string;
  readonly cpu: number;
  /** MiB. */
  readonly memory: number;
  readonly gpus: readonly Gpu[];
  /** MiB of scratch space. */
  readonly disk: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Where other nodes reach it. */
  readonly address: string;
  /** Its port for gateways on other machines, if it has one. */
  readonly relay?: NonNullable<JoinNode["relay"]>;
}

export interface AgentDeps {
  readonly api: RunnerApi;
  readonly engine: Engine;
  readonly machine: Machine;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Tokens to join with, best first: the stored credential, then the join token. */
  tokens(): Promise<string[]>;
  /** The session of the runner before this one. */
  lastSession(): Promise<string | undefined>;
  /** Keeps the credential, and the session, for the next start. */
  joined(api: NodeApi, session: string): Promise<void>;
  /** True when the process that started this one, and ought to stop it, is gone. */
  orphaned(): boolean;
  readonly health: Pick<GpuHealth, "ailing" | "watch">;
  readonly volumes: SessionVolumes;
  readonly graceMs: number;
  readonly drainMs: number;
}

/** An orphan whose api was silent for this long has nothing left to live for. */
const ORPHAN_MS = 30_000;
const ORPHAN_LOOK_MS = 1_000;
/** Pause before joining again after a session was refused. */
const REJOIN_MS = 500;
const REFUSED_MS = 2_000;

/** The platform does not want this node, and will not. */
export class JoinRefused extends Error {
  override readonly name = "JoinRefused";
}

export class Agent {
  readonly #deps: AgentDeps;
  readonly #stopping = new AbortController();
  #session: Session | null = null;
  #leaving: Promise<void> | null = null;
  #lastHeardAt: number;
  #wasJoined = false;

  constructor(deps: AgentDeps) {
    this.#deps = deps;
    this.#lastHeardAt = deps.clock.now();
  }

  /**
   * Runs until it is stopped or orphaned, or is no longer wanted.
   *
   * @throws JoinRefused when it may not join, now or later; TypeError when its container engine came and can't be used
   */
  async run(): Promise<void> {
    this.#watchParent();
    const { engine, health } = this.#deps, { signal } = this.#stopping;
    const changed = () => this.#session?.healthChanged();
    const watching = Promise.all([health.watch(signal, changed), engine.watch?.(signal, changed)]);
    watching.catch(() => this.stop()); // and say so at the end
    try {
      await this.#runSessions();
    } finally {
      this.#stopping.abort();
      await Promise.allSettled([this.#leaving, watching]);
      this.#deps.volumes.close();
      await engine.close();
    }
    await watching;
  }

  async #runSessions(): Promise<void> {
    const { clock } = this.#deps;
    while (!this.#stopping.signal.aborted) {
      const session = await this.#join();
      if (session === null || this.#stopping.signal.aborted) break;
      this.#session = session;
      await session.run();
      this.#session = null;
      this.#lastHeardAt = session.heardAt;
      if (this.#deps.orphaned()) this.#stopping.abort();
      await clock.sleep(REJOIN_MS, this.#stopping.signal);
    }
  }

  /** Where a container of this node listens; null when there is none that does. */
  addressOf(container: string): string | null {
    return this.#session?.addressOf(container) ?? null;
  }

  /** Leaves in order. */
  stop(): void {
    if (this.#stopping.signal.aborted) return;
    this.#deps.log("runner.stopping");
    this.#stopping.abort();
    this.#leaving = this.#session?.leave(this.#deps.drainMs) ?? null;
  }

  /** A session of this node, however long it takes; null when it was told to stop meanwhile. */
  async #join(): Promise<Session | null> {
    const { clock, engine, log, graceMs, health, random, volumes } = this.#deps;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const session = random.bytes(12).toHex();
      const node = await this.#tryTokens(session, await this.#resumable());
      if (node !== null) {
        const { id, resumed } = node.node;
        log("runner.joined", { node: id, ...(resumed && { resumed: resumed.containers.length }) });
        this.#wasJoined = true;
        await engine.left?.spare(resumed?.containers.map(({ id }) => id) ?? []);
        await this.#deps.joined(node, session);
        return new Session({
          api: node,
          session,
          resumed,
          engine,
          clock,
          log,
          graceMs,
          health,
          volumes,
          released: () => this.stop(),
        });
      }
      await clock.sleep(REFUSED_MS, signal);
    }
    return null;
  }

  /** The session to go on with, where something of it still runs. */
  async #resumable(): Promise<string | undefined> {
    const { left } = this.#deps.engine;
    if (this.#wasJoined || left === undefined || left.ids.length === 0) return undefined;
    return await this.#deps.lastSession();
  }

  /** Null when it may be tried again. */
  async #tryTokens(session: string, resumes: string | undefined): Promise<NodeApi | null> {
    const { api, clock, log } = this.#deps;
    const { signal } = this.#stopping;
    let refusal: ApiRefused | null = null;
    for (const token of await this.#deps.tokens()) {
      try {
        return await persist(
          clock,
          signal,
          () => api.join({ ...this.#request(token, session), resumes }, signal),
        );
      } catch (error) {
        if (signal.aborted) return null;
        if (!(error instanceof ApiRefused)) throw error;
        log("runner.join_refused", { status: error.status, message: error.message });
        refusal = error;
      }
    }
    if (refusal === null) {
      throw new JoinRefused("Cannot join: there is no token, give one with BERTH_JOIN_TOKEN");
    }
    if (this.#isFinal(refusal)) throw new JoinRefused(refusal.message);
    return null;
  }

  /** A token that was never any good will not become so, nor will a node that is no longer wanted. */
  #isFinal({ status }: ApiRefused): boolean {
    return status === 400 || status === 403 || (status === 401 && !this.#wasJoined);
  }

  #request(token: string, session: string): JoinNode {
    const { gpus, labels, pool, ...machine } = this.#deps.machine;
    const named = pool === undefined ? {} : { pool };
    return { token, session, ...named, ...machine, gpus: [...gpus], labels: { ...labels } };
  }

  async #watchParent(): Promise<void> {
    const { clock, orphaned, log } = this.#deps;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await clock.sleep(ORPHAN_LOOK_MS, signal);
      const silentMs = clock.now() - (this.#session?.heardAt ?? this.#lastHeardAt);
      if (silentMs < ORPHAN_MS || !orphaned()) continue;
      log("runner.orphaned", { silentMs });
      this.#stopping.abort();
      this.#session?.abandon();
    }
  }
}
