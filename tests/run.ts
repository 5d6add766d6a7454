/**
 * The gate: format, lint, types, then every test, in the order of what they cost. Prints what each stage did and ends with
 * a line counted from the test reports.
 *
 * `deno task ok` runs it; `deno task ok unit types` runs the stages it names.
 */
import { startCeph } from "./setup/components/ceph.ts";
import { ENGINES_VARIABLE, startTestEngines } from "./setup/components/engines.ts";
import { enginesWork, prepareMachine, s3Works } from "./setup/machine.ts";
import { startTestServer } from "./setup/postgres.ts";
import { conclusion, type Counts, countTests } from "./setup/report.ts";

interface Stage {
  readonly name: string;
  readonly args: readonly string[];
  /** Whether it writes a test report. */
  readonly tests: boolean;
  /** When it is given up: it hangs. @default 20 minutes */
  readonly limitMs?: number;
  /** The stage that it runs beside: it waits most of the time. What it prints comes when it is over. */
  readonly beside?: string;
}

const LIMIT_MS = 20 * 60_000;
/** How long the rest of what a stage printed may take after its end: what it left running may still hold its pipes. */
const REST_MS = 2_000;

const SOURCES = ["sdk", "runner", "scheduler", "api", "migrations", "tests"];

const check = (name: string, args: readonly string[]): Stage => ({ name, args, tests: false });
const test = (name: string, args: readonly string[]): Stage => ({
  name,
  args: ["test", ...args],
  tests: true,
});

const STAGES: readonly Stage[] = [
  check("format", ["fmt", "--check"]),
  check("lint", ["lint", "--quiet"]),
  check("types", ["check", "--quiet", ...SOURCES]),
  // Without a single permission: Deno itself proves these modules pure.
  test("unit", ["--no-check", "--parallel", "--no-prompt", "tests/unit"]),
  test("doc examples", ["--doc", "-A", "--no-prompt", "sdk"]),
  test("simulation", ["-A", "--no-check", "tests/sim"]),
  test("integration", ["-A", "--no-check", "tests/integration"]),
  {
    ...test("engines", ["-A", "--no-check", "tests/engine"]),
    limitMs: 30 * 60_000,
    beside: "integration",
  },
  test("end to end", ["-A", "--no-check", "tests/e2e"]),
];

/** Stages that use a server of S3. */
const ON_S3 = ["integration", "engines", "end to end"];

interface Ran {
  readonly ok: boolean;
  readonly counts: Counts;
  /** The end of what it printed, of a stage that failed. */
  readonly why: string;
}

/** @param report where its test report goes; @param later whether what it prints is shown only when it is over */
async function run(stage: Stage, { report, later }: { report: string; later: boolean }): Promise<Ran> {
  const { name, args, tests, limitMs = LIMIT_MS } = stage;
  const started = performance.now();
  const seconds = () => ((performance.now() - started) / 1000).toFixed(1);
  if (!later) say(`\n── ${name}\n`);
  const child = new Deno.Command(Deno.execPath(), {
    args: tests ? [...args, `--junit-path=${report}`] : [...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const hangs = setTimeout(() => child.kill("SIGKILL"), limitMs);
  let printed = "";
  const listen = async (pipe: ReadableStream<Uint8Array<ArrayBuffer>>) => {
    for await (const text of pipe.pipeThrough(new TextDecoderStream())) {
      printed += text;
      if (!later) say(text);
    }
  };
  const heard = Promise.all([listen(child.stdout), listen(child.stderr)]);
  const { success, signal } = await child.status;
  clearTimeout(hangs);
  await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, REST_MS))]);
  if (later) say(`\n── ${name}\n${printed}`);
  const counts = tests
    ? countTests(await Deno.readTextFile(report).catch(() => ""))
    : { passed: 0, failed: 0, skipped: 0 };
  say(`\n── ${name}: ${success ? "ok" : "FAILED"} in ${seconds()} s\n`);
  const why = signal === "SIGKILL" ? `Given up after ${seconds()} s, while it printed:\n` : "";
  return { ok: success, counts, why: why + conclusion(printed) };
}

function say(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

/** Container engines take seconds to start, so only a run that uses them does. */
async function withEngines(run: () => Promise<void>): Promise<void> {
  const engines = enginesWork() ? await startTestEngines() : null;
  if (engines !== null) {
    const { stop: _, ...told } = engines;
    Deno.env.set(ENGINES_VARIABLE, JSON.stringify(told));
  }
  try {
    await run();
  } finally {
    await engines?.stop();
  }
}

async function main(asked: readonly string[]): Promise<number> {
  const unknown = asked.filter((name) => !STAGES.some((stage) => stage.name === name));
  if (unknown.length > 0) {
    console.error(
      `Cannot run stage "${unknown[0]}": there are ${STAGES.map((stage) => stage.name).join(", ")}`,
    );
    return 2;
  }
  await prepareMachine(console.log);
  const server = await startTestServer();
  Deno.env.set("BERTH_TEST_POSTGRES", server.url);
  const s3 = !s3Works() || !ON_S3.some((name) => asked.length === 0 || asked.includes(name))
    ? null
    : await startCeph();
  if (s3 !== null) Deno.env.set("BERTH_TEST_S3", JSON.stringify(s3));
  const reports = await Deno.makeTempDir({ prefix: "berth-reports-" });
  const chosen = STAGES.filter(({ name }) => asked.length === 0 || asked.includes(name));
  try {
    return conclude(await runAll(chosen, reports));
  } finally {
    s3?.stop();
    await server.stop();
    await Deno.remove(reports, { recursive: true });
  }
}

interface Outcome {
  readonly sum: Counts;
  /** Stages that failed, each with the end of what it printed. */
  readonly broken: ReadonlyMap<string, string>;
}

/** Runs stages in their order, some of them beside others. */
async function runAll(chosen: readonly Stage[], folder: string): Promise<Outcome> {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const broken = new Map<string, string>();
  const one = async (stage: Stage, later: boolean) => {
    const report = `${folder}/${STAGES.indexOf(stage)}.xml`;
    const { ok, counts, why } = await run(stage, { report, later });
    if (!ok) broken.set(stage.name, why);
    for (const key of ["passed", "failed", "skipped"] as const) sum[key] += counts[key];
  };
  const start = async (stage: Stage, later: boolean) => {
    const go = () => one(stage, later);
    await (stage.name === "engines" ? withEngines(go) : go()).catch((error) => {
      console.error(`Cannot run stage "${stage.name}": ${error}`);
      broken.set(stage.name, `${error}`);
    });
  };
  for (const stage of chosen) {
    if (chosen.some(({ name }) => name === stage.beside)) continue;
    const others = chosen.filter(({ beside }) => beside === stage.name);
    await Promise.all([
      start(stage, false),
      ...others.map((other) => start(other, true)),
    ]);
  }
  return { sum, broken };
}

/** Says what came of it; the exit code. */
function conclude({ sum, broken }: Outcome): number {
  for (const [name, why] of broken) console.log(`\n── why ${name} failed\n${why}`);
  if (broken.size > 0) console.log(`\nFailed: ${[...broken.keys()].join(", ")}`);
  console.log(`\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
  return broken.size > 0 ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
