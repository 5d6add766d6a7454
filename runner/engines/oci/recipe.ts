/**
 * What a container is made by: all of its function that counts from its start on. What comes later, by the same ways for every
 * container: its code, what its secrets hold, and the `load` frame. Pure.
 */
import { Assignment, type DeliveredSecret, FunctionSpec, type Gpu } from "../../../sdk/protocol.ts";
import type { PlacedVolume } from "../../volumes.ts";
import { realGpus } from "./gpus.ts";

export interface Recipe {
  readonly assignment: Assignment;
  /** Their names, keys and folders count, their values don't. */
  readonly secrets: readonly DeliveredSecret[];
  readonly volumes: readonly PlacedVolume[];
}

/** What may be kept for later. */
export const withoutValues = ({ secrets, ...recipe }: Recipe): Recipe => ({
  ...recipe,
  secrets: secrets.map((secret) => ({
    ...secret,
    values: Object.fromEntries(Object.keys(secret.values).map((key) => [key, ""])),
  })),
});

/**
 * Whether a container like this may be created before anybody wants it. Not one that fits one container alone (ranks), that depends on
 * the moment (addresses of names), or that has all from its start that others are given later (servers).
 */
export const mayBeCreated = ({ assignment: { spec, gang } }: Recipe): boolean =>
  spec.body !== "server" && gang === undefined && typeof spec.egress === "string";

/** Whether it may be started, too. Not one that would hold what others may want meanwhile (GPUs), or a volume that may be deleted. */
export const mayWait = (recipe: Recipe, node: readonly Gpu[]): boolean =>
  mayBeCreated(recipe) && recipe.volumes.length === 0 && realGpus(recipe.assignment.gpus, node).length === 0;

/** That of a function which says nothing of itself but its body. */
export function plainRecipe(body: "ts" | "python"): Recipe {
  const spec = FunctionSpec.parse({
    name: "waiting",
    kind: "function",
    body,
    entry: "",
    methods: [{ name: "waiting", kind: "call" }],
  });
  return { assignment: { ...NOBODY, spec }, secrets: [], volumes: [] };
}

/** Of a guest that gets no code and reaches nothing. */
export function guestAlone(image: string): Recipe {
  const { assignment, ...rest } = plainRecipe("ts");
  return {
    ...rest,
    assignment: { ...assignment, spec: { ...assignment.spec, image: { ref: image }, egress: "deny" } },
  };
}

const NOBODY = {
  id: "waiting",
  desired: "run",
  app: "waiting",
  deployment: "",
  bundle: "",
  external: [],
  gpus: [],
  volumes: [],
} satisfies Omit<Assignment, "spec">;
