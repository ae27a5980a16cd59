/**
 * The base class of every error off the data path, and the one conversion of unknown values.
 *
 * On the data path errors are status values; here they are objects with a stable `code` that
 * tests, RPC and the command line rely on. Wrap once, where the context is known; convert unknown
 * values once, at the edge (RPC, command line, connection). Errors are immutable once made.
 */

/** Plain values only, so that details survive RPC, logs and structured clone unchanged. */
export type ErrorDetail = string | number | boolean | null | readonly (string | number)[];

export type ErrorDetails = Readonly<Record<string, ErrorDetail>>;

export interface PenstockErrorOptions<D extends ErrorDetails = ErrorDetails> {
  /** Stable name in kebab-case, such as `size-out-of-range`; part of our contract. */
  readonly code: string;
  /** Names the value and the limit, for a person. */
  readonly message: string;
  /** True when the same call may succeed later without anybody changing anything. */
  readonly retryable?: boolean;
  readonly details?: D;
  readonly cause?: unknown;
}

export class PenstockError<D extends ErrorDetails = ErrorDetails> extends Error {
  override readonly name: string = "PenstockError";
  readonly code: string;
  readonly retryable: boolean;
  readonly details: D | Readonly<Record<string, never>>;

  constructor(options: PenstockErrorOptions<D>) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code;
    this.retryable = options.retryable ?? false;
    this.details = options.details ?? {};
  }
}

/**
 * Operating system codes after which a retry makes sense. Everything else needs a person or
 * another call first.
 */
const RETRYABLE_SYSTEM_CODES: ReadonlySet<string> = new Set([
  "EAGAIN",
  "EBUSY",
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "EINTR",
  "ENETUNREACH",
  "EPIPE",
  "ETIMEDOUT",
]);

/**
 * Turns anything that was thrown into a {@link PenstockError}: ours pass through untouched, system
 * errors keep their code in lower case (`ENOENT` becomes `system-enoent`), the rest is `internal`.
 */
export function toPenstockError(thrown: unknown): PenstockError {
  if (thrown instanceof PenstockError) {
    return thrown;
  }
  if (!(thrown instanceof Error)) {
    return new PenstockError({ code: "internal", message: printable(thrown), cause: thrown });
  }
  const systemCode = systemCodeOf(thrown);
  if (systemCode === undefined) {
    return new PenstockError({ code: "internal", message: thrown.message, cause: thrown });
  }
  return new PenstockError({
    code: `system-${systemCode.toLowerCase()}`,
    message: thrown.message,
    retryable: RETRYABLE_SYSTEM_CODES.has(systemCode),
    details: { systemCode },
    cause: thrown,
  });
}

function systemCodeOf(error: Error): string | undefined {
  const code: unknown = "code" in error ? error.code : undefined;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

function printable(value: unknown): string {
  try {
    return typeof value === "string" ? value : `thrown value: ${String(value)}`;
  } catch (_hasNoStringForm) {
    return "thrown value without a string form";
  }
}
