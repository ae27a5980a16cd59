/**
 * bankOfOutput: the handshake's bytes on their way into a connection's sends.
 */

import type { SendBank, SendBankPool } from "../stream/send-bank.ts";
import type { ByteSink } from "./byte-sink.ts";
import type { NbdCommand } from "./command.ts";

/** A bank with as many of the handshake's bytes as it has room for; null when there are none. */
export function bankOfOutput(
  output: ByteSink,
  banks: SendBankPool<NbdCommand>,
): SendBank<NbdCommand> | null {
  if (output.lengthBytes === 0) return null;
  const bank = banks.take();
  const copied = bank.pushBytes(output.written);
  const rest = output.written.slice(copied);
  output.clear();
  output.append(rest);
  return bank;
}
