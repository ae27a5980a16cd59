/**
 * Writers of option replies.
 *
 *   0 u64 magic · 8 u32 option · 12 u32 reply type · 16 u32 length · 20 data
 *
 * Stateless. Callers have checked the sink's room (see REPLY_ROOM_BYTES in handshake-target.ts).
 *
 * spec: NBD proto.md "Fixed newstyle negotiation", "Option reply types"
 */

import { type ByteSink, utf8 } from "./byte-sink.ts";
import {
  InfoType,
  OPTION_REPLY_MAGIC_HIGH,
  OPTION_REPLY_MAGIC_LOW,
  Option,
  OptionReply,
} from "./constants.ts";
import type { ExportDescription } from "./export-description.ts";

/** A client's string in a message of ours is cut to this many UTF-16 units. */
const QUOTE_UNITS_MAX = 80;

const OPTION_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(Option).map(([name, option]) => [option, name]),
);

/** The option's name for messages. */
export function optionName(option: number): string {
  return OPTION_NAMES.get(option) ?? String(option);
}

/** `text` in quotes, cut and without control characters. */
export function quote(text: string): string {
  const cut = text.length > QUOTE_UNITS_MAX ? `${text.slice(0, QUOTE_UNITS_MAX)}...` : text;
  // What a terminal would obey or not show (controls, direction marks, lone surrogates).
  return JSON.stringify(cut).replace(/\p{C}/gu, escapeCharacter);
}

function escapeCharacter(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

export function writeHeader(
  output: ByteSink,
  option: number,
  type: OptionReply,
  payloadBytes: number,
): void {
  output.uint32(OPTION_REPLY_MAGIC_HIGH);
  output.uint32(OPTION_REPLY_MAGIC_LOW);
  output.uint32(option);
  output.uint32(type);
  output.uint32(payloadBytes);
}

export function writeAck(output: ByteSink, option: number): void {
  writeHeader(output, option, OptionReply.ack, 0);
}

/** @param text for a person; names the value and the limit */
export function writeError(
  output: ByteSink,
  option: number,
  type: OptionReply,
  text: string,
): void {
  const bytes = utf8(text);
  writeHeader(output, option, type, bytes.length);
  output.append(bytes);
}

/** One export of LIST: u32 name length, name, description. */
export function writeServer(output: ByteSink, exported: ExportDescription): void {
  const name = utf8(exported.name);
  const description = utf8(exported.description);
  writeHeader(output, Option.list, OptionReply.server, 4 + name.length + description.length);
  output.uint32(name.length);
  output.append(name);
  output.append(description);
}

export function writeMetaContext(
  output: ByteSink,
  option: number,
  id: number,
  contextName: string,
): void {
  const bytes = utf8(contextName);
  writeHeader(output, option, OptionReply.metaContext, 4 + bytes.length);
  output.uint32(id);
  output.append(bytes);
}

/** INFO_EXPORT: the only information that is always sent. */
export function writeInfoExport(
  output: ByteSink,
  option: number,
  sizeBytes: number,
  flags: number,
): void {
  writeHeader(output, option, OptionReply.info, 12);
  output.uint16(InfoType.export);
  output.uint64(sizeBytes);
  output.uint16(flags);
}

/** INFO_NAME and INFO_DESCRIPTION. */
export function writeInfoText(
  output: ByteSink,
  option: number,
  infoType: number,
  text: string,
): void {
  const bytes = utf8(text);
  writeHeader(output, option, OptionReply.info, 2 + bytes.length);
  output.uint16(infoType);
  output.append(bytes);
}

export function writeInfoBlockSize(
  output: ByteSink,
  option: number,
  exported: ExportDescription,
): void {
  writeHeader(output, option, OptionReply.info, 14);
  output.uint16(InfoType.blockSize);
  output.uint32(exported.minimumBlockBytes);
  output.uint32(exported.preferredBlockBytes);
  output.uint32(exported.maximumPayloadBytes);
}
