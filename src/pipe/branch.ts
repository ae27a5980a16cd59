/**
 * Branch: an open source and the filters on it, joined so that filters can be put in and taken out
 * while I/O runs. A pipe without its share is one; so is each leg of a mirror.
 *
 *   source --joint-- filter --joint-- filter --joint-- (the share, the mirror: whoever uses it)
 *
 * Opened bottom up, closed top down. Changes come one at a time (the pipe sees to that).
 */

import type { Device } from "../block/device.ts";
import { Joint } from "../block/joint.ts";
import { toPenstockError } from "../util/errors.ts";
import { FirstFailure } from "../util/first-failure.ts";
import type { CallStage, Stage } from "./ast.ts";
import { formatPipe, formatStage } from "./formatter.ts";
import { swapBelow } from "./swap.ts";
import {
  type BranchPlan,
  type FilterPlan,
  type OpenContext,
  type OpenLeg,
  placeOfLeg,
} from "./stage-plan.ts";

/** One stage of an open branch. */
export interface OpenStage {
  stage: Stage;
  readonly device: Device;
  /** Null: the source. */
  readonly plan: FilterPlan | null;
  /** What stands on it uses this. */
  above: Joint;
  /** A mirror's. */
  readonly legs: readonly Branch[];
  /** Taps of other pipes; it stays where it is while there are any. */
  readonly tappedBy: Map<Joint, string>;
}

export class Branch {
  /** Bottom up; the source is the first. */
  readonly stages: OpenStage[] = [];
  readonly #context: OpenContext;
  /** Of a leg that is out of its mirror: it has no stages, only their text. */
  readonly #outPlan: BranchPlan | null;

  private constructor(context: OpenContext, outPlan: BranchPlan | null = null) {
    this.#context = context;
    this.#outPlan = outPlan;
  }

  /** Opens all or nothing. @throws PenstockError of the stage that could not be opened */
  static async open(plan: BranchPlan, context: OpenContext): Promise<Branch> {
    const branch = new Branch(context);
    try {
      await branch.#open(plan);
      return branch;
    } catch (thrown) {
      await closeQuietly([branch]);
      throw toPenstockError(thrown);
    }
  }

  get top(): OpenStage {
    return this.stages.at(-1) as OpenStage; // a branch has its source as long as it is open
  }

  /** Canonical, as it is now. */
  get text(): string {
    return formatPipe({ stages: this.currentStages(), span: { offset: 0, length: 0 } });
  }

  /** The syntax tree, as it is now. */
  currentStages(): Stage[] {
    const out = this.#outPlan;
    if (out !== null) return [out.sourceStage, ...out.filterStages];
    return this.stages.map(({ stage, legs }) =>
      stage.kind === "call" && legs.length > 0
        ? { ...stage, arguments: legs.map((leg) => ({ ...NOWHERE, stages: leg.currentStages() })) }
        : stage,
    );
  }

  /**
   * Puts a filter on top of `lower`.
   * @throws PenstockError `replumb-timeout` when what is in flight does not end in time; then
   *   nothing has changed
   */
  async insert(
    lower: OpenStage,
    filter: { readonly plan: FilterPlan; readonly stage: CallStage },
    timeoutMs: number,
  ): Promise<void> {
    const { above } = lower;
    const joint = new Joint(lower.device);
    const device = await filter.plan.open(this.#context, joint);
    const added: OpenStage = {
      ...filter,
      device,
      above,
      legs: [],
      tappedBy: new Map(),
    };
    try {
      // Taps would keep the device busy for ever.
      const others = [...lower.tappedBy.keys()];
      await swapBelow(above, device, { timeoutMs, hurry: false, others });
    } catch (thrown) {
      await device.close();
      throw thrown;
    }
    lower.above = joint;
    this.stages.splice(this.stages.indexOf(lower) + 1, 0, added);
  }

  /** Takes a filter out. @throws PenstockError `replumb-timeout`: nothing has changed */
  async remove(stage: OpenStage, timeoutMs: number): Promise<void> {
    const index = this.stages.indexOf(stage);
    const lower = this.stages[index - 1] as OpenStage; // a filter has something below
    await swapBelow(stage.above, lower.device, { timeoutMs, hurry: true, others: [] });
    this.stages.splice(index, 1);
    lower.above = stage.above;
    await stage.device.close();
  }

  /** All stages, those of the legs too, let go what they hold back of their own accord. */
  hurry(): void {
    for (const { device, legs } of this.stages) {
      device.hurry();
      for (const leg of legs) leg.hurry();
    }
  }

  /** Top down; every stage is closed whatever becomes of the others. @throws the first failure */
  async close(): Promise<void> {
    const first = new FirstFailure();
    // Each stays in the list until it has closed, so that `hurry` finds it.
    for (let stage = this.stages.at(-1); stage !== undefined; stage = this.stages.at(-1)) {
      const { device, legs } = stage;
      for (const each of [device, ...legs]) await first.attempt(() => each.close());
      this.stages.pop();
    }
    first.throwIfAny();
  }

  async #open(plan: BranchPlan): Promise<void> {
    const legs: Branch[] = [];
    try {
      const opened: OpenLeg[] = [];
      for (const [index, leg] of (plan.source.legs ?? []).entries()) {
        const place = placeOfLeg(this.#context, index);
        const context = { ...this.#context, failFast: true, claims: true, place: `${place}.` };
        const out = this.#context.outLegs?.find((each) => each.leg === place);
        const branch = out ? new Branch(context, leg) : await Branch.open(leg, context);
        legs.push(branch);
        opened.push(out ? { out } : { top: branch.top.above });
      }
      const source = await plan.source.open(this.#context, opened);
      this.#push({ stage: plan.sourceStage, device: source, plan: null, legs });
    } catch (thrown) {
      await closeQuietly(legs);
      throw thrown;
    }
    for (const [index, filter] of plan.filters.entries()) {
      const stage = plan.filterStages[index] as CallStage; // one for each filter
      const device = await filter.open(this.#context, this.top.above);
      this.#push({ stage, device, plan: filter, legs: [] });
    }
  }

  #push(opened: Pick<OpenStage, "stage" | "device" | "plan" | "legs">): void {
    this.stages.push({ ...opened, above: new Joint(opened.device), tappedBy: new Map() });
  }
}

const NOWHERE = { span: { offset: 0, length: 0 } };

/** All of them: what they tell is less than why they are closed. */
async function closeQuietly(branches: readonly Branch[]): Promise<void> {
  await Promise.allSettled(branches.map((branch) => branch.close()));
}

/** The label that a stage was given, or its text: for messages. */
export function nameOfStage(stage: Stage): string {
  return stage.label === undefined ? formatStage(stage) : `#${stage.label}`;
}
