/**
 * A Connect, read and judged as far as that goes without knowing any controller.
 *
 * Failures never say "do not retry": Linux gives a path up for good then, while a subsystem that is
 * missing now may be back with its restarted engine.
 *
 * spec: NVMe Base 2.0 6.3
 */

import {
  type ConnectCommand,
  type ConnectData,
  ConnectAttribute,
  ConnectOffset,
  decodeConnect,
  decodeConnectData,
  invalidParameter,
} from "./connect.ts";
import { isAcceptableNqn } from "./nqn.ts";
import { NvmeStatus } from "./status.ts";
import type { SlowCommand } from "./transport.ts";

export interface ConnectRequest {
  readonly command: SlowCommand;
  readonly connect: ConnectCommand;
  readonly data: ConnectData;
}

const NO_HOST_ID = "00000000-0000-0000-0000-000000000000";

/** Answers with failure. */
export function failConnect(command: SlowCommand, status: number): void {
  command.complete(status);
}

/** Answers "invalid parameters", pointing at one. @param inData it is in the data */
export function failParameter(command: SlowCommand, offset: number, inData: boolean): void {
  command.complete(NvmeStatus.connectInvalidParameters, invalidParameter(offset, inData));
}

/** For a Connect to an NQN that nobody has. */
export function failUnknownSubsystem(command: SlowCommand): void {
  failParameter(command, ConnectOffset.subsystemNqn, true);
}

/** @returns null: the command was answered with failure */
export function readConnect(
  command: SlowCommand,
  nqns: readonly string[],
  needsHostId: boolean,
): ConnectRequest | null {
  const connect = decodeConnect(command.sqe);
  const data = decodeConnectData(command.data);
  if (connect.recordFormat !== 0) {
    failConnect(command, NvmeStatus.connectIncompatibleFormat);
  } else if (data === null) {
    failConnect(command, NvmeStatus.dataSglLengthInvalid);
  } else if (!nqns.includes(data.subsystemNqn)) {
    failUnknownSubsystem(command);
  } else if (!isAcceptableNqn(data.hostNqn)) {
    failParameter(command, ConnectOffset.hostNqn, true);
  } else if (needsHostId && data.hostId === NO_HOST_ID) {
    failParameter(command, ConnectOffset.hostId, true);
  } else {
    return { command, connect, data };
  }
  return null;
}

export function hasSqFlowControl({ attributes }: ConnectCommand): boolean {
  return (attributes & ConnectAttribute.disableSqFlowControl) === 0;
}
