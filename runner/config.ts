/** How a runner is set up: flags, and variables for what must not be seen in a process list. Every default and its reason is here. */
import { homedir } from "node:os";
import { parseArgs } from "node:util";
import { z } from "zod";
import { isImageReference } from "../sdk/image_reference.ts";
import { Block, USUAL_BLOCK } from "./engines/oci/addresses.ts";
import { Labels, Name } from "../sdk/protocol.ts";
import { parseSimulatedGpus } from "./gpu.ts";

const SimulatedGpus = z.string().transform((text, ctx) => {
  try {
    return parseSimulatedGpus(text);
  } catch (error) {
    ctx.addIssue({ code: "custom", message: (error as Error).message });
    return z.NEVER;
  }
});

const LabelsText = z.string().transform((text, ctx) => {
  const labels = text.startsWith("{") ? fromJson(text) : fromPairs(text);
  if (labels !== null) return labels;
  ctx.addIssue({
    code: "custom",
    message: "expected NAME=VALUE, several of them joined by commas, or a JSON object",
  });
  return z.NEVER;
}).pipe(Labels);

function fromPairs(text: string): Record<string, string> | null {
  const pairs = text.split(",").filter((pair) => pair !== "").map((pair) => pair.split("="));
  return pairs.every((pair) => pair.length === 2) ? Object.fromEntries(pairs) : null;
}

