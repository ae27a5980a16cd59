/**
 * The rules of STYLE.md that a machine can check and that neither biome nor tsc does.
 *
 * One function per rule, pure: a source in, findings out. tidy.ts runs them over the tree;
 * tidy.test.ts feeds each a sample that it must catch.
 */

import { functionSpans } from "./function-spans.ts";
import type { SourceText } from "./source-text.ts";
import type { Finding } from "./source-tree.ts";
import type { TidyException } from "./tidy-exceptions.ts";

export const FILE_LINES_WARN = 300;
export const FILE_LINES_MAX = 600;
export const FUNCTION_LINES_MAX = 70;
export const LINE_COLUMNS_MAX = 100;

/** Code in these folders takes clock, timers and randomness from its caller, for the simulator. */
const SIMULATED_FOLDERS = /^src\/(?:proto|pool|nexus|block|pipe|devices)\//;

const CLOCK_OR_RANDOMNESS = anyOf([
  /\bDate\.now\b/,
  /\bnew Date\b(?!\s*\(\s*[^\s)])/,
  /\bperformance\.\w+/,
  /\bprocess\.(?:hrtime|uptime)\b/,
  /\bset(?:Timeout|Interval)\b/,
  /\bMath\.random\b/,
  /\brandom(?:Bytes|UUID|Int|Fill|FillSync)\b/,
  /\bgetRandomValues\b/,
]);

const CLOCK_MODULES: ReadonlySet<string> = new Set([
  "node:timers",
  "node:timers/promises",
  "node:perf_hooks",
]);

const FILE_NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)*\.(?:ts|mjs)$/;

export type TidyRule = (
  source: SourceText,
  exceptions: readonly TidyException[],
) => readonly Finding[];

function fileLength(source: SourceText, exceptions: readonly TidyException[]): Finding[] {
  const limit = limitFor({ rule: "file-length", source, exceptions, general: FILE_LINES_MAX });
  const count = source.lines.length;
  return count > limit ? [at(source, limit, "file-length", `${count} lines, limit ${limit}`)] : [];
}

function functionLength(source: SourceText, exceptions: readonly TidyException[]): Finding[] {
  const limit = limitFor({
    rule: "function-length",
    source,
    exceptions,
    general: FUNCTION_LINES_MAX,
  });
  return functionSpans(source)
    .filter((span) => span.lines > limit)
    .map((span) => at(source, span.line, "function-length", `${span.lines} lines, limit ${limit}`));
}

function lineLength(source: SourceText): Finding[] {
  return source.lines.flatMap((line, index) => {
    const columns = [...line].length;
    // A link cannot be broken.
    return columns > LINE_COLUMNS_MAX && !/https?:\/\/\S{40}/.test(line)
      ? [at(source, index + 1, "line-length", `${columns} columns, limit ${LINE_COLUMNS_MAX}`)]
      : [];
  });
}

