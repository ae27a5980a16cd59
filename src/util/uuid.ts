/**
 * UUIDs made from names: the same name gives the same UUID, for ever and everywhere.
 */

import { createHash } from "node:crypto";

/** The namespace of all of Penstock's name-based UUIDs. */
const PENSTOCK_NAMESPACE = "8f1d1c7e-3a53-5d0a-9a5e-7e6f2b9c4d10";

/** UUID version 5 of `name` in our namespace. spec: RFC 9562 §5.5 */
export function uuidOfName(name: string): string {
  const namespace = Buffer.from(PENSTOCK_NAMESPACE.replaceAll("-", ""), "hex");
  const hash = createHash("sha1").update(namespace).update(name, "utf8").digest();
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = hash.toString("hex");
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return `${parts.join("-")}-${hex.slice(20, 32)}`;
}
