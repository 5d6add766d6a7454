/** Numbers as people say them. Pure. */
export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
export const count = (n: number): string => n.toLocaleString("en-US");
export const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
/** `1 container`, `2 containers` */
export const some = (n: number, noun: string): string => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
