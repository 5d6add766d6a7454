/** What an image is made of: a base and steps; and the rules that every name, version and path in them keeps. Pure. */
import { isImageReference } from "./image_reference.ts";

/** Where an image begins. */
export type ImageBase =
  /** The platform's image with Deno, or with Python; what each is, the platform's settings say. */
  | { readonly kind: "deno"; readonly version?: string | undefined }
  | { readonly kind: "python"; readonly version: string }
  | { readonly kind: "registry"; readonly ref: string; readonly secret?: string | undefined }
  | { readonly kind: "containerfile"; readonly text: string };

export type ImageStep =
  | { readonly do: "apt"; readonly packages: readonly string[] }
  /** `requirements`: lines of a requirements.txt, beside the packages. */
  | { readonly do: "pip"; readonly packages: readonly string[]; readonly requirements?: readonly string[] }
  | { readonly do: "npm"; readonly packages: readonly string[] }
  | { readonly do: "env"; readonly env: Readonly<Record<string, string>> }
  | { readonly do: "run"; readonly command: string }
  /** `source` counts the copied files and folders of the context. */
  | { readonly do: "copy"; readonly source: number; readonly to: string }
  | { readonly do: "workdir"; readonly path: string };

/** A normalised description: the same chain over the same files is the same text everywhere. */
export interface ImageChain {
  readonly from: ImageBase;
  readonly steps: readonly ImageStep[];
}

/** Where the context holds what is copied. */
export const copiedPath = (source: number): string => `.berth/${source}`;

const APT = /^[a-z0-9][a-z0-9+.-]*(:[a-z0-9-]+)?(=[A-Za-z0-9][A-Za-z0-9.+~:-]*)?$/;
const NPM = /^(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*(@[A-Za-z0-9.^~<>=*|+ -]+)?$/;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
const PATH = /^\/([A-Za-z0-9._@+-]+\/?)*$/;
const VERSION = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** Of one line: tabs are no harm. */
// deno-lint-ignore no-control-regex
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;
const LENGTH_MAX = 512;
const COMMAND_LENGTH_MAX = 16 * 1024;

/** What is wrong with a value, as a rule that it breaks; null when nothing is. */
export const RULES = {
  apt: (name: string): string | null =>
    APT.test(name) && name.length <= LENGTH_MAX
      ? null
      : 'must be the name of a Debian package, such as "curl" or "curl=7.88.1-10"',
  pip: (spec: string): string | null =>
    line(spec) && !spec.startsWith("-")
      ? null
      : 'must be a requirement on one line, such as "numpy==2.1.0", and no option',
  requirement: (text: string): string | null => line(text) ? null : "must be one line of a requirements.txt",
  npm: (name: string): string | null =>
    NPM.test(name) && name.length <= LENGTH_MAX ? null : 'must be an npm package, such as "sharp@0.33.5"',
  variable: (name: string): string | null =>
    VARIABLE.test(name) && name.length <= 128 ? null : "must be the name of a variable",
  value: (text: string): string | null =>
    !CONTROL.test(text) && text.length <= COMMAND_LENGTH_MAX ? null : "must be a value on one line",
  command: (text: string): string | null =>
    text.trim() !== "" && !text.includes("\0") && text.length <= COMMAND_LENGTH_MAX
      ? null
      : `must be a shell command of at most ${COMMAND_LENGTH_MAX} characters`,
  path: (path: string): string | null =>
    PATH.test(path) && path.length <= LENGTH_MAX && !path.split("/").includes("..")
      ? null
      : "must be an absolute path of letters, digits and . _ @ + - , such as /opt/model",
  version: (version: string): string | null =>
    VERSION.test(version) ? null : 'must be a version, such as "3.11"',
  ref: (ref: string): string | null =>
    isImageReference(ref) ? null : "must be [HOST[:PORT]/]NAME[:TAG] or NAME@sha256:DIGEST",
} as const;

const line = (text: string): boolean =>
  text.trim() !== "" && !CONTROL.test(text) && text.length <= LENGTH_MAX;

/** What is wrong with a step: the field and the rule that it breaks. */
export interface StepProblem {
  readonly path: readonly (string | number)[];
  readonly rule: string;
}

export function stepProblem(step: ImageStep): StepProblem | null {
  switch (step.do) {
    case "apt":
    case "npm":
      return needSome(step.packages) ?? inList("packages", step.packages, RULES[step.do]);
    case "pip":
      return needSome([...step.packages, ...step.requirements ?? []]) ??
        inList("packages", step.packages, RULES.pip) ??
        inList("requirements", step.requirements ?? [], RULES.requirement);
    case "env":
      return inEnv(step.env);
    case "run":
      return problem(["command"], RULES.command(step.command));
    case "copy":
      return problem(["to"], RULES.path(step.to));
    case "workdir":
      return problem(["path"], RULES.path(step.path));
  }
}

const needSome = (all: readonly string[]): StepProblem | null =>
  problem(["packages"], all.length === 0 ? "must name at least one package" : null);

function inList(
  field: string,
  values: readonly string[],
  rule: (value: string) => string | null,
): StepProblem | null {
  const at = values.findIndex((value) => rule(value) !== null);
  return at < 0 ? null : problem([field, at], rule(values[at]!));
}

function inEnv(env: Readonly<Record<string, string>>): StepProblem | null {
  for (const [name, value] of Object.entries(env)) {
    const found = RULES.variable(name) ?? RULES.value(value);
    if (found !== null) return { path: ["env", name], rule: found };
  }
  return null;
}

const problem = (path: readonly (string | number)[], rule: string | null): StepProblem | null =>
  rule === null ? null : { path, rule };
