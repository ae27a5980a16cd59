/**
 * CallbackOp: an IoOp that calls one function, made once by its owner.
 */

import { IoOp } from "./io.ts";

export class CallbackOp extends IoOp {
  readonly #callback: (result: number) => void;

  constructor(callback: (result: number) => void) {
    super();
    this.#callback = callback;
  }

  override complete(result: number): void {
    this.#callback(result);
  }
}
