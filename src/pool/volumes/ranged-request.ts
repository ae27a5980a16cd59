/** RangedRequest: what takes part in a volume's range table: a client's task, a heal. */

import { Request } from "../../block/request.ts";
import { assert } from "../../util/assert.ts";

/** `offset` and `length` are set before it enters; whole blocks, in bytes. Never submitted. */
export abstract class RangedRequest extends Request {
  /** Had to wait in the table; may go on now. */
  abstract rangeEntered(): void;

  override complete(): void {
    assert(false, "an entry of a range table is not submitted");
  }
}
