/** Tables for people: columns as wide as they must be, nothing else drawn. Pure. */
import { clip, width } from "./output.ts";

/** One column of a table of `T`. */
export interface Column<T> {
  readonly title: string;
  readonly text: (item: T) => string;
  readonly align?: "right";
}

/** The lines of a table with its titles, each at most `columns` wide. `strong` paints the titles. */
export function table<T>(
  items: readonly T[],
  columns: readonly Column<T>[],
  { columns: max, strong }: { columns: number; strong: (text: string) => string },
): string {
  const rows = items.map((item) => columns.map((column) => column.text(item)));
  const widths = columns.map(({ title }, i) => Math.max(width(title), ...rows.map((row) => width(row[i]!))));
  const line = (cells: readonly string[]) =>
    clip(cells.map((cell, i) => pad(cell, widths[i]!, columns[i]!.align)).join("  ").trimEnd(), max);
  return [strong(line(columns.map(({ title }) => title))), ...rows.map(line)].join("\n");
}

function pad(cell: string, to: number, align: "right" | undefined): string {
  const space = " ".repeat(Math.max(0, to - width(cell)));
  return align === "right" ? space + cell : cell + space;
}
