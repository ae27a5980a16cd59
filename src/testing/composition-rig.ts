/**
 * CompositionRig: a composition (composition-spec.ts) opened on a test's reactor: the root pipe, a
 * second one that taps it, and whatever is shared over NBD and NVMe/TCP for them.
 *
 * All of it belongs to the rig and ends with `close`. What people should know of (a child that
 * faulted) fails the test.
 */

import type { Device } from "../block/device.ts";
import { AwaitedRequest } from "../block/awaited-request.ts";
import { Operation } from "../block/operation.ts";
import { Status, statusName } from "../block/status.ts";
import type { Stage } from "../pipe/ast.ts";
import { Branch } from "../pipe/branch.ts";
import { parsePipe } from "../pipe/grammar.ts";
import { planBranch, planShare } from "../pipe/registry.ts";
import { ShareServices } from "../pipe/share-services.ts";
import { shareUri } from "../pipe/shares/share-uri.ts";
import { walkStages } from "../pipe/stage-address.ts";
import type { OpenContext, TappedStage } from "../pipe/stage-plan.ts";
import { BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, type PoolBuffer } from "../reactor/buffer-pool.ts";
import type { Reactor } from "../reactor/reactor.ts";
import type { TestReactor } from "../reactor/test-reactor.ts";
import { assert } from "../util/assert.ts";
import { uuidOfName } from "../util/uuid.ts";
import {
  type BranchSpec,
  type FilterSpec,
  isFixed,
  KEY_NAMES,
  type ServedSpec,
  type ProgramSpec,
  type SourceSpec,
  startsZeroed,
  UNIT_BYTES,
  unitsOf,
} from "./composition-spec.ts";
import { openSecondReactor } from "./second-reactor.ts";

const TAPPED = "tapped";
/** What is left where memory is tight. */
const SPARE_BUFFERS = 8;
/** Events of pipes that are well. */
const EXPECTED_EVENTS: readonly string[] = ["mirror-without-metadata", "log"];

interface Served {
  readonly service: ShareServices;
  readonly branch: Branch;
}

export class CompositionRig {
  root: Branch | null = null;
  tap: Branch | null = null;
  rootText = "";
  readonly reactor: Reactor;
  /** What went wrong without anybody asking. */
  readonly complaints: string[] = [];
  readonly #program: ProgramSpec;
  readonly #test: TestReactor;
  readonly #folder: string;
  readonly #served: Served[] = [];
  readonly #hogged: PoolBuffer[] = [];
  #second: Reactor | null = null;
  #tapText = "";
  #names = 0;
  #openings = 0;

  private constructor(program: ProgramSpec, test: TestReactor, folder: string) {
    this.#program = program;
    this.#test = test;
    this.#folder = folder;
    this.reactor = test.reactor;
    for (const [index, name] of KEY_NAMES.entries()) {
      process.env[name] = `${"0123456789abcdef".repeat(4)}${String(index + 4).repeat(64)}`;
    }
  }

  /** @param folder files go there, under fresh names */
  static async open(
    program: ProgramSpec,
    test: TestReactor,
    folder: string,
  ): Promise<CompositionRig> {
    const rig = new CompositionRig(program, test, folder);
    const { root, tap } = program;
    const tapped = tap === null ? null : tap.stage % (root.filters.length + 1);
    rig.rootText = await rig.#textOf(root, tapped);
    if (tap !== null && tapped !== null) {
      const above = [...root.filters.entries()].map(([index, filter]) =>
        index >= tapped && isFixed(filter) ? [textOfFilter(filter, root, index)] : [],
      );
      const own = tap.filters.map((filter, index) => textOfFilter(filter, root, index));
      rig.#tapText = [`tap:///${TAPPED}`, ...above.flat(), ...own].join(" | ");
    }
    await rig.openPipes();
    await equalize(rig.branch);
    // An NBD source compares with a buffer as long as the request, and waits until there is one.
    if (program.isTight && rig.#served.length === 0) rig.#hog();
    return rig;
  }

  /** The root pipe and its tap, from their texts. */
  async openPipes(): Promise<void> {
    this.root = await this.#openBranch(this.rootText, this.reactor);
    if (this.#tapText === "") return;
    this.tap = await this.#openBranch(this.#tapText, this.reactor);
  }

  async closePipes(): Promise<void> {
    const { tap, root } = this;
    for (const buffer of this.#hogged.splice(0)) buffer.release();
    this.tap = null;
    this.root = null;
    await tap?.close();
    await root?.close();
  }

  get branch(): Branch {
    assert(this.root !== null, "the root is open");
    return this.root;
  }

  /** All that can be re-plumbed. */
  get branches(): Branch[] {
    const served = this.#served.map(({ branch }) => branch);
    return [this.branch, ...(this.tap === null ? [] : [this.tap]), ...served];
  }

  async close(): Promise<void> {
    await this.closePipes();
    for (const { service, branch } of this.#served.reverse()) {
      await service.close();
      await branch.close();
    }
    const held = this.reactor.buffers.heldBytes + (this.#second?.buffers.heldBytes ?? 0);
    if (held !== 0) this.complaints.push(`${held} bytes of buffers were not given back`);
    await this.#second?.io.close();
  }

  async #openBranch(text: string, reactor: Reactor): Promise<Branch> {
    this.#openings += 1;
    const context: OpenContext = {
      reactor,
      holder: "test",
      instanceSeed: uuidOfName(`${this.#folder} ${this.#openings}`),
      findStage: (label) => this.#findStage(label),
      report: ({ level, code, message }) => {
        const isExpected = level === "info" || EXPECTED_EVENTS.includes(code);
        if (!isExpected) this.complaints.push(`${code}: ${message}`);
      },
    };
    return Branch.open(planBranch(text, parsePipe(text).stages), context);
  }

  /** Takes all buffers there are, but for a few small ones. */
  #hog(): void {
    const { buffers } = this.reactor;
    const spare = Array.from({ length: SPARE_BUFFERS }, () => buffers.acquire(BUFFER_BYTES_MIN));
    for (let size = BUFFER_BYTES_MAX; size >= BUFFER_BYTES_MIN; size /= 2) {
      for (let buffer = buffers.acquire(size); buffer !== null; buffer = buffers.acquire(size)) {
        this.#hogged.push(buffer);
      }
    }
    for (const buffer of spare) buffer?.release();
  }

  #findStage(label: string): TappedStage | undefined {
    const found = this.branch.stages.find(({ stage }) => stage.label === label);
    if (found === undefined) return undefined;
    return {
      device: found.device,
      claim: (tap, holder) => found.tappedBy.set(tap, holder),
      release: (tap) => found.tappedBy.delete(tap),
    };
  }

  async #textOf(spec: BranchSpec, tapped: number | null): Promise<string> {
    const label = (stage: number): string => (stage === tapped ? `#${TAPPED}` : "");
    const source = await this.#textOfSource(spec.source, label(0));
    const filters = spec.filters.map((filter, index) => {
      const [name = "", options = ""] = textOfFilter(filter, spec, index).split(/(?=\?)/);
      return `${name}${label(index + 1)}${options}`;
    });
    return [source, ...filters].join(" | ");
  }

