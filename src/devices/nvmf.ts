/**
 * NvmfDevice: a namespace of an NVMe-oF subsystem as a source, `nvmf://host:port/NQN`.
 *
 * What it does with requests while they wait is `RemoteDevice`'s; which controller they go to, and
 * what becomes of it, is `PathSet`'s. Here is how each operation becomes commands of NVMe, and what
 * is done with their statuses.
 */

import { type DeviceDetails, type DeviceInfo, modifies } from "../block/device.ts";
import { Operation, RequestFlag } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { Status } from "../block/status.ts";
import { DATASET_RANGE_BYTES, IoOpcode } from "../proto/nvme/constants.ts";
import {
  blockStatusOf,
  codeOf,
  DNR,
  isAnaStatus,
  isPathRelated,
  NvmeStatus,
} from "../proto/nvme/status.ts";
import type { HostCommand } from "../proto/nvme-tcp/initiator-command.ts";
import type { Timer } from "../reactor/clock.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { unreachable } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import {
  encodeCompare,
  encodeDeallocate,
  encodeFused,
  encodeRead,
  encodeWrite,
  encodeWriteZeroes,
} from "./nvmf/commands.ts";
import type { ControllerSession, NamespaceTerms } from "./nvmf/controller-session.ts";
import type { Path } from "./nvmf/path.ts";
import {
  KEEP_ALIVE_MS,
  type NvmfCondition,
  type NvmfOptions,
  pathSetParts,
} from "./nvmf/options.ts";
import { PathSet, type PathSetOwner } from "./nvmf/path-set.ts";
import { FusedWrite, NvmfTask, Step } from "./nvmf/task.ts";
import {
  abilitiesOf,
  type Abilities,
  describeNamespace,
  incompatibility,
  operationsOf,
} from "./nvmf/terms.ts";
import { RemoteDevice, TICKS_PER_TIMEOUT } from "./remote/remote-device.ts";

export type { NvmfCondition, NvmfOptions } from "./nvmf/options.ts";

/** A command is aborted after this part of its time-out. */
const ABORT_TICKS = (3 * TICKS_PER_TIMEOUT) / 4;
/** Answers that only mean "try again" are followed this often. */
const RETRIES_MAX = 5;
/** Controllers round keep-alive time-outs up to this, and ours grant as much on top. */
const KEEP_ALIVE_STEP_MS = 1000;
/** ... and take this much longer to end what they had. */
const HOLD_MARGIN_MS = 1000;

export class NvmfDevice extends RemoteDevice<NvmfTask> implements PathSetOwner {
  readonly #paths: PathSet;
  readonly #holdMs: number;
  readonly #rideOutMs: number;
  readonly #terms: NamespaceTerms;
  #session: ControllerSession;
  #abilities: Abilities;
  #sizeBytes: number;
  #holdTimer: Timer | null = null;

  /**
   * Connects and agrees on terms.
   * @throws PenstockError of `Io.connect` and `PathSet.open` (`subsystem-unknown`,
   *   `namespace-unknown`, `host-refused`, `connect-refused`, ...), `connection-timeout`,
   *   `size-invalid`, `format-unsupported`, `out-of-buffers`
   */
  static async open(reactor: Reactor, options: NvmfOptions): Promise<NvmfDevice> {
    const parts = pathSetParts(reactor, options);
    const { answerMsMax: timeoutMs, keepAliveMs, rideOutMs } = parts;
    const paths = new PathSet(parts);
    try {
      const session = await paths.open();
      const info = describeNamespace(session, { ...options, instanceId: options.openingId });
      return new NvmfDevice(reactor, info, { paths, session, timeoutMs, rideOutMs, keepAliveMs });
    } catch (error) {
      await paths.close();
      throw error;
    }
  }

