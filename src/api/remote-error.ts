/**
 * Errors of an engine as its clients get them: the engine's own code, message and details again.
 *
 * Nothing of RPC is imported here: whoever prints errors need not load that.
 */

import { PenstockError, type PenstockErrorOptions } from "../util/errors.ts";

export interface RemoteErrorOptions extends PenstockErrorOptions {
  readonly isBadRequest: boolean;
  readonly excerpt: readonly string[];
  readonly field: string;
}

/** What the engine answered. */
export class RemoteError extends PenstockError {
  override readonly name = "RemoteError";
  /** What was asked for is wrong in itself: a field, a pipe's text. */
  readonly isBadRequest: boolean;
  /** The text that is wrong and a line that points at the character, or empty. */
  readonly excerpt: readonly string[];
  /** The field of the request that is wrong, or empty. */
  readonly field: string;

  constructor(options: RemoteErrorOptions) {
    super(options);
    this.isBadRequest = options.isBadRequest;
    this.excerpt = options.excerpt;
    this.field = options.field;
  }
}
