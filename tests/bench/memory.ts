/** (e) What the platform holds while nobody asks anything of it: api, scheduler, runner and its prestarted guests. */
import { memoryMiB } from "./cpu.ts";
import type { Finding } from "./report.ts";
import type { World } from "./world.ts";

const TARGET_MB = 250;
/** Long enough for the pool to be full. */
const SETTLE_MS = 3_000;

export async function memory({ clock, platform }: World): Promise<Finding> {
  await clock.sleep(SETTLE_MS);
  const all = await memoryMiB({ platform: platform.pid });
  const bare = await bareDeno();
  return {
    bench: "e memory",
    what: `idle platform without PostgreSQL, ${all.processes} processes`,
    value: `${Math.round(all.pss)} MiB PSS, ${Math.round(all.rss)} MiB RSS`,
    baseline: `${Math.round(bare.rss)} MiB RSS: one \`deno run\` that waits`,
    target: `≤ ${TARGET_MB} MB PSS`,
    ok: all.pss * 1.048_576 <= TARGET_MB,
    figures: { pss: all.pss, rss: all.rss, processes: all.processes, bareDeno: bare.rss },
  };
}

async function bareDeno(): Promise<{ rss: number }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "console.log('up'); await new Promise(() => setInterval(() => {}, 1e6))"],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  const found = await memoryMiB({ platform: child.pid });
  child.kill("SIGKILL");
  await Promise.all([child.status, reader.cancel()]);
  return found;
}
