/** A bar as text. Pure. */

const CELLS = 24;
const PARTS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** `██████▌░░░░  27%  27/100`; without a bar when the total says nothing. */
export function progressBar(done: number, total: number): string {
  if (!(total > 0)) return `${done}`;
  const share = Math.min(1, Math.max(0, done / total));
  const eighths = Math.round(share * CELLS * 8);
  const bar = "█".repeat(Math.floor(eighths / 8)) + PARTS[eighths % 8]!;
  return `${bar.padEnd(CELLS, "░")} ${String(Math.round(share * 100)).padStart(3)}%  ${done}/${total}`;
}