  private constructor(
    reactor: Reactor,
    info: DeviceInfo,
    parts: {
      readonly paths: PathSet;
      readonly session: ControllerSession;
      readonly timeoutMs: number;
      readonly rideOutMs: number;
      readonly keepAliveMs: number;
    },
  ) {
    const abilities = abilitiesOf(parts.session);
    super(reactor, info, operationsOf(abilities), parts.timeoutMs);
    this.#paths = parts.paths;
    this.#session = parts.session;
    this.#terms = parts.session.namespace;
    this.#sizeBytes = info.sizeBytes;
    this.#abilities = abilities;
    this.#rideOutMs = parts.rideOutMs;
    const steps = Math.ceil((parts.keepAliveMs || KEEP_ALIVE_MS) / KEEP_ALIVE_STEP_MS);
    this.#holdMs = (steps + 1) * KEEP_ALIVE_STEP_MS + HOLD_MARGIN_MS;
    this.#paths.owner = this;
  }

  get condition(): NvmfCondition {
    const { paths, current, state, queueCount, reason } = this.#paths;
    return {
      link: state,
      connections: queueCount,
      fault: this.fault,
      reason: this.faultReason === "" ? reason : this.faultReason,
      sizeBytes: this.#sizeBytes,
      paths: paths.map((path) => ({
        address: path.name,
        isUp: path.isUp,
        isUsed: path === current,
        anaState: path.anaState,
        reason: path.reason,
      })),
    };
  }

  override describe(): DeviceDetails {
    const { subnqn, cntlid, mn } = this.#session.controller;
    const { nsid, identity } = this.#terms;
    const { link, paths, sizeBytes } = this.condition;
    return { subsystem: subnqn, model: mn, cntlid, nsid, identity, link, paths, sizeBytes };
  }

