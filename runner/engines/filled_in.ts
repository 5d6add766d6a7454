/** The command of a server, with where it is to listen. Pure. */

/** The command with the names of its place filled in: `$PORT`, `${PORT}`. Other text is as it is. */
export function filledIn(command: readonly string[], env: Readonly<Record<string, string>>): string[] {
  return command.map((part) =>
    part.replace(
      /\$(?:\{(PORT|BERTH_SOCKET)\}|(PORT|BERTH_SOCKET)\b)/g,
      (text, braced, bare) => env[braced ?? bare!] ?? text,
    )
  );
}
