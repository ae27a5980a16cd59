/**
 * What bench works on: any pipe of the grammar, without a share. Pure.
 */

import type { Stage, StageOption, UriStage } from "../pipe/ast.ts";
import type { ComposedPlan } from "../pipe/composer.ts";
import { formatPipe } from "../pipe/formatter.ts";
import { GrammarError } from "../pipe/grammar-error.ts";
import { parsePipe } from "../pipe/grammar.ts";
import { planBranch, SHARES } from "../pipe/registry.ts";
import { PenstockError } from "../util/errors.ts";

/** Sources whose content is nobody's: it is gone when the process ends. */
const SCRATCH_SCHEMES: readonly string[] = ["malloc", "null"];
/** By scheme: the option that says how many connections to use. */
const CONNECTIONS_OPTIONS: ReadonlyMap<string, string> = new Map([
  ["nbd", "connections"],
  ["nbd+unix", "connections"],
  ["nvmf", "queues"],
]);

export interface Target extends ComposedPlan {
  /** Canonical. */
  readonly text: string;
  /** Nothing is lost when it is overwritten. */
  readonly isScratch: boolean;
}

/**
 * @param connections of a source that is another server's export; undefined: as the text says
 * @throws GrammarError, PenstockError `invalid-argument`
 */
export function planTarget(text: string, connections: number | undefined): Target {
  const target = plan(text);
  if (connections === undefined) return target;
  const [source, ...filters] = parsePipe(text).stages as [Stage, ...Stage[]]; // one at least
  const stages = [withConnections(source, connections), ...filters];
  // Read anew: what was put in gets checked like the rest.
  return plan(formatPipe({ stages, span: { offset: 0, length: 0 } }));
}

function plan(text: string): Target {
  const pipe = parsePipe(text);
  const last = pipe.stages.at(-1) as Stage; // the parser gives one at least
  const isShare = last.kind === "uri" && SHARES.some(({ scheme }) => scheme === last.scheme);
  if (isShare && pipe.stages.length > 1) {
    const message =
      `found ${last.scheme}:// as the last stage, expected a pipe without a share: ` +
      "bench works on it directly, or serve it and bench its URI";
    throw new GrammarError({ code: "unexpected-share", text, span: last.span, message });
  }
  const branch = planBranch(text, pipe.stages);
  const canonical = formatPipe(pipe);
  return { branch, text: canonical, shareText: canonical, isScratch: isScratch(pipe.stages) };
}

function withConnections(source: Stage, connections: number): UriStage {
  const key = source.kind === "uri" ? CONNECTIONS_OPTIONS.get(source.scheme) : undefined;
  if (source.kind !== "uri" || key === undefined) {
    const name = source.kind === "uri" ? `${source.scheme}://` : source.name;
    const message =
      `found --connections ${connections} for a source of ${name}, ` +
      "expected one of nbd://, nbd+unix:// or nvmf://";
    throw new PenstockError({ code: "invalid-argument", message });
  }
  const nowhere = { offset: 0, length: 0 };
  const option: StageOption = {
    key,
    value: String(connections),
    span: nowhere,
    valueSpan: nowhere,
  };
  const others = source.options.filter((each) => each.key !== key);
  return { ...source, options: [...others, option] };
}

/** The first stage, or all legs of it. */
function isScratch(stages: readonly Stage[]): boolean {
  const [source] = stages;
  if (source === undefined) return false;
  if (source.kind === "uri") return SCRATCH_SCHEMES.includes(source.scheme);
  return source.arguments.length > 0 && source.arguments.every((leg) => isScratch(leg.stages));
}
