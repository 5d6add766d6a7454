/**
 * Endpoint traffic: find the route, wait for a slot, pass the request on, pass the response back. Bodies are streamed both ways and no
 * database is asked on the way, but for the keys that nobody has used lately.
 */
import type { DemandRow } from "../../scheduler/store/demand.ts";
import type { Wakes } from "../../scheduler/wakes.ts";
import type { Clock, Log, Random } from "../../sdk/ports.ts";
import { LIMITS } from "../../sdk/protocol.ts";
import { type Caller, permit } from "../auth.ts";
import { DemandReporter } from "./demand.ts";
import type { UpstreamRequest, UpstreamResponse } from "./exchange.ts";
import { RouteFeed } from "./feed.ts";
import { HoldError } from "./hold.ts";
import * as refusals from "./refusals.ts";
import {
  belowMount,
  parseTarget,
  passedHeaders,
  requestHead,
  responseHeaders,
  type Target,
} from "./request.ts";
import type { EndpointRoute, FunctionRoute, RouteTable } from "./routes.ts";
import { type Slot, Slots } from "./slots.ts";
import type { Upstream } from "./upstream.ts";
import { UpstreamError } from "./upstream_error.ts";
import { bridge, isWebSocket } from "./websocket.ts";

export interface GatewayDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly wakes: Wakes;
  readonly upstream: Upstream;
  readonly loadRoutes: () => Promise<RouteTable>;
  /** Writes and commits what this gateway serves and holds. */
  readonly reportDemand: (rows: readonly DemandRow[], now: number) => Promise<void>;
  /** Why a function has no container, as the scheduler sees it. */
  readonly waitingReason: (functionId: number) => Promise<string | null>;
  /** Whose key the request carries; throws a PlatformError when it is no good. */
  readonly authenticate: (request: Request) => Promise<Caller>;
  /** Where requests without a key look for public endpoints. */
  readonly publicWorkspace: string;
}

export interface GatewayStats {
  /** Since the start. */
  readonly requests: number;
  readonly inFlight: number;
  readonly held: number;
}

/** What a platform key looks like. Any other `Authorization` is between the client and user code. */
const PLATFORM_KEY = /^Bearer +berth_/i;
/** Nobody waits longer, whatever the function's timeouts say; timers can't count much further either. */
const PATIENCE_MS = 24 * 3_600_000;
/** What a start that just failed has to be heard of, so that who waited for it is told why. */
const VERDICT_MS = 2_000;
/** Of nginx: the client went away. Nobody sees it. */
const CLIENT_GONE = 499;

/** What the server knows of a request beside the request. */
export interface From {
  readonly requestId: string;
  /** Address of the client. */
  readonly peer: string | null;
}

/** One request on its way. */
interface Passage {
  readonly request: Request;
  readonly target: Target;
  readonly route: EndpointRoute;
  /** It carried a platform key, which user code must not see. */
  readonly keyed: boolean;
  readonly from: From;
}

export class Gateway {
  readonly #deps: GatewayDeps;
  readonly #feed: RouteFeed;
  readonly #demand: DemandReporter;
  readonly #slots = new Map<number, Slots>();
  readonly #closed = new AbortController();
  #draining = false;
  #requests = 0;
  #onIdle: (() => void) | null = null;

  constructor(deps: GatewayDeps) {
    this.#deps = deps;
    this.#feed = new RouteFeed({ ...deps, load: deps.loadRoutes, changed: (table) => this.#update(table) });
    this.#demand = new DemandReporter({ ...deps, report: deps.reportDemand });
  }

  /** Resolves when there are routes. */
  start(): Promise<void> {
    return this.#feed.start();
  }

  /** Resolves when what was committed before is in the route table; to be awaited after a deploy, so that a caller finds it. */
  refresh(): Promise<void> {
    return this.#feed.refresh();
  }

