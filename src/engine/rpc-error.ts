/**
 * Errors of the engine as its clients get them: a gRPC code, the message, and an ErrorDetail with
 * our own code. The one table from our codes to those of gRPC.
 */

import { create, type JsonObject } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorDetailSchema } from "../api/penstock/engine/v1/engine_pb.ts";
import { GrammarError } from "../pipe/grammar-error.ts";
import { AssertionError } from "../util/assert.ts";
import { type PenstockError, toPenstockError } from "../util/errors.ts";

/** What is not here is `failed_precondition`, or `unavailable` when a retry may help. */
const CODES: Readonly<Record<string, Code>> = {
  aborted: Code.Unavailable,
  claimed: Code.FailedPrecondition,
  "block-size-invalid": Code.InvalidArgument,
  "export-exists": Code.AlreadyExists,
  "field-invalid": Code.InvalidArgument,
  "field-missing": Code.InvalidArgument,
  "field-out-of-range": Code.InvalidArgument,
  "field-too-long": Code.InvalidArgument,
  internal: Code.Internal,
  "label-taken": Code.AlreadyExists,
  "name-invalid": Code.InvalidArgument,
  "namespace-exists": Code.AlreadyExists,
  "no-memory": Code.ResourceExhausted,
  "no-space": Code.ResourceExhausted,
  "over-commit": Code.ResourceExhausted,
  "out-of-memory": Code.ResourceExhausted,
  "permission-denied": Code.PermissionDenied,
  "pipe-exists": Code.AlreadyExists,
  "pipe-not-found": Code.NotFound,
  "pool-exists": Code.AlreadyExists,
  "pool-not-found": Code.NotFound,
  "replica-shared": Code.AlreadyExists,
  "replumb-busy": Code.Aborted,
  "replumb-timeout": Code.DeadlineExceeded,
  "size-invalid": Code.InvalidArgument,
  "snapshot-exists": Code.AlreadyExists,
  "snapshot-not-found": Code.NotFound,
  "stage-mismatch": Code.InvalidArgument,
  "stage-not-found": Code.NotFound,
  "store-failed": Code.Internal,
  "too-many-pipes": Code.ResourceExhausted,
  "token-invalid": Code.InvalidArgument,
  "too-many-pools": Code.ResourceExhausted,
  "too-many-sessions": Code.ResourceExhausted,
  "too-many-watchers": Code.ResourceExhausted,
  "volume-exists": Code.AlreadyExists,
  "volume-not-found": Code.NotFound,
};

/**
 * @param onBug gets the stack of an error that is a bug of ours; clients get its message alone
 * @param textField of the request: the one with a pipe's text
 */
export function toRpcError(
  thrown: unknown,
  onBug: (stack: string) => void,
  textField = "text",
): ConnectError {
  if (thrown instanceof ConnectError) return thrown;
  const error = toPenstockError(thrown);
  if (error.code === "internal" || thrown instanceof AssertionError) {
    onBug(thrown instanceof Error ? (thrown.stack ?? error.message) : error.message);
  }
  const { details } = error;
  const detail = create(ErrorDetailSchema, {
    code: error.code,
    retryable: error.retryable,
    details: details as JsonObject,
    excerpt: error instanceof GrammarError ? error.render().split("\n").slice(0, 2) : [],
    field: fieldOf(error, textField),
  });
  const options = { desc: ErrorDetailSchema, value: detail };
  return new ConnectError(error.message, rpcCodeOf(error), undefined, [options], thrown);
}

function rpcCodeOf(error: PenstockError): Code {
  if (error instanceof GrammarError) return Code.InvalidArgument;
  const known = Object.hasOwn(CODES, error.code) ? CODES[error.code] : undefined;
  return known ?? (error.retryable ? Code.Unavailable : Code.FailedPrecondition);
}

function fieldOf(error: PenstockError, textField: string): string {
  if (error instanceof GrammarError) return textField;
  const { field } = error.details;
  return typeof field === "string" ? field : "";
}
