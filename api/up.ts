/** `berth up`: everything on one machine, in the foreground: the database, the api with its scheduler, a runner. */
import { CliError, EXIT, usageError } from "../sdk/cli/failure.ts";
import type { Job } from "../sdk/cli/cli.ts";
import { eventLog } from "../sdk/cli/event_log.ts";
import type { UpOptions } from "../sdk/cli/commands/up.ts";
import { given } from "../sdk/options.ts";
import type { Log } from "../sdk/ports.ts";
import { s3PlaceOf, S3Settings } from "./blobs/s3_settings.ts";
import { Config, imagesOf, Repository, retentionMs, secretKeysOf } from "./config.ts";
import { openLocalNodes } from "./local_nodes.ts";
import { createPlatform, type Platform } from "./main.ts";
import { startPostgres } from "./postgres.ts";
import { banner } from "./up/banner.ts";
import { type Folder, openFolder } from "./up/folder.ts";
import { keysIn } from "./secrets/key_file.ts";
import { keyringOf } from "./secrets/keyring.ts";
import { Parts } from "./up/parts.ts";
import { startRunner } from "./up/runner.ts";
import { adminKeyOf, writeProfile } from "./up/secrets.ts";
import { StopSignal } from "./up/signals.ts";

/** What every step of the start works with. */
interface Start {
  readonly job: Job;
  readonly options: UpOptions;
  readonly settings: Settings;
  readonly folder: Folder;
  readonly parts: Parts;
  readonly log: Log;
}

/** Variables that change what is started; `api/config.ts` says what each means. */
const Settings = Config.pick({
  DATABASE_URL: true,
  BERTH_PUBLIC_URL: true,
  BERTH_RETENTION: true,
  BERTH_SECRETS_KEY: true,
  BERTH_SECRETS_KEYS_OLD: true,
  BERTH_REGISTRY: true,
}).partial().extend({
  BERTH_BASE_DENO: Config.shape.BERTH_BASE_DENO,
  BERTH_BASE_PYTHON: Config.shape.BERTH_BASE_PYTHON,
  ...S3Settings.shape,
});
type Settings = ReturnType<typeof Settings.parse>;

const JOIN_TOKEN_MS = 3_600_000;

/** Starts everything, stays until told to stop, stops everything. Answers the exit code. */
export async function up(job: Job, options: UpOptions): Promise<number> {
  const settings = readSettings(job.shell.env);
  checkRegistry(options);
  checkAddress(options);
  const parts = new Parts();
  using stop = new StopSignal(job.shell.clock, () => {
    parts.kill();
    Deno.exit(EXIT.interrupted);
  });
  try {
    await start({ job, options, settings, parts }, stop.signal);
    await stop.asked();
  } catch (error) {
    if (!stop.signal.aborted) throw error; // else it stopped on its way up, as it was told
  } finally {
    job.output.status("Stopping; Ctrl-C again to force");
    await parts[Symbol.asyncDispose]();
    job.output.clearStatus();
  }
  return EXIT.ok;
}

async function start(given: Omit<Start, "folder" | "log">, stop: AbortSignal): Promise<void> {
  const { job: { shell, output }, options, parts } = given;
  const startedAt = shell.clock.now();
  const folder = await openFolder(options.dataDir, shell.env.TMPDIR ?? "/tmp");
  parts.add(folder.release);
  const starting = { ...given, folder, log: eventLog(output, shell.clock) };

  output.status("Starting the database");
  const databaseUrl = given.settings.DATABASE_URL ?? await startDatabase(starting);
  stop.throwIfAborted();
  output.status("Starting the api and its scheduler");
  const key = await adminKeyOf(folder.root, shell.random);
  const platform = await startPlatform(starting, databaseUrl, key);
  stop.throwIfAborted();
  if (options.runner) {
    output.status("Starting the runner");
    await keepRunner(starting, platform);
    stop.throwIfAborted();
  }

  const { url } = platform;
  await folder.announce({ pid: Deno.pid, url });
  await writeProfile({ url, key });
  output.clearStatus();
  const tookMs = shell.clock.now() - startedAt;
  output.result(
    { url, key, pid: Deno.pid },
    () => banner(output, { url, root: folder.root, gpus: options.simulatedGpus?.gpus, tookMs }),
  );
}