  stats(): GatewayStats {
    const all = [...this.#slots.values()];
    const sum = (of: (slots: Slots) => number) => all.reduce((total, slots) => total + of(slots), 0);
    return {
      requests: this.#requests,
      inFlight: sum(({ inFlight }) => inFlight),
      held: sum(({ held }) => held),
    };
  }

  /** Answers a request to `/e/…`; throws a PlatformError when no container does. */
  async handle(request: Request, from: From): Promise<Response> {
    this.#requests++;
    const target = parseTarget(request.url);
    if (target === null) throw refusals.noSuchPath();
    const caller = await this.#caller(request);
    const route = await this.#find(target, caller);
    if (route.auth === "key") {
      if (caller === null) throw refusals.keyNeeded(target);
      permit(caller, "invoke");
    }
    const asked = route.function.mounted ? belowMount(target) : target;
    const passage = { request, target: asked, route, from, keyed: caller !== null };
    return isWebSocket(request) ? await this.#connect(passage) : await this.#pass(passage);
  }

  /** Takes no more requests, waits for those under way, breaks off what takes longer, and lets go of everything. */
  async drain(graceMs = 10_000): Promise<void> {
    this.#draining = true;
    for (const slots of this.#slots.values()) slots.close("closed");
    if (this.stats().inFlight > 0) {
      const idle = new Promise<void>((resolve) => this.#onIdle = resolve);
      await Promise.race([idle, this.#deps.clock.sleep(graceMs, this.#closed.signal)]);
    }
    this.#closed.abort();
    this.#deps.upstream.close();
    this.#feed.close();
    await this.#demand.close();
  }

  // ── the way of a request ──────────────────────────────────────────────────────────────────────────────────────────────

  async #caller(request: Request): Promise<Caller | null> {
    const authorization = request.headers.get("authorization");
    return authorization !== null && PLATFORM_KEY.test(authorization)
      ? await this.#deps.authenticate(request)
      : null;
  }

  /** An endpoint that isn't known may have been deployed by another process a moment ago. */
  async #find(target: Target, caller: Caller | null): Promise<EndpointRoute> {
    const workspace = caller?.workspace ?? this.#deps.publicWorkspace;
    const find = () => this.#feed.table.find(workspace, target.app, target.endpoint);
    const found = find();
    if (found !== undefined) return found;
    await this.#feed.missed();
    const deployed = find();
    if (deployed !== undefined) return deployed;
    const known = caller === null
      ? []
      : this.#feed.table.endpoints.filter((route) => route.workspace === workspace);
    throw refusals.noSuchEndpoint(target, known.map(({ app, endpoint }) => `${app}/${endpoint}`));
  }

  async #pass(passage: Passage): Promise<Response> {
    const { request, route } = passage;
    const sent = upstreamRequest(passage);
    const until = this.#heldUntil(route);
    let repeated = false;
    for (;;) {
      const slot = await this.#slot(passage, until);
      if (slot === null) return new Response(null, { status: CLIENT_GONE });
      try {
        const received = await this.#deps.upstream.send(slot.container.address, sent, {
          signal: request.signal,
          until: this.#deps.clock.now() + Math.min(route.function.timeoutMs, PATIENCE_MS),
          ended: slot.release,
        });
        return toResponse(received, passage.from);
      } catch (error) {
        const again = this.#mayRepeat(error, slot, repeated);
        slot.release();
        if (request.signal.aborted) return new Response(null, { status: CLIENT_GONE });
        if (!again) throw error instanceof UpstreamError ? refusals.notAnswered(error, route) : error;
        repeated ||= (error as UpstreamError).fault !== "unreachable";
      }
    }
  }

