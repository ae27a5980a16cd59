/**
 * PosixQueue: an OperationQueue of system calls that do not block.
 *
 *   prepare --tried, done--> completion                         (delivered by the next reap)
 *           --socket: would block--> waits for epoll --tried again--> completion
 *           --file: would block, or must--> helper thread --> answer (reaped by the Io itself)
 *
 * Runs on one thread. Each socket is told of by one epoll instance, edge-triggered, and the
 * thread's event loop polls that one fd. A receive that got less than it asked for has emptied the
 * socket: the next one waits for an event without trying. Files: see PosixFiles.
 */

import { Epoll, Ready } from "../../sys/epoll.ts";
import type { HelperCall } from "../../sys/helper-queue.ts";
import * as libc from "../../sys/libc.ts";
import {
  COMPLETION_SOCKET_NONEMPTY,
  type CompletionSink,
  Operation,
  type OperationQueue,
} from "../../sys/operation-queue.ts";
import { assert } from "../../util/assert.ts";
import type { Clock } from "../clock.ts";
import { Errno } from "../errno.ts";
import type { HelperPool } from "../helper-pool.ts";
import { PosixFiles } from "./posix-files.ts";
import { PosixSocket, type SocketSide } from "./posix-socket.ts";

/** Sockets are looked at after this many rounds, however much else there is to deliver. */
const ROUNDS_PER_LOOK_MAX = 8;

/** A Unix listener whose backlog is full says so, and nothing says when there is room. */
const CONNECT_RETRY_MS = 5;

const INPUT = Ready.in | Ready.peerHangUp;
const ENDED = Ready.peerHangUp | Ready.hangUp | Ready.error;
const CAN_READ = Ready.in | ENDED;
const CAN_WRITE = Ready.out | Ready.hangUp | Ready.error;

const EINPROGRESS = 115;
const EALREADY = 114;
const EISCONN = 106;

const OPERATION_MASK = 0xffff;

/** Completions in three arrays that keep their size. */
class Completions {
  count = 0;
  readonly slots: number[] = [];
  readonly results: number[] = [];
  readonly flags: number[] = [];
}

export class PosixQueue implements OperationQueue {
  /** What is prepared begins at once. */
  readonly pending = 0;
  /** Sockets have to be looked at: they do not tell by memory. */
  readonly hasTaskWork = true;
  enterCount = 0;
  readonly #epoll = new Epoll();
  readonly #clock: Clock;
  readonly #requestTurn: () => void;
  readonly #helpers: HelperPool;
  readonly #files: PosixFiles;
  /** By fd. */
  readonly #sockets: (PosixSocket | undefined)[] = [];
  /** By slot: where its operation waits. */
  readonly #waiting: (PosixSocket | undefined)[] = [];
  #completions = new Completions();
  #delivering = new Completions();
  #roundsSinceLook = 0;
  #eventfd = -1;

  /** @param requestTurn for what completes outside of a turn */
  constructor(clock: Clock, helpers: HelperPool, requestTurn: () => void) {
    this.#requestTurn = requestTurn;
    this.#clock = clock;
    this.#helpers = helpers;
    this.#files = new PosixFiles();
  }

  get hasCompletions(): boolean {
    return this.#completions.count > 0 || this.#helpers.hasAnswers;
  }

  registerEventfd(eventfd: number): number {
    this.#eventfd = eventfd;
    this.#epoll.add(eventfd, Ready.in);
    return this.#epoll.fd;
  }

  setSignals(_on: boolean): void {
    // Epoll tells of sockets whether or not anybody sleeps; the Io asks helpers for their signals.
  }

  // hot path
  prepare(
    operation: number,
    fd: number,
    address: number,
    length: number,
    position: number,
    operationFlags: number,
    userData: number,
    totalBytes: number = length,
  ): void {
    const kind = operation & OPERATION_MASK;
    switch (kind) {
      case Operation.recv:
      case Operation.recvmsg:
      case Operation.accept: {
        const socket = this.#socket(fd, kind);
        this.#begin(socket, socket.input, kind, address, totalBytes, position, userData);
        socket.input.flags = operationFlags;
        this.#tryInput(socket);
        return;
      }
      case Operation.sendmsg:
      case Operation.connect: {
        const socket = this.#socket(fd, kind);
        this.#begin(socket, socket.output, kind, address, length, position, userData);
        socket.output.length = kind === Operation.connect ? position : totalBytes;
        this.#tryOutput(socket);
        return;
      }
      case Operation.asyncCancel:
        this.#cancel(address);
        return;
      case Operation.fsync:
      case Operation.fallocate:
        this.#helpers.call(userData, kind, fd, address, length, position, operationFlags);
        return;
      default: {
        assert(isTransfer(kind), `a posix queue knows operation ${kind}`);
        const flags = operationFlags;
        const done = this.#files.tryNow(kind, fd, address, length, position, flags, totalBytes);
        if (done >= 0) this.#complete(userData, done, COMPLETION_SOCKET_NONEMPTY);
        else this.#helpers.call(userData, kind, fd, address, length, position, flags);
      }
    }
  }

