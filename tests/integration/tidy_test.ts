/** House rules that a machine can check. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { dirname, join, normalize } from "node:path";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const ROOMS = ["sdk", "runner", "scheduler", "api", "migrations"];

/** What each room may import, beside itself and npm packages. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  sdk: [],
  runner: ["sdk"],
  scheduler: ["sdk"],
  api: ["sdk", "scheduler", "migrations"],
  migrations: [],
};
/** The command line wires whole programs together, as a main.ts does. */
const WIRES = /^sdk\/cli\//;
/** The api is HTTP over the scheduler's model, states and store; it decides nothing. */
const API_MAY_NOT = /^scheduler\/(plan|fit|rank|order|scale|place|staffing|crew)\.ts$/;

const AMBIENT = [
  [/\bDate\.now\(/, "the clock"],
  [/\bnew Date\(\)/, "the clock"],
  [/\bperformance\.now\(/, "the clock"],
  [/\bMath\.random\(/, "chance"],
  [/\bcrypto\.(randomUUID|getRandomValues)\(/, "chance"],
  [/\bset(Timeout|Interval)\(/, "a timer"],
  [/\bDeno\.env\b/, "the environment"],
] as const;
/** The global fetch, in a file that has none handed to it. */
const fetches = (code: string): boolean =>
  /(?<![.\w#])fetch\(/.test(code) &&
  !/[{,(]\s*(readonly )?fetch\b[,:}\s]|^ +(async )?fetch\(.*\{$/m.test(code);
/** Where the world is let in. Guests run apart from the platform, beside the user's code. */
const WORLD = /^(sdk\/ports\.ts|sdk\/examples\/.*|runner\/guests\/.*|(.*\/)?(main|config)\.ts)$/;

const LINES_MAX = 400;
/** Tests are lists, and read as such. */
const TEST_LINES_MAX = 560;

interface Source {
  readonly path: string;
  readonly text: string;
  /** The text without comments and strings of documentation. */
  readonly code: string;
}

async function* sources(folder: string): AsyncGenerator<Source> {
  for await (const { name, isDirectory } of Deno.readDir(join(ROOT, folder))) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* sources(path);
    else if (/\.tsx?$/.test(name)) {
      const text = await Deno.readTextFile(join(ROOT, path));
      yield { path, text, code: text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "") };
    }
  }
}

async function all(folders: readonly string[]): Promise<Source[]> {
  const found: Source[] = [];
  for (const folder of folders) found.push(...await Array.fromAsync(sources(folder)));
  return found;
}

const imports = ({ path, code }: Source): string[] =>
  [...code.matchAll(/(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g)].map(([, target]) =>
    normalize(join(dirname(path), target!))
  );

const roomOf = (path: string): string => path.split("/")[0]!;

describe("the house", () => {
  it("reads clock, chance, timers, environment and network only where the world is let in", async () => {
    const found = (await all(ROOMS)).filter(({ path }) => !WORLD.test(path)).flatMap(({ path, code }) => [
      ...AMBIENT.filter(([pattern]) => pattern.test(code)).map(([, what]) => `${path} reads ${what}`),
      ...(fetches(code) ? [`${path} reads the network`] : []),
    ]);
    assert.deepEqual(found, []);
  });

  it("imports only the right way: sdk ◄ runner, sdk ◄ scheduler ◄ api", async () => {
    const found = (await all(ROOMS)).filter(({ path }) => !WIRES.test(path)).flatMap((source) =>
      imports(source).filter((target) => {
        const [from, to] = [roomOf(source.path), roomOf(target)];
        return (from !== to && !MAY_IMPORT[from]!.includes(to)) ||
          (from === "api" && API_MAY_NOT.test(target));
      }).map((target) => `${source.path} imports ${target}`)
    );
    assert.deepEqual(found, []);
  });

  it("keeps every file short enough for one reading", async () => {
    const long = (await all([...ROOMS, "tests"])).map(({ path, text }) => ({
      path,
      lines: text.split("\n").length,
    }))
      .filter(({ path, lines }) => lines > (roomOf(path) === "tests" ? TEST_LINES_MAX : LINES_MAX));
    assert.deepEqual(long, []);
  });

  it("opens every file with what lives there", async () => {
    const silent = (await all(ROOMS)).filter(({ text }) => !/^(#!.*\n)?\/\*\*/.test(text)).map(({ path }) =>
      path
    );
    assert.deepEqual(silent, []);
  });

  it("has nothing at the top but its rooms", async () => {
    const { stdout } = await new Deno.Command("git", { args: ["ls-files"], cwd: ROOT }).output();
    const top = new Set(new TextDecoder().decode(stdout).split("\n").filter(Boolean).map(roomOf));
    const known = [...ROOMS, "tests", "deno.json", "deno.lock", "README.md", "LICENSE"];
    assert.deepEqual([...top].filter((name) => !known.includes(name) && !name.startsWith(".")), []);
  });
});
