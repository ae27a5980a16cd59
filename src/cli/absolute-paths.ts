/**
 * A pipe's text with its paths made absolute: an engine has another current folder than who types,
 * and opens the pipe again after a restart from yet another one. Pure.
 */

import { isAbsolute, resolve } from "node:path";
import type { Pipe, Span, Stage } from "../pipe/ast.ts";
import { percentEncode } from "../pipe/characters.ts";
import { parsePipe } from "../pipe/grammar.ts";
import { GrammarError } from "../pipe/grammar-error.ts";

const SECRET_OPTION = "key";
const SECRET_FILE = "file:";
const PATH_OPTIONS: readonly string[] = ["socket", "reservations"];

interface Replacement {
  readonly span: Span;
  readonly by: string;
}

/** `text` as it is when it cannot be parsed: whoever reads it says why. */
export function withAbsolutePaths(text: string, folder: string): string {
  try {
    const found = replacementsOf(parsePipe(text), folder);
    // From the end, so that earlier spans stay true.
    return found
      .sort((one, other) => other.span.offset - one.span.offset)
      .reduce((now, { span: { offset, length }, by }) => {
        return now.slice(0, offset) + by + now.slice(offset + length);
      }, text);
  } catch (thrown) {
    if (thrown instanceof GrammarError) return text;
    throw thrown;
  }
}

function replacementsOf(pipe: Pipe, folder: string): Replacement[] {
  return pipe.stages.flatMap((stage) => [
    ...(stage.kind === "call"
      ? stage.arguments.flatMap((argument) => replacementsOf(argument, folder))
      : ofBarePath(stage, folder)),
    ...ofOptions(stage, folder),
  ]);
}

function ofBarePath(stage: Stage & { readonly kind: "uri" }, folder: string): Replacement[] {
  const { path, pathSpan } = stage;
  // Only a bare path can be relative.
  if (path === "" || isAbsolute(path)) return [];
  return [{ span: pathSpan, by: percentEncode(resolve(folder, path)) }];
}

function ofOptions({ options }: Stage, folder: string): Replacement[] {
  return options.flatMap(({ key, value, valueSpan }) => {
    const prefix = key === SECRET_OPTION ? SECRET_FILE : "";
    if (key !== SECRET_OPTION && !PATH_OPTIONS.includes(key)) return [];
    if (!value.startsWith(prefix)) return [];
    const path = value.slice(prefix.length);
    if (path === "" || isAbsolute(path)) return [];
    return [{ span: valueSpan, by: percentEncode(prefix + resolve(folder, path)) }];
  });
}
