/**
 * The options without data whose answer is one reply: STRUCTURED_REPLY, EXTENDED_HEADERS and
 * STARTTLS; and the refusal of every option that nobody here knows.
 *
 * Stateless but for the negotiation it is given.
 *
 * spec: NBD proto.md "Option types"
 */

import { Option, OptionReply } from "./constants.ts";
import type { Negotiation } from "./negotiation.ts";
import { optionName, writeAck, writeError } from "./option-reply.ts";

/** Answers `option`, whose `dataBytes` of data have been skipped. */
export function handlePlain(negotiation: Negotiation, option: number, dataBytes: number): void {
  const { output } = negotiation;
  if (!isPlain(option)) {
    const text = `option ${optionName(option)} is not supported`;
    writeError(output, option, OptionReply.errUnsup, text);
  } else if (dataBytes > 0) refuseData(negotiation, option, dataBytes);
  else if (option === Option.startTls) {
    writeError(output, option, OptionReply.errUnsup, "this server has no TLS");
  } else if (option === Option.structuredReply && negotiation.extendedHeaders) {
    // spec: extended headers take precedence and there is no way back.
    const text = "extended headers are already negotiated";
    writeError(output, option, OptionReply.errExtHeaderReqd, text);
  } else {
    negotiation.structuredReplies = true;
    if (option === Option.extendedHeaders) negotiation.extendedHeaders = true;
    writeAck(output, option);
  }
}

/** Refuses data where the spec has none. */
export function refuseData(negotiation: Negotiation, option: number, dataBytes: number): void {
  const text = `option ${optionName(option)} takes no data, ${dataBytes} bytes sent`;
  writeError(negotiation.output, option, OptionReply.errInvalid, text);
}

function isPlain(option: number): boolean {
  return (
    option === Option.startTls ||
    option === Option.structuredReply ||
    option === Option.extendedHeaders
  );
}