  // hot path
  enter(): void {
    if (this.#completions.count > 0 && ++this.#roundsSinceLook < ROUNDS_PER_LOOK_MAX) return;
    this.#look();
  }

  wait(timeoutMs: number): void {
    this.#helpers.setSignals(true);
    if (!this.hasCompletions) this.#epoll.wait(timeoutMs);
    this.#helpers.setSignals(false);
    this.#look();
  }

  gather(_count: number, _gatherMs: number, timeoutMs: number): void {
    this.wait(timeoutMs);
  }

  rest(restMs: number): void {
    // Whatever happens: the event of the socket that rests would end each rest at once.
    if (!this.hasCompletions) this.#epoll.pause(restMs);
  }

  // hot path
  reap(sink: CompletionSink): number {
    const completions = this.#completions;
    const { count, slots, results, flags } = completions;
    if (count === 0) return 0;
    this.#completions = this.#delivering;
    this.#delivering = completions;
    for (let index = 0; index < count; index++) {
      sink.operationCompleted(
        slots[index] as number,
        results[index] as number,
        flags[index] as number,
      );
    }
    completions.count = 0;
    return count;
  }

  releaseSocket(fd: number): void {
    if (this.#forget(fd)) this.#epoll.remove(fd);
  }

  closeSocket(fd: number): void {
    this.#forget(fd);
    libc.close(fd);
  }

  openedFile(_fd: number): void {
    // A thread takes some 50 ms to start: the first operation should not wait for that.
    this.#helpers.startOne();
  }

  closingFile(fd: number): void {
    this.#files.forget(fd);
  }

  fixBuffer(_address: number, _lengthBytes: number): number {
    return -1;
  }

  freeBuffer(buffer: number): void {
    assert(false, `there is no fixed buffer ${buffer}`);
  }

  prepareFixed(operation: number): void {
    assert(false, `there is no fixed buffer for operation ${operation}`);
  }

  close(): void {
    this.#epoll.close();
  }

  #forget(fd: number): boolean {
    const socket = this.#sockets[fd];
    if (socket === undefined) return false;
    assert(socket.input.slot < 0 && socket.output.slot < 0, "nothing waits on a closed socket");
    this.#sockets[fd] = undefined;
    return socket.isWatched;
  }

  #socket(fd: number, operation: number): PosixSocket {
    return this.#sockets[fd] ?? this.#addSocket(fd, operation);
  }

  #addSocket(fd: number, operation: number): PosixSocket {
    const socket = new PosixSocket(fd);
    // Dense from the start: a sparse index would make this array a dictionary.
    while (this.#sockets.length <= fd) this.#sockets.push(undefined);
    this.#sockets[fd] = socket;
    if (operation === Operation.accept || operation === Operation.connect) libc.setNonBlocking(fd);
    if (operation !== Operation.connect) this.#watch(socket);
    return socket;
  }

