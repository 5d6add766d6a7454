/** What plain processes can honour of an image: packages of pip and npm, and variables. For platforms without a container engine. */
import type { FunctionSpec, Manifest } from "../protocol/apps.ts";
import type { ImageChain, ImageStep } from "../image_steps.ts";
import type { Job } from "./cli.ts";
import { CliError, EXIT } from "./failure.ts";

/**
 * A manifest in which these functions run as plain processes, with a warning; or an error that names the steps that only a container
 * engine can do.
 */
export function honoured(
  { output }: Job,
  manifest: Manifest,
  functions: readonly string[],
  chain: ImageChain,
): Manifest {
  const bodies = manifest.functions.filter(({ name }) => functions.includes(name));
  const lost = lacking(chain, bodies);
  const names = functions.map((name) => `"${name}"`).join(", ");
  if (lost.length > 0) {
    throw new CliError(
      EXIT.platform,
      `Cannot build the image of ${names}: no node has a container engine, and plain processes cannot do ${
        lost.join(", ")
      }`,
      {
        hint:
          "Install Docker or Podman on a node and start its runner again. Without, .pipInstall() of Python functions, .npmInstall() and .env() on Image.python() or Image.deno() are honoured.",
      },
    );
  }
  output.note(
    output.tint(
      "yellow",
      `warning: no node has a container engine: ${names} will run as plain processes, with the packages and variables of their image`,
    ),
  );
  return chain.steps.reduce<Manifest>((made, step) => apply(made, functions, step), manifest);
}

/** What is not honoured, as it was written. */
function lacking({ from, steps }: ImageChain, bodies: readonly FunctionSpec[]): string[] {
  const base = from.kind === "registry"
    ? [`an image of a registry (${from.ref})`]
    : from.kind === "containerfile"
    ? ["a Containerfile"]
    : [];
  const isPython = bodies.every(({ body }) => body === "python");
  const unable = steps.filter((step) =>
    step.do === "pip" ? !isPython : step.do !== "npm" && step.do !== "env"
  );
  return [...base, ...new Set(unable.map(({ do: verb }) => WRITTEN[verb]))];
}

const WRITTEN: Readonly<Record<ImageStep["do"], string>> = {
  apt: ".aptInstall()",
  pip: ".pipInstall() for TypeScript",
  npm: ".npmInstall()",
  env: ".env()",
  run: ".run()",
  copy: ".copy()",
  workdir: ".workdir()",
};

function apply(manifest: Manifest, functions: readonly string[], step: ImageStep): Manifest {
  if (step.do === "npm") {
    const packages = step.packages.map((name) => `npm:${name}`);
    return { ...manifest, external: [...new Set([...manifest.external, ...packages])] };
  }
  const change = (spec: FunctionSpec): FunctionSpec => {
    if (step.do === "env") return { ...spec, env: { ...step.env, ...spec.env } };
    if (step.do !== "pip") return spec;
    return { ...spec, requirements: [...spec.requirements, ...step.packages, ...step.requirements ?? []] };
  };
  return {
    ...manifest,
    functions: manifest.functions.map((spec) => functions.includes(spec.name) ? change(spec) : spec),
  };
}
