/**
 * Assertions: statements about our own code that stay on in production.
 *
 * A failed assertion is a bug of ours and never a fact about a peer or a disk; those are validated
 * and answered with a status. Stateless; may be called from the hot path with a constant message.
 */

/** Thrown when a statement about our own code turned out to be false. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
  /** Stable over releases, as on every error of ours. */
  readonly code = "assertion-failed";
}

/**
 * Throws an {@link AssertionError} unless `condition` is true.
 *
 * The message is a plain string so that a passing assertion builds nothing: on the hot path pass a
 * constant, elsewhere a template literal is fine.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) {
    throw new AssertionError(message);
  }
}

/**
 * Closes a switch over a union: the type checker rejects the call while a case is missing, and a
 * value that got past the types anyway stops here with its name.
 */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable value: ${describe(value)}`);
}

function describe(value: unknown): string {
  try {
    return typeof value === "bigint" ? `${value}n` : (JSON.stringify(value) ?? String(value));
  } catch (_notSerialisable) {
    return String(value);
  }
}
