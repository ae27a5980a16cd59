/** The error for whoever asks an engine that is on its way out for a change. */

import { PenstockError } from "../util/errors.ts";

export function stoppedError(): PenstockError {
  return new PenstockError({ code: "aborted", message: "the engine is being stopped" });
}
