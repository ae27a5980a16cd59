/**
 * ErrorLog: the errors of one controller's commands: how many there were, and the newest of them.
 *
 * spec: NVMe Base 2.0 5.16.1.2
 */

import type { CommandError } from "./transport.ts";

/** ELPE is one less. */
export const ERROR_LOG_ENTRIES = 64;

export interface LoggedError extends CommandError {
  /** Counts errors of the controller from 1; never reused. */
  readonly number: number;
}

export class ErrorLog {
  /** Newest first. */
  readonly #entries: LoggedError[] = [];
  #count = 0;

  /** All there ever were. */
  get count(): number {
    return this.#count;
  }

  get entries(): readonly LoggedError[] {
    return this.#entries;
  }

  note(error: CommandError): void {
    this.#count++;
    this.#entries.unshift({ ...error, number: this.#count });
    if (this.#entries.length > ERROR_LOG_ENTRIES) this.#entries.pop();
  }
}
