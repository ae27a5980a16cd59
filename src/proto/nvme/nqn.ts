/**
 * NVMe qualified names. Stateless.
 *
 *   nqn.2026-11.io.penstock:vol1                      a date, a domain in reverse, a name
 *   nqn.2014-08.org.nvmexpress:uuid:f81d4fae-...      made from a UUID
 *
 * spec: Base 2.0 4.7
 */

/** Bytes of the longest NQN, without the NUL behind it. */
export const NQN_BYTES_MAX = 223;

/** The well-known NQN: "the discovery subsystem that listens here". */
export const DISCOVERY_NQN = "nqn.2014-08.org.nvmexpress.discovery";

const UUID_PREFIX = "nqn.2014-08.org.nvmexpress:uuid:";
const DATED_NAME = /^nqn\.\d{4}-(?:0[1-9]|1[0-2])\.[^\s:\0]+(?::[^\0]+)?$/;
/** No name has one; and who prints names must not be given orders by peers. */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}]/u;
const UUID_TEXT = /^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$/;

/** True when `text` may name a subsystem or a host. */
export function isNqn(text: string): boolean {
  if (new TextEncoder().encode(text).length > NQN_BYTES_MAX || CONTROL.test(text)) return false;
  if (text.startsWith(UUID_PREFIX)) return UUID_TEXT.test(text.slice(UUID_PREFIX.length));
  return DATED_NAME.test(text);
}

/**
 * True when a peer's name can be taken as it is: hosts have had sloppy ones (Linux checks nothing
 * but the length). 1 to 223 bytes of UTF-8 that begin with "nqn.", without control characters.
 */
export function isAcceptableNqn(text: string): boolean {
  if (CONTROL.test(text) || text.includes("\ufffd")) return false;
  return text.startsWith("nqn.") && new TextEncoder().encode(text).length <= NQN_BYTES_MAX;
}

/** The NQN of a host that is known by its UUID, as nvme-cli makes it. */
export function nqnOfUuid(uuid: string): string {
  return UUID_PREFIX + uuid;
}