/** The embedded database, on a port that is free now and stays its own over restarts. */
async function startDatabase({ job: { shell: { clock } }, folder, parts, log }: Start): Promise<string> {
  const port = freePort();
  let url = "";
  const start = async () => {
    const running = await startPostgres({ dataDir: folder.postgres, port, clock });
    url = running.url;
    return running;
  };
  await parts.keep({ part: "postgres", start, clock, log });
  return url;
}

async function startPlatform(starting: Start, databaseUrl: string, adminKey: string): Promise<Platform> {
  const { job: { shell: { clock, random, env } }, options, settings, folder, parts, log } = starting;
  const api = () => `unix:${folder.socket}`;
  const nodes = await openLocalNodes({ folder: folder.nodes, api, env, clock, log });
  parts.add(() => nodes?.release());
  try {
    const platform = await createPlatform({
      databaseUrl,
      blobsDir: folder.blobs,
      s3: s3PlaceOf(settings),
      hostname: options.host,
      port: options.port,
      unixSocket: folder.socket,
      adminKey,
      keyring: keyringOf([...secretKeysOf(settings), ...await keysIn(folder.root, random)]),
      images: imagesOf({ ...settings, ...given({ BERTH_REGISTRY: options.registry }) }),
      alone: settings.DATABASE_URL === undefined,
      ...(settings.BERTH_RETENTION === undefined
        ? {}
        : { retentionMs: retentionMs(settings.BERTH_RETENTION) }),
      nodes,
      clock,
      random,
      log,
      ...(settings.BERTH_PUBLIC_URL === undefined ? {} : { publicUrl: settings.BERTH_PUBLIC_URL }),
    });
    parts.add(() => platform.stop());
    parts.add(() => nodes?.provider.close(), () => nodes?.provider.kill());
    return platform;
  } catch (cause) {
    const hint = settings.DATABASE_URL === undefined ? {} : { hint: "It uses the database of DATABASE_URL." };
    throw new CliError(EXIT.platform, `Cannot start the platform: ${(cause as Error).message}`, {
      cause,
      ...hint,
    });
  }
}

/** The token serves the first join only; from then on the runner has a credential of its own. */
async function keepRunner({ job, options, folder, parts, log }: Start, platform: Platform): Promise<void> {
  const { clock } = job.shell;
  const token = await platform.createJoinToken({
    pool: "default",
    expiresAt: new Date(clock.now() + JOIN_TOKEN_MS),
  });
  const { socket, runner: data } = folder;
  const start = () =>
    startRunner({
      socket,
      data,
      token,
      simulateGpus: options.simulatedGpus?.text,
      poolSize: options.poolSize,
      more: options.runnerArgs,
      clock,
      log,
    });
  await parts.keep({ part: "runner", start, clock, log });
}

function readSettings(env: Readonly<Record<string, string>>): Settings {
  const parsed = Settings.safeParse(env);
  if (parsed.success) return wholeS3(parsed.data);
  const [{ path, message }] = parsed.error.issues as [typeof parsed.error.issues[0]];
  throw usageError(`Cannot start: ${path.join(".")} ${message}`);
}

function wholeS3(settings: Settings): Settings {
  try {
    s3PlaceOf(settings);
    return settings;
  } catch (error) {
    throw usageError((error as Error).message);
  }
}

function checkRegistry({ registry }: UpOptions): void {
  const checked = Repository.optional().safeParse(registry);
  if (checked.error !== undefined) {
    throw usageError(`Cannot use --registry ${registry}: it ${checked.error.issues[0]!.message}`);
  }
}

/** Before anything is started: a port that is taken is the commonest reason to fail. */
function checkAddress({ host, port }: UpOptions): void {
  try {
    Deno.listen({ hostname: host, port }).close();
  } catch (cause) {
    const taken = cause instanceof Deno.errors.AddrInUse;
    throw new CliError(
      EXIT.platform,
      `Cannot listen on ${host}:${port}: ${taken ? "the port is in use" : (cause as Error).message}`,
      {
        cause,
        hint: taken
          ? "Is another `berth up` running? Choose another port with --port, or any free one with --port 0."
          : "Choose another address with --host.",
      },
    );
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