  override mediumBytes(): Promise<number> {
    return Promise.resolve(this.#sizeBytes);
  }

  /**
   * Takes the size that the namespace has by now, which its controller has told of: it cannot make
   * it larger itself.
   * @throws PenstockError `size-invalid`
   */
  override grow(sizeBytes: number): Promise<void> {
    const { name, sizeBytes: before, blockSizeBytes } = this.info;
    const isThere = sizeBytes >= before && sizeBytes <= this.#sizeBytes;
    if (isThere && sizeBytes % blockSizeBytes === 0) {
      this.takeSize(sizeBytes);
      return Promise.resolve();
    }
    const message =
      `${name}, of which ${before} bytes are used, has ${this.#sizeBytes}: found ${sizeBytes}, ` +
      `expected a size between them, in multiples of ${blockSizeBytes}`;
    const details = { sizeBytes, before, most: this.#sizeBytes };
    return Promise.reject(new PenstockError({ code: "size-invalid", message, details }));
  }

  // hot path
  ended(path: Path, command: HostCommand): void {
    const task = command instanceof FusedWrite ? command.first : (command as NvmfTask);
    if (task.answersLeft > 0 && --task.answersLeft > 0) return;
    const request = task.request as Request; // set while it is in use
    task.path = null;
    const status = task.status === 0 && task.fused !== null ? task.second.status : task.status;
    if (status !== 0) {
      this.#failed(task, request, status, path);
      return;
    }
    switch (task.step) {
      case Step.transfer:
      case Step.compare:
      case Step.fused:
        this.end(task, request, Status.ok);
        return;
      case Step.flush:
        if (request.operation === Operation.flush) this.ledger.flushed(task.cover);
        this.end(task, request, Status.ok);
        return;
      case Step.zero:
        this.#zeroed(task, request);
        return;
      case Step.locate:
        this.#locate(task, request);
        return;
      case Step.resolve:
        this.#resolve(task, request);
        return;
      case Step.status:
        return; // it has no command
      default:
        unreachable(task.step);
    }
  }

  pathLost(path: Path): void {
    const nowMs = this.reactor.clock.nowMs();
    for (const task of this.active) {
      if (task.isSettled || task.path !== path) continue;
      const { operation } = task.request as Request; // set while it is in use
      task.restart();
      // Safety rule 4: even if the controller has ended a connection, it may do it later still.
      if (!modifies(operation)) continue;
      task.heldBy = path;
      task.heldSinceMs = nowMs;
    }
    if (this.isClosing) this.settleAll(Status.aborted);
    else if (this.fault === Status.fenced) this.#settleKept();
  }

  pathOver(path: Path): void {
    for (const task of [...this.active]) {
      if (task.heldBy !== path) continue;
      task.heldBy = null;
      this.issueAgain(task);
    }
  }

  pathClaimed(message: string): void {
    this.setFault(Status.fenced, message);
    this.stopLooking();
    this.#settleKept();
    this.failLink(message);
  }

  pathChanged(path: Path): void {
    const namespace = path.controller?.namespace ?? null;
    if (namespace === null) return;
    this.#sizeBytes = namespace.sizeBytes;
    if (namespace.sizeBytes >= this.info.sizeBytes) return;
    const text = `it has been made smaller, ${namespace.sizeBytes} bytes`;
    this.setFault(Status.dataLost, text);
  }

  linkUp(session: ControllerSession, isContinuous: boolean): void {
    const before = this.#session;
    this.#session = session;
    this.#abilities = abilitiesOf(session);
    this.#sizeBytes = session.namespace.sizeBytes;
    const { instanceId } = session;
    this.continueWith({
      problem: incompatibility(this.info, this.#terms, session),
      // Without an instance id it may have been another boot, unless another path was there.
      isSame: instanceId === null ? isContinuous : instanceId === before.instanceId,
      hadNoCache: before.instanceId !== null && !abilitiesOf(before).hasCache,
    });
  }

  linkLost(isTimeout: boolean): void {
    this.giveUpAll(isTimeout);
  }

  protected override newTask(): NvmfTask {
    return new NvmfTask();
  }

  protected override get isAway(): boolean {
    const { state } = this.#paths;
    return (state === "down" || state === "lost") && this.#paths.isGone;
  }

  // hot path
  protected override get flushes(): boolean {
    return this.#abilities.hasCache;
  }

  protected override waited(task: NvmfTask, ticks: number): void {
    const { path } = task;
    if (path === null) return;
    if (ticks > TICKS_PER_TIMEOUT) {
      path.fail(`no answer within ${this.timeoutMs} ms`, true);
    } else if (ticks > ABORT_TICKS && !task.isAborting) {
      task.isAborting = true;
      path.controller?.abort(task);
      if (task.fused !== null) path.controller?.abort(task.fused);
    }
  }

  protected override failLink(message: string): void {
    this.#paths.fail(message);
  }

  protected override stopLooking(): void {
    this.#paths.stopLooking();
  }

  protected override async closeLink(): Promise<void> {
    this.#holdTimer?.cancel();
    await this.#paths.close();
  }

  // hot path
  protected override issue(task: NvmfTask): void {
    const path = this.#paths.current;
    if (path === null || !path.isUp || task.path !== null) return;
    if (task.heldBy !== null && this.#isHeld(task, task.heldBy)) return;
    task.heldBy = null;
    this.#issueOver(task, path);
  }

  // hot path
  #issueOver(task: NvmfTask, path: Path): void {
    const request = task.request as Request; // set while it is in use
    switch (task.step) {
      case Step.transfer:
        this.#issueTransfer(task, request, path);
        return;
      case Step.flush:
        this.#issueFlush(task, request, path);
        return;
      case Step.zero:
        this.#issueZero(task, request, path);
        return;
      case Step.compare:
        this.#issueCompare(task, request, path);
        return;
      case Step.fused:
        this.#issueFused(task, request, path);
        return;
      case Step.locate:
      case Step.resolve:
        this.#issueRead(task, request, path);
        return;
      case Step.status:
        request.extents?.clear();
        request.extents?.push(request.length, 0);
        this.settle(task, Status.ok);
        return;
      default:
        unreachable(task.step);
    }
  }

  // hot path
  #send(task: NvmfTask, path: Path): void {
    task.path = path;
    path.submit(task);
  }

  // hot path
  #issueTransfer(task: NvmfTask, request: Request, path: Path): void {
    const { offset, length, segments } = request;
    if (request.operation === Operation.read) {
      encodeRead(task, this.#abilities, offset, length, segments);
    } else {
      encodeWrite(task, this.#abilities, offset, length, segments, 0, this.wantsFua(request));
    }
    this.#send(task, path);
  }

  #issueFlush(task: NvmfTask, request: Request, path: Path): void {
    if (request.operation === Operation.flush && this.ledger.mustReport(task.base, task.cover)) {
      this.settle(task, Status.dataLost);
      return;
    }
    if (!this.#abilities.flushes) {
      // Without a cache there is nothing that needs a flush.
      this.settle(task, Status.ok);
      return;
    }
    task.prepare(IoOpcode.flush, this.#abilities.nsid);
    this.#send(task, path);
  }

  /** Discard and write-zeroes: by deallocating, by zeroing, or by writing zeroes; the next part. */
  #issueZero(task: NvmfTask, request: Request, path: Path): void {
    const abilities = this.#abilities;
    const left = request.length - task.done;
    const offset = request.offset + task.done;
    const isDurable = this.wantsFua(request);
    if ((request.flags & RequestFlag.fastZero) !== 0) {
      // NVMe does not say whether it is fast.
      this.settle(task, Status.unsupported);
      return;
    }
    if (request.operation === Operation.discard && abilities.zeroesByDeallocating) {
      if (this.acquireBounce(task, DATASET_RANGE_BYTES) === 0) return;
      task.stepBytes = Math.min(left, abilities.discardBytesMax);
      encodeDeallocate(task, abilities, offset, task.stepBytes);
    } else if (abilities.writesZeroes) {
      task.stepBytes = Math.min(left, abilities.zeroBytesMax);
      const mayDeallocate = (request.flags & RequestFlag.noUnmap) === 0;
      encodeWriteZeroes(task, abilities, offset, task.stepBytes, mayDeallocate, isDurable);
    } else {
      task.stepBytes = Math.min(left, this.info.maxTransferBytes);
      encodeWrite(task, abilities, offset, task.stepBytes, this.zeroMemory(), 0, isDurable);
    }
    this.#send(task, path);
  }

  #zeroed(task: NvmfTask, request: Request): void {
    task.done += task.stepBytes;
    if (task.done < request.length) {
      this.issueAgain(task);
    } else if (this.wantsFua(request) && task.sqe.opcode === IoOpcode.datasetManagement) {
      task.step = Step.flush;
      this.issueAgain(task);
    } else {
      this.end(task, request, Status.ok);
    }
  }

  #issueCompare(task: NvmfTask, request: Request, path: Path): void {
    if (!this.#abilities.compares) {
      task.step = Step.locate;
      this.#issueRead(task, request, path);
      return;
    }
    encodeCompare(task, this.#abilities, request.offset, request.length, request.segments);
    this.#send(task, path);
  }

  #issueFused(task: NvmfTask, request: Request, path: Path): void {
    const { offset, length, segments } = request;
    if (length > this.#abilities.compareAndWriteBytesMax) {
      this.settle(task, Status.unsupported);
      return;
    }
    encodeFused(task, this.#abilities, offset, length, segments, this.wantsFua(request));
    this.#send(task, path);
  }

  /** Reads what is to be compared, as much of it as there is memory for; the next part. */
  #issueRead(task: NvmfTask, request: Request, path: Path): void {
    task.stepBytes = this.acquireBounce(task, request.length - task.done);
    if (task.stepBytes === 0) return;
    const offset = request.offset + task.done;
    encodeRead(task, this.#abilities, offset, task.stepBytes, task.bounceSegments);
    this.#send(task, path);
  }

  #locate(task: NvmfTask, request: Request): void {
    const equal = this.equalBytes(task, request, task.done);
    task.done += equal;
    if (equal < task.stepBytes) {
      request.errorOffset = request.offset + task.done;
      this.end(task, request, Status.compareFailed);
    } else if (task.done < request.length) {
      this.issueAgain(task);
    } else if (task.hasLocated) {
      // It has changed since the controller found a difference: where, nobody knows any more.
      request.errorOffset = -1;
      this.end(task, request, Status.compareFailed);
    } else {
      this.end(task, request, Status.ok);
    }
  }

