/**
 * Errors as plain values, to cross from one thread to another and become errors again.
 *
 * Pure. Code, message, details and retryable survive; the stack of an internal error does too, as
 * that is all that tells where it came from.
 */

import { type ErrorDetails, PenstockError, toPenstockError } from "../util/errors.ts";

export interface TransferredError {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly details: ErrorDetails;
  readonly stack: string;
}

export function packError(thrown: unknown): TransferredError {
  const error = toPenstockError(thrown);
  const origin = thrown instanceof Error ? thrown : error;
  return {
    code: error.code,
    message: error.message,
    retryable: error.retryable,
    details: error.details,
    stack: origin.stack ?? "",
  };
}

export function unpackError(packed: TransferredError): PenstockError {
  const { code, message, retryable, details, stack } = packed;
  const error = new PenstockError({ code, message, retryable, details });
  error.stack = stack;
  return error;
}
