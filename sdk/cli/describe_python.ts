/** What the Python files of a bundle declare, read from their text on the machine that deploys. None of their code runs. */
import { z } from "zod";
import { fileURLToPath } from "node:url";
import type { FunctionSpec, Manifest } from "../protocol/apps.ts";
import type { RunDeno } from "./deno_process.ts";
import { SourceError } from "./failure.ts";

const Method = z.object({ member: z.string(), stream: z.boolean() });
const Answer = z.union([
  z.object({ kind: z.literal("function"), stream: z.boolean() }),
  z.object({ kind: z.literal("class"), methods: z.array(Method) }),
  z.object({ problem: z.string(), file: z.string(), line: z.number(), column: z.number() }),
]);
type Answer = z.infer<typeof Answer>;

const SCRIPT = fileURLToPath(new URL("./describe_python.py", import.meta.url));
const TIMEOUT_MS = 30_000;

/** The manifest with what only the files of its Python functions tell: classes and their methods, and which are generators. */
export async function describePython(run: RunDeno, dir: string, manifest: Manifest): Promise<Manifest> {
  const entries = manifest.functions.filter(({ body }) => body === "python").map(({ entry }) => entry);
  if (entries.length === 0) return manifest;
  const answers = new Map((await ask(run, dir, entries)).map((answer, i) => [entries[i]!, answer]));
  return {
    ...manifest,
    functions: manifest.functions.map((spec) => completed(spec, answers.get(spec.entry))),
  };
}

async function ask(run: RunDeno, dir: string, entries: readonly string[]): Promise<Answer[]> {
  const { code, stdout, stderr } = await run({
    command: "python3",
    args: ["-I", SCRIPT],
    cwd: dir,
    stdin: JSON.stringify({ dir, entries }),
    timeoutMs: TIMEOUT_MS,
  }).catch((cause) => {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw new SourceError(`Cannot deploy "${entries[0]}": there is no python3 here to read it with`, {
      hint: "Install Python 3.8 or newer on this machine; the file is only parsed, not run.",
    });
  });
  if (code === 0) return z.array(Answer).parse(JSON.parse(stdout));
  throw new SourceError(`Cannot read "${entries[0]}": python3 ended with exit code ${code}`, {
    details: stderr.trim(),
  });
}

function completed(spec: FunctionSpec, answer: Answer | undefined): FunctionSpec {
  if (answer === undefined) return spec;
  if ("problem" in answer) {
    const { problem, ...place } = answer;
    throw new SourceError(`Cannot deploy "${spec.entry}": ${problem}`, { place });
  }
  if (answer.kind === "class") return classOf(spec, answer.methods);
  return {
    ...spec,
    methods: spec.methods.map((method) => ({ ...method, stream: method.stream || answer.stream })),
  };
}

function classOf(spec: FunctionSpec, methods: readonly z.infer<typeof Method>[]): FunctionSpec {
  if (spec.schedules.length > 0) {
    throw new SourceError(`Cannot deploy "${spec.entry}": \`schedule\` is for functions, and it is a class`);
  }
  const named = methods.map(({ member, stream }) =>
    ({ name: `${spec.name}.${member}`, member, kind: "call", stream }) as const
  );
  return { ...spec, kind: "class", methods: named };
}
