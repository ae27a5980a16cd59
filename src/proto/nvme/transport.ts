/**
 * What the model of an NVMe-oF target (subsystems, controllers) and a transport (NVMe/TCP) say to
 * each other. The model never sees a socket, the transport never sees a feature or a log page.
 *
 *   connection: IC ... -> capsule Connect -> SubsystemTarget.connect(command)
 *      +-- command.complete(failure)                        the link belongs to nobody, goes on
 *      +-- link.attach(place), command.complete(0, cntlid)  commands now go to place.controller
 *   link ends (for whatever reason), its last command has ended -> subsystem.queueEnded(link)
 *
 * All of it runs in one reactor. Nothing here is on the path of reads and writes: the transport
 * does those itself, with the checks of `QueuePlace.controller` and of the namespace.
 */

import type { Device } from "../../block/device.ts";
import type { IoCounters } from "./io-counters.ts";
import type { Sqe } from "./sqe.ts";

/**
 * A command that the model answers. Its SQE stays as it is until `complete`. It may stay without
 * an answer for ever (async event requests); a link does not wait for it when it ends.
 */
export interface SlowCommand {
  readonly sqe: Sqe;
  /** What the host has sent with it, in whole, empty if nothing; read during the call only. */
  readonly data: Uint8Array;
  /** Room that the host has for an answer's data, in bytes: the SGL's length, 0 if none. */
  readonly replyBytesMax: number;
  readonly queue: QueueLink;
  /**
   * Answers, exactly once, at any time, in or outside of the turn, also within the call that
   * brought the command, also when the link has begun to end (the transport then drops it).
   * @param status the status field without phase: SC, SCT, CRD, MORE, DNR as in `status.ts`
   * @param data at most `replyBytesMax`; copied or sent before anybody changes it; never reused
   */
  complete(status: number, dw0?: number, data?: Uint8Array, dw1?: number): void;
}

/** One queue's connection, as the model sees it. */
export interface QueueLink {
  /** The host's address, without the port: "192.0.2.7"; one text per address. */
  readonly peer: string;
  /** The listener's address, as `addressKey` writes it. */
  readonly listener: string;
  /** Commands for a device that have come in and not ended. */
  readonly commandsInFlight: number;
  /** Called once, before the Connect is answered with success. */
  attach(place: QueuePlace): void;
  /**
   * Ends it now: reads nothing more, starts nothing more, answers nothing more that has not begun,
   * closes; when the last command for a device has really ended, `SubsystemTarget.queueEnded`
   * follows, in a later call, not in this one. Idempotent.
   */
  end(reason: string): void;
  /**
   * Ends a command that has not reached the device, or can be taken back from it, with status
   * "command abort requested". @returns false: there is none, or it goes on
   */
  abort(cid: number): boolean;
  /**
   * Ends what can be ended of the commands on that namespace that are in flight now, with status
   * "command aborted due to preempt and abort"; calls `done` once all of them have really ended, at
   * once if there are none. Later commands do not matter. Once per preempted queue: rare.
   */
  settle(nsid: number, done: () => void): void;
}

/** Where a queue has come in. */
export interface QueuePlace {
  readonly controller: ControllerFace;
  /** 0: the admin queue. */
  readonly qid: number;
  /** Entries of the submission queue, from 2: at most one less may be outstanding. */
  readonly entries: number;
  /** False: the host does not look at SQHD, which is 0xFFFF in the Connect's answer. */
  readonly hasSqFlowControl: boolean;
}

/** A subsystem, the discovery one too. */
export interface SubsystemTarget {
  readonly nqn: string;
  /** A Connect for this subsystem, with its data; the answer may take until others have ended. */
  connect(command: SlowCommand): void;
  /** The link's connection is closed and no device has a command of it, attached or not. */
  queueEnded(link: QueueLink): void;
}

/**
 * A controller, as the transport sees it: `NvmeController` is one. A link that has begun to end
 * asks nothing of it any more.
 */
export interface ControllerFace {
  /** What the transport must hold hosts to. Fixed. */
  readonly limits: ControllerLimits;
  /** Enabled, not shut down: I/O commands may run. Else: "command sequence error". Hot path. */
  readonly isReady: boolean;
  /** Names the host in reservation checks: from 0, the same for all controllers of a host. */
  readonly hostIndex: number;
  /** In listings and events. */
  readonly cntlid: number;
  readonly hostNqn: string;
  /** Null: no such namespace; 0 and 0xFFFFFFFF are none. Hot path. */
  namespaceOf(nsid: number): NamespaceFace | null;
  /** A command of the admin queue, all of them but Connect, property commands too. */
  admin(command: SlowCommand): void;
  /**
   * A command of an I/O queue that the transport does not do itself: reservation commands, fabrics
   * commands, and any opcode that it does not know.
   */
  ioSlow(command: SlowCommand): void;
  /** A command of an I/O queue ended with an error: goes into the error log. */
  noteError(error: CommandError): void;
  /**
   * What is read later than this, on the reactor's clock, is not done: the host may have gone
   * elsewhere, and have done it and newer things there. Infinity: never. Hot path.
   */
  readonly deadlineMs: number;
  /** Something has come after the deadline: the association ends. */
  overdue(): void;
}

export interface ControllerLimits {
  /** Bytes of one command's data, at most. */
  readonly transferBytesMax: number;
  /** Bytes that a capsule may carry on an I/O queue; 8192 on an admin queue. */
  readonly inCapsuleBytesMax: number;
}

/** spec: NVMe Base 2.0 5.16.1.2 error information */
export interface CommandError {
  readonly qid: number;
  readonly cid: number;
  readonly status: number;
  readonly nsid: number;
  /** 0 where none is concerned. */
  readonly lba: number;
}

/** A namespace on the path of reads and writes: `NvmeNamespace` is one. */
export interface NamespaceFace {
  readonly nsid: number;
  readonly device: Device;
  readonly readOnly: boolean;
  /** Blocks are 2 ** this bytes: 9 or 12. */
  readonly blockShift: number;
  /** What its hosts have asked for, over all queues. The transport counts. */
  readonly counters: IoCounters;
  /** Changes when the device is resized. */
  readonly blocks: number;
  /** 0, or the path related status that every I/O command gets (ANA). Hot path. */
  readonly pathStatus: number;
  /** False: `refuses` need not be asked. Hot path. */
  readonly isReserved: boolean;
  /**
   * True: "reservation conflict" for a command of that host. Asked at the last moment, when the
   * command goes to the device: a preemption is over when what went before has ended. Hot path.
   */
  refuses(hostIndex: number, access: Access): boolean;
}

/** What a command does to a namespace, as reservations tell commands apart. */
export const Access = {
  /** Read, compare, verify. */
  read: 0,
  /** Write, write zeroes, dataset management, flush, compare and write. */
  write: 1,
} as const;
export type Access = (typeof Access)[keyof typeof Access];
