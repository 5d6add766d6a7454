/** What an engine tells while it works (pull, push, build): one JSON object a line, the last of which may be an error. */
import { z } from "zod";
import { EngineAway, EngineRefused } from "./http.ts";

export const Told = z.object({
  status: z.string().optional(),
  /** The layer it is about. */
  id: z.string().optional(),
  progressDetail: z.object({ current: z.number().optional(), total: z.number().optional() }).nullish(),
  /** Output of a build step. */
  stream: z.string().optional(),
  /** Of a build: the id of what was built. */
  aux: z.object({ ID: z.string().optional(), Digest: z.string().optional() }).nullish(),
  error: z.string().optional(),
});
export type Told = z.infer<typeof Told>;

const LINE_CHARACTERS_MAX = 1024 * 1024;

/**
 * Tells each line of an answer. Some engines say that they failed by a status, some by the last line of a good one: both throw
 * {@link EngineRefused}.
 */
export async function readTold(response: Response, tell: (told: Told) => void): Promise<void> {
  let rest = "";
  for await (const text of textOf(response)) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    if (rest.length > LINE_CHARACTERS_MAX) {
      throw new EngineRefused(500, "The container engine said a line without end");
    }
    for (const line of lines) take(line, tell);
  }
  take(rest, tell);
}

async function* textOf({ body }: Response): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  try {
    for await (const bytes of body ?? []) yield decoder.decode(bytes, { stream: true });
  } catch (cause) {
    throw new EngineAway("The container engine went away while it worked", { cause });
  }
}

function take(line: string, tell: (told: Told) => void): void {
  if (line.trim() === "") return;
  const told = Told.safeParse(safeJson(line));
  if (!told.success) return; // a kind of news that does not concern us
  if (told.data.error !== undefined) throw new EngineRefused(500, told.data.error);
  tell(told.data);
}

function safeJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
