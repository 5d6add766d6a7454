/**
 * The runner's verbs without a database: a queue per function, leases, and a memory of all that was reported. It keeps the
 * promises that the real api makes, and can break the connection's.
 */
import type {
  Assignment,
  Claim,
  CommitCheckpoint,
  DeliveredSecret,
  ExchangeRequest,
  Failure,
  Json,
  LogRecord,
  Master,
  ObservedContainer,
  PublishCallArtifact,
  RegistryCredential,
  Resumed,
  SyncRequest,
} from "../../sdk/protocol.ts";

export interface Ended {
  readonly outcome: 0 | 1 | 2;
  readonly value: Json | Failure;
  readonly attempt: number;
  readonly cpuUs: number;
}

interface Waiting {
  readonly batch: number;
  readonly index: number;
  readonly attempt: number;
  readonly method: string;
  readonly input: Json;
}

interface Lease {
  readonly claim: Claim;
  readonly function: string;
  readonly exchange: number;
  readonly reported: Set<number>;
}

type Event = ExchangeRequest["events"][number];

const RETRIED = ["node_lost", "preempted"];

export class FakeApi implements AsyncDisposable {
  readonly #server: Deno.HttpServer;
  readonly #queue = new Map<string, Waiting[]>();
  readonly #leases = new Map<number, Lease>();
  #wake = Promise.withResolvers<void>();
  #closed = false;
  #exchanges = 0;
  #syncs = 0;
  #batches = 0;
  #revision = 1;
  #session = "";
  #cancels: (readonly [batch: number, index: number])[] = [];

  readonly origin: string;
  readonly joins: { token: string; session: string; resumes?: string; gpus: unknown[] }[] = [];
  readonly bundles = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly observed = new Map<string, ObservedContainer>();
  /** What it said of its container engine last. */
  engine: SyncRequest["engine"];
  /** All ends of each call, `batch:index`; more than one is a fault. */
  readonly ended = new Map<string, Ended[]>();
  /** Log lines of each call, in the order they came. */
  readonly logs = new Map<string, LogRecord[]>();
  /** Of containers without calls, `stream: text`. */
  readonly containerLogs = new Map<string, string[]>();
  readonly events = new Map<string, Event[]>();
  readonly checkpoints = new Map<string, Uint8Array>();
  /** Of the parts in which artifacts are uploaded. */
  partBytes = 2 * 1024 * 1024;
  /** Versions of each artifact. */
  readonly artifacts = new Map<string, Uint8Array<ArrayBuffer>[]>();
  /** Bytes that were uploaded and not committed. */
  readonly uploads = new Map<string, Uint8Array>();
  readonly requests: { container: string; path: string; method: string; body: string }[] = [];
  readonly exchangeSizes: number[] = [];
  givenBack = 0;
  /** What every container is given that asks, and who has asked. */
  secrets: DeliveredSecret[] = [];
  readonly deliveries: string[] = [];
  /** Of the registry of an image that names a secret. */
  registryCredential: RegistryCredential | null = null;
  /** Why none is given. */
  refusesSecrets: string | null = null;
  wanted: Assignment[] = [];
  /** Where rank 0 of every gang is said to listen. */
  master: Master | undefined;
  /** Answers that are lost after the request was acted on. */
  loseReplies = 0;
  /** Answers every request with 503. */
  away = false;
  /** Requests that found it away. */
  turnedAway = 0;
  /** Refuses batches for which it says why. */
  refuses: (request: ExchangeRequest) => string | null = () => null;
  answer: (path: string, request: Request) => Response = () => Response.json({});

