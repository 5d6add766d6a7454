/** A chain as the Containerfile that an engine builds. Nothing of a name or value reaches a shell unquoted. Pure. */
import { copiedPath, type ImageBase, type ImageChain, type ImageStep } from "./image_steps.ts";

/** The images of `Image.deno()` and `Image.python()`; `{version}` stands for the version that was asked for. */
export interface BaseImages {
  readonly deno: string;
  readonly python: string;
}

/** The text, the same for the same chain. */
export function containerfile({ from, steps }: ImageChain, bases: BaseImages): string {
  const first = from.kind === "containerfile" ? from.text.trimEnd() : `FROM ${baseRef(from, bases)}`;
  // Who runs in it is decided at the start; who builds it may need to install.
  const root = steps.length === 0 || from.kind === "deno" || from.kind === "python" ? [] : ["USER 0"];
  return `${[first, ...root, ...steps.map(instruction)].join("\n")}\n`;
}

/** The image that a chain begins with; null when a Containerfile says it. */
export function baseRef(from: Exclude<ImageBase, { kind: "containerfile" }>, bases: BaseImages): string {
  if (from.kind === "registry") return from.ref;
  const { version = DENO_VERSION } = from;
  return bases[from.kind].replaceAll("{version}", version);
}

/** The Deno that this SDK's guests are tried with. */
const DENO_VERSION = "2.9.6";

function instruction(step: ImageStep): string {
  switch (step.do) {
    case "apt":
      return shell(
        "apt-get update",
        `DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ${
          words(step.packages)
        }`,
        "rm -rf /var/lib/apt/lists/*",
      );
    case "pip":
      return pip(step.packages, step.requirements ?? []);
    case "npm":
      return npm(step.packages);
    case "env":
      return `ENV ${Object.entries(step.env).map(([name, value]) => `${name}=${quoted(value)}`).join(" ")}`;
    case "run":
      return shell(step.command);
    case "copy":
      return `COPY ${JSON.stringify([copiedPath(step.source), step.to])}`;
    case "workdir":
      return `WORKDIR ${step.path}`;
  }
}

/** Some of these are known to newer versions of pip only, which is why they are variables and not options. */
const PIP_ENV = [
  "PIP_BREAK_SYSTEM_PACKAGES=1",
  "PIP_ROOT_USER_ACTION=ignore",
  "PIP_DISABLE_PIP_VERSION_CHECK=1",
  "PIP_NO_CACHE_DIR=1",
  "PIP_NO_INPUT=1",
];
const REQUIREMENTS = "/tmp/berth-requirements.txt";

function pip(packages: readonly string[], requirements: readonly string[]): string {
  const install = ["env", ...PIP_ENV, "python3", "-m", "pip", "install"];
  if (requirements.length === 0) return exec([...install, ...packages]);
  return shell(
    `printf '%s\\n' ${words(requirements)} >${REQUIREMENTS}`,
    `${install.join(" ")} ${words([...packages, "-r", REQUIREMENTS])}`,
    `rm ${REQUIREMENTS}`,
  );
}

/** Programs for an image with npm, modules in the cache for one with Deno alone. */
function npm(packages: readonly string[]): string {
  const cached = packages.map((name) => `npm:${name}`);
  return shell(
    `if command -v npm >/dev/null; then npm install --global ${words(packages)}; else deno cache ${
      words(cached)
    }; fi`,
  );
}

const exec = (command: readonly string[]): string => `RUN ${JSON.stringify(command)}`;
const shell = (...commands: readonly string[]): string => exec(["/bin/sh", "-c", commands.join(" && ")]);

/** As words of a shell. */
const words = (all: readonly string[]): string =>
  all.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");

/** As a value of ENV, where nothing is expanded. */
const quoted = (value: string): string => `"${value.replace(/[\\"$]/g, "\\$&")}"`;