  #watch(socket: PosixSocket): void {
    socket.isWatched = true;
    this.#epoll.add(socket.fd, socket.watchesOutput ? INPUT | Ready.out : INPUT);
  }

  // hot path
  #begin(
    socket: PosixSocket,
    side: SocketSide,
    operation: number,
    address: number,
    length: number,
    position: number,
    slot: number,
  ): void {
    assert(side.slot < 0, "one operation waits in each direction of a socket");
    side.slot = slot;
    side.operation = operation;
    side.address = BigInt(address);
    side.length = length;
    side.position = position;
    while (this.#waiting.length <= slot) this.#waiting.push(undefined);
    this.#waiting[slot] = socket;
  }

  // hot path
  #end(side: SocketSide, result: number, flags: number): void {
    const { slot } = side;
    side.slot = -1;
    this.#waiting[slot] = undefined;
    this.#complete(slot, result, flags);
  }

  // hot path
  #complete(slot: number, result: number, flags: number): void {
    const completions = this.#completions;
    const at = completions.count++;
    completions.slots[at] = slot;
    completions.results[at] = result;
    completions.flags[at] = flags;
  }

  // hot path
  #tryInput(socket: PosixSocket): void {
    const { input } = socket;
    if (!input.ready) return;
    const result = attemptInput(socket.fdArgument, input);
    if (result === -Errno.EAGAIN) {
      input.ready = false;
      return;
    }
    // Less than asked for: it is empty, and an event will tell of more; but not of an end told of.
    input.ready =
      input.operation === Operation.accept || result === input.length || socket.hasEnded;
    this.#end(input, result, input.ready ? COMPLETION_SOCKET_NONEMPTY : 0);
  }

  // hot path
  #tryOutput(socket: PosixSocket): void {
    const { output } = socket;
    if (!output.ready) return;
    if (output.operation === Operation.connect) {
      this.#tryConnect(socket);
      return;
    }
    const result = libc.sendMessage(socket.fdArgument, output.address);
    if (result === -Errno.EAGAIN) {
      output.ready = false;
      this.#watchOutput(socket, true);
      return;
    }
    if (socket.watchesOutput) this.#watchOutput(socket, false);
    this.#end(output, result, 0);
  }

  #tryConnect(socket: PosixSocket): void {
    const { output, fd } = socket;
    const result = libc.connect(fd, output.address, output.length);
    if (result === -EINPROGRESS || result === -EALREADY) {
      output.ready = false;
      this.#watchOutput(socket, true);
    } else if (result === -Errno.EAGAIN) {
      output.ready = false;
      const { slot } = output;
      this.#clock.startTimer(CONNECT_RETRY_MS, () => this.#connectAgain(socket, slot));
    } else {
      this.#watchOutput(socket, false);
      this.#end(output, result === -EISCONN ? 0 : result, 0);
    }
  }

  #connectAgain(socket: PosixSocket, slot: number): void {
    // Cancelled meanwhile, or even closed.
    if (this.#sockets[socket.fd] !== socket || socket.output.slot !== slot) return;
    socket.output.ready = true;
    this.#tryConnect(socket);
    this.#requestTurn();
  }

  /** Epoll tells of room for output only on demand: Unix sockets tell it with each read there. */
  #watchOutput(socket: PosixSocket, wanted: boolean): void {
    if (socket.isWatched && socket.watchesOutput === wanted) return;
    socket.watchesOutput = wanted;
    if (!socket.isWatched) this.#watch(socket);
    else this.#epoll.change(socket.fd, wanted ? INPUT | Ready.out : INPUT);
  }

  // hot path
  #look(): void {
    this.#roundsSinceLook = 0;
    this.enterCount++;
    const count = this.#epoll.look();
    for (let index = 0; index < count; index++) {
      const fd = this.#epoll.fdOf(index);
      if (fd === this.#eventfd) continue;
      const socket = this.#sockets[fd];
      if (socket !== undefined) this.#becameReady(socket, this.#epoll.readyOf(index));
    }
  }

  // hot path
  #becameReady(socket: PosixSocket, events: number): void {
    const { input, output } = socket;
    if ((events & ENDED) !== 0 && !(output.slot >= 0 && output.operation === Operation.connect)) {
      socket.hasEnded = true;
    }
    if ((events & CAN_READ) !== 0) {
      input.ready = true;
      if (input.slot >= 0) this.#tryInput(socket);
    }
    if ((events & CAN_WRITE) !== 0) {
      output.ready = true;
      if (output.slot >= 0) this.#tryOutput(socket);
    }
  }

  #cancel(slot: number): void {
    const socket = this.#waiting[slot];
    if (socket === undefined) return;
    const side = socket.input.slot === slot ? socket.input : socket.output;
    this.#end(side, -Errno.ECANCELED, COMPLETION_SOCKET_NONEMPTY);
  }
}

/** Receives or accepts without waiting. Hot path. */
function attemptInput(fd: bigint, side: SocketSide): number {
  if (side.operation === Operation.recv) return libc.receive(fd, side.address, side.length);
  if (side.operation === Operation.recvmsg) return libc.receiveMessage(fd, side.address);
  return libc.accept(fd, side.address, BigInt(side.position), side.flags);
}

function isTransfer(operation: number): operation is HelperCall {
  return (
    operation === Operation.read ||
    operation === Operation.write ||
    operation === Operation.readv ||
    operation === Operation.writev
  );
}
