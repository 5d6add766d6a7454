/** What is done once for all who want it; a failure is tried again by the next. */
export class Once {
  readonly #done = new Map<string, Promise<string>>();

  do(key: string, make: () => Promise<string>): Promise<string> {
    const known = this.#done.get(key);
    if (known !== undefined) return known;
    const making = make();
    this.#done.set(key, making);
    making.catch(() => this.#done.delete(key));
    return making;
  }
}
