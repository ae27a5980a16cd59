/**
 * EXPORT_NAME: enter the transmission phase the old way, which knows no errors.
 *
 *   data: name; reply: u64 size · u16 transmission flags · 124 zeroes unless left out
 *
 * Stateless but for the negotiation it is given.
 *
 * spec: NBD proto.md "Newstyle negotiation" and "Option types", NBD_OPT_EXPORT_NAME
 */

import { EXPORT_NAME_ZEROES_BYTES } from "./constants.ts";
import { transmissionFlags } from "./export-description.ts";
import { conclude, type NegotiatedSession, type Negotiation } from "./negotiation.ts";
import { decodeString } from "./option-reader.ts";

/** Answers EXPORT_NAME. Null, and nothing written, when the session has to end. */
export function handleExportName(
  negotiation: Negotiation,
  data: Uint8Array,
): NegotiatedSession | null {
  // spec: not with extended headers.
  if (negotiation.extendedHeaders) return null;
  const name = decodeString(data);
  const exported = name === null ? null : negotiation.directory.find(name);
  if (exported === null) return null;
  const flags = transmissionFlags(exported, negotiation.structuredReplies);
  negotiation.output.uint64(exported.sizeBytes);
  negotiation.output.uint16(flags);
  if (!negotiation.noZeroes) negotiation.output.zeroes(EXPORT_NAME_ZEROES_BYTES);
  return conclude(negotiation, exported, flags, false);
}