  /** A container that nobody answers for has exited: the next one is asked, for as long as a start may take. */
  #mayRepeat(error: unknown, slot: Slot, repeated: boolean): boolean {
    if (!(error instanceof UpstreamError)) return false;
    if (error.fault !== "unreachable") return error.repeatable && !repeated;
    slot.shun();
    return true;
  }

  #heldUntil = ({ function: { startTimeoutMs } }: EndpointRoute): number =>
    this.#deps.clock.now() + Math.min(startTimeoutMs + VERDICT_MS, PATIENCE_MS);

  /** Null: the client has gone. */
  async #slot({ request, route }: Passage, until: number): Promise<Slot | null> {
    if (this.#draining) throw refusals.shuttingDown();
    try {
      return await this.#slotsOf(route.function).acquire(until, request.signal);
    } catch (error) {
      if (!(error instanceof HoldError)) throw error;
      if (error.end === "gone") return null;
      if (this.#draining) throw refusals.shuttingDown();
      const reason = error.end === "late" ? await this.#waitingReason(route.function.id) : null;
      throw refusals.notHeld(error.end, route, reason);
    }
  }

  /** The request has failed already: not knowing why must not make it fail otherwise. */
  async #waitingReason(functionId: number): Promise<string | null> {
    try {
      return await this.#deps.waitingReason(functionId);
    } catch {
      return null;
    }
  }

  async #connect(passage: Passage): Promise<Response> {
    const { request, target, route, keyed, from } = passage;
    const until = this.#heldUntil(passage.route);
    const slot = await this.#slot(passage, until);
    if (slot === null) return new Response(null, { status: CLIENT_GONE });
    try {
      const headers = passedHeaders({ target, headers: request.headers, hideAuthorization: keyed, ...from });
      return await bridge(request, {
        address: slot.container.address,
        url: `ws://${target.host}${target.path}`,
        headers,
        closed: this.#closed.signal,
        ended: slot.release,
      });
    } catch (error) {
      slot.release();
      throw error instanceof UpstreamError ? refusals.notAnswered(error, route) : error;
    }
  }

  // ── slots ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #slotsOf(route: FunctionRoute): Slots {
    const known = this.#slots.get(route.id);
    if (known !== undefined) return known;
    const slots = new Slots(route, {
      ...this.#deps,
      limit: LIMITS.heldRequestsPerFunction,
      changed: (slots) => this.#changed(slots),
      closed: this.#closed.signal,
    });
    this.#slots.set(route.id, slots);
    return slots;
  }

  #changed({ route, inFlight, held, heldSince }: Slots): void {
    this.#demand.note(route.id, { inFlight, waiting: held, oldestAt: heldSince });
    if (this.#onIdle !== null && inFlight === 0 && this.stats().inFlight === 0) this.#onIdle();
  }

  #update(table: RouteTable): void {
    const containers = [...table.functions.values()].flatMap(({ containers }) => containers);
    this.#deps.upstream.keepTo(new Set(containers.map(({ address }) => address)));
    for (const [id, slots] of this.#slots) {
      const route = table.functions.get(id);
      slots.update(route ?? { ...slots.route, containers: [] });
      if (route !== undefined) continue;
      slots.close("closed");
      if (slots.inFlight === 0) this.#slots.delete(id);
    }
  }
}

export const createGateway = (deps: GatewayDeps): Gateway => new Gateway(deps);

function upstreamRequest({ request, target, keyed, from }: Passage): UpstreamRequest {
  const { method, headers } = request;
  const bodyBytes = bodyBytesOf(request);
  const head = requestHead({ method, target, headers, bodyBytes, hideAuthorization: keyed, ...from });
  return { method, head, body: bodyBytes === undefined ? null : { stream: request.body!, bytes: bodyBytes } };
}

/** Bytes of the body; null: it ends when it ends; undefined: there is none. */
function bodyBytesOf({ body, headers }: Request): number | null | undefined {
  if (body === null) return undefined;
  const length = headers.get("content-length");
  if (length === null) return null;
  return Number(length) === 0 ? undefined : Number(length);
}

function toResponse({ status, headers, body }: UpstreamResponse, { requestId }: From): Response {
  const passed = responseHeaders(headers, { sized: body instanceof Uint8Array, requestId });
  return new Response(body, { status, headers: passed });
}