  /** Its path was lost: does the range hold what was to be written, or still what was expected? */
  #resolve(task: NvmfTask, request: Request): void {
    const { stepBytes } = task;
    const old = this.equalBytes(task, request, task.done);
    const isNew = this.equalBytes(task, request, request.length + task.done) === stepBytes;
    if (!isNew) task.isNew = false;
    if (old < stepBytes && task.isOld) {
      task.isOld = false;
      request.errorOffset = request.offset + task.done + old;
    }
    task.done += stepBytes;
    if (task.done < request.length && (task.isNew || task.isOld)) {
      this.issueAgain(task);
    } else if (task.isNew) {
      request.errorOffset = -1;
      task.step = Step.flush;
      if (this.wantsFua(request)) this.issueAgain(task);
      else this.end(task, request, Status.ok);
    } else if (task.isOld) {
      request.errorOffset = -1;
      task.step = Step.fused;
      task.mayBeDone = false;
      this.issueAgain(task);
    } else {
      // Done and then overwritten by another host, or never: nobody can tell.
      request.errorOffset = -1;
      this.end(task, request, Status.aborted);
    }
  }

  #failed(task: NvmfTask, request: Request, wireStatus: number, path: Path): void {
    const code = codeOf(wireStatus);
    if (isAnaStatus(wireStatus)) {
      // What is kept goes over another path, or waits for one.
      this.#again(task);
      this.#paths.avoid(path);
      this.issueAgain(task);
      return;
    }
    const isComparing = task.step === Step.compare || task.step === Step.fused;
    if (isComparing && code === NvmeStatus.compareFailure) {
      task.step = Step.locate;
      task.hasLocated = true;
      task.done = 0;
      this.issueAgain(task);
      return;
    }
    if (this.#tryAgain(task, wireStatus, path)) return;
    const isTimeout = code === NvmeStatus.abortRequested && task.isAborting;
    const status = isTimeout ? Status.timeout : blockStatusOf(wireStatus, request.operation);
    if (status === Status.mediaError) request.errorOffset = request.offset + task.done;
    const isFlush = task.step === Step.flush;
    const isDurable = modifies(request.operation) && this.wantsFua(request);
    // Safety rule 2: what failed to get to the medium once is not retried into success.
    if (isFlush || (isDurable && status === Status.mediaError)) {
      this.setFault(status, "the controller could not make writes durable");
    }
    this.end(task, request, status);
  }

  /** @returns it is under way again */
  #tryAgain(task: NvmfTask, wireStatus: number, path: Path): boolean {
    const code = codeOf(wireStatus);
    if (isPathRelated(wireStatus)) {
      const other = this.#paths.otherThan(path);
      if (other === null || ++task.retries > this.#paths.paths.length) return false;
      this.#again(task);
      this.#issueOver(task, other);
      return true;
    }
    const isAborted = code === NvmeStatus.abortRequested && task.isAborting;
    const isTransient =
      (code === NvmeStatus.transientTransportError || code === NvmeStatus.commandInterrupted) &&
      (wireStatus & DNR) === 0;
    // What was aborted has waited for most of its time-out already.
    const most = isAborted ? Math.ceil(this.#rideOutMs / this.timeoutMs) : RETRIES_MAX;
    if (!(isAborted || isTransient) || ++task.retries > most) return false;
    this.#again(task);
    this.issueAgain(task);
    return true;
  }

  /** Nothing of its command has been done, as far as is known. */
  #again(task: NvmfTask): void {
    task.isAborting = false;
    if (task.step === Step.fused) task.mayBeDone = false;
  }

  /** Those that are on no path fail as new ones do. */
  #settleKept(): void {
    const kept = this.active.filter(({ path }) => path === null);
    for (const task of kept) this.settle(task, this.refusal);
  }

  /** A controller that lives, and does not let us in again, is given longer to end what it had. */
  #isHeld(task: NvmfTask, { isBusy }: Path): boolean {
    const heldMs = this.reactor.clock.nowMs() - task.heldSinceMs;
    const mostMs = isBusy ? Math.max(this.#holdMs, this.#rideOutMs) : this.#holdMs;
    const leftMs = mostMs - heldMs;
    if (leftMs <= 0) return false;
    const nextMs = Math.min(leftMs, this.#holdMs - (heldMs % this.#holdMs));
    this.#holdTimer ??= this.reactor.clock.startTimer(nextMs, () => {
      this.#holdTimer = null;
      this.issueAll();
    });
    return true;
  }
}
