/**
 * Tells all stories anew and writes down what came of them, for a person to review what changed:
 * `deno run --allow-read --allow-write tests/stories/update.ts`. Also lists them in all.ts, so that tests need no permission to read.
 */
import { tell } from "../setup/tell.ts";

const FOLDER = new URL("./", import.meta.url);

const names = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).filter((name) => name.endsWith(".story"))
  .sort();
for (const name of names) {
  const file = new URL(name, FOLDER), before = Deno.readTextFileSync(file), now = tell(before);
  if (now === before) continue;
  Deno.writeTextFileSync(file, now);
  console.log(`${name} tells otherwise`);
}

const idOf = (name: string): string => name.replace(".story", "");
Deno.writeTextFileSync(
  new URL("all.ts", FOLDER),
  `/** All stories, as update.ts found them. */
${names.map((name) => `import ${idOf(name)} from "./${name}" with { type: "text" };`).join("\n")}

export const STORIES: Readonly<Record<string, string>> = {
${names.map((name) => `  ${idOf(name)},`).join("\n")}
};
`,
);
