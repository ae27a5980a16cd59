/**
 * What the parts of a target connection need of each other and of the service around them.
 */

import type { BufferReserve } from "../../reactor/buffer-pool.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import type { NvmeCommand } from "../nvme/io-command.ts";
import type { SubsystemTarget } from "../nvme/transport.ts";
import type { ReceiveVectors } from "../stream/receive-vectors.ts";
import type { ReceiveWindow } from "../stream/receive-window.ts";
import type { SendBankPool } from "../stream/send-bank.ts";
import type { FatalError } from "./common.ts";
import type { TargetConnection } from "./target-connection.ts";
import type { TargetSession } from "./target-session.ts";

/** The connection, as its reader and its queue see it. */
export interface TargetLink {
  /** False once nothing can be sent any more: replies are dropped. */
  readonly canReply: boolean;
  /** The host's address without the port, and the listener's as `addressKey` writes it. */
  readonly peer: string;
  readonly listener: string;
  readonly window: ReceiveWindow;
  /** A command has ended or memory came back: go on reading commands. */
  commandEnded(): void;
  /** A command could not get its memory: call `resume` when there may be some. */
  awaitMemory(): void;
  /** Ends the connection now. */
  fail(reason: string): void;
  /** The host breaks the protocol: tells it by C2HTermReq, then ends. `at`: of the PDU's start */
  terminate(fatalError: FatalError, information: number, at: number, reason: string): void;
  /** The host has ended the connection by H2CTermReq. */
  terminated(fatalError: number): void;
  /** The queue has been connected. */
  attached(): void;
  /** The Connect that begins the window is for a subsystem of that reactor. */
  handOff(reactorId: number): void;
}

/** What connections need of the service that accepted them. */
export interface TargetHost {
  readonly reactor: Reactor;
  readonly banks: SendBankPool<NvmeCommand>;
  readonly reserve: BufferReserve;
  readonly vectors: ReceiveVectors;
  /** The listener's address, as `addressKey` writes it. */
  readonly listener: string;
  /** Initialization and Connect take at most this. */
  readonly handshakeMsMax: number;
  /** A draining connection whose host does not read its replies is ended after this. */
  readonly drainMsMax: number;
  /** The subsystem of that name that the listener offers: here, or the id of its reactor. */
  findSubsystem(nqn: string): SubsystemTarget | number | null;
  /** Passes the socket to another reactor. @returns false: it is gone */
  handOff(
    connection: TargetConnection,
    reactorId: number,
    session: TargetSession,
    unread: Uint8Array,
  ): boolean;
  /** The connection has let go of everything. */
  connectionClosed(connection: TargetConnection, reason: string): void;
}
