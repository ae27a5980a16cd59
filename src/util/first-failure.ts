/**
 * FirstFailure: what went wrong first, where every step must run whatever became of the others.
 *
 * For endings: what could not be closed is no reason to leave the rest open, and what fails after
 * the first failure is mostly its consequence.
 */

import { type PenstockError, toPenstockError } from "./errors.ts";

export class FirstFailure {
  #failure: PenstockError | null = null;

  /** Null: every step so far went well. */
  get failure(): PenstockError | null {
    return this.#failure;
  }

  /** Runs `step` to its end. Never rejects. */
  async attempt(step: () => unknown): Promise<void> {
    try {
      await step();
    } catch (thrown) {
      this.#failure ??= toPenstockError(thrown);
    }
  }

  /** @throws PenstockError the first failure, if any step failed */
  throwIfAny(): void {
    if (this.#failure !== null) throw this.#failure;
  }
}
