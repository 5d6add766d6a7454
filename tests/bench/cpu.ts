/** Processor time and memory of the platform's processes, by the part each plays. Linux only: read from `/proc`. */
import { family, type Process, processes } from "../../sdk/examples/quickstart/processes.ts";

export type Role = "postgres" | "api" | "runner" | "guests" | "client";
export type CpuByRole = Readonly<Record<Role, number>>;

/** Who is who: the process of `berth up`, the PostgreSQL server, and we who call. */
export interface Roots {
  readonly platform: number;
  readonly postgres: number;
}

/** Milliseconds of processor time so far, by role. */
export async function cpuByRole(roots: Roots): Promise<CpuByRole> {
  const sums = { postgres: 0, api: 0, runner: 0, guests: 0, client: 0 };
  for (const [role, process] of await cast(roots)) {
    sums[role] += process.cpuMs + (role === "postgres" ? process.endedChildrenCpuMs : 0);
  }
  return sums;
}

/** What was used between two readings, in microseconds per call. */
export function perCallUs(before: CpuByRole, after: CpuByRole, calls: number): CpuByRole {
  const roles = Object.keys(after) as Role[];
  return Object.fromEntries(
    roles.map((role) => [role, (after[role] - before[role]) * 1_000 / calls]),
  ) as Record<Role, number>;
}

/** MiB held by the platform without PostgreSQL. `pss` counts a page that n processes share as one n-th for each. */
export async function memoryMiB(
  { platform }: { platform: number },
): Promise<{ rss: number; pss: number; processes: number }> {
  const pids = family(platform, await processes()).filter(({ command }) => !isPostgres(command)).map((
    { pid },
  ) => pid);
  const rollups = await Promise.all(
    pids.map((pid) => Deno.readTextFile(`/proc/${pid}/smaps_rollup`).catch(() => "")),
  );
  const sum = (field: string) =>
    rollups.reduce(
      (kib, text) => kib + Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0),
      0,
    ) / 1_024;
  return { rss: sum("Rss"), pss: sum("Pss"), processes: pids.length };
}

async function cast(roots: Roots): Promise<[Role, Process][]> {
  const all = await processes();
  const ours = family(roots.platform, all).filter(({ command }) => !isPostgres(command));
  return [
    ...family(roots.postgres, all).map((process): [Role, Process] => ["postgres", process]),
    ...ours.map((process): [Role, Process] => [roleOf(process, roots), process]),
    ...all.filter(({ pid }) => pid === Deno.pid).map((process): [Role, Process] => ["client", process]),
  ];
}

function roleOf({ pid, command }: Process, { platform }: Roots): Role {
  if (pid === platform) return "api";
  return /runner\/main\.ts/.test(command) ? "runner" : "guests";
}

const isPostgres = (command: string): boolean => /\bpostgres\b/.test(command) && !command.includes("deno");
