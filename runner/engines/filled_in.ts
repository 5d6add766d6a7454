/** The command of a server, with where it is to listen. Pure. */

/** The command with the names of its places filled in: `$PORT`, `${BERTH_VOLUME_DATA}`. Other text is as it is. */
export function filledIn(command: readonly string[], env: Readonly<Record<string, string>>): string[] {
  return command.map((part) =>
    part.replace(
      /\$(?:\{(PORT|BERTH_SOCKET|BERTH_VOLUME_\w+)\}|(PORT|BERTH_SOCKET|BERTH_VOLUME_\w+)\b)/g,
      (text, braced, bare) => env[braced ?? bare!] ?? text,
    )
  );
}
