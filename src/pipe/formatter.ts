/**
 * Writes a tree as the one canonical text that parses to an equal tree: ` | ` between stages,
 * `, ` between arguments, options after `?` in the order they stand in, only what must be escaped
 * escaped.
 *
 * Pure. A tree that no text can stand for is a bug of whoever built it, hence an assertion.
 */

import { assert } from "../util/assert.ts";
import type { CallStage, Pipe, Stage, StageOption, UriStage } from "./ast.ts";
import { formatAuthority } from "./authority.ts";
import { percentEncode } from "./characters.ts";

/**
 * The canonical text of `pipe`; its spans are not looked at. Everything in the tree is written, so
 * it holds secrets if the tree does: the registry lets references to them through only.
 */
export function formatPipe(pipe: Pipe): string {
  assert(pipe.stages.length > 0, "a pipe has a stage");
  return pipe.stages.map(formatStage).join(" | ");
}

/** The canonical text of one stage. */
export function formatStage(stage: Stage): string {
  const head = stage.kind === "uri" ? formatUri(stage) : stage.name;
  const label = stage.label === undefined ? "" : `#${stage.label}`;
  const argumentList = stage.kind === "call" ? formatArguments(stage) : "";
  return head + label + argumentList + formatOptions(stage.options);
}

function formatUri(stage: UriStage): string {
  const { scheme, host, port, path } = stage;
  if (path !== "" && !path.startsWith("/")) {
    assert(scheme === "file" && host === "" && port === undefined, "a relative path is a file's");
    return formatRelativePath(path);
  }
  assert(port === undefined || host !== "", "a port has a host");
  return `${scheme}://${formatAuthority({ host, port })}${percentEncode(path)}`;
}

/** The first segment must look neither like a scheme nor like a home folder. */
function formatRelativePath(path: string): string {
  const slash = path.indexOf("/");
  assert(slash > 0, "a relative path has a slash");
  return percentEncode(path.slice(0, slash), ":~") + percentEncode(path.slice(slash));
}

function formatArguments(stage: CallStage): string {
  return stage.arguments.length === 0 ? "" : `(${stage.arguments.map(formatPipe).join(", ")})`;
}

function formatOptions(options: readonly StageOption[]): string {
  const texts = options.map(({ key, value, isFlag }) =>
    isFlag === true ? key : `${key}=${percentEncode(value)}`,
  );
  return texts.length === 0 ? "" : `?${texts.join("&")}`;
}
