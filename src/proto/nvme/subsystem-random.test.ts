// Random tests of the model: hosts that come, go and come back in any order never meet what their
// earlier association has under way; commands of noise are answered once and never throw.

import { ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import {
  ManualClock,
  ModelCommand,
  modelDevice,
  ModelHost,
  type ModelLink,
} from "../../testing/nvme-model-rig.ts";
import { testSeed } from "../../testing/test-seed.ts";
import { Prng } from "../../util/prng.ts";
import { AdminOpcode, AnaState, FabricsType, IoOpcode } from "./constants.ts";
import { NvmeController } from "./controller.ts";
import { NvmeNamespace } from "./namespace.ts";
import { NvmeStatus } from "./status.ts";
import { NvmeSubsystem } from "./subsystem.ts";
import type { ControllerFace } from "./transport.ts";

const NQN = "nqn.2026-11.io.penstock:test";
const UUID = "0a0b0c0d-1111-4222-8333-444455556666";
const PROGRAMS = 60;
const STEPS = 300;
const NOISE = 20_000;

async function make() {
  const clock = new ManualClock();
  const subsystem = new NvmeSubsystem(clock, { nqn: NQN, cntlidMin: 1, cntlidMax: 40 });
  const device = await modelDevice();
  subsystem.addNamespace(new NvmeNamespace({ nsid: 1, device, uuid: UUID }));
  return { clock, subsystem, device };
}

/** A Connect that was sent, and what became of its link. */
interface Attempt {
  readonly link: ModelLink;
  readonly command: ModelCommand;
  isOpen: boolean;
}

class Lifecycle {
  readonly attempts: Attempt[] = [];
  readonly #prng: Prng;
  readonly #clock: ManualClock;
  readonly #subsystem: NvmeSubsystem;
  readonly #hosts: ModelHost[];

  constructor(prng: Prng, clock: ManualClock, subsystem: NvmeSubsystem) {
    this.#prng = prng;
    this.#clock = clock;
    this.#subsystem = subsystem;
    this.#hosts = [0, 1, 2].map((n) => new ModelHost(subsystem, { peer: `192.0.2.${n >> 1}` }));
  }

  step(): void {
    const prng = this.#prng;
    const open = this.attempts.filter(({ isOpen }) => isOpen);
    const any = open.length > 0 ? prng.pick(open) : null;
    switch (prng.below(8)) {
      case 0:
        this.#connect(0, prng.chance(0.5) ? 5000 : 0);
        break;
      case 1:
      case 2:
        this.#connect(1 + prng.below(3), 0);
        break;
      case 3:
        // A connection breaks, or its last command ends.
        if (any !== null) this.#close(any);
        break;
      case 4:
        for (const each of open) if (each.link.endedBy !== null) this.#close(each);
        break;
      case 5:
        this.#clock.advance(prng.below(4000));
        break;
      case 6:
        if (any !== null) this.#configure(any);
        break;
      default:
        if (any?.link.place?.qid === 0) this.#admin(any, AdminOpcode.asyncEventRequest);
    }
    this.#check();
  }

  /** All connections go: nothing is left behind. */
  finish(): void {
    for (const each of this.attempts) if (each.isOpen) this.#close(each);
    strictEqual(this.#subsystem.controllers.length, 0);
    strictEqual(this.#clock.timers, 0);
  }

  #connect(qid: number, keepAliveMs: number): void {
    const number = this.#prng.below(this.#hosts.length);
    const host = this.#hosts[number] as ModelHost;
    const cntlid = qid === 0 ? 0xffff : 1 + this.#prng.below(40);
    const known = this.#subsystem.cntlids();
    const likely = known.length > 0 ? this.#prng.pick(known) : cntlid;
    const command = host.connect(
      { qid, keepAliveMs },
      { cntlid: qid === 0 || this.#prng.chance(0.1) ? cntlid : likely },
    );
    this.attempts.push({ link: command.queue, command, isOpen: true });
    // Most enable their controller at once.
    if (command.status === 0 && qid === 0 && this.#prng.chance(0.9)) host.configure({});
  }

  #close(attempt: Attempt): void {
    attempt.isOpen = false;
    attempt.link.close();
  }

  #configure({ link }: Attempt): void {
    if (link.place?.qid !== 0) return;
    const host = new ModelHost(this.#subsystem);
    host.admin = link;
    host.configure({ enable: this.#prng.chance(0.7), shutdown: this.#prng.below(2) });
  }

  #admin({ link }: Attempt, opcode: number): void {
    const host = new ModelHost(this.#subsystem);
    host.admin = link;
    host.plain(opcode);
  }

  /** Safety rule 4, as hosts and transports see it. */
  #check(): void {
    const live = new Map<string, ControllerFace>();
    for (const { link, isOpen } of this.attempts) {
      const controller = link.place?.controller;
      if (!isOpen || !(controller instanceof NvmeController)) continue;
      // The way that its admin queue came by; I/O queues may come from anywhere.
      const known = live.get(controller.peer);
      const isAlone = known === undefined || known === controller;
      ok(isAlone, "no two associations of a host have open connections");
      live.set(controller.peer, controller);
    }
    for (const { command, isOpen } of this.attempts) {
      if (!isOpen || command.status !== 0 || command.queue.place?.qid === 0) continue;
      if (command.queue.endedBy !== null) continue;
      ok(this.#subsystem.cntlids().includes(command.queue.controller.cntlid), "its controller is");
    }
  }
}

test("a host's associations never overlap, in whatever order it comes and goes", async (t) => {
  const prng = new Prng(testSeed(t));
  for (let program = 0; program < PROGRAMS; program++) {
    const { clock, subsystem } = await make();
    const lifecycle = new Lifecycle(prng.fork(`program ${program}`), clock, subsystem);
    for (let step = 0; step < STEPS; step++) lifecycle.step();
    lifecycle.finish();
  }
});

const ADMIN_OPCODES = Object.values(AdminOpcode);
const IO_OPCODES = Object.values(IoOpcode);
const TYPES = Object.values(FabricsType);

function noise(prng: Prng, link: ModelLink, opcodes: readonly number[]): ModelCommand {
  const command = new ModelCommand(link);
  const { sqe } = command;
  const word = (): number => (prng.chance(0.5) ? prng.below(8) : prng.nextUint32());
  sqe.opcode = prng.chance(0.9) ? prng.pick(opcodes) : prng.below(256);
  sqe.cid = prng.below(65_536);
  sqe.nsid = prng.chance(0.7) ? prng.below(4) : word();
  if (sqe.opcode === AdminOpcode.fabrics) sqe.nsid = prng.pick(TYPES);
  // Any low byte of CDW10: log pages, features, structures; upper parts mostly plausible.
  sqe.cdw10 = prng.chance(0.7) ? prng.below(256) + prng.below(64) * 65_536 : word();
  sqe.cdw11 = word();
  sqe.cdw12 = prng.chance(0.7) ? 0 : word();
  sqe.cdw13 = prng.chance(0.9) ? 0 : word();
  sqe.cdw14 = prng.chance(0.9) ? 0 : word();
  sqe.cdw15 = word();
  command.replyBytesMax = prng.pick([0, 4, 64, 512, 4096, 65_536]);
  command.data = new Uint8Array(prng.pick([0, 7, 8, 16, 512, 1024]));
  prng.fill(command.data);
  return command;
}

test("noise on any queue is answered once, and throws nothing", async (t) => {
  const prng = new Prng(testSeed(t));
  const { subsystem } = await make();
  const host = new ModelHost(subsystem).start();
  let { queue } = host.connectIo(1);
  const codes = new Set<number>();
  for (let round = 0; round < NOISE; round++) {
    const isAdmin = prng.chance(0.6);
    const link = isAdmin ? host.admin : queue;
    const command = noise(prng, link, isAdmin ? ADMIN_OPCODES : IO_OPCODES);
    if (isAdmin) host.controller.admin(command);
    else host.controller.ioSlow(command);
    codes.add(command.code);
    const isWaiting = command.sqe.opcode === AdminOpcode.asyncEventRequest;
    ok(command.status !== null || isWaiting, `opcode ${command.sqe.opcode} was answered`);
    if (prng.chance(0.01)) subsystem.setAnaState(null, prng.pick(Object.values(AnaState)));
    // Noise disables and shuts down controllers, too.
    if (queue.endedBy !== null || !host.controller.isReady) {
      if (queue.endedBy !== null) queue.close();
      ok(host.admin.endedBy === null);
      host.configure({ enable: false });
      host.configure({ enable: true });
      if (queue.endedBy !== null) queue = host.connectIo(1).queue;
      strictEqual(host.controller.isReady, true);
    }
  }
  for (const code of [NvmeStatus.success, NvmeStatus.invalidField, NvmeStatus.invalidLogPage]) {
    ok(codes.has(code));
  }
});
