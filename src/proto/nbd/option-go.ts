/**
 * INFO and GO: tell a client about an export, and (GO) enter the transmission phase with it.
 *
 *   data: u32 name length · name · u16 count · count x u16 information type
 *
 * Stateless but for the negotiation it is given.
 *
 * spec: NBD proto.md "Option types", NBD_OPT_INFO and NBD_OPT_GO
 */

import { InfoType, Option, OptionReply } from "./constants.ts";
import { transmissionFlags } from "./export-description.ts";
import { conclude, type NegotiatedSession, type Negotiation } from "./negotiation.ts";
import type { OptionReader } from "./option-reader.ts";
import {
  quote,
  writeAck,
  writeError,
  writeInfoBlockSize,
  writeInfoExport,
  writeInfoText,
} from "./option-reply.ts";

/** Answers INFO or GO. The session when a GO succeeded, else null. */
export function handleInfoOrGo(
  negotiation: Negotiation,
  option: number,
  reader: OptionReader,
): NegotiatedSession | null {
  const { output } = negotiation;
  const name = reader.sizedString();
  if (name === null) {
    const text = "the export name is longer than the data or 4096 bytes, or no UTF-8 without NUL";
    writeError(output, option, OptionReply.errInvalid, text);
    return null;
  }
  const requested = readInfoTypes(reader);
  if (requested === null) {
    const text = "the information requests don't fill the rest of the data exactly";
    writeError(output, option, OptionReply.errInvalid, text);
    return null;
  }
  const exported = negotiation.directory.find(name);
  if (exported === null) {
    writeError(output, option, OptionReply.errUnknown, `no export ${quote(name)}`);
    return null;
  }
  const flags = transmissionFlags(exported, negotiation.structuredReplies);
  const blockSizeAgreed = requested.has(InfoType.blockSize);
  writeInfoExport(output, option, exported.sizeBytes, flags);
  if (requested.has(InfoType.name)) writeInfoText(output, option, InfoType.name, exported.name);
  if (requested.has(InfoType.description) && exported.description !== "") {
    writeInfoText(output, option, InfoType.description, exported.description);
  }
  if (blockSizeAgreed) writeInfoBlockSize(output, option, exported);
  writeAck(output, option);
  return option === Option.go ? conclude(negotiation, exported, flags, blockSizeAgreed) : null;
}

/**
 * The requested types that we know; null when their count disagrees with the data. Unknown types
 * are ignored as the spec says, and so are repeated ones, which it forbids: they do no harm.
 */
function readInfoTypes(reader: OptionReader): ReadonlySet<number> | null {
  const count = reader.uint16();
  if (count === null || reader.leftBytes !== 2 * count) return null;
  const types = new Set<number>();
  for (let index = 0; index < count; index++) {
    const type = reader.uint16() ?? InfoType.export;
    if (type <= InfoType.blockSize) types.add(type);
  }
  return types;
}
