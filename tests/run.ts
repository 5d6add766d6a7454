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
import { type Counts, countTests } from "./setup/report.ts";

interface Stage {
  readonly name: string;
  readonly args: readonly string[];
  /** Whether it writes a test report. */
  readonly tests: boolean;
  /** When it is given up. @default never */
  readonly limitMs?: number;
  /** The stage that it runs beside: it waits most of the time. What it prints comes when it is over. */
  readonly beside?: string;
}

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

async function run(
  { name, args, tests, limitMs }: Stage,
  { report, printed }: { readonly report: string; readonly printed: string | null },
): Promise<{ ok: boolean; counts: Counts }> {
  const started = performance.now();
  if (printed === null) console.log(`\n── ${name}`);
  const all = tests ? [...args, `--junit-path=${report}`] : args;
  const limit = limitMs === undefined ? {} : { signal: AbortSignal.timeout(limitMs) };
  const [command, ...rest] = printed === null
    ? [Deno.execPath(), ...all]
    : ["sh", "-c", `exec "$0" "$@" >'${printed}' 2>&1`, Deno.execPath(), ...all];
  const { success } = await new Deno.Command(command!, { args: rest, stdin: "null", ...limit }).spawn()
    .status;
  if (printed !== null) console.log(`\n── ${name}\n${await Deno.readTextFile(printed)}`);
  const counts = tests
    ? countTests(await Deno.readTextFile(report).catch(() => ""))
    : { passed: 0, failed: 0, skipped: 0 };
  console.log(
    `── ${name}: ${success ? "ok" : "FAILED"} in ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
  return { ok: success, counts };
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
  /** Stages that failed. */
  readonly broken: readonly string[];
}

/** Runs stages in their order, some of them beside others. */
async function runAll(chosen: readonly Stage[], folder: string): Promise<Outcome> {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const broken: string[] = [];
  const one = async (stage: Stage, printed: string | null) => {
    const report = `${folder}/${STAGES.indexOf(stage)}.xml`;
    const { ok, counts } = await run(stage, { report, printed });
    if (!ok) broken.push(stage.name);
    for (const key of ["passed", "failed", "skipped"] as const) sum[key] += counts[key];
  };
  const start = async (stage: Stage, printed: string | null) => {
    const go = () => one(stage, printed);
    await (stage.name === "engines" ? withEngines(go) : go()).catch((error) => {
      console.error(`Cannot run stage "${stage.name}": ${error}`);
      broken.push(stage.name);
    });
  };
  for (const stage of chosen) {
    if (chosen.some(({ name }) => name === stage.beside)) continue;
    const others = chosen.filter(({ beside }) => beside === stage.name);
    await Promise.all([
      start(stage, null),
      ...others.map((other) => start(other, `${folder}/${other.name}.log`)),
    ]);
  }
  return { sum, broken };
}

/** Says what came of it; the exit code. */
function conclude({ sum, broken }: Outcome): number {
  if (broken.length > 0) console.log(`\nFailed: ${broken.join(", ")}`);
  console.log(`\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
  return broken.length > 0 ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
