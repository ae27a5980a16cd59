/**
 * BaseController: what I/O and discovery controllers have in common: one association with a host,
 * its queues, the properties, async events, keep-alive, abort, and the end of it all.
 *
 *   connected --CC.EN--> ready --CC.SHN--> shutting down --I/O queues gone--> shut down
 *       ^                  | CC.EN off: I/O queues end, then RDY goes              | nobody ends it
 *       +------------------+                                                       v for 2 minutes
 *   any --admin queue lost, keep-alive expired, host came back--> ended --last queue gone--> gone
 *
 * The association is over for its host when it has ended, and its commands when it is gone.
 *
 * spec: NVMe Base 2.0 3.1, 3.6 (shutdown), 3.7 (resets), 6 (Fabrics commands)
 */

import type { Clock, Timer } from "../../reactor/clock.ts";
import { AsyncEvents } from "./async-events.ts";
import { AdminOpcode, FabricsType } from "./constants.ts";
import { ErrorLog } from "./error-log.ts";
import { KeepAlive } from "./keep-alive.ts";
import {
  type Capabilities,
  type Configuration,
  decodeConfiguration,
  decodeProperty,
  encodeCapabilities,
  encodeControllerStatus,
  PropertyOffset,
  ShutdownNotification,
  ShutdownStatus,
  VERSION_2_0,
} from "./properties.ts";
import { DNR, NvmeStatus } from "./status.ts";
import type {
  CommandError,
  ControllerFace,
  ControllerLimits,
  NamespaceFace,
  QueueLink,
  SlowCommand,
} from "./transport.ts";

/** ACL is one less: aborts that may be outstanding; ours are answered at once. */
export const ABORTS_MAX = 4;
/** CAP.TO: RDY waits for the I/O queues' last commands. */
export const READY_MS_MAX = 20_000;
/** How long an association may stay after a shutdown or reset. spec: NVMe Base 2.0 3.3.1.2 */
const IDLE_MS_MAX = 120_000;
const SQE_SHIFT = 6;
const CQE_SHIFT = 4;

/** What a Connect has agreed on. */
export interface ControllerIdentity {
  readonly cntlid: number;
  readonly hostNqn: string;
  readonly hostId: string;
  readonly hostIndex: number;
  readonly keepAliveMs: number;
}

export interface ControllerEnvironment {
  readonly clock: Clock;
  /** All its queues have gone: nothing of it is in flight. Once. */
  gone(controller: BaseController): void;
  /** It has ended, with the reason; queues may still have commands. Once. */
  ended(controller: BaseController, reason: string): void;
}

export abstract class BaseController implements ControllerFace {
  readonly cntlid: number;
  readonly hostNqn: string;
  readonly hostId: string;
  readonly hostIndex: number;
  /** Of the admin queue: which association a host replaces when it comes back. */
  readonly peer: string;
  readonly listener: string;
  readonly events: AsyncEvents = new AsyncEvents();
  readonly errors: ErrorLog = new ErrorLog();
  readonly keepAlive: KeepAlive;
  abstract readonly limits: ControllerLimits;
  isReady = false;
  readonly #environment: ControllerEnvironment;
  /** By queue identifier; 0 is the admin queue. */
  readonly #links = new Map<number, QueueLink>();
  #configuration = 0;
  #shutdownStatus: number = ShutdownStatus.normal;
  /** CC.EN went off, and I/O queues are not gone: RDY still shows. */
  #isResetting = false;
  #idleTimer: Timer | null = null;
  #hasEnded = false;
  #isGone = false;
  /** Slow commands whose effect is still to come: see `holdOn`. */
  #held = 0;

  constructor(environment: ControllerEnvironment, identity: ControllerIdentity, admin: QueueLink) {
    this.#environment = environment;
    this.cntlid = identity.cntlid;
    this.hostNqn = identity.hostNqn;
    this.hostId = identity.hostId;
    this.hostIndex = identity.hostIndex;
    this.peer = admin.peer;
    this.listener = admin.listener;
    this.#links.set(0, admin);
    const { clock } = environment;
    this.keepAlive = new KeepAlive(clock, () => this.end("the keep-alive timer has expired"));
    this.keepAlive.start(identity.keepAliveMs);
  }

