/**
 * Checks the whole tree against the rules of tidy-rules.ts and the law of layers.ts.
 *
 *   node tools/tidy.ts      prints findings and long files, exits 1 when there is a finding
 */

import { checkLayers } from "./layers.ts";
import type { SourceText } from "./source-text.ts";
import { type Finding, formatFinding, ROOT, readTree } from "./source-tree.ts";
import { TIDY_EXCEPTIONS, type TidyException } from "./tidy-exceptions.ts";
import { FILE_LINES_MAX, FILE_LINES_WARN, FUNCTION_LINES_MAX, TIDY_RULES } from "./tidy-rules.ts";
import { functionSpans } from "./function-spans.ts";

/** All findings of the given sources; exceptions that nothing needs any more are findings too. */
export function checkTree(
  sources: readonly SourceText[],
  exceptions: readonly TidyException[],
): Finding[] {
  return [
    ...sources.flatMap((source) => TIDY_RULES.flatMap((rule) => rule(source, exceptions))),
    ...sources.flatMap((source) => checkLayers(source)),
    ...exceptions.flatMap((exception) => checkException(sources, exception)),
  ];
}

/** Sources that are long but within the limit: worth a look, no failure. */
export function longFiles(sources: readonly SourceText[]): SourceText[] {
  return sources.filter(({ lines }) => lines.length > FILE_LINES_WARN);
}

function checkException(sources: readonly SourceText[], exception: TidyException): Finding[] {
  const source = sources.find(({ path }) => path === exception.path);
  if (source !== undefined && isNeeded(source, exception)) {
    return [];
  }
  const message = `remove the ${exception.rule} exception: nothing needs it any more`;
  return [{ path: exception.path, line: 1, rule: "exception", message }];
}

function isNeeded(source: SourceText, exception: TidyException): boolean {
  switch (exception.rule) {
    case "file-length":
      return source.lines.length > FILE_LINES_MAX;
    case "function-length":
      return functionSpans(source).some(({ lines }) => lines > FUNCTION_LINES_MAX);
  }
}

if (import.meta.main) {
  const sources = readTree(ROOT);
  const findings = checkTree(sources, TIDY_EXCEPTIONS);
  for (const source of longFiles(sources)) {
    process.stdout.write(`${source.path}: ${source.lines.length} lines, consider a split\n`);
  }
  for (const finding of findings) {
    process.stdout.write(`${formatFinding(finding)}\n`);
  }
  process.exitCode = findings.length > 0 ? 1 : 0;
}