  private constructor() {
    this.#server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: () => {} },
      (request) => this.#serve(request),
    );
    this.origin = `http://127.0.0.1:${(this.#server.addr as Deno.NetAddr).port}`;
  }

  /** All that was given to containers. */
  get claims(): Claim[] {
    return [...this.#leases.values()].map(({ claim }) => claim);
  }

  static start(): FakeApi {
    return new FakeApi();
  }

  /** Wants these containers, and no others. */
  want(...assignments: Assignment[]): void {
    this.wanted = assignments;
    this.#revision++;
    this.#ring();
  }

  /** Queues calls; returns their batch. */
  call(fn: string, inputs: readonly Json[], method = fn): number {
    const batch = ++this.#batches;
    const queue = this.#queueOf(fn);
    inputs.forEach((input, index) => queue.push({ batch, index, attempt: 1, method, input }));
    this.#ring();
    return batch;
  }

  cancel(batch: number, index: number): void {
    this.#cancels.push([batch, index]);
    this.#ring();
  }

  /** Forgets the runner's session. */
  evict(): void {
    this.#session = "";
    this.#ring();
  }

  /** The one end of a call; undefined while it has none. */
  endOf(batch: number, index = 0): Ended | undefined {
    const ends = this.ended.get(`${batch}:${index}`) ?? [];
    if (ends.length > 1) throw new Error(`Call ${batch}:${index} ended ${ends.length} times`);
    return ends[0];
  }

  /** Ends of all calls of a batch, when all have ended. */
  endsOf(batch: number, count: number): Ended[] | null {
    const ends = Array.from({ length: count }, (_, index) => this.endOf(batch, index));
    return ends.every((end) => end !== undefined) ? ends as Ended[] : null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#ring();
    await this.#server.shutdown();
  }

  async #serve(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const [, , , , verb, ...rest] = pathname.split("/");
    if (this.away) this.turnedAway++;
    if (this.away) return Response.json({ error: { message: "away" } }, { status: 503 });
    if (pathname.startsWith("/v1/blobs/")) return await this.#upload(request, pathname);
    if (verb === undefined) return this.#join(await request.json());
    if (request.headers.get("authorization") !== "Bearer credential") {
      return Response.json({}, { status: 401 });
    }
    if (verb === "sync") return await this.#sync(await request.json());
    if (verb === "exchange") return await this.#exchange(await request.json(), request.signal);
    if (verb === "bundles") {
      return new Response(this.bundles.get(rest[0]!) ?? null, {
        status: this.bundles.has(rest[0]!) ? 200 : 404,
      });
    }
    if (verb === "containers" && rest[1] === "registry") return Response.json(this.registryCredential);
    if (verb === "containers") return this.#deliver(rest[0]!);
    if (verb === "checkpoints" && request.method === "GET") return this.#checkpoint(searchParams);
    if (verb === "checkpoints") return this.#save(rest[0] === "uploads", await request.json());
    if (verb === "artifacts") return await this.#artifact(rest[0] === "uploads", await request.json());
    return await this.#as(request, rest);
  }

  #deliver(container: string): Response {
    this.deliveries.push(container);
    return this.refusesSecrets === null
      ? Response.json({ secrets: this.secrets })
      : Response.json({ error: { message: this.refusesSecrets } }, { status: 409 });
  }

  #join(body: FakeApi["joins"][number]): Response {
    this.joins.push(body);
    const resumes = body.resumes !== undefined && body.resumes === this.#session;
    this.#session = body.session;
    if (!resumes) this.#loseAll();
    const resumed = resumes ? { resumed: this.#resumed() } : {};
    return Response.json({ id: "node_1", credential: "credential", ...resumed });
  }

  /** What the runner before had: containers that were ready, and calls that are not reported. */
  #resumed(): Resumed {
    const ready = this.wanted.filter(({ id }) => this.observed.get(id)?.observed === "ready");
    const leases = [...this.#leases.values()].flatMap(({ claim: { inputs, lo, ...claim }, reported }) => {
      const indexes = inputs.map((_, i) => lo + i).filter((index) => !reported.has(index));
      return indexes.length === 0 ? [] : [{ ...claim, indexes, ageMs: 1_000 }];
    });
    return {
      containers: ready.map((one) => ({
        ...one,
        nextLine: this.containerLogs.get(one.id)?.length ?? 0,
      })),
      leases,
    };
  }

  /** A new session: what an earlier one had is gone. */
  #loseAll(): void {
    for (const lease of this.#leases.values()) this.#lose(lease);
    this.observed.clear();
  }

  #lose({ claim, function: fn, reported }: Lease): void {
    claim.inputs.forEach((input, i) => {
      const index = claim.lo + i;
      if (reported.has(index)) return;
      reported.add(index);
      this.#queueOf(fn).push({
        batch: claim.batch,
        index,
        attempt: claim.attempt + 1,
        method: claim.method,
        input,
      });
    });
  }

  async #sync(request: SyncRequest): Promise<Response> {
    if (request.session !== this.#session) {
      return Response.json({ error: { message: "session over" } }, { status: 409 });
    }
    const mine = ++this.#syncs;
    this.#ring();
    this.engine = request.engine;
    for (const container of request.containers) this.#observe(container, request.leases);
    await this.#parked(10_000, () => mine === this.#syncs && request.revision === this.#revision);
    return Response.json({ revision: this.#revision, containers: this.wanted });
  }

  #observe(container: ObservedContainer, held: readonly number[]): void {
    this.observed.set(container.id, container);
    if (container.observed !== "exited" || !this.wanted.some(({ id }) => id === container.id)) return;
    this.wanted = this.wanted.filter(({ id }) => id !== container.id);
    this.#revision++;
    for (const lease of this.#leases.values()) {
      if (lease.claim.container === container.id && !held.includes(lease.claim.lease)) this.#lose(lease);
    }
  }

  /** @param signal its runner has gone: it is given nothing any more */
  async #exchange(request: ExchangeRequest, signal: AbortSignal): Promise<Response> {
    if (request.session !== this.#session) {
      return Response.json({ error: { message: "session over" } }, { status: 409 });
    }
    const mine = ++this.#exchanges;
    this.#ring();
    const refusal = this.refuses(request);
    if (refusal !== null) return Response.json({ error: { message: refusal } }, { status: 400 });
    this.#keep(request);
    const again = [...this.#leases.values()].filter(({ exchange }) => request.missed.includes(exchange)).map((
      { claim },
    ) => claim);
    const until = performance.now() + request.waitMs;
    let [claims, cancels] = [this.#claim(request), this.#due()];
    while (
      claims.length + cancels.length + again.length === 0 && performance.now() < until &&
      !this.#closed && mine === this.#exchanges
    ) {
      await this.#parked(until - performance.now(), () => true);
      if (signal.aborted) return Response.json({});
      [claims, cancels] = [this.#claim(request), this.#due()];
    }
    if (this.loseReplies > 0 && claims.length + request.reports.length > 0) {
      this.loseReplies--;
      return Response.json({}, { status: 502 });
    }
    return Response.json({ claims: [...again, ...claims], cancels });
  }

  #keep(request: ExchangeRequest): void {
    this.exchangeSizes.push(request.reports.reduce((sum, { done }) => sum + done.length, 0));
    for (const [id, , , stream, text] of request.containerLogs) {
      push(this.containerLogs, id, `${stream}: ${text}`);
    }
    for (const log of request.logs) push(this.logs, this.#keyOf(log), log);
    for (const event of request.events) push(this.events, this.#keyOf(event), event);
    for (const { lease, done } of request.reports) {
      for (const [index, outcome, value, , , cpuUs] of done) {
        this.#report(lease, index, outcome, value, cpuUs);
      }
    }
  }

  #report(id: number, index: number, outcome: 0 | 1 | 2 | 3, value: Json | Failure, cpuUs: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined || lease.reported.has(index)) return;
    lease.reported.add(index);
    const { claim: { batch, lo, attempt, method, inputs }, function: fn } = lease;
    const again = outcome === 3 || (outcome === 1 && RETRIED.includes((value as Failure).kind));
    if (outcome === 3) this.givenBack++;
    if (!again) {
      return push(this.ended, `${batch}:${index}`, { outcome: outcome as 0 | 1 | 2, value, attempt, cpuUs });
    }
    this.#queueOf(fn).push({
      batch,
      index,
      attempt: outcome === 3 ? attempt : attempt + 1,
      method,
      input: inputs[index - lo]!,
    });
    this.#ring();
  }

  #claim({ free, seq }: ExchangeRequest): Claim[] {
    return free.flatMap(({ container, calls }) => {
      const assignment = this.wanted.find(({ id }) => id === container);
      if (assignment === undefined || assignment.desired !== "run") return [];
      const taken = this.#queueOf(assignment.spec.name).splice(0, calls);
      return runs(taken).map((run) => this.#lease(run, container, assignment.spec.name, seq));
    });
  }

  #lease(run: Waiting[], container: string, fn: string, exchange: number): Claim {
    const { batch, index: lo, attempt, method } = run[0]!;
    const claim = {
      lease: this.#leases.size + 1,
      container,
      batch,
      lo,
      attempt,
      method,
      inputs: run.map(({ input }) => input),
      ...(this.master === undefined ? {} : { master: this.master }),
    };
    this.#leases.set(claim.lease, { claim, function: fn, exchange, reported: new Set() });
    return claim;
  }

  #due(): (readonly [number, number])[] {
    this.#cancels = this.#cancels.filter(([batch, index]) => this.endOf(batch, index) === undefined);
    return this.#cancels.flatMap(([batch, index]) => {
      const lease = [...this.#leases.values()].find(({ claim, reported }) =>
        claim.batch === batch && index >= claim.lo && index < claim.lo + claim.inputs.length &&
        !reported.has(index)
      );
      return lease === undefined ? [] : [[lease.claim.lease, index] as const];
    });
  }

  #save(begins: boolean, { lease, index, name, upload }: CommitCheckpoint): Response {
    if (begins) {
      const upload = String(this.uploads.size).padStart(32, "0");
      this.uploads.set(upload, new Uint8Array());
      return Response.json({ upload, url: `/v1/blobs/${upload}`, headers: { "x-signed": "yes" } });
    }
    this.checkpoints.set(this.#checkpointKey(lease, index, name ?? null), this.uploads.get(upload)!);
    return Response.json({ id: 1, size: 1 });
  }

  async #upload(request: Request, path: string): Promise<Response> {
    const bytes = await request.bytes();
    if (request.headers.get("authorization") !== null || request.headers.get("x-signed") !== "yes") {
      return Response.json({ error: { message: "signed, and nothing else" } }, { status: 403 });
    }
    const key = path.slice("/v1/blobs/".length);
    this.uploads.set(key, bytes);
    return new Response(null, { status: 201, headers: { etag: key } });
  }

  #checkpoint(query: URLSearchParams): Response {
    const key = this.#checkpointKey(
      Number(query.get("lease")),
      Number(query.get("index")),
      query.get("name"),
    );
    const bytes = this.checkpoints.get(key);
    return bytes === undefined ? new Response(null, { status: 204 }) : new Response(bytes.slice());
  }

  async #artifact(
    begins: boolean,
    { name, digest, size, upload, etags }: PublishCallArtifact,
  ): Promise<Response> {
    if (begins) {
      const parts = Array.from({ length: Math.max(1, Math.ceil(size / this.partBytes)) }, (_, i) => ({
        url: `/v1/blobs/artifact-${i}-${digest}`,
        headers: { "x-signed": "yes" },
      }));
      return Response.json({ upload: digest.slice(0, 32), partBytes: this.partBytes, parts });
    }
    const parts = etags.map((etag) => this.uploads.get(etag)! as Uint8Array<ArrayBuffer>);
    const bytes = await new Blob(parts).bytes();
    const actual = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    if (actual !== digest || upload !== digest.slice(0, 32)) {
      return Response.json({ error: { message: "other bytes" } }, { status: 400 });
    }
    const versions = [...this.artifacts.get(name) ?? [], bytes];
    this.artifacts.set(name, versions);
    return Response.json({ name, version: versions.length, digest, size: bytes.length }, { status: 201 });
  }

  #checkpointKey(lease: number, index: number, name: string | null): string {
    return name ?? `${this.#leases.get(lease)?.claim.batch}:${index}`;
  }

  async #as(request: Request, [container, ...path]: string[]): Promise<Response> {
    this.requests.push({
      container: container!,
      path: `/${path.join("/")}`,
      method: request.method,
      body: await request.text(),
    });
    return this.answer(`/${path.join("/")}`, request);
  }

  #keyOf([lease, index]: LogRecord | Event): string {
    return `${this.#leases.get(lease)?.claim.batch}:${index}`;
  }

  #queueOf(fn: string): Waiting[] {
    const queue = this.#queue.get(fn) ?? [];
    this.#queue.set(fn, queue);
    return queue;
  }

  #ring(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  /** Waits for the next ring, at most `ms`, while there is reason to. */
  async #parked(ms: number, worth: () => boolean): Promise<void> {
    if (!worth() || ms <= 0 || this.#closed) return;
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(() => late.resolve(), ms);
    await Promise.race([this.#wake.promise, late.promise]);
    clearTimeout(timer);
  }
}

/** Cuts calls into those that can be one claim. */
function runs(calls: readonly Waiting[]): Waiting[][] {
  const all: Waiting[][] = [];
  for (const call of calls) {
    const last = all.at(-1)?.at(-1);
    const follows = last !== undefined && last.batch === call.batch && last.index + 1 === call.index &&
      last.attempt === call.attempt;
    if (follows) all.at(-1)!.push(call);
    else all.push([call]);
  }
  return all;
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
