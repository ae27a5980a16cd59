/**
 * Lane: steps that run one after the other, in the order in which they were asked for.
 *
 * A step that fails fails for whoever asked for it; those behind it run all the same. The caller
 * bounds how many wait.
 */

export class Lane {
  #last: Promise<unknown> = Promise.resolve();

  /** Settles as `step` does, which starts after every step before it, and never synchronously. */
  run<T>(step: () => T | Promise<T>): Promise<T> {
    const result = this.#last.then(step);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
