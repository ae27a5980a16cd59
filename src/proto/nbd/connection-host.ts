/**
 * ConnectionHost: what connections need of the service that accepted them.
 */

import type { NbdCommand } from "./command.ts";
import type { BufferReserve } from "../../reactor/buffer-pool.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import type { NbdConnection } from "./connection.ts";
import type { NbdExport } from "./export.ts";
import type { ExportDirectory } from "./export-description.ts";
import type { NegotiatedSession } from "./negotiation.ts";
import type { ReceiveVectors } from "../stream/receive-vectors.ts";
import type { SendBankPool } from "../stream/send-bank.ts";

export interface ConnectionHost {
  readonly reactor: Reactor;
  readonly directory: ExportDirectory;
  readonly banks: SendBankPool<NbdCommand>;
  readonly reserve: BufferReserve;
  readonly vectors: ReceiveVectors;
  /** A handshake that takes longer is ended. */
  readonly handshakeMsMax: number;
  /** A draining connection whose client does not read its replies is ended after this. */
  readonly drainMsMax: number;
  /** The export of this reactor with this canonical name, or null. */
  findLocal(name: string): NbdExport | null;
  /** Passes the socket to the export's reactor. @returns false: there is none */
  handOff(connection: NbdConnection, session: NegotiatedSession, unread: Uint8Array): boolean;
  /** The connection has let go of everything. */
  connectionClosed(connection: NbdConnection, reason: string): void;
}
