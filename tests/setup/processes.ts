/** The processes of a platform, found in the process table, so that tests can kill them as the world does. */

export interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
}

/** Every live process; zombies have no command line and are left out. */
export function processes(): Process[] {
  return [...Deno.readDirSync("/proc")].flatMap(({ name }) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const command = Deno.readTextFileSync(`/proc/${name}/cmdline`).replaceAll("\0", " ").trim();
      const stat = Deno.readTextFileSync(`/proc/${name}/stat`);
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      return command === "" ? [] : [{ pid: Number(name), parent, command }];
    } catch {
      return []; // it ended while we looked
    }
  });
}

/** A process and all that came from it, itself first. */
export function familyOf(pid: number, all = processes()): Process[] {
  const self = all.filter((process) => process.pid === pid);
  return [
    ...self,
    ...all.filter((process) => process.parent === pid).flatMap((child) => familyOf(child.pid, all)),
  ];
}

/** The platform's parts by what they run. */
export function partsOf(upPid: number): { postgres: number[]; runner: number[]; guests: number[] } {
  const family = familyOf(upPid);
  const pids = (part: RegExp) => family.filter(({ command }) => part.test(command)).map(({ pid }) => pid);
  return {
    postgres: pids(/\/postgres -D /),
    runner: pids(/runner\/main\.ts/),
    guests: pids(/guests\/guest\.(ts|py)/),
  };
}
