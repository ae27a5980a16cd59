/**
 * `mirror(a, b, ...)?meta=none&timeout=5s&read=local|least-loaded`: one device over several pipes
 * that hold the same. Stateless.
 */

import { CHILDREN_MAX } from "../../nexus/child.ts";
import { Mirror } from "../../nexus/mirror.ts";
import { CHILD_TIMEOUT_MS_DEFAULT } from "../../nexus/mirror-options.ts";
import type { Membership } from "../../nexus/membership.ts";
import { READ_POLICIES } from "../../nexus/read-policy.ts";
import { assert } from "../../util/assert.ts";
import { PenstockError } from "../../util/errors.ts";
import type { CallStage, Stage } from "../ast.ts";
import { formatPipe } from "../formatter.ts";
import { GrammarError } from "../grammar-error.ts";
import type { StageOptions } from "../stage-options.ts";
import {
  type BranchPlan,
  type OpenContext,
  type OptionHelp,
  placeOfLeg,
  type SourcePlan,
} from "../stage-plan.ts";

export const MIRROR_OPTIONS: readonly OptionHelp[] = [
  { key: "meta", value: "none", text: "default none: no fencing and no persistent log" },
  {
    key: "timeout",
    value: "DURATION",
    text: "a child without an answer is dropped; default 5s, over a mirror 5s more than its",
  },
  { key: "read", value: "local|least-loaded", text: "which child is read; default local" },
];

const TIMEOUT_MS_MIN = 10;
const TIMEOUT_MS_MAX = 3_600_000;
/** Sources on this machine. */
const LOCAL_SCHEMES: ReadonlySet<string> = new Set(["file", "malloc", "null", "lvol"]);

/** @param legs the plans of the stage's arguments, in their order */
export function planMirror(
  text: string,
  stage: CallStage,
  options: StageOptions,
  legs: readonly BranchPlan[],
): SourcePlan {
  if (legs.length < 1 || legs.length > CHILDREN_MAX) {
    const message =
      `found mirror with ${legs.length} children, expected 1 to ${CHILDREN_MAX}: ` +
      "mirror(file:///a, file:///b)";
    throw new GrammarError({ code: "child-count", text, span: stage.nameSpan, message });
  }
  for (const leg of legs) refuseShared(text, leg);
  options.value("meta", checkMeta, { fallback: "none" });
  const childTimeoutMs = options.duration("timeout", {
    minMs: TIMEOUT_MS_MIN,
    maxMs: TIMEOUT_MS_MAX,
    fallback: CHILD_TIMEOUT_MS_DEFAULT + patienceBelow(legs),
  });
  const readPolicy = options.oneOf("read", READ_POLICIES, { fallback: "local" });
  const name = formatPipe({ stages: [stage], span: stage.span });
  return {
    legs,
    patienceMs: childTimeoutMs,
    open: (context, opened) => {
      // Several legs may end in the same filter: they are called by all of their text.
      const names = stage.arguments.map((pipe) => formatPipe(pipe));
      const membership = membershipOf(context);
      return Mirror.open(context.reactor, {
        name,
        legs: opened.flatMap((leg, number) => {
          if ("out" in leg) return [];
          const name = names[number] as string; // the legs were made of them
          return [{ joint: leg.top, number, isLocal: isLocal(legs[number]?.sourceStage), name }];
        }),
        outLegs: opened.flatMap((leg, number) => {
          return "top" in leg ? [] : [{ ...leg.out, number, name: names[number] as string }];
        }),
        legsMayDiffer: context.reopened === true,
        childTimeoutMs,
        readPolicy,
        onEvent: (event) => context.report?.({ ...event, stage: name }),
        ...(membership === undefined ? {} : { membership }),
      });
    },
  };
}

/** Two mirrors over one leg would each make it equal to their own others. */
function refuseShared(text: string, { source, sourceStage }: BranchPlan): void {
  if (source.isShared !== true) return;
  const option = sourceStage.options.find(({ key }) => key === "shared");
  throw new GrammarError({
    code: "shared-leg",
    text,
    span: option?.span ?? sourceStage.span,
    message:
      "found a leg with shared=1 under a mirror, expected legs that nobody else writes: " +
      "a mirror cannot be served by two engines until they fence each other",
  });
}

/** Who is in sync is recorded by whoever opened the pipe, where that keeps records. */
function membershipOf(context: OpenContext): Membership | undefined {
  const { recordOut } = context;
  if (recordOut === undefined) return undefined;
  return {
    decideOut: ({ number, state, joint }, decided) => {
      assert(state.name === "faulted", "a child that is decided out has faulted");
      const { info, operations } = joint;
      const leg = placeOfLeg(context, number);
      recordOut({ leg, fault: state.fault, info, operations }).then(
        () => decided(true),
        () => decided(false),
      );
    },
  };
}

/** A mirror below goes on without its own hung child first: it is not one that hangs itself. */
function patienceBelow(legs: readonly BranchPlan[]): number {
  return Math.max(0, ...legs.map(({ source }) => source.patienceMs ?? 0));
}

/** Where a mirror keeps who is in sync. */
function checkMeta(value: string): "none" {
  if (value === "none") return value;
  const isPlanned = value === "tail" || value.startsWith("/");
  throw new PenstockError({
    code: isPlanned ? "not-yet" : "choice-invalid",
    message: isPlanned
      ? `found "${value}", which is not yet in this version, expected none`
      : `found "${value}", expected none`,
  });
}

function isLocal(stage: Stage | undefined): boolean {
  return stage?.kind === "uri" && LOCAL_SCHEMES.has(stage.scheme);
}
