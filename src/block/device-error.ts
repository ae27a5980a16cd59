/**
 * DeviceError: a request's status as an error, for the promise API.
 */

import { PenstockError } from "../util/errors.ts";
import { OPERATION_NAMES, type Operation } from "./operation.ts";
import { STATUS_TRAITS, type Status, statusName } from "./status.ts";

export interface DeviceErrorOptions {
  readonly status: Status;
  /** The device's name. */
  readonly device: string;
  readonly operation: Operation;
  readonly offset: number;
  readonly length: number;
  /** Byte on the device of the first error, or -1. */
  readonly errorOffset: number;
}

/** `code` is the status's name, such as `out-of-range`; details say what was asked. */
export class DeviceError extends PenstockError {
  override readonly name = "DeviceError";
  readonly status: Status;

  constructor(options: DeviceErrorOptions) {
    const { status, device, offset, length, errorOffset } = options;
    const operation = OPERATION_NAMES[options.operation] ?? `operation ${options.operation}`;
    const place = errorOffset === -1 ? "" : `, first at ${errorOffset}`;
    const code = statusName(status);
    super({
      code,
      message: `${operation} of ${length} bytes at ${offset} on ${device}: ${code}${place}`,
      retryable: STATUS_TRAITS[status]?.retryable ?? false,
      details: { device, operation, offset, length, errorOffset },
    });
    this.status = status;
  }
}
