/** A request as it arrives and its answer on the way back, whole or piece by piece. */
import type { Passage } from "./network.ts";
import type { Timeline } from "./timeline.ts";

export interface Way {
  readonly timeline: Timeline;
  latency(): number;
  /** The answer is lost. */
  readonly lost: boolean;
  /** A streamed answer breaks off. */
  readonly broken: boolean;
}

/** Has the request answered and the answer brought back. Runs in the process that answers. */
export async function carry(passage: Passage, way: Way): Promise<void> {
  const gone = new AbortController();
  passage.from.onEnd(() => hearsLater(passage, way, () => gone.abort()));
  passage.init.signal?.addEventListener("abort", () => hearsLater(passage, way, () => gone.abort()));
  const response = await passage.to.answer(requestOf(passage, gone.signal), passage.from.name);
  if (way.lost) {
    gone.abort();
    await response.body?.cancel();
    return tell(passage, way, () => passage.reject(new TypeError("error sending request: connection reset")));
  }
  if (isStream(response)) return stream(response, passage, way, gone);
  const body = await response.arrayBuffer();
  tell(passage, way, () => passage.resolve(new Response(response.status === 204 ? null : body, response)));
}

/** The side that answers learns of something after a while. */
const hearsLater = ({ to }: Passage, { timeline, latency }: Way, act: () => void): void =>
  void timeline.after(latency(), () => to.process.enter(act));

/** The side that asked does. */
const tell = ({ from }: Passage, { timeline, latency }: Way, act: () => void): void =>
  void timeline.after(latency(), () => from.enter(act));

function requestOf({ url, init }: Passage, signal: AbortSignal): Request {
  const headers = new Headers(init.headers);
  const { body } = init;
  if (typeof body === "string") headers.set("content-length", String(new TextEncoder().encode(body).length));
  if (body instanceof Uint8Array) headers.set("content-length", String(body.length));
  return new Request(url, { method: init.method ?? "GET", headers, body: body ?? null, signal });
}

const isStream = ({ headers }: Response): boolean =>
  /ndjson|event-stream/.test(headers.get("content-type") ?? "");

/** Pieces arrive in their order, each after its own time. */
async function stream(response: Response, passage: Passage, way: Way, gone: AbortController): Promise<void> {
  const { from, to } = passage;
  const reader = response.body!.getReader();
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  let open = true;
  const end = (act: () => void) => {
    if (!open) return;
    open = false;
    act();
  };
  const cancel = () => {
    end(() => {});
    hearsLater(passage, way, () => {
      gone.abort();
      reader.cancel().catch(() => {});
    });
  };
  const body = new ReadableStream<Uint8Array>({ start: (it) => void (controller = it), cancel });
  const broke = () => end(() => controller.error(new TypeError("error reading a body: connection reset")));
  passage.init.signal?.addEventListener("abort", cancel);
  to.process.onEnd(() => tell(passage, way, broke));

  let arrivesAt = 0;
  const bring = (act: () => void) => {
    arrivesAt = Math.max(arrivesAt, way.timeline.now + way.latency());
    way.timeline.at(arrivesAt, () => from.enter(act));
  };
  bring(() => passage.resolve(new Response(body, { status: response.status, headers: response.headers })));
  for (let pieces = 0;; pieces++) {
    const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
    if (done) return bring(() => end(() => controller.close()));
    bring(() => open && controller.enqueue(value!));
    if (way.broken && pieces > 0) {
      gone.abort();
      reader.cancel().catch(() => {});
      return bring(broke);
    }
  }
}
