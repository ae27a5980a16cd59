/**
 * Errors of an engine as its clients get them: the engine's own code, message and details again.
 */

import type { JsonObject } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type ErrorDetails, PenstockError } from "../util/errors.ts";
import { ErrorDetailSchema } from "./penstock/engine/v1/engine_pb.ts";

/** What the engine answered. */
export class RemoteError extends PenstockError {
  override readonly name = "RemoteError";
  /** What was asked for is wrong in itself: a field, a pipe's text. */
  readonly isBadRequest: boolean;
  /** The text that is wrong and a line that points at the character, or empty. */
  readonly excerpt: readonly string[];
  /** The field of the request that is wrong, or empty. */
  readonly field: string;

  constructor(error: ConnectError) {
    const [detail] = error.findDetails(ErrorDetailSchema);
    super({
      code: detail?.code || codeOf(error),
      message: error.rawMessage,
      retryable: detail?.retryable ?? false,
      details: detailsOf(detail?.details),
      cause: error,
    });
    this.isBadRequest = error.code === Code.InvalidArgument;
    this.excerpt = detail?.excerpt ?? [];
    this.field = detail?.field ?? "";
  }
}

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
  if (systemCode === undefined) return new RemoteError(error);
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