  async #textOfSource(source: SourceSpec, label: string): Promise<string> {
    if ("legs" in source) {
      const legs: string[] = [];
      for (const leg of source.legs) legs.push(await this.#textOf(leg, null));
      return `mirror${label}(${legs.join(", ")})?read=${source.read}`;
    }
    if ("backing" in source) return this.#serve(source, label);
    const { source: kind, units, blockSize } = source;
    const options = `size=${units * UNIT_BYTES}B&blocksize=${blockSize}`;
    const name = `${this.#folder}/${this.#nextName()}`;
    if (kind === "file") return `file://${name}${label}?${options}`;
    const canDirect = this.#test.level !== "portable";
    if (kind === "direct") return `file://${name}${label}?${options}&direct=${canDirect ? 1 : 0}`;
    return `${kind}://${name}${label}?${options}`;
  }

  /** Opens what is exported, and exports it. @returns the source that uses it */
  async #serve(spec: ServedSpec, label: string): Promise<string> {
    const text = await this.#textOf(spec.backing, null);
    const reactor = spec.isApart ? this.#secondReactor() : this.reactor;
    const branch = await this.#openBranch(text, reactor);
    await equalize(branch);
    const service = new ShareServices(reactor, { handOff: () => undefined });
    this.#served.push({ service, branch });
    const share = this.#shareFor(spec.source);
    const plan = planShare(share, parsePipe(share).stages[0] as Stage); // it has one
    const address = await service.listen(plan.kind, plan.address);
    await service.open(address, branch.top.above, plan, { isDeviceShared: false });
    const [uri, query] = shareUri(plan, address).split("?") as [string, string?];
    const count = `${spec.source === "nvmf" ? "queues" : "connections"}=${spec.connections}`;
    return `${uri}${label}?${query === undefined ? "" : `${query}&`}${count}`;
  }

  #shareFor(source: ServedSpec["source"]): string {
    const name = this.#nextName();
    if (source === "nbd") return `nbd://127.0.0.1:0/${name}`;
    if (source === "nvmf") return `nvmf://127.0.0.1:0/nqn.2026-11.io.penstock:${name}`;
    return `nbd+unix:///${name}?socket=${this.#folder}/${name}`;
  }

  #secondReactor(): Reactor {
    this.#second ??= openSecondReactor(this.#test);
    return this.#second;
  }

  #nextName(): string {
    this.#names += 1;
    return `n${this.#names}`;
  }

  /** Whether what was never written is zeroes. */
  get startsZeroed(): boolean {
    return startsZeroed(this.#program.root);
  }
}

/** Legs that were never written differ where one of them is encrypted: writes zeroes to mirrors. */
async function equalize(branch: Branch): Promise<void> {
  for (const { stage } of walkStages(branch)) {
    if (stage.legs.length > 0) await zero(stage.above);
  }
}

export async function zero(device: Device): Promise<void> {
  const ask = { operation: Operation.writeZeroes, length: device.info.sizeBytes };
  const status = await new AwaitedRequest().run(device, ask);
  assert(status === Status.ok, `zeroing all of ${device.info.name}: ${statusName(status)}`);
}

/** @param index of the filter in the branch; what is below decides what a slice leaves */
function textOfFilter(filter: FilterSpec, spec: BranchSpec, index: number): string {
  if ("text" in filter) return filter.text;
  const below = unitsOf({ ...spec, filters: spec.filters.slice(0, index) });
  const length = below - filter.skipUnits - filter.dropUnits;
  return `slice?offset=${filter.skipUnits * UNIT_BYTES}B&length=${length * UNIT_BYTES}B`;
}
