/** What a controller's refusal means to a person: stable codes. Pure. */

import { ConnectOffset } from "../../proto/nvme/connect.ts";
import { codeOf, DNR, NvmeStatus, statusText } from "../../proto/nvme/status.ts";
import { PenstockError } from "../../util/errors.ts";

/** Parts of an error's message: where, and what was asked for. */
export interface FailurePlace {
  /** "192.0.2.1:4420". */
  readonly address: string;
  readonly subsystemNqn: string;
  readonly hostNqn: string;
}

/** DW0 of a refused Connect: the offset is in the data. spec: Base 2.0 figure 381 */
const IN_DATA = 1 << 16;

/** A Connect that was refused with `status`. */
export function connectFailure(place: FailurePlace, status: number, dw0: number): PenstockError {
  const { address, subsystemNqn, hostNqn } = place;
  const code = codeOf(status);
  if (code === NvmeStatus.connectInvalidHost) {
    return failure("host-refused", `${address} does not let host ${hostNqn} use ${subsystemNqn}`);
  }
  const isNqn = dw0 === (IN_DATA | ConnectOffset.subsystemNqn);
  if (code === NvmeStatus.connectInvalidParameters && isNqn) {
    return failure("subsystem-unknown", `${address} has no subsystem ${subsystemNqn}`);
  }
  const text = `${address}, ${subsystemNqn}: connecting is refused: ${statusText(status)}`;
  const isFinal = (status & DNR) !== 0 && code !== NvmeStatus.connectControllerBusy;
  return failure("connect-refused", text, !isFinal);
}

/** An admin command that a controller did not do. */
export function commandFailure(place: FailurePlace, what: string, status: number): PenstockError {
  const { address, subsystemNqn } = place;
  const text = `${address}, ${subsystemNqn}: ${what} failed: ${statusText(status)}`;
  return failure("controller-error", text, (status & DNR) === 0);
}

/** A claim that another host's keeps out. */
export function claimFailure({ address, subsystemNqn }: FailurePlace, nsid: number): PenstockError {
  const text = `another host has namespace ${nsid} in a mirror that is in use`;
  return failure("claimed", `${address}, ${subsystemNqn}: ${text}`, true);
}

export function failure(code: string, message: string, retryable = false): PenstockError {
  return new PenstockError({ code, message, retryable });
}