function openingComment(source: SourceText): Finding[] {
  return /^(?:#!.*\n)?\/[/*]/.test(source.text)
    ? []
    : [at(source, 1, "opening-comment", "the file must open with a comment that says what it is")];
}

function ffiOnlyInSys(source: SourceText): Finding[] {
  return source.imports
    .filter(({ specifier }) => specifier === "node:ffi" && !source.path.startsWith("src/sys/"))
    .map(({ offset }) =>
      at(source, source.lineAt(offset), "ffi", "only src/sys/ may import node:ffi"),
    );
}

function clockAndRandomness(source: SourceText): Finding[] {
  if (source.isTest || !SIMULATED_FOLDERS.test(source.path)) {
    return [];
  }
  const rule = "clock-and-randomness";
  const uses = matches(source, CLOCK_OR_RANDOMNESS, rule, (text) => `${text}: take it as argument`);
  const imports = source.imports
    .filter(({ specifier }) => CLOCK_MODULES.has(specifier))
    .map(({ offset, specifier }) =>
      at(source, source.lineAt(offset), rule, `${specifier}: take it as argument`),
    );
  return [...uses, ...imports];
}

function erasable(source: SourceText): Finding[] {
  if (!source.path.endsWith(".ts")) {
    return [];
  }
  const declarations =
    /^[ \t]*(?:export\s+)?(?:declare\s+)?(?:const\s+enum|enum|namespace|module)\s+[\w.]+\s*\{/gm;
  const findings = matches(source, declarations, "erasable", (text) => `${text.trim()} ...`);
  const stripped = source.withoutTypes();
  return "error" in stripped && findings.length === 0
    ? [at(source, 1, "erasable", stripped.error)]
    : findings;
}

function noAny(source: SourceText): Finding[] {
  const pattern = /(?::|\bas|[<|&,=])\s*any\b(?=\s*(?:[;,)\]>=|&{[]|$))/gm;
  return matches(source, pattern, "any", () => "say the type, or unknown");
}

function noDefaultExport(source: SourceText): Finding[] {
  const pattern = /^\s*export\s+default\b|\bas\s+default\b/gm;
  return matches(source, pattern, "default-export", () => "export by name");
}

function openWork(source: SourceText): Finding[] {
  return source.comments.flatMap(({ offset, text }) => {
    const line = source.lineAt(offset);
    if (/\b(?:FIXME|XXX)\b/.test(text)) {
      return [at(source, line, "open-work", "repair it or open an issue")];
    }
    return /\bTODO\b(?!\s*\(?#\d+)/.test(text)
      ? [at(source, line, "open-work", "name the issue, as in TODO #12")]
      : [];
  });
}

function fileName(source: SourceText): Finding[] {
  const name = source.path.split("/").at(-1) ?? "";
  return FILE_NAME.test(name) ? [] : [at(source, 1, "file-name", "file names are kebab-case")];
}

function emptyCatch(source: SourceText): Finding[] {
  const pattern = /\bcatch\s*(?:\([^)]*\)\s*)?(?:\{\s*\})|\.catch\(\s*\([^)]*\)\s*=>\s*\{\s*\}/g;
  return matches(
    source,
    pattern,
    "empty-catch",
    () => "handle it, or say in a comment why not",
  ).filter(({ offset, length }) => !/\/[/*]/.test(source.text.slice(offset, offset + length)));
}

function focusedTest(source: SourceText): Finding[] {
  if (!source.isTest) {
    return [];
  }
  const pattern = /\b(?:test|it|describe|suite)\.only\b|\bonly:\s*true\b/g;
  return matches(source, pattern, "focused-test", () => "would leave the other tests out");
}

export const TIDY_RULES: readonly TidyRule[] = [
  fileLength,
  functionLength,
  lineLength,
  openingComment,
  ffiOnlyInSys,
  clockAndRandomness,
  erasable,
  noAny,
  noDefaultExport,
  openWork,
  fileName,
  emptyCatch,
  focusedTest,
];

function anyOf(patterns: readonly RegExp[]): RegExp {
  return new RegExp(patterns.map(({ source }) => source).join("|"), "g");
}

interface LimitQuestion {
  readonly rule: TidyException["rule"];
  readonly source: SourceText;
  readonly exceptions: readonly TidyException[];
  readonly general: number;
}

function limitFor({ rule, source, exceptions, general }: LimitQuestion): number {
  const exception = exceptions.find((each) => each.rule === rule && each.path === source.path);
  return exception?.limitLines ?? general;
}

interface Match extends Finding {
  readonly offset: number;
  readonly length: number;
}

function matches(
  source: SourceText,
  pattern: RegExp,
  rule: string,
  message: (text: string) => string,
): Match[] {
  return [...source.code.matchAll(pattern)].map((match) => {
    // A pattern may begin with white space of the line before.
    const offset = match.index + (match[0].length - match[0].trimStart().length);
    const line = source.lineAt(offset);
    const length = match[0].trimStart().length;
    return { ...at(source, line, rule, message(match[0].trim())), offset, length };
  });
}

function at(source: SourceText, line: number, rule: string, message: string): Finding {
  return { path: source.path, line, rule, message };
}
