/**
 * What a call of the generated client has thrown, as an error of ours: the engine's own, or why
 * nobody answered. Pure.
 */

import type { JsonObject } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type ErrorDetails, PenstockError } from "../util/errors.ts";
import { ErrorDetailSchema } from "./penstock/engine/v1/engine_pb.ts";
import { RemoteError } from "./remote-error.ts";

/** System errors of a connection that nobody answers. */
const UNREACHABLE: ReadonlySet<string> = new Set(["ENOENT", "ECONNREFUSED", "ENOTSOCK"]);

/**
 * Turns what a call of the generated client has thrown into an error of ours.
 * @param address of the engine, for the message that nobody answers there
 */
export function fromRpcError(thrown: unknown, address: string): PenstockError {
  if (thrown instanceof PenstockError) return thrown;
  const error = ConnectError.from(thrown);
  const systemCode = systemCodeOf(error.cause);
  if (systemCode === undefined) return remoteError(error);
  const isMissing = UNREACHABLE.has(systemCode);
  return new PenstockError({
    code: isMissing ? "engine-unreachable" : "engine-connection-failed",
    message: isMissing
      ? `no engine answers at ${address} (${systemCode}): start one with \`penstock engine\`, ` +
        "or name another with --engine or PENSTOCK_ENGINE"
      : `the connection to the engine at ${address} failed (${systemCode})`,
    retryable: true,
    details: { address, systemCode },
    cause: thrown,
  });
}

function remoteError(error: ConnectError): RemoteError {
  const [detail] = error.findDetails(ErrorDetailSchema);
  return new RemoteError({
    code: detail?.code || codeOf(error),
    message: error.rawMessage,
    retryable: detail?.retryable ?? false,
    details: detailsOf(detail?.details),
    cause: error,
    isBadRequest: error.code === Code.InvalidArgument,
    excerpt: detail?.excerpt ?? [],
    field: detail?.field ?? "",
  });
}

/** `InvalidArgument` as `invalid-argument`. */
function codeOf(error: ConnectError): string {
  return Code[error.code].replace(/(?<!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
}

function detailsOf(details: JsonObject | undefined): ErrorDetails {
  return Object.fromEntries(
    Object.entries(details ?? {}).filter(([, value]) => typeof value !== "object"),
  ) as ErrorDetails;
}

function systemCodeOf(cause: unknown): string | undefined {
  if (!(cause instanceof Error) || !("code" in cause)) return undefined;
  return typeof cause.code === "string" && /^E[A-Z]+$/.test(cause.code) ? cause.code : undefined;
}