  /** The I/O queues, by identifier. */
  get ioLinks(): readonly (readonly [number, QueueLink])[] {
    return [...this.#links].filter(([qid]) => qid !== 0);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  abstract namespaceOf(nsid: number): NamespaceFace | null;
  protected abstract readonly capabilities: Capabilities;
  /** CC.CSS values that may be enabled. */
  protected abstract isCommandSetAllowed(commandSet: number): boolean;
  /** Whatever the host has set goes back to its default. */
  protected abstract resetFeatures(): void;
  /** Identify, log pages, features, and what else the kind of controller knows. */
  protected abstract adminCommand(command: SlowCommand): void;
  /** As `ControllerFace.ioSlow`, of a controller that is ready; no fabrics commands. */
  protected abstract ioCommand(command: SlowCommand): void;

  // hot path
  get deadlineMs(): number {
    return this.keepAlive.deadlineMs;
  }

  overdue(): void {
    this.end("its host was not heard in time");
  }

  noteError(error: CommandError): void {
    this.errors.note(error);
  }

  /** Answers with an error, not to be tried again, which goes into the log. */
  refuse(command: SlowCommand, qid: number, status: number): void {
    const { cid, nsid } = command.sqe;
    this.errors.note({ qid, cid, status: status | DNR, nsid, lba: 0 });
    command.complete(status | DNR);
  }

  admin(command: SlowCommand): void {
    if (this.#hasEnded) {
      command.complete(NvmeStatus.abortedSqDeletion);
      return;
    }
    const { opcode } = command.sqe;
    if (opcode === AdminOpcode.fabrics) this.#fabrics(command, 0);
    else if (!this.isReady) this.refuse(command, 0, NvmeStatus.commandSequenceError);
    else if (opcode === AdminOpcode.asyncEventRequest) this.events.request(command);
    else if (opcode === AdminOpcode.keepAlive) this.#keepAlive(command);
    else if (opcode === AdminOpcode.abort) this.#abort(command);
    else this.adminCommand(command);
  }

  ioSlow(command: SlowCommand): void {
    const qid = this.qidOf(command.queue);
    if (this.#hasEnded || qid < 0) command.complete(NvmeStatus.abortedSqDeletion);
    else if (command.sqe.opcode === AdminOpcode.fabrics) this.#fabrics(command, qid);
    else if (!this.isReady) this.refuse(command, qid, NvmeStatus.commandSequenceError);
    else this.ioCommand(command);
  }

  /** An I/O queue more; its identifier is free: `hasQueue`. */
  addQueue(qid: number, link: QueueLink): void {
    this.#links.set(qid, link);
  }

  /** A queue with that identifier is there, or has not quite gone. */
  hasQueue(qid: number): boolean {
    return this.#links.has(qid);
  }

  /** Its connection is closed, no device has a command of it. @returns false: it is none of ours */
  queueEnded(link: QueueLink): boolean {
    const qid = this.qidOf(link);
    if (qid < 0) return false;
    this.#links.delete(qid);
    if (qid === 0) this.end("its admin queue is gone");
    if (this.ioLinks.length === 0) this.#ioQueuesGone();
    this.#maybeGone();
    return true;
  }

  /** Ends the association, all queues; `ControllerEnvironment.gone` follows. Idempotent. */
  end(reason: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.isReady = false;
    this.keepAlive.stop();
    this.#idleTimer?.cancel();
    this.events.reset();
    this.#environment.ended(this, reason);
    for (const link of [...this.#links.values()]) link.end(reason);
    this.#maybeGone();
  }

  /**
   * A slow command's effect is under way: the association is not gone before `letGo`.
   * Safety rule 4: what an earlier association has begun never comes after the next one's first.
   */
  holdOn(): void {
    this.#held++;
  }

  letGo(): void {
    this.#held--;
    this.#maybeGone();
  }

  #maybeGone(): void {
    if (!this.#hasEnded || this.#isGone || this.#links.size > 0 || this.#held > 0) return;
    this.#isGone = true;
    this.#environment.gone(this);
  }

  /** -1: it is none of its queues. */
  protected qidOf(link: QueueLink): number {
    for (const [qid, other] of this.#links) {
      if (other === link) return qid;
    }
    return -1;
  }

  #keepAlive(command: SlowCommand): void {
    this.keepAlive.heard();
    command.complete(NvmeStatus.success);
  }

  /** DW0 bit 0: not aborted. spec: NVMe Base 2.0 5.1 */
  #abort(command: SlowCommand): void {
    const qid = command.sqe.cdw10 & 0xffff;
    const cid = command.sqe.cdw10 >>> 16;
    const link = this.#links.get(qid);
    const isAborted = qid === 0 ? this.events.abort(cid) : link?.abort(cid) === true;
    command.complete(NvmeStatus.success, isAborted ? 0 : 1);
  }

  #fabrics(command: SlowCommand, qid: number): void {
    const type = command.sqe.fabricsType;
    if (type === FabricsType.connect) {
      // The queue is connected already.
      this.refuse(command, qid, NvmeStatus.commandSequenceError);
    } else if (qid !== 0) {
      this.refuse(command, qid, NvmeStatus.invalidOpcode);
    } else if (type === FabricsType.propertyGet) {
      this.#propertyGet(command);
    } else if (type === FabricsType.propertySet) {
      this.#propertySet(command);
    } else {
      this.refuse(command, qid, NvmeStatus.invalidOpcode);
    }
  }

  #propertyGet(command: SlowCommand): void {
    const { offset, sizeBytes } = decodeProperty(command.sqe);
    const isWide = offset === PropertyOffset.capabilities;
    const value = this.#property(offset);
    if (value === null || sizeBytes !== (isWide ? 8 : 4)) {
      this.refuse(command, 0, NvmeStatus.invalidField);
      return;
    }
    command.complete(NvmeStatus.success, value.low, undefined, value.high);
  }

  #property(offset: number): { low: number; high: number } | null {
    switch (offset) {
      case PropertyOffset.capabilities:
        return encodeCapabilities(this.capabilities);
      case PropertyOffset.version:
        return { low: VERSION_2_0, high: 0 };
      case PropertyOffset.configuration:
        return { low: this.#configuration, high: 0 };
      case PropertyOffset.status:
        return { low: this.#status(), high: 0 };
      default:
        return null;
    }
  }

  #status(): number {
    const isEnabled = (this.#configuration & 1) !== 0;
    return encodeControllerStatus({
      ready: isEnabled || this.#isResetting,
      fatal: false,
      shutdown: this.#shutdownStatus,
      subsystemReset: false,
    });
  }

  #propertySet(command: SlowCommand): void {
    const { offset, sizeBytes, low } = decodeProperty(command.sqe);
    if (offset !== PropertyOffset.configuration || sizeBytes !== 4) {
      this.refuse(command, 0, NvmeStatus.invalidField);
      return;
    }
    const status = this.#configure(decodeConfiguration(low), low);
    if (status === NvmeStatus.success) command.complete(status);
    else this.refuse(command, 0, status);
  }

  #configure(next: Configuration, value: number): number {
    const before = decodeConfiguration(this.#configuration);
    if (next.enable && !before.enable) {
      if (this.#isResetting) return NvmeStatus.commandSequenceError;
      if (!this.#isAcceptable(next)) return NvmeStatus.invalidField;
      this.#configuration = value;
      this.#shutdownStatus = ShutdownStatus.normal;
      this.isReady = true;
      this.#stayWhileUsed(true);
    } else if (!next.enable && before.enable) {
      this.#configuration = value;
      this.#reset();
    } else {
      this.#configuration = value;
    }
    const isShutdown = next.shutdown !== ShutdownNotification.none;
    if (isShutdown && this.#shutdownStatus === ShutdownStatus.normal) this.#shutDown();
    return NvmeStatus.success;
  }

  #isAcceptable(next: Configuration): boolean {
    return (
      next.sqeShift === SQE_SHIFT &&
      next.cqeShift === CQE_SHIFT &&
      next.memoryPageShift === 0 &&
      next.arbitration === 0 &&
      this.isCommandSetAllowed(next.commandSet)
    );
  }

  /** spec: NVMe Base 2.0 3.7.2: I/O queues go, the admin queue and the association stay. */
  #reset(): void {
    this.isReady = false;
    this.#shutdownStatus = ShutdownStatus.normal;
    this.#isResetting = true;
    this.events.reset();
    this.resetFeatures();
    this.#stayWhileUsed(false);
    this.#endIoQueues("the host has disabled its controller");
  }

  #shutDown(): void {
    this.isReady = false;
    this.#shutdownStatus = ShutdownStatus.occurring;
    this.#stayWhileUsed(false);
    this.#endIoQueues("the host has shut its controller down");
  }

  #endIoQueues(reason: string): void {
    const links = this.ioLinks;
    for (const [, link] of links) link.end(reason);
    if (links.length === 0) this.#ioQueuesGone();
  }

  #ioQueuesGone(): void {
    this.#isResetting = false;
    if (this.#shutdownStatus === ShutdownStatus.occurring) {
      this.#shutdownStatus = ShutdownStatus.complete;
    }
  }

  /** An association that is not enabled ends by itself some day. */
  #stayWhileUsed(isUsed: boolean): void {
    this.#idleTimer?.cancel();
    this.#idleTimer = null;
    if (isUsed || this.#hasEnded) return;
    this.#idleTimer = this.#environment.clock.startTimer(IDLE_MS_MAX, () =>
      this.end("its controller was shut down or disabled long ago"),
    );
  }
}