function fromJson(text: string): Record<string, string> | null {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const PORT_MAX = 65_535;

const Ports = z.string().transform((text, ctx) => {
  const ports = text.split(",").map((port) => port.trim()).filter((port) => port !== "");
  if (ports.every((port) => /^\d+$/.test(port) && Number(port) >= 1 && Number(port) <= PORT_MAX)) {
    return ports.map(Number);
  }
  ctx.addIssue({ code: "custom", message: `must be numbers from 1 to ${PORT_MAX}, joined by commas` });
  return z.NEVER;
});

const ContainerAddresses = z.string().transform((text, ctx) => {
  if (text === "none") return null;
  try {
    return new Block(text);
  } catch (error) {
    ctx.addIssue({ code: "custom", message: `${(error as Error).message}; or none` });
    return z.NEVER;
  }
});

const ImageName = z.string().refine(
  isImageReference,
  "must be [HOST[:PORT]/]NAME[:TAG] or NAME@sha256:DIGEST",
);

export const RunnerConfig = z.object({
  /** Where the api listens: `http://HOST:PORT` or `unix:/PATH`. */
  api: z.string({ error: "say where the platform is: http://HOST:PORT" }),
  /** The join token; not needed where the runner has joined before. */
  token: z.string().optional(),
  /** Everything the runner keeps: its credential, bundles, environments, slots. */
  data: z.string().default(".berth/runner"),
  /** @default the machine's name */
  name: z.string().min(1).max(128).optional(),
  /** The pool that the token should be of; joining another is refused. @default that of the token */
  pool: Name.optional(),
  /** GPUs to count and give away though there are none. */
  simulateGpus: SimulatedGpus.optional(),
  /** Prestarted guests: two serve a function and its endpoint, and cost some 20 MiB each. */
  poolSize: z.coerce.number().int().min(0).max(64).default(2),
  /** Cores and MiB to offer. @default all there are */
  cpu: z.coerce.number().min(0.1).max(4_096).optional(),
  memory: z.coerce.number().int().min(64).optional(),
  /** MiB of scratch space to offer. @default what is free where `data` lies */
  disk: z.coerce.number().int().min(0).optional(),
  /** Labels of the node, `zone=eu-1,rack=7`. */
  labels: LabelsText.default({}),
  /** Name or address at which other nodes reach this machine. @default its name */
  address: z.string().min(1).max(253).optional(),
  /** Port for gateways on other machines, which reach containers by way of it; 0 for any free one. */
  relayPort: z.coerce.number().int().min(0).max(65_535).default(0),
  /** The process to outlive no longer than the api, when it is gone. */
  parentPid: z.coerce.number().int().min(2).optional(),
  /** From the notice to the kill. Long enough to save a checkpoint. */
  graceMs: z.coerce.number().int().min(0).default(5_000),
  /** From SIGTERM to the notice. */
  drainMs: z.coerce.number().int().min(0).default(5_000),
  /** One line of JSON on stdout when joined. */
  json: z.boolean().default(false),
  /** Does no more than end what a killed runner has left behind in `data`. */
  sweep: z.boolean().default(false),
  /**
   * What containers are: `process`, programs of this machine; `oci`, containers of Docker or Podman; `auto`, containers where a function
   * names an image and there is an engine, programs otherwise.
   */
  engine: z.enum(["process", "oci", "auto"], { error: 'must be "process", "oci" or "auto"' }).default("auto"),
  /** How long an engine that it was told to use may take to answer at first: a machine boots, and the engine comes up after the runner. */
  engineWaitMs: z.coerce.number().int().min(0).default(120_000),
  /** Unix socket of the container engine. @default that of Docker, or of Podman */
  ociSocket: z.string().optional(),
  /** Runtime of containers other than the engine's own, such as `runsc`. */
  ociRuntime: z.string().max(128).optional(),
  /** Images of functions that name none, on a node where all are containers. */
  denoImage: ImageName.optional(),
  pythonImage: ImageName.optional(),
  /** MiB of images to keep that were pulled for functions; of packages that were installed for them a quarter as much. */
  imagesDisk: z.coerce.number().int().min(0).default(64 * 1024),
  /** MiB that containers may use which wait for code: some 30 for TypeScript, 25 for Python. Two of each fit, and some more. */
  poolMemory: z.coerce.number().int().min(0).default(256),
  /** Credentials of registries, a file as `docker login` writes it. */
  registryAuth: z.string().optional(),
  /** A path that this node shares with others: where volumes that are to be shared lie. @default none */
  volumes: z.string().min(1).optional(),
  /** More certificates that containers and builds should trust, a file in PEM. */
  caBundle: z.string().optional(),
  /** TCP ports of this machine that containers may connect to, such as that of a database. @default none */
  hostPorts: Ports.default([]),
  /** Addresses for containers that the runner connects to the network itself; null leaves that to the engine, which is slower. */
  containerAddresses: ContainerAddresses.default(USUAL_BLOCK),
  denoDir: z.string(),
  tmp: z.string(),
});
export type RunnerConfig = z.infer<typeof RunnerConfig>;

const OPTIONS = {
  api: { type: "string" },
  token: { type: "string" },
  data: { type: "string" },
  name: { type: "string" },
  pool: { type: "string" },
  "simulate-gpus": { type: "string" },
  "pool-size": { type: "string" },
  cpu: { type: "string" },
  memory: { type: "string" },
  disk: { type: "string" },
  labels: { type: "string" },
  address: { type: "string" },
  "relay-port": { type: "string" },
  "parent-pid": { type: "string" },
  "grace-ms": { type: "string" },
  "drain-ms": { type: "string" },
  json: { type: "boolean" },
  sweep: { type: "boolean" },
  engine: { type: "string" },
  "engine-wait-ms": { type: "string" },
  "oci-socket": { type: "string" },
  "oci-runtime": { type: "string" },
  "deno-image": { type: "string" },
  "python-image": { type: "string" },
  "images-disk": { type: "string" },
  "pool-memory": { type: "string" },
  "registry-auth": { type: "string" },
  volumes: { type: "string" },
  "ca-bundle": { type: "string" },
  "host-ports": { type: "string" },
  "container-addresses": { type: "string" },
} as const;
/** Also read from variables, `BERTH_ENGINE` and so on, for runners that others start: the node of `berth up`, those of pools. */
const ALSO_VARIABLES = [
  "engine",
  "engine-wait-ms",
  "oci-socket",
  "oci-runtime",
  "deno-image",
  "python-image",
  "images-disk",
  "pool-memory",
  "registry-auth",
  "volumes",
  "ca-bundle",
  "host-ports",
  "container-addresses",
] as const;

/** Reads the command line and the environment. Throws a sentence that names the option. */
export function readConfig(args: readonly string[], env: Readonly<Record<string, string>>): RunnerConfig {
  const { values } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: false });
  const named = Object.fromEntries(Object.entries(values).map(([name, value]) => [camel(name), value]));
  const parsed = RunnerConfig.safeParse({
    api: env.BERTH_API,
    token: env.BERTH_JOIN_TOKEN,
    denoDir: env.DENO_DIR ?? `${env.XDG_CACHE_HOME ?? `${env.HOME ?? homedir()}/.cache`}/deno`,
    tmp: env.TMPDIR ?? "/tmp",
    ...fromVariables(env),
    ...named,
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const option = String(issue!.path[0]).replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new TypeError(`Cannot start the runner: option --${option}: ${issue!.message}`);
}

const fromVariables = (env: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(ALSO_VARIABLES.flatMap((name) => {
    const value = env[`BERTH_${name.toUpperCase().replaceAll("-", "_")}`];
    return value === undefined ? [] : [[camel(name), value]];
  }));

const camel = (name: string): string => name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());

/** The configuration as it may be printed. */
export const withoutSecrets = (
  { token: _token, simulateGpus, ...rest }: RunnerConfig,
): Record<string, unknown> => ({
  ...rest,
  ...(simulateGpus === undefined ? {} : { simulatedGpus: simulateGpus.length }),
});
