/**
 * LIST_META_CONTEXT and SET_META_CONTEXT: which metadata contexts an export has, and which of them
 * BLOCK_STATUS will report.
 *
 *   data: u32 name length · name · u32 count · count x (u32 query length · query)
 *
 * Stateless but for the negotiation it is given.
 *
 * spec: NBD proto.md "Option types", NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT
 */

import { META_QUERY_COUNT_MAX, Option, OptionReply } from "./constants.ts";
import type { ByteSink } from "./byte-sink.ts";
import type { ExportDescription } from "./export-description.ts";
import { type HostAssociation, privateAnswers, readHostQuery } from "./private-context.ts";
import { queryMatches, type SelectedContext } from "./meta-context.ts";
import type { Negotiation } from "./negotiation.ts";
import type { OptionReader } from "./option-reader.ts";
import { quote, writeAck, writeError, writeMetaContext } from "./option-reply.ts";

/** Answers LIST_META_CONTEXT or SET_META_CONTEXT. */
export function handleMetaContext(
  negotiation: Negotiation,
  option: number,
  reader: OptionReader,
): void {
  const { output } = negotiation;
  const sets = option === Option.setMetaContext;
  // spec: replaces what was selected before, "including when this command fails".
  if (sets) {
    negotiation.selection = null;
    negotiation.association = null;
  }
  // spec: LIST without structured replies may be answered, and qemu does; SET must not be sent.
  if (sets && !negotiation.structuredReplies) {
    const text = "structured replies or extended headers have to be negotiated first";
    writeError(output, option, OptionReply.errInvalid, text);
    return;
  }
  const request = readRequest(reader);
  if ("errorType" in request) {
    writeError(output, option, request.errorType, request.text);
    return;
  }
  const exported = negotiation.directory.find(request.exportName);
  if (exported === null) {
    const text = `no export ${quote(request.exportName)}`;
    writeError(output, option, OptionReply.errUnknown, text);
    return;
  }
  const everything = !sets && request.queries.length === 0;
  const selected: SelectedContext[] = [];
  for (const context of negotiation.contexts) {
    const asked =
      everything || request.queries.some((query) => queryMatches(query, context, !sets));
    if (!asked || !context.offeredBy(exported)) continue;
    selected.push({ id: context.id, name: context.name });
    // spec: the id in a LIST reply is reserved and zero.
    writeMetaContext(output, option, sets ? context.id : 0, context.name);
  }
  if (sets) negotiation.association = associationOf(request.queries);
  else answerPrivately(output, request.queries, exported);
  writeAck(output, option);
  if (sets) negotiation.selection = { exportName: exported.name, contexts: selected };
}

/** The first query that names the client's host, if there is one. */
function associationOf(queries: readonly string[]): HostAssociation | null {
  for (const query of queries) {
    const association = readHostQuery(query);
    if (association !== null) return association;
  }
  return null;
}

/** Private answers are given once each, and only when asked for by name. */
function answerPrivately(
  output: ByteSink,
  queries: readonly string[],
  exported: ExportDescription,
): void {
  const names = new Set(queries.flatMap((query) => privateAnswers(query, exported)));
  for (const name of names) writeMetaContext(output, Option.listMetaContext, 0, name);
}

interface MetaRequest {
  readonly exportName: string;
  readonly queries: readonly string[];
}

interface MetaRefusal {
  readonly errorType: OptionReply;
  readonly text: string;
}

function readRequest(reader: OptionReader): MetaRequest | MetaRefusal {
  const exportName = reader.sizedString();
  if (exportName === null) {
    return invalid("the export name is longer than the data or 4096 bytes, or no string");
  }
  const count = reader.uint32();
  if (count === null) return invalid("the data ends before the number of queries");
  if (count > META_QUERY_COUNT_MAX) {
    const text = `${count} queries, at most ${META_QUERY_COUNT_MAX} are answered`;
    return { errorType: OptionReply.errTooBig, text };
  }
  const queries: string[] = [];
  for (let index = 0; index < count; index++) {
    const query = reader.sizedString();
    if (query === null) {
      return invalid(`query ${index} is longer than the data or 4096 bytes, or no string`);
    }
    queries.push(query);
  }
  if (reader.leftBytes > 0) return invalid(`${reader.leftBytes} bytes after the last query`);
  return { exportName, queries };
}

function invalid(text: string): MetaRefusal {
  return { errorType: OptionReply.errInvalid, text };
}
